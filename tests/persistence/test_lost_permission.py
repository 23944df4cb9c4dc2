"""The law of a lost permission: it is told by name, nothing is lost by it, and all goes on when it is there again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Nobody is above permissions in this process: root gives up its privileges first, `CAP_DAC_OVERRIDE` among them.
PROGRAM = """
import asyncio, ctypes, json, os, sys
from pathlib import Path

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite, StoreError, StoreFailing
from upright.supervision import child, supervisor

CAPABILITIES = (ctypes.c_uint32 * 6)()
HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)
if os.geteuid() == 0 and ctypes.CDLL(None).capset(ctypes.byref(HEADER), ctypes.byref(CAPABILITIES)):
    sys.exit("the privileges of root could not be given up")


class Clerk(Actor):
    mailbox = Durable("clerk")
    heard = []

    async def note(self, number: int) -> int:
        self.heard.append(number)
        return number


async def main(folder: Path) -> dict:
    path, told = folder / "jobs.db", {}
    tree = supervisor("top", child("clerk", Clerk), max_restarts=0)
    async with ActorSystem(tree, store=Sqlite(path), log=None) as system:
        clerk = system.ref("/top/clerk", Clerk)
        await clerk.ask(Clerk.note, 1)
        await clerk.later(0.2).tell(Clerk.note, 2)
        for one in (path, folder):
            one.chmod(0)
        told["while it is open"] = await clerk.ask(Clerk.note, 3)
        await system.idle()
        folder.chmod(0o700)
        path.chmod(0o600)
        await clerk.later(0.1).tell(Clerk.note, 4)
    path.chmod(0)
    try:
        async with ActorSystem(tree, store=Sqlite(path), log=None):
            told["without permission"] = "it was opened"
    except StoreError as error:
        told["without permission"] = f"{type(error).__name__}: {error}"
    folder.chmod(0)
    try:
        async with ActorSystem(tree, store=Sqlite(path), log=None):
            told["without the folder"] = "it was opened"
    except StoreError as error:
        told["without the folder"] = f"{type(error).__name__}: {error}"
    folder.chmod(0o700)
    path.chmod(0o600)
    async with ActorSystem(tree, store=Sqlite(path), log=None) as system:
        await system.idle()
    told["heard"] = sorted(Clerk.heard)
    return told


print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("lost") / "store"
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_what_has_the_file_open_goes_on(told: dict[str, object]) -> None:
    assert told["while it is open"] == 3


@pytest.mark.parametrize("of", ["without permission", "without the folder"])
def test_who_opens_it_is_told_which_file_it_may_not_open(told: dict[str, object], of: str) -> None:
    said = str(told[of])
    assert said.startswith("StoreUnavailable: ")
    assert "jobs.db" in said
    assert "permission" in said


def test_nothing_is_lost_and_nothing_done_twice_when_the_permission_is_back(told: dict[str, object]) -> None:
    assert told["heard"] == [1, 2, 3, 4]
