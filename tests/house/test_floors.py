"""The rules of the house: each one catches a planted offender, and the real tree keeps them all."""

from collections.abc import Callable

import pytest

from tests.house import floors, manners
from tests.house.rooms import House

FACE = '"""Face."""\n\nfrom .cell import Cell\n\n__all__ = ["Cell"]\n'
LINES = "x = 1\n"

# Rule: houses that break it, each as files by path.
OFFENDERS: dict[Callable[[House], list[str]], dict[str, dict[str, str]]] = {
    floors.circles: {
        "two rooms": {"actors/a.py": "from .b import B", "actors/b.py": "from .a import A"},
        "a face": {"actors/__init__.py": FACE, "actors/cell.py": "from . import Cell"},
        "hidden in a function": {
            "actors/a.py": "from .b import B",
            "actors/b.py": "from .c import C",
            "actors/c.py": "def f():\n    from . import a",
        },
        "under TYPE_CHECKING": {
            "actors/a.py": "from .b import B",
            "actors/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import A",
        },
        "across wings, by name": {
            "actors/a.py": "import importlib\nimportlib.import_module('upright.operations.b')",
            "operations/b.py": "from upright.actors.a import A",
        },
    },
    floors.climbs: {
        "actors to supervision": {"actors/a.py": "from upright.supervision.backoff import Backoff"},
        "actors to its test kit": {"actors/a.py": "def f():\n    from .testing.probe import Probe"},
        "supervision to the test kit": {"supervision/a.py": "from upright.actors.testing.probe import Probe"},
        "supervision to persistence": {"supervision/a.py": "import upright.persistence.store"},
        "persistence to its test kit": {"persistence/a.py": "from .testing.replay import replay"},
        "the test kit of actors to that of persistence": {
            "actors/testing/a.py": "from upright.persistence.testing.replay import replay"
        },
        "persistence to operations": {"persistence/a.py": "from upright.operations import logs"},
        "persistence to an acting room": {"persistence/a.py": "from upright.supervision.supervisor import Supervisor"},
        "persistence to all of supervision": {"persistence/a.py": "import upright.supervision"},
    },
    floors.faces_imported: {
        "its own": {"actors/__init__.py": FACE, "actors/a.py": "from . import Cell"},
        "its parent's": {"actors/__init__.py": FACE, "actors/testing/a.py": "from .. import Cell"},
        "another wing's": {"operations/a.py": "from upright.actors import Cell"},
        "a face in a face": {"actors/__init__.py": "from .testing import Probe\n__all__ = ['Probe']"},
    },
    floors.spellings: {
        "absolute inside": {"actors/a.py": "from upright.actors.b import B"},
        "relative across": {"operations/a.py": "from ..actors.b import B"},
    },
    floors.private_names: {
        "a name": {"operations/a.py": "from upright.actors.cell import _turn"},
        "a room": {"operations/a.py": "from upright.actors._cell import Cell"},
    },
    floors.bare_wings: {
        "a wing": {"operations/a.py": "import actors.cell"},
        "a test": {"tests/actors/test_a.py": "from actors import Actor"},
    },
    manners.faces: {
        "a function": {"actors/__init__.py": FACE + "def f(): ..."},
        "a value": {"actors/__init__.py": FACE + "version = 1"},
        "an absolute import": {"actors/__init__.py": "import os\n" + FACE},
        "no __all__": {"actors/__init__.py": "from .cell import Cell"},
        "a name too few": {"actors/__init__.py": "from .cell import Cell, Turn\n__all__ = ['Cell']"},
        "a name too many": {"actors/testing/__init__.py": "from .a import A\n__all__ = ['A', 'B']"},
    },
    manners.long_files: {"351 lines": {"tests/test_a.py": LINES * 351}},
    manners.unfinished: {
        "a comment": {"actors/a.py": "x = 1  # TODO: more"},
        "a docstring": {"actors/a.py": 'def f():\n    """FIXME."""'},
    },
    manners.swallowed: {
        "pass": {"actors/a.py": "try:\n    f()\nexcept Exception:\n    pass"},
        "bare, with dots": {"actors/a.py": "try:\n    f()\nexcept:\n    ..."},
        "in a tuple": {"actors/a.py": "try:\n    f()\nexcept (OSError, BaseException) as error:\n    'nothing'"},
        "suppressed": {"tests/test_a.py": "with contextlib.suppress(Exception):\n    f()"},
    },
    manners.pickles: {
        "plain": {"actors/a.py": "import pickle"},
        "a part, later": {"persistence/a.py": "def f():\n    from pickle import dumps"},
    },
    manners.vague_names: {
        "a file": {"actors/utils.py": ""},
        "a folder": {"benchmarks/common/timer.py": ""},
    },
}
RULES = [pytest.param(rule, id=rule.__name__) for rule in OFFENDERS]
PLANTED = [
    pytest.param(rule, files, id=f"{rule.__name__}: {name}")
    for rule, houses in OFFENDERS.items()
    for name, files in houses.items()
]

# A house that keeps every rule and comes close to breaking each.
NEAT = {
    "actors/__init__.py": FACE,
    "actors/cell.py": "from .turn import _private\nfrom . import turn\ntry:\n    f()\nexcept OSError:\n    pass",
    "actors/turn.py": "base = 'TODO'\ntry:\n    f()\nexcept Exception:\n    g()",
    "actors/testing/__init__.py": '"""Kit."""\n\nfrom .probe import Probe\n\n__all__ = ("Probe",)\n',
    "actors/testing/probe.py": "from ..cell import Cell",
    "supervision/backoff.py": LINES * 350,
    "operations/__init__.py": "__all__: list[str] = []",
    "operations/plugin.py": "from upright.actors.testing.probe import Probe\nfrom upright.supervision import backoff",
    "tests/actors/test_cell.py": "from upright.actors import Cell\nfrom tests.actors.deeds import Deeds",
}


@pytest.fixture(scope="module")
def house() -> House:
    """The real tree, parsed once for all rules."""
    return House.read()


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule: Callable[[House], list[str]], house: House) -> None:
    offences = rule(house)
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize(("rule", "files"), PLANTED)
def test_the_rule_catches(rule: Callable[[House], list[str]], files: dict[str, str]) -> None:
    assert rule(House.of(files))


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_spares_a_neat_house(rule: Callable[[House], list[str]]) -> None:
    assert not rule(House.of(NEAT))


def test_persistence_may_import_a_pure_room_of_supervision() -> None:
    house = House.of({"persistence/a.py": "from upright.supervision.backoff import Backoff"})
    assert not floors.climbs(house, frozenset({"backoff"}))


def test_the_house_is_read_whole() -> None:
    """A rule that looks at no file would hold for ever."""
    paths = {room.path for room in House.read().rooms}
    assert {"tests/house/test_floors.py", "actors/__init__.py"} <= paths


def test_every_longer_file_that_is_excused_exists() -> None:
    assert not set(manners.LONGER) - {room.path for room in House.read().rooms}
