"""The law of those who stood before a message that kills its process: they are cleared, and never set aside with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.rooms import ROOT
from upright.persistence import Sqlite

pytestmark = pytest.mark.anyio
PROGRAM = """
import asyncio, json, os, sys
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite
from upright.supervision import child, supervisor

class Job(Actor):
    mailbox = Durable("jobs", order=sys.argv[2])

    async def do(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with open(sys.argv[1] + ".done", "a") as out:
            out.write("done\\n")

    async def die(self) -> None:
        os.kill(os.getpid(), 9)

async def main() -> None:
    tree = supervisor("top", child("job", Job))
    async with ActorSystem(tree, store=Sqlite(sys.argv[1]), log=None) as system:
        job = system.ref("/top/job", Job)
        if not os.path.exists(sys.argv[1] + ".done"):
            await job.tell(Job.do, float(sys.argv[3]))
            await job.tell(Job.die)
        await system.idle()

asyncio.run(main())
"""
ASKING = """
import asyncio, os, sys
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Sqlite
from upright.supervision import child, pool, supervisor

class Asker(Actor):
    mailbox = Durable("askers", order="free")

    async def ask(self) -> None:
        await self.ctx.ref("jobs", Job).ask(Job.die)

class Job(Actor):
    mailbox = Durable("jobs")

    async def do(self, number: int) -> int:
        return number

    async def die(self) -> None:
        os.kill(os.getpid(), 9)

async def main(fills: bool) -> None:
    tree = supervisor("top", pool("asker", Asker, size=3), child("job", Job))
    async with ActorSystem(tree, store=Sqlite(sys.argv[1]), log=None, only=() if fills else None) as system:
        job = system.ref("/top/job", Job)
        if fills:
            await system.ref("/top/asker", Asker).tell(Asker.ask)
            await job.tell_many(Job.do, range(16))
        else:
            await system.idle()

asyncio.run(main(sys.argv[2] == "fill"))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("order", ["strict", "free"])
@pytest.mark.parametrize("seconds", ["0", "0.3"])
async def test_one_that_had_succeeded_before_a_killer_began_is_never_set_aside(
    tmp_path: Path, order: str, seconds: str
) -> None:
    """Its success is on its way to the store when the next one begins: with it the process dies, each time anew."""
    path = tmp_path / "jobs.db"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(path), order, seconds]
    codes = [subprocess.run(command, timeout=60, check=False, env=environment).returncode for _ in range(5)]
    assert codes == [-9, -9, -9, 0, 0]  # the first two, and the last of the killer's three; then it is set aside
    letters = [letter async for letter in Sqlite(path).quarantine.letters()]
    assert [(letter.handler, letter.reason) for letter in letters] == [("die", "crash_loop")]
    counts = await Sqlite(path).counts()
    assert json.dumps({name: one.waiting for name, one in counts.items()}) == '{"jobs": 0}'


async def test_those_before_a_killer_that_a_suspect_has_asked_are_never_set_aside(tmp_path: Path) -> None:
    """The killer is not alone then: it runs beside the delivery that asked, and those before it are there as well."""
    path = tmp_path / "jobs.db"

    def run(mode: str) -> int:
        return subprocess.run([sys.executable, "-c", ASKING, str(path), mode], timeout=60, check=False).returncode

    assert run("fill") == 0
    codes = [run("work") for _ in range(5)]
    assert codes[-1] == 0
    assert set(codes) == {-9, 0}
    letters = [letter async for letter in Sqlite(path).quarantine.letters()]
    assert {letter.handler for letter in letters} <= {"ask", "die"}
    assert "crash_loop" in {letter.reason for letter in letters}
    counts = await Sqlite(path).counts()
    assert [one.waiting for one in counts.values()] == [0, 0]
