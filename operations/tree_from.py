"""A tree from a line of text: `shop.app:tree`, the module and the name in it."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from upright.actors.ports import Startable


class NoTree(ValueError):
    """There is no such module, or nothing in it that a system can start. The text says what is to be done."""


def tree_from(text: str, folder: Path | None = None) -> Startable:
    """What a system starts, by `module:name`; a function without arguments is called for it.

    `folder`: where modules are looked for first, the current one if None. What the module raises when it is imported is
    raised as it is, but for an end of the process. Raises `NoTree`.
    """
    module, colon, name = (part.strip() for part in text.partition(":"))
    if not colon or not name or module.endswith(".py") or not all(module.split(".")):
        raise NoTree(f"expected a module and the name of a tree in it, such as shop.app:tree, got {text!r}")
    imported = _module(module, folder if folder is not None else Path.cwd())
    found: Any = imported
    for part in name.split("."):
        if not hasattr(found, part):
            near = ", ".join(sorted(each for each, value in vars(imported).items() if is_tree(value))) or "none"
            raise NoTree(f"expected {module} to have {name!r}; trees in it: {near}")
        found = getattr(found, part)
    made = _made(text, found) if callable(found) and not is_tree(found) else found
    if not is_tree(made):
        raise NoTree(f"expected {text} to be a tree, such as supervisor(…), got {made!r}")
    return cast("Startable", made)


def is_tree(value: object) -> bool:
    """Whether a system could start it."""
    return not isinstance(value, type) and callable(getattr(value, "blueprint", None))


def _made(text: str, make: Callable[..., object]) -> object:
    """What a function makes."""
    if isinstance(make, type):
        raise NoTree(f"expected {text} to be a tree, such as supervisor(…), got the class {make.__qualname__}")
    if inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make):
        raise NoTree(f"expected {text} to be a tree or a plain function that makes one, got an async function")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise NoTree(f"expected {text} to be a function without arguments: {error}") from error
    return make()


def _module(name: str, folder: Path) -> ModuleType:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise NoTree(f"expected a module {name} in {folder} or installed, got none") from error
        raise
    except SystemExit as error:
        raise NoTree(
            f"expected to import {name} for the tree in it, but it ended the process: "
            'what runs it as a program stands below `if __name__ == "__main__":`'
        ) from error
