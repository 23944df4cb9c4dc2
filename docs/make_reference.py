"""Write the pages of `docs/reference/` from the docstrings of each wing's face.

It reads the source beside the imported names, so that a page shows annotations as they were written and is the same
under every Python. `--check` writes nothing and fails if a page is not what it would write.
"""

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

FOLDER = Path(__file__).resolve().parent / "reference"
FACES = (
    "upright.actors",
    "upright.actors.testing",
    "upright.supervision",
    "upright.persistence",
    "upright.persistence.testing",
    "upright.operations",
)
HIDDEN_BASES = {"object", "Struct", "Generic", "ABC"}
SECTIONS = {"Args:", "Raises:", "Returns:"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write docs/reference from docstrings.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is not up to date")
    check: bool = parser.parse_args().check
    pages = {FOLDER / f"{face.removeprefix('upright.')}.md": page(import_module(face)) for face in FACES}
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    stray = sorted(set(FOLDER.glob("*.md")) - set(pages))
    if check and (stale or stray):
        names = ", ".join(path.name for path in [*stale, *stray])
        sys.exit(f"expected docs/reference to be what the docstrings say; run `make docs`. Not up to date: {names}")
    if not check:
        FOLDER.mkdir(exist_ok=True)
        for path in stale:
            path.write_text(pages[path], "utf-8")
        for path in stray:
            path.unlink()


def page(face: ModuleType) -> str:
    """The page of one face: an index, then its names in order."""
    names = sorted(face.__all__, key=str.casefold)
    used: Counter[str] = Counter()
    links: list[str] = []
    for name in names:  # a second heading with the same letters gets a number, as GitHub gives it
        anchor = name.lower()
        links.append(f"[{name}](#{anchor}{f'-{used[anchor]}' if used[anchor] else ''})")
        used[anchor] += 1
    index = ", ".join(links)
    parts = [f"# {face.__name__}", markdown(face.__doc__), "Made from the docstrings by `make docs`.", index]
    for name in names:
        parts += [f"## {name}", *described(name, getattr(face, name))]
    return "\n\n".join(part for part in parts if part) + "\n"


def described(name: str, value: object) -> Iterator[str]:
    """The parts of one name's section."""
    if isinstance(value, type):
        yield from of_class(value)
    elif isinstance(value, FunctionType):
        node = parsed(value)
        assert isinstance(node, Function)
        yield fence(signature(node))
        yield markdown(value.__doc__)
    elif isinstance(value, dict):
        entries: dict[str, str] = value
        yield "\n".join(f"- `{key}`: {meaning}" for key, meaning in entries.items())
    else:
        kinds = getattr(value, "__args__", ())
        yield fence(f"{name} = {' | '.join(kind.__name__ for kind in kinds)}")


def of_class(value: type) -> Iterator[str]:
    """A class: how it is made, what it is, its attributes, properties and methods in the order of the source."""
    node = parsed(value)
    assert isinstance(node, ast.ClassDef)
    bases = [base.__name__ for base in value.__bases__ if base.__name__ not in HIDDEN_BASES and base.__name__[0] != "_"]
    yield fence(f"class {value.__name__}{construction(node, value)}")
    if bases:
        yield f"Bases: {', '.join(f'`{base}`' for base in bases)}."
    yield markdown(value.__doc__)
    following = [*node.body[1:], None]
    for member, after in zip(node.body, following, strict=True):
        match member:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind) if not name.startswith("_"):
                match after:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield member_of(f"{name}: {ast.unparse(kind)}", text)
                    case _:
                        pass
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not member.name.startswith("_"):
                told = ast.get_docstring(member)
                marks = {ast.unparse(mark) for mark in member.decorator_list}
                shown = property_of(member) if "property" in marks else signature(member)
                if told:
                    yield member_of(shown, told)
            case _:
                pass


def construction(node: ast.ClassDef, value: type) -> str:
    """The constructor's arguments: of `__init__`, or the fields of a struct."""
    if any(base.__name__ == "Struct" for base in value.__mro__):
        fields = [one for base in reversed(value.__mro__) for one in struct_fields(base)]
        return laid_out(fields)
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__" and not needs_rooms(member, value):
            return laid_out(arguments(member))
    return ""


