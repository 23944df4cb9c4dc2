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
