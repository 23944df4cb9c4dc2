"""A time that has passed may take back what was done, without a state in between."""

import enum
from typing import Any

import pytest

from upright.actors import ActorSystem
from upright.persistence import Memory, Reject, Retry, StateMachine, after, machine, signal, step
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Trip(StateMachine[list[str]]):
    class State(enum.StrEnum):
        ASKED = "asked"
        HELD = "held"
        SURE = "sure"
        GONE = "gone"
        UNKNOWN = "unknown"

    initial = State.ASKED

    async def release(self, data: list[str]) -> None:
        data.append("released")

    @step(State.ASKED, to=State.HELD, undo=release)
    async def hold(self, data: list[str]) -> None:
        data.append("held")

    @signal(State.HELD, to=State.SURE)
    async def confirm(self, data: list[str]) -> None:
        data.append("confirmed")

    @after(60.0, State.HELD, to=State.SURE, on_reject=State.GONE, on_failure=State.UNKNOWN, retry=Retry(max_attempts=1))
    async def late(self, data: list[str]) -> None:
        if data[0] == "broken":
            raise OSError("as told")
        raise Reject("nobody confirmed it in time")


@pytest.mark.parametrize(("first", "state"), [("well", Trip.State.GONE), ("broken", Trip.State.UNKNOWN)])
async def test_what_was_done_is_taken_back_when_its_time_is_up(first: str, state: Trip.State) -> None:
    async with ActorSystem(supervisor("top", machine("trips", Trip)), store=Memory(), log=None) as system:
        run = await Trip.start(system, [first], id="t-1")
        assert await run.result() == [first, "held", "released"]
        assert (await run.state(), await run.status()) == (state, "rejected")
        other = await Trip.start(system, ["in time"], id="t-2")
        await other.signal(Trip.confirm)
        assert await other.result() == ["in time", "held", "confirmed"]
        await system.idle()
        assert await other.status() == "completed"
