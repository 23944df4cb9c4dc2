"""The branches of a join: by which names they are known, and how what they get and return becomes bytes and comes back.

A run that joins may outlive the definition, and the process, in which it began. So a branch is known by its method's
name, whatever place it has in the definition now, and the items of `each` are stored, whatever order they would have.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .forms import Form, Locate, Misfit

RESULT, ITEM = "__result__", "__item__"
Branch = Callable[..., Any]


def named(branches: Iterable[Branch]) -> dict[str, Branch]:
    """The branches by their names, in their order; of one that stands there several times, each has its number.

    >>> def left(): ...
    >>> list(named([left, print, left]))
    ['left', 'print', 'left#2']
    """
    found: dict[str, Branch] = {}
    for branch in branches:
        name: str = getattr(branch, "__name__", repr(branch))
        times = 1 + sum(one.partition("#")[0] == name for one in found)
        found[name if times == 1 else f"{name}#{times}"] = branch
    return found


def result_form(function: Branch) -> Form:
    """The bytes of what a branch returns, as its annotation says, worked out once."""
    found: Form | None = getattr(function, RESULT, None)
    if found is None:
        returned: Any = inspect.signature(function, eval_str=True).return_annotation
        kind: Any = Any if returned is inspect.Signature.empty else returned
        found = Form(function.__qualname__, "result", type(None) if kind is None else kind)
        setattr(function, RESULT, found)
    return found


def item_form(function: Branch) -> Form:
    """The bytes of an item, as the annotation of the branch's last parameter says, worked out once. Raises `TypeError`
    for a type that has none, `NameError` where a name in it is not defined.
    """
    found: Form | None = getattr(function, ITEM, None)
    if found is None:
        found = Form(
            function.__qualname__, "item", item_type(function), "annotate it with a type that msgspec supports"
        )
        setattr(function, ITEM, found)
    return found


def item_type(function: Branch) -> Any:
    """What the annotation says; `Any` for none."""
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[2:]
    said: Any = parameters[0].annotation if parameters else Any
    return Any if said in (inspect.Parameter.empty, object) else said


def stored_items(function: Branch, items: Iterable[Any]) -> list[bytes]:
    """The bytes of each item. Raises `TypeError` for one that is not what the annotation says."""
    form = item_form(function)
    try:
        return [form.encode(item) for item in items]
    except Misfit as error:
        raise TypeError(f"{function.__qualname__}: {error}; annotate the item with its type") from error


def item_of(function: Branch, body: bytes, over: Callable[[], Iterable[Any]], locate: Locate) -> Any:
    """The item of those bytes. Without an annotation they do not tell of which class it was: `over` still gives it, if
    the data are what they were. Raises `Misfit`.
    """
    form = item_form(function)
    if item_type(function) is Any:
        for item in over():
            try:
                if form.encode(item) == body:
                    return item
            except Misfit:
                continue
    return form.decode(body, locate)
