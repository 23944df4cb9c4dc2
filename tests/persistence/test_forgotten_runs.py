"""A new run with the id of one that was forgotten is another run."""

import enum
from typing import Any

import pytest

from upright.actors import ActorSystem
from upright.actors.testing import advance
from upright.persistence import Memory, StateMachine, after, machine, signal, step
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Offer(StateMachine[list[str]]):
    class State(enum.StrEnum):
        NEW = "new"
        OPEN = "open"
        TAKEN = "taken"
        LATE = "late"

    initial = State.NEW

    @step(State.NEW, to=State.OPEN)
    async def publish(self, data: list[str]) -> None:
        data.append(self.ctx.idempotency_key)

    @signal(State.OPEN, to=State.TAKEN)
    async def take(self, data: list[str]) -> None: ...

    @after(60.0, State.OPEN, to=State.LATE)
    async def expire(self, data: list[str]) -> None: ...


async def test_it_has_keys_of_its_own_and_no_time_of_the_old_one_ends_it() -> None:
    async with ActorSystem(supervisor("top", machine("offers", Offer)), store=Memory(keep=0), log=None) as system:
        run = await Offer.start(system, [], id="o-1")
        await run.signal(Offer.take)
        first = await run.result()
        await advance(50.0)
        assert await Offer.forget(system, older_than=1.0) == 1
        again = await Offer.start(system, [], id="o-1")
        await advance(20.0)
        assert await again.state() == Offer.State.OPEN, "the old one's time was up ten seconds ago"
        second = await again.data()
        await advance(41.0)
        assert await again.state() == Offer.State.LATE
        assert first[0] != second[0]
