"""The laws of an ask's time: it travels to nested asks, and what nobody waits for is neither run nor answered."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, later, raised_by, stuffed
from upright.actors import (
    ActorSystem,
    AskFailed,
    AskTimedOut,
)
from upright.actors.events import AskExpired
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]
KINDS = pytest.mark.parametrize("kind", [Deeds, Ceremonious])


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


async def failure(asking: Any) -> AskFailed:
    error = await raised_by(asking)
    assert isinstance(error, AskFailed)
    assert error.path == "/actor"
    return error


async def test_an_ask_waits_five_seconds_by_default(system: Make) -> None:
    async with system() as s:
        actor = await s.spawn("actor", Deeds)
        error = await failure(actor.ask(Deeds.sleep, 60.0))
        assert isinstance(error, AskTimedOut)
        assert error.handled
        assert now() == 5


async def test_within_inf_an_ask_waits_for_ever(system: Make) -> None:
    async with system() as s:
        actor = await s.spawn("actor", Deeds)
        assert await actor.within(float("inf")).ask(Deeds.sleep, 1e6, "at last") == "at last"


async def test_within_nothing_an_ask_is_not_even_sent(system: Make) -> None:
    async with system() as s:
        journal: list[Any] = []
        actor = await s.spawn("actor", Deeds, journal)
        assert not (await failure(actor.within(0).ask(Deeds.note, "x"))).handled
        await s.idle()
    assert journal == []


async def test_a_nested_ask_gets_what_is_left_to_its_asker(system: Make) -> None:
    """Through two actors: each wants 60 s, the first asker gave 3."""
    async with system() as s:
        journal: list[Any] = []
        b, c = await s.spawn("b", Deeds), await s.spawn("c", Deeds, journal)

        async def through_b(_: Deeds) -> Any:
            await asyncio.sleep(1)
            return await b.within(60).ask(Deeds.do, through_c)

        async def through_c(_: Deeds) -> Any:
            error = await raised_by(c.within(60).ask(Deeds.do, left))
            journal.append((type(error), now()))

        async def left(me: Deeds) -> None:
            journal.append(me.ctx.time_left())
            await me.hang()

        actor = await s.spawn("actor", Deeds)
        assert isinstance(await failure(actor.within(3.0).ask(Deeds.do, through_b)), AskTimedOut)
        assert now() == 3
        await settle()
    assert journal == [2.0, "held", (AskTimedOut, 3.0)]


async def test_a_nested_ask_may_want_less_than_what_is_left(system: Make) -> None:
    async with system() as s:
        b = await s.spawn("b", Deeds)
        actor = await s.spawn("actor", Deeds)
        nested = await actor.ask(Deeds.do, lambda _: raised_by(b.within(1.0).ask(Deeds.sleep, 2.0)))
        assert isinstance(nested, AskTimedOut)
        assert now() == 1


async def test_a_handler_whose_asker_has_given_up_sends_no_nested_asks(system: Make) -> None:
    async with system() as s:
        journal: list[Any] = []
        b = await s.spawn("b", Deeds, journal)

        async def too_late(_: Deeds) -> None:
            await asyncio.sleep(2)
            error = await raised_by(b.ask(Deeds.note, "late"))
            journal.append(type(error))

        actor = await s.spawn("actor", Deeds)
        await failure(actor.within(1.0).ask(Deeds.do, too_late))
        await s.idle()
    assert journal == [AskTimedOut]


async def test_a_told_message_gives_its_asks_their_own_time(system: Make) -> None:
    async with system() as s:
        journal: list[Any] = []
        actor, b = await s.spawn("actor", Deeds, journal), await s.spawn("b", Deeds)

        async def ask_b(me: Deeds) -> None:
            me.journal.append(await b.ask(Deeds.sleep, 4.0, "slept"))

        async def tell_on(_: Deeds) -> None:
            await actor.tell(Deeds.do, ask_b)

        await b.within(1.0).ask(Deeds.do, tell_on)
        await s.idle()
    assert journal == ["slept"]


async def test_an_expired_ask_is_not_run_but_told(system: Make, recorders: list[Recorder]) -> None:
    async with system() as s:
        actor, journal, gate = await stuffed(s, Deeds)
        error = await failure(actor.within(1.0).ask(Deeds.note, "expired"))
        assert isinstance(error, AskTimedOut)
        assert not error.handled
        await advance(2)
        gate.set()
        await s.idle()
    assert journal == []
    (expired,) = recorders[0].of(AskExpired)
    assert (expired.path, expired.handler, expired.late_s) == ("/actor", "note", 2.0)


async def test_a_withdrawn_ask_is_not_run_but_told(system: Make, recorders: list[Recorder]) -> None:
    async with system() as s:
        actor, journal, gate = await stuffed(s, Deeds)
        (asking,) = await later(actor.ask(Deeds.note, "withdrawn"))
        asking.cancel()
        await settle()
        gate.set()
        await s.idle()
    assert journal == []
    assert [event.late_s for event in recorders[0].of(AskExpired)] == [0.0]


async def test_an_ask_withdrawn_while_it_runs_goes_on_and_its_reply_vanishes(system: Make) -> None:
    async with system() as s:
        actor, _, gate = await stuffed(s, Deeds)
        journal: list[Any] = []

        async def slow(_: Deeds) -> None:
            await asyncio.sleep(1)
            journal.append("done")

        gate.set()
        (asking,) = await later(actor.ask(Deeds.do, slow))
        asking.cancel()
        await s.idle()
    assert journal == ["done"]


async def test_a_late_reply_vanishes(system: Make, dead_letters: Any) -> None:
    async with system() as s:
        actor = await s.spawn("actor", Deeds)
        for deed in (late_reply, late_refusal):
            assert isinstance(await failure(actor.within(1.0).ask(Deeds.do, deed)), AskTimedOut)
            await s.idle()
        assert await actor.ask(Deeds.reply, "next") == "next"
    assert dead_letters.all == []


async def test_the_time_out_of_a_forwarded_ask_says_that_its_handler_has_begun(system: Make) -> None:
    async with system() as s:
        actor, b = await s.spawn("actor", Deeds), await s.spawn("b", Deeds)
        error = await failure(actor.within(1.0).ask(Deeds.do, lambda me: me.ctx.forward(b, Deeds.sleep, 2.0)))
        assert isinstance(error, AskTimedOut)
        assert error.handled


async def late_reply(me: Deeds) -> Any:
    return await me.sleep(2.0, "late")


async def late_refusal(me: Deeds) -> None:
    await asyncio.sleep(2)
    await me.refuse()
