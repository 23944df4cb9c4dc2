"""A machine does not park: its steps have each a dependency of its own, and each run waits by itself."""

import enum
from typing import Any

import pytest

from upright.actors import ActorSystem
from upright.persistence import MailboxParked, Memory, Retry, StateMachine, machine, step
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Errand(StateMachine[list[int]]):
    class State(enum.StrEnum):
        NEW = "new"
        DONE = "done"

    initial = State.NEW

    @step(State.NEW, to=State.DONE, retry=Retry(max_attempts=3, base=1.0, jitter="none"))
    async def run_it(self, data: list[int]) -> None:
        if data[0] and self.ctx.attempt < 3:
            raise OSError("as told")


async def test_many_runs_that_fail_hold_up_no_other() -> None:
    parked: list[MailboxParked] = []
    async with ActorSystem(supervisor("top", machine("errands", Errand)), store=Memory(), log=None) as system:
        system.subscribe(parked.append, MailboxParked)
        for number in range(50):
            await Errand.start(system, [1], id=f"bad-{number}")
        good = await Errand.start(system, [0], id="good")
        began = system.guards.now()
        await good.result()
        assert system.guards.now() - began < 1.0
        await system.idle()
        assert not parked
        assert [one async for one in Errand.runs(system, status="failed")] == []
