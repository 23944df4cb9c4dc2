"""A line of text names a tree, or is refused with what is to be done; errors of the program itself are not hidden."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upright.operations import NoTree, tree_from

APP = """
from upright.actors import Actor
from upright.supervision import child, supervisor

class Clerk(Actor):
    pass

class Slots:
    __slots__ = ()

tree = supervisor("shop", child("clerk", Clerk))
größe = supervisor("größe", child("clerk", Clerk))
slots, number = Slots(), 5

class Trees:
    nested = supervisor("nested", child("clerk", Clerk))

def make():
    return supervisor("made", child("clerk", Clerk))

def default(size=1):
    return make()

def wants(size):
    return make()

async def later():
    return make()

async def many():
    yield make()

def fails():
    raise TypeError("of the function itself")

def nothing():
    return None
"""
FILES = {
    "app.py": APP,
    "needy.py": "import a_module_that_nobody_has\n",
    "inner.py": "from shop import missing_part\n",
    "broken.py": "1 / 0\n",
    "bad_syntax.py": "def:\n",
    "ends.py": "raise SystemExit(0)\n",
    "wares.py": APP,
    "empty_one.py": "",
    "größe.py": APP,
    "shop/__init__.py": "",
    "shop/app.py": APP,
    "shop/needy.py": "import shop.nothing_here\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of programs; what was imported from it is forgotten afterwards."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    ways, known = list(sys.path), dict(sys.modules)
    ours = {path.split("/")[0].removesuffix(".py") for path in FILES}
    for name in [name for name in sys.modules if name.split(".")[0] in ours]:  # of another test that has such a program
        del sys.modules[name]
    yield tmp_path
    sys.path[:] = ways
    for name in set(sys.modules) - set(known):
        del sys.modules[name]
    sys.modules.update(known)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("app:tree", "shop"), ("app:make", "made"), ("app:default", "made"), ("app:Trees.nested", "nested"),
        ("shop.app:tree", "shop"), ("größe:größe", "größe"), (" app : tree ", "shop"),
    ],
)  # fmt: skip
def test_a_tree_is_found_or_made_by_a_function(folder: Path, text: str, name: str) -> None:
    assert tree_from(text, folder).blueprint().name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "app",
        "app:",
        ":tree",
        "app.py:tree",
        "shop/app.py:tree",
        ".app:tree",
        "shop..app:tree",
        "shop.:tree",
        " : ",
    ],
)
def test_what_is_no_module_and_name_is_refused_with_the_form_that_was_expected(folder: Path, text: str) -> None:
    with pytest.raises(NoTree) as found:
        tree_from(text, folder)
    assert str(found.value) == f"expected a module and the name of a tree in it, such as shop.app:tree, got {text!r}"


@pytest.mark.parametrize(
    "module", ["nowhere", "shop.nowhere", "app.part", "nowhere.at.all", "shop/app", "shop\\app", "C"]
)
def test_a_module_that_is_missing_is_named_with_where_it_was_looked_for(folder: Path, module: str) -> None:
    with pytest.raises(NoTree) as found:
        tree_from(f"{module}:tree", folder)
    assert str(found.value) == f"expected a module {module} in {folder} or installed, got none"


@pytest.mark.parametrize(
    ("text", "missing"), [("needy:tree", "a_module_that_nobody_has"), ("shop.needy:tree", "shop.nothing_here")]
)
def test_a_module_that_misses_another_one_is_not_called_missing_itself(folder: Path, text: str, missing: str) -> None:
    with pytest.raises(ModuleNotFoundError) as found:
        tree_from(text, folder)
    assert found.value.name == missing


@pytest.mark.parametrize(
    ("module", "error"), [("inner", ImportError), ("broken", ZeroDivisionError), ("bad_syntax", SyntaxError)]
)
def test_what_a_module_raises_is_raised_as_it_is(folder: Path, module: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        tree_from(f"{module}:tree", folder)


def test_a_module_that_ends_the_process_is_told_so_and_does_not_end_it(folder: Path) -> None:
    with pytest.raises(NoTree, match=r"expected to import ends .* but it ended the process: .*__main__"):
        tree_from("ends:tree", folder)


@pytest.mark.parametrize("name", ["bank", "tree.nothing", "slots.nothing", "number.x", "tree..x", "Trees."])
def test_a_name_that_is_missing_is_told_which_trees_there_are(folder: Path, name: str) -> None:
    with pytest.raises(NoTree) as found:
        tree_from(f"wares:{name}", folder)
    assert str(found.value) == f"expected wares to have {name!r}; trees in it: größe, tree"


def test_a_module_without_a_tree_says_that_there_is_none(folder: Path) -> None:
    with pytest.raises(NoTree, match=r"trees in it: none$"):
        tree_from("empty_one:tree", folder)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("number", r"to be a tree, such as supervisor\(…\), got 5"),
        ("slots", r"to be a tree, such as supervisor\(…\), got <app"),
        ("nothing", r"to be a tree, such as supervisor\(…\), got None"),
        ("Clerk", r"to be a tree, such as supervisor\(…\), got the class Clerk"),
        ("later", "a plain function that makes one, got an async function"),
        ("many", "a plain function that makes one, got an async function"),
        ("wants", "to be a function without arguments: missing a required argument: 'size'"),
    ],
)
def test_what_is_no_tree_and_makes_none_is_told_what_it_is(folder: Path, name: str, why: str) -> None:
    with pytest.raises(NoTree, match=f"expected app:{name} .*{why}"):
        tree_from(f"app:{name}", folder)


def test_an_error_of_the_function_itself_is_raised_as_it_is(folder: Path) -> None:
    with pytest.raises(TypeError, match="of the function itself"):
        tree_from("app:fails", folder)