def needs_rooms(init: Function, value: type) -> bool:
    """Whether a constructor wants what no face hands out: then only the runtime calls it."""
    handed = {id(getattr(face, name)) for face in map(import_module, FACES) for name in face.__all__}
    names = vars(sys.modules[value.__module__])
    wanted = init.args.args[1 : len(init.args.args) - len(init.args.defaults)]
    kinds = [names.get(part.id) for one in wanted for part in ast.walk(one) if isinstance(part, ast.Name)]
    return any(
        isinstance(kind, type) and kind.__module__.startswith("upright.") and id(kind) not in handed for kind in kinds
    )


def struct_fields(value: type) -> list[str]:
    """The fields that a struct's own body declares, as written."""
    if not value.__module__.startswith("upright."):
        return []
    node = parsed(value)
    assert isinstance(node, ast.ClassDef)
    declared = [one for one in node.body if isinstance(one, ast.AnnAssign)]
    return [ast.unparse(one) for one in declared if not ast.unparse(one.annotation).startswith("ClassVar")]


def signature(node: Function) -> str:
    """A function's head as it was written, without `self`."""
    returns = f" -> {returned(node)}" if node.returns is not None else ""
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{word} {node.name}{laid_out(arguments(node), len(returns))}{returns}"


def property_of(node: Function) -> str:
    """A property as an attribute."""
    return f"{node.name}: {returned(node)}"


def returned(node: Function) -> str:
    """What a function returns, without the quotes of a name that comes later in the source."""
    match node.returns:
        case ast.Constant(value=str(text)):
            return text
        case None:
            return "Any"
        case kind:
            return ast.unparse(kind)


def arguments(node: Function) -> list[str]:
    """The arguments as written, `/` and `*` among them."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    texts = [argument(one, default) for one, default in zip(plain, defaults, strict=True)]
    if given.posonlyargs:
        texts.insert(len(given.posonlyargs), "/")
    if given.vararg is not None:
        texts.append(f"*{argument(given.vararg, None)}")
    elif given.kwonlyargs:
        texts.append("*")
    texts += [argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg is not None:
        texts.append(f"**{argument(given.kwarg, None)}")
    if texts[:1] == ["self"]:
        texts = texts[2:] if texts[1:2] == ["/"] else texts[1:]
    return texts


def argument(one: ast.arg, default: ast.expr | None) -> str:
    """One argument with its annotation and default."""
    text = ast.unparse(one)
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if one.annotation is not None else f"{text}={ast.unparse(default)}"


def laid_out(texts: list[str], rest: int = 0) -> str:
    """Arguments in brackets, one per line where they are long."""
    line = ", ".join(texts)
    if len(line) + rest <= 80:
        return f"({line})"
    return "(\n" + "".join(f"    {text},\n" for text in texts) + ")"


def parsed(value: type | FunctionType) -> ast.AST:
    """The syntax tree of a class or function."""
    return ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]


def member_of(head: str, text: str) -> str:
    """A class's member: its head, its docstring."""
    return f"{fence(head)}\n\n{markdown(text)}"


def fence(code: str, language: str = "py") -> str:
    """A block of code; only blocks marked `python` are run as programs, and these are none."""
    return f"```{language}\n{code}\n```"


def markdown(text: str | None) -> str:
    """A docstring as Markdown: examples fenced, sections as lists."""
    whole = re.sub(r"([;:])\n\n(?=[a-z])", r"\1 ", inspect.cleandoc(text or ""))  # a sentence over two paragraphs
    blocks = re.split(r"\n{2,}", whole)
    return "\n\n".join(block_of(block) for block in blocks)


def block_of(block: str) -> str:
    """One paragraph, example or section."""
    lines = block.splitlines()
    if lines and lines[0].startswith(">>>"):
        return fence(block, "pycon")
    if lines and lines[0] in SECTIONS:
        entries = re.sub(r"\n    +", " ", textwrap.dedent("\n".join(lines[1:])))
        return "\n".join([f"{lines[0]}\n", *(f"- {entry}" for entry in entries.splitlines())])
    return block


if __name__ == "__main__":
    main()
