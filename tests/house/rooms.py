"""The project's Python files as values, so that each rule of the house is a plain function over them."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
WINGS = ("actors", "supervision", "persistence", "operations", "command")
ELSEWHERE = ("tests", "examples", "benchmarks")


@dataclass(frozen=True)
class Import:
    """One imported module, and the name taken from it if there is one, as absolute names."""

    line: int
    module: str
    name: str | None
    level: int
    """Leading dots as written; 0 for an absolute import."""


@dataclass(frozen=True)
class Room:
    """One Python file: its path from the root, with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_face(self) -> bool:
        return self.path.endswith("/__init__.py")

    @property
    def wing(self) -> str | None:
        top = self.path.split("/")[0]
        return top if top in WINGS else None

    @property
    def module(self) -> str:
        """Import name: `upright.actors.cell` for `actors/cell.py`, `tests.house.rooms` for a file of no wing."""
        parts = PurePosixPath(self.path).with_suffix("").parts
        parts = parts[:-1] if self.is_face else parts
        return ".".join(("upright", *parts) if self.wing else parts)

    def imports(self) -> Iterator[Import]:
        """All imports, wherever they hide: in functions, under TYPE_CHECKING, by `import_module("…")`."""
        package = self.module.split(".") if self.is_face else self.module.split(".")[:-1]
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    yield from (Import(node.lineno, alias.name, None, 0) for alias in names)
                case ast.ImportFrom(module=module, names=names, level=level):
                    above = package[: len(package) - level + 1] if level else []
                    origin = ".".join([*above, *([module] if module else [])])
                    yield from (Import(node.lineno, origin, alias.name, level) for alias in names)
                case ast.Call(
                    func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                    args=[ast.Constant(value=str(module)), *_],
                ):
                    yield Import(node.lineno, module, None, 0)
                case _:
                    pass


@dataclass(frozen=True)
class House:
    """All rooms that a rule looks at."""

    rooms: tuple[Room, ...]

    @classmethod
    def of(cls, files: Mapping[str, str]) -> "House":
        """A house of texts by path, for planted offenders."""
        return cls(tuple(Room(path, text) for path, text in sorted(files.items())))

    @classmethod
    def read(cls, root: Path = ROOT) -> "House":
        """The real tree but for the contract programs, which are copies and not ours to shape."""
        paths = sorted(path for top in (*WINGS, *ELSEWHERE) for path in (root / top).rglob("*.py"))
        names = ((path.relative_to(root).as_posix(), path) for path in paths)
        return cls(
            tuple(Room(name, path.read_text("utf-8")) for name, path in names if not name.startswith("tests/contract/"))
        )

    @cached_property
    def wings(self) -> tuple[Room, ...]:
        return tuple(room for room in self.rooms if room.wing)

    @cached_property
    def by_module(self) -> dict[str, Room]:
        return {room.module: room for room in self.wings}

    def target(self, seen: Import) -> str:
        """The module of the house that an import loads: `from . import cell` loads the room, not the face."""
        inner = f"{seen.module}.{seen.name}"
        return inner if inner in self.by_module else seen.module
