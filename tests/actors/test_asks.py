"""The laws of how an ask ends: once, at once, and saying whether its message was handled."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, Oops, bounded, later, raised_by, stuffed
from upright.actors import (
    Actor,
    ActorFailed,
    ActorGone,
    ActorRestarting,
    ActorSystem,
    AskFailed,
    AskTimedOut,
    Blueprint,
    Ref,
)
from upright.actors.events import AskExpired
from upright.actors.testing import Recorder, advance, kill, settle

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


class Gated(Deeds):
    """Starts only when the gate in its journal is open, except for the first time."""

    async def started(self) -> None:
        if self.journal:
            await self.journal[0].wait()


class TestEnds:
    @KINDS
    @pytest.mark.parametrize("deed", [Deeds.do, Deeds.beside])
    async def test_a_crash_ends_the_ask_in_hand_as_handled_with_its_cause(
        self, system: Make, kind: type[Deeds], deed: Any
    ) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", kind)
            error = await failure(actor.ask(deed, lambda me: me.crash("books")))
            assert isinstance(error, ActorFailed)
            assert error.handled
            assert isinstance(error.__cause__, Oops)
            assert now() == 0

    @KINDS
    @pytest.mark.parametrize("deed", [Deeds.hang, Deeds.beside])
    async def test_a_kill_ends_the_ask_in_hand_as_handled(self, system: Make, kind: type[Deeds], deed: Any) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", kind)
            arguments = [] if deed is Deeds.hang else [Deeds.hang]
            (asking,) = await later(actor.ask(deed, *arguments))
            await kill(s, actor)
            error = await failure(asking)
            assert isinstance(error, ActorGone)
            assert error.handled
            assert now() == 0

    @KINDS
    async def test_the_end_of_an_actor_ends_the_asks_that_still_wait_as_not_handled(
        self, system: Make, kind: type[Deeds]
    ) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", kind)
            await actor.tell(Deeds.stop)
            error = await failure(actor.ask(Deeds.note, "too late"))
            assert isinstance(error, ActorGone)
            assert not error.handled
            assert now() == 0

    async def test_the_end_of_an_actor_ends_the_asks_that_wait_for_room(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, journal, gate = await stuffed(s, bounded(1))
            await actor.tell(Deeds.stop)
            (asking,) = await later(actor.ask(Deeds.note, "in line"))
            gate.set()
            error = await failure(asking)
            assert isinstance(error, ActorGone)
            assert not error.handled
        assert journal == []

    async def test_an_actor_that_never_existed_ends_the_ask_at_once(self, system: Make, dead_letters: Any) -> None:
        async with system(log=None) as s:
            error = await failure(s.ref("/actor", Deeds).ask(Deeds.note, "x"))
            assert isinstance(error, ActorGone)
            assert not error.handled
            assert now() == 0
        assert dead_letters.reasons() == ["no_actor"]

    async def test_a_stop_of_the_system_ends_every_ask(self, system: Make) -> None:
        async with system(log=None) as s:
            actor = await s.spawn_from(Blueprint("actor", Deeds, shutdown="brutal"))
            in_hand, waiting = await later(actor.ask(Deeds.hang), actor.ask(Deeds.note, "x"))
        assert [(await failure(ask)).handled for ask in (in_hand, waiting)] == [True, False]

    async def test_the_message_that_stops_an_actor_is_answered(self, system: Make) -> None:
        async with system() as s:
            assert await (await s.spawn("actor", Ceremonious)).ask(Deeds.stop) == "stopped"


class TestRestarts:
    @KINDS
    async def test_an_ask_before_its_turn_waits_through_a_restart(self, system: Make, kind: type[Deeds]) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", kind)
            await actor.tell(Deeds.crash)
            assert await actor.ask(Deeds.reply, "fresh") == "fresh"

    async def test_an_ask_sent_while_the_actor_restarts_waits_for_it_to_come_up(self, system: Make) -> None:
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Gated, journal)
            gate = asyncio.Event()
            journal.append(gate)
            await raised_by(actor.ask(Deeds.crash))
            await settle()
            (asking,) = await later(actor.ask(Deeds.reply, "up"))
            await advance(3)
            gate.set()
            assert await asking == "up"
            assert now() == 3

    async def test_the_deadline_of_an_ask_runs_through_a_restart(self, system: Make) -> None:
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Gated, journal)
            gate = asyncio.Event()
            journal.append(gate)
            await actor.tell(Deeds.crash)
            error = await failure(actor.within(2.0).ask(Deeds.note, "never"))
            assert isinstance(error, AskTimedOut)
            assert not error.handled
            assert now() == 2
            gate.set()
            await s.idle()
        assert journal == [gate]

    async def test_a_kill_is_waited_through_as_a_crash_is(self, system: Make) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", Deeds)
            in_hand, waiting = await later(actor.ask(Deeds.hang), actor.ask(Deeds.reply, 1))
            await kill(s, actor)
            assert (await failure(in_hand)).handled
            assert await waiting == 1

    async def test_an_ask_that_fails_fast_does_not_wait_for_a_restart_that_comes(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, journal, gate = await stuffed(s, Deeds)
            await actor.tell(Deeds.crash)
            hasty, patient = await later(actor.fail_fast().ask(Deeds.note, "hasty"), actor.ask(Deeds.note, "patient"))
            gate.set()
            error = await failure(hasty)
            assert isinstance(error, ActorRestarting)
            assert not error.handled
            await patient
        assert journal == ["patient"]

    async def test_an_ask_that_fails_fast_is_refused_by_an_actor_that_is_down(self, system: Make) -> None:
        async with system(log=None) as s:
            refusing: list[str] = []
            actor = await s.spawn("actor", Refusing, refusing)
            refusing.append("from now on")
            await raised_by(actor.ask(Deeds.crash))
            await settle()
            error = await failure(actor.fail_fast().ask(Deeds.reply, 1))
            assert isinstance(error, ActorRestarting)
            assert not error.handled
            refusing.clear()
            assert await actor.ask(Deeds.reply, 1) == 1
            assert await actor.fail_fast().ask(Deeds.reply, 2) == 2

    async def test_an_ask_that_fails_fast_and_has_begun_ends_as_any_other(self, system: Make) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", Deeds)
            error = await failure(actor.fail_fast().ask(Deeds.crash))
            assert isinstance(error, ActorFailed)
            assert error.handled


class Refusing(Deeds):
    """Does not start while there is anything in its journal."""

    async def started(self) -> None:
        if self.journal:
            raise Oops("not now")


class TestDeadlines:
    async def test_an_ask_waits_five_seconds_by_default(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            error = await failure(actor.ask(Deeds.sleep, 60.0))
            assert isinstance(error, AskTimedOut)
            assert error.handled
            assert now() == 5

    async def test_within_inf_an_ask_waits_for_ever(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            assert await actor.within(float("inf")).ask(Deeds.sleep, 1e6, "at last") == "at last"

    async def test_within_nothing_an_ask_is_not_even_sent(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Deeds, journal)
            assert not (await failure(actor.within(0).ask(Deeds.note, "x"))).handled
            await s.idle()
        assert journal == []

    async def test_a_nested_ask_gets_what_is_left_to_its_asker(self, system: Make) -> None:
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

    async def test_a_nested_ask_may_want_less_than_what_is_left(self, system: Make) -> None:
        async with system() as s:
            b = await s.spawn("b", Deeds)
            actor = await s.spawn("actor", Deeds)
            nested = await actor.ask(Deeds.do, lambda _: raised_by(b.within(1.0).ask(Deeds.sleep, 2.0)))
            assert isinstance(nested, AskTimedOut)
            assert now() == 1

    async def test_a_handler_whose_asker_has_given_up_sends_no_nested_asks(self, system: Make) -> None:
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

    async def test_a_told_message_gives_its_asks_their_own_time(self, system: Make) -> None:
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

    async def test_an_expired_ask_is_not_run_but_told(self, system: Make, recorders: list[Recorder]) -> None:
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

    async def test_a_withdrawn_ask_is_not_run_but_told(self, system: Make, recorders: list[Recorder]) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, Deeds)
            (asking,) = await later(actor.ask(Deeds.note, "withdrawn"))
            asking.cancel()
            await settle()
            gate.set()
            await s.idle()
        assert journal == []
        assert [event.late_s for event in recorders[0].of(AskExpired)] == [0.0]

    async def test_an_ask_withdrawn_while_it_runs_goes_on_and_its_reply_vanishes(self, system: Make) -> None:
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

    async def test_a_late_reply_vanishes(self, system: Make, dead_letters: Any) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            for deed in (lambda me: me.sleep(2.0, "late"), lambda me: late_refusal(me)):
                assert isinstance(await failure(actor.within(1.0).ask(Deeds.do, deed)), AskTimedOut)
                await s.idle()
            assert await actor.ask(Deeds.reply, "next") == "next"
        assert dead_letters.all == []

    async def test_the_time_out_of_a_forwarded_ask_says_that_its_handler_has_begun(self, system: Make) -> None:
        async with system() as s:
            actor, b = await s.spawn("actor", Deeds), await s.spawn("b", Deeds)
            error = await failure(actor.within(1.0).ask(Deeds.do, lambda me: me.ctx.forward(b, Deeds.sleep, 2.0)))
            assert isinstance(error, AskTimedOut)
            assert error.handled


class TestForwarding:
    async def test_an_ask_whose_forwarder_dies_while_it_waits_for_room_ends_at_once(
        self, system: Make, dead_letters: Any
    ) -> None:
        async with system(log=None) as s:
            _, _, gate = await stuffed(s, bounded(1), "in")
            forwarder: Ref[Any] = await s.spawn("forwarder", Deeds)
            full = s.ref("/actor", Deeds)
            (asking,) = await later(forwarder.ask(Deeds.do, lambda me: me.ctx.forward(full, Deeds.reply, "lost")))
            await kill(s, forwarder)
            error = await raised_by(asking)
            assert isinstance(error, ActorGone)
            assert now() == 0
            gate.set()
        assert len(dead_letters.all) == 1


async def late_refusal(me: Deeds) -> None:
    await asyncio.sleep(2)
    await me.refuse()


async def test_a_thousand_askers_of_a_dying_actor_each_hear_of_it(system: Make) -> None:
    class Mortal(Deeds):
        stopping = Actor.stopping

    async with system(log=None) as s:
        actor, _, gate = await stuffed(s, Mortal)
        await actor.tell(Deeds.stop)
        asking = [asyncio.create_task(actor.ask(Deeds.reply, number)) for number in range(1_500)]
        await settle()
        gate.set()
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(error) for error in errors} == {ActorGone}
        assert now() == 0
