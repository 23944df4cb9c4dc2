"""Rules about what a file may hold. Each takes a house and returns one line per offence."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.house.rooms import House, Room

LINES = 350
# Path of a longer file: the reason why it is one noun all the same.
LONGER: dict[str, str] = {}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
VAGUE = re.compile(r"_?(?:utils?|commons?|helpers?|managers?|bases?|cores?)")
EVERYTHING = frozenset({"Exception", "BaseException"})
PICKLES = frozenset({"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "shelve"})


def faces(house: House) -> list[str]:
    """A face only hands names on: imports from its rooms, and an `__all__` that names exactly these."""
    return [offence for room in house.wings if room.is_face for offence in face(room)]


def face(room: Room) -> Iterator[str]:
    handed: set[str] = set()
    listed: set[str] | None = None
    for node in room.tree.body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case (
                ast.ImportFrom(module=str(), level=1, names=aliases)
                | ast.ImportFrom(module="upright.supervision.retry", level=0, names=aliases)  # the floor below's value
            ):
                handed |= {alias.asname or alias.name for alias in aliases}
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names) | ast.Tuple(elts=names))
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.List(elts=names) | ast.Tuple(elts=names))
            ):
                listed = {str(name.value) for name in names if isinstance(name, ast.Constant)}
            case _:
                yield f"{room.path}:{node.lineno}: a face defines nothing"
    if listed is None:
        yield f"{room.path}:1: a face has an __all__"
    elif listed != handed:
        yield f"{room.path}:1: __all__ and the imports differ in {', '.join(sorted(listed ^ handed))}"


def long_files(house: House) -> list[str]:
    """A file has 350 lines at most; beyond that there is a second noun in it."""
    counted = ((room.path, len(room.text.splitlines())) for room in house.rooms if room.path not in LONGER)
    return [f"{path}: {count} lines; look for the second noun" for path, count in counted if count > LINES]


def unfinished(house: House) -> list[str]:
    """What is left to do stands in the record of issues, not in the source."""
    return [
        f"{room.path}:{line}: {text.strip()}"
        for room in house.rooms
        for line, text in prose(room)
        if UNFINISHED.search(text)
    ]


def prose(room: Room) -> Iterator[tuple[int, str]]:
    """Comments and docstrings, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(room.text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(room.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def swallowed(house: House) -> list[str]:
    """Nobody catches everything and does nothing, in either spelling."""
    return [
        f"{room.path}:{node.lineno}: every error vanishes here"
        for room in house.rooms
        for node in ast.walk(room.tree)
        if isinstance(node, ast.ExceptHandler | ast.Call) and swallows(node)
    ]


def swallows(node: ast.ExceptHandler | ast.Call) -> bool:
    match node:
        case ast.ExceptHandler(type=caught, body=body):
            silent = all(isinstance(line, ast.Pass | ast.Expr) and not acts(line) for line in body)
            return silent and (caught is None or catches_everything(caught))
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=caught):
            return any(catches_everything(kind) for kind in caught)
        case _:
            return False


def acts(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and not isinstance(line.value, ast.Constant)


def catches_everything(caught: ast.expr) -> bool:
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(kind, ast.Name) and kind.id in EVERYTHING for kind in kinds)


def pickles(house: House) -> list[str]:
    """No pickle: what is stored is a msgspec value."""
    return [
        f"{room.path}:{seen.line}: imports {seen.module}"
        for room in house.rooms
        for seen in room.imports()
        if seen.module.split(".")[0] in PICKLES
    ]


def vague_names(house: House) -> list[str]:
    """A file bears its main class's name, never one that could hold anything."""
    return [
        f"{room.path}: {part} could hold anything; name the noun"
        for room in house.rooms
        for part in room.path.removesuffix(".py").split("/")
        if VAGUE.fullmatch(part)
    ]
