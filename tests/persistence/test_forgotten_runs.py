"""A new run with the id of one that was forgotten is another run."""

import enum
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.actors.testing import advance
from upright.persistence import Durable, Memory, Retry, StateMachine, after, machine, signal, step
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


tried: list[int] = []


class Office(Actor):
    """Starts a run of that id, inside of a delivery."""

    mailbox = Durable("office")

    async def offer(self, id: str, data: list[str]) -> None:
        await Offer.start(self.ctx, data, id=id)


class Offer(StateMachine[list[str]]):
    class State(enum.StrEnum):
        NEW = "new"
        OPEN = "open"
        TAKEN = "taken"
        LATE = "late"

    initial = State.NEW

    @step(State.NEW, to=State.OPEN, retry=Retry(max_attempts=1))
    async def publish(self, data: list[str]) -> None:
        if "broken" in data:
            tried.append(self.ctx.attempt)
            raise OSError("as told")
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


TREE = supervisor("top", machine("offers", Offer), child("office", Office))


async def test_inside_of_a_delivery_it_is_started_anew_too_and_one_that_is_there_is_not() -> None:
    async with ActorSystem(TREE, store=Memory(), log=None) as system:
        office, run = system.ref("/top/office", Office), Offer.run(system, "o-1")
        keys = list[str]()
        for _ in range(2):
            for _ in range(2):
                await office.tell(Office.offer, "o-1", [])
                await advance(1.0)
            await run.signal(Offer.take)
            keys += await run.result()
            await advance(50.0)
            assert await Offer.forget(system, older_than=1.0) == 1
        assert len(set(keys)) == len(keys) == 2


async def test_a_second_start_does_not_try_again_what_has_failed() -> None:
    async with ActorSystem(TREE, store=Memory(), log=None) as system:
        tried.clear()
        office, run = system.ref("/top/office", Office), Offer.run(system, "o-1")
        for _ in range(2):
            await office.tell(Office.offer, "o-1", ["broken"])
            await advance(5.0)
            assert await run.status() == "failed"
        assert tried == [1]
