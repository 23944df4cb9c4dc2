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
from upright.actors.testing import advance, kill, settle

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
            error = await failure(actor.ask(deed, Deeds.crash))
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

    async def test_a_kill_before_a_concurrent_handler_has_begun_leaves_it_to_the_next_incarnation(
        self, system: Make
    ) -> None:
        """Taken from the mailbox, but not a step was made: nothing can have happened, so it still waits."""
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Deeds, journal)
            recipient: Any = actor.recipient

            async def begin(me: Deeds) -> None:
                journal.append("begun")

            gate = asyncio.Event()
            await actor.tell(Deeds.hold, gate)
            (asking,) = await later(actor.ask(Deeds.beside, begin))
            await actor.tell(Deeds.do, lambda _: asyncio.sleep(9))
            gate.set()
            for _ in range(1_000):  # to settle would let the handler begin
                if len(recipient.mailbox) < 2:
                    break
                await asyncio.sleep(0)
            await kill(s, actor)
            await asking
            assert journal == ["held", "begun"]

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
