"""The laws of the pytest plugin: its fixtures work under anyio's plugin and under pytest-asyncio, and force neither."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upright.actors.testing import VirtualTimeLoop

IMPORTS = """
import asyncio
import pytest
from upright.actors import Actor
from upright.actors.events import ActorRestarted
from upright.actors.testing import VirtualTimeLoop, kill, probe, settle

class Clerk(Actor):
    async def work(self) -> str: return "done"
    async def fail(self) -> None: raise ValueError("no")
"""
SET_UP = {
    "anyio": "@pytest.fixture\ndef anyio_backend(virtual_time): return virtual_time\n",
    "asyncio": "def pytest_asyncio_loop_factories(config, item): return {'virtual': VirtualTimeLoop}\n",
}
KIT = """
async def test_the_kit(system, recorders, dead_letters):
    async with system(log=None) as s:
        clerk = await s.spawn("clerk", Clerk)
        await clerk.tell(Clerk.fail)
        await settle()
        assert await clerk.ask(Clerk.work) == "done"
        await kill(s, clerk)
        assert (await recorders[0].wait_for(ActorRestarted, count=2)).incarnation == 3
        stand_in = await probe(s, Clerk)
        await stand_in.tell(Clerk.work)
        await stand_in.expect(Clerk.work)
        await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == 3600
    assert dead_letters.reasons() == ["crashed"]
    assert [type(letter.error) for letter in dead_letters.all] == [ValueError]
"""
TWO_SYSTEMS = """
async def test_recorders_and_letters_are_those_of_all_systems_of_the_test_in_order(system, recorders, dead_letters):
    for name in ("/one", "/two"):
        async with system(log=None) as s:
            await s.ref(name, Clerk).tell(Clerk.work)
    assert [letter.recipient for letter in dead_letters.all] == ["/one", "/two"]
    assert [len(recorder.letters) for recorder in recorders] == [1, 1]
"""
FORGOTTEN = """
async def test_forgotten(system):
    await system(log=None).start()
"""
CHAOTIC = """
async def test_chaotic(system, chaos):
    async with system(log=None, allows_chaos=True) as s:
        clerk = await s.spawn("clerk", Clerk)
        async with chaos(17, crash=1.0, delay=0.0).on(s):
            await clerk.tell(Clerk.work)
            await s.idle()
    assert not "it fails"
"""
NO_KIT = "import asyncio\ndef test_own_loop():\n    assert asyncio.run(asyncio.sleep(0, 1)) == 1\n"


def run(folder: Path, test: str, plugin: str | None = None, *words: str) -> str:
    """The output of pytest in a folder of its own, in which our plugin is found by its entry point."""
    mark = f"pytestmark = pytest.mark.{plugin}\n" if plugin else ""
    scope = "" if "no:asyncio" in words else "asyncio_default_fixture_loop_scope = function\n"
    (folder / "pytest.ini").write_text(f"[pytest]\n{scope}")
    (folder / "conftest.py").write_text(IMPORTS + SET_UP[plugin] if plugin else "")
    (folder / "test_kit.py").write_text((IMPORTS + mark if plugin else "") + test)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        *words,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("plugin", ["anyio", "asyncio"])
def test_the_whole_kit_works_under_either_plugin_also_where_the_other_is_absent(
    plugin: str, alone: bool, tmp_path: Path
) -> None:
    other = {"anyio": "asyncio", "asyncio": "anyio"}[plugin]
    output = run(tmp_path, KIT + TWO_SYSTEMS, plugin, *(["-p", f"no:{other}"] if alone else []))
    assert "== 2 passed in " in output, output


def test_a_system_that_still_runs_at_the_end_of_a_test_is_an_error(tmp_path: Path) -> None:
    output = run(tmp_path, FORGOTTEN, "anyio")
    assert "expected every system to be stopped at the end of the test, got [<ActorSystem running, " in output, output


def test_a_test_that_fails_under_chaos_shows_all_that_it_did_with_the_seed(tmp_path: Path) -> None:
    output = run(tmp_path, CHAOTIC, "anyio")
    assert "Captured chaos teardown" in output, output
    assert "1. crash /clerk (work, " in output, output
    assert "seed 17" in output, output


def test_it_leaves_tests_alone_that_do_not_use_it_and_may_be_switched_off(tmp_path: Path) -> None:
    for words in ([], ["-p", "no:upright"], ["-p", "no:asyncio", "-p", "no:anyio"]):
        output = run(tmp_path, NO_KIT, None, *words)
        assert "== 1 passed in " in output, output


def test_virtual_time_is_what_the_anyio_plugin_takes_as_its_backend(virtual_time: object) -> None:
    assert virtual_time == ("asyncio", {"loop_factory": VirtualTimeLoop})
