"""A machine each of whose steps may kill its process, as a program that says what it does: see `test_used_up`.

`python -m tests.persistence.mortal FOLDER WHAT ATTEMPTS` has a run `x` done whose step WHAT kills, and may be tried so
often, unless the file `mended` is in that folder. Each step says its name, and the run in the end how it stands.
"""

import asyncio
import enum
import os
import signal
import sys
from pathlib import Path

from upright.actors import ActorSystem
from upright.persistence import Reject, Retry, RunFailed, Sqlite, StateMachine, machine
from upright.persistence.steps import each, step
from upright.supervision import supervisor

FOLDER, WHAT = Path(sys.argv[1]), sys.argv[2]
POLICY = Retry(max_attempts=int(sys.argv[3]), base=0.01, jitter="none")


class Life(enum.StrEnum):
    NEW = "new"
    MANY = "many"
    LAST = "last"
    LOOK = "look"
    OVER = "over"
    OFF = "off"


class Mortal(StateMachine[str]):
    State = Life
    initial = Life.NEW
    cancelled = Life.OFF

    def do(self, name: str) -> None:
        print(name, flush=True)
        if name == WHAT and not (FOLDER / "mended").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    async def undo(self, data: str) -> None:
        self.do("undo")

    async def branch(self, data: str, number: int) -> None:
        self.do("branch")

    @step(Life.NEW, to=Life.MANY, undo=undo, retry=POLICY)
    async def first(self, data: str) -> None:
        self.do("first")

    @each(Life.MANY, branch, over=lambda data: [1], to=Life.LAST, retry=POLICY)
    async def many(self, data: str, results: list[None]) -> None:
        self.do("many")

    @step(Life.LAST, to=Life.OVER, retry=POLICY, on_failure=Life.LOOK, on_reject=Life.OFF)
    async def last(self, data: str) -> None:
        self.do("last")
        if WHAT == "undo":
            raise Reject("to take back what was done")

    @step(Life.LOOK, to=Life.OVER)
    async def look(self, data: str) -> None:
        self.do("look")


async def main() -> None:
    store = Sqlite(FOLDER / "jobs.db")
    async with ActorSystem(supervisor("top", machine("m", Mortal)), store=store, log=None) as system:
        run = await Mortal.start(system, "", id="x")
        if (FOLDER / "mended").exists():
            await run.redrive()
        try:
            await run.result()
            print(await run.status())
        except RunFailed as error:
            reasons = [letter.reason async for letter in store.quarantine.letters()]
            print(await run.status(), *reasons, "\n" + error.error)


if __name__ == "__main__":
    asyncio.run(main())
