"""The laws of the office: every undeliverable message becomes one letter, is counted, and never goes in a circle."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.actors.deeds import Ceremonious, Deeds, bounded, later, raised_by, stuffed
from upright.actors import Actor, ActorFailed, ActorSystem, Bounded, DeadLetter, DeadLetters, Ref
from upright.actors.events import ActorRestarted, DeadLettered, DeadLetterLost
from upright.actors.message import REASONS
from upright.actors.testing import Recorder, kill, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Undelivered(Actor):
    """A dead-letter actor of a user, with little room."""

    mailbox = Bounded(5)
    kept: list[DeadLetter]
    gate: asyncio.Event

    async def letter(self, letter: DeadLetter) -> None:
        await self.gate.wait()
        self.kept.append(letter)


class Hasty(Undelivered):
    """A dead-letter actor of a user that crashes on each letter."""

    mailbox = Bounded(100)

    async def letter(self, letter: DeadLetter) -> None:
        self.kept.append(letter)
        raise ValueError("I cannot bear it")


class Circular(Undelivered):
    """A dead-letter actor of a user that tells somebody of each letter, who is not there."""

    async def letter(self, letter: DeadLetter) -> None:
        self.kept.append(letter)
        if len(self.kept) < 20:  # or the test would go round with it for ever
            await self.ctx.ref("/nobody", Deeds).tell(Deeds.note, letter)


@pytest.fixture
def kept(request: pytest.FixtureRequest) -> list[DeadLetter]:
    """What the user's dead-letter actor keeps."""
    Undelivered.kept, Undelivered.gate = [], asyncio.Event()
    Undelivered.gate.set()
    return Undelivered.kept


async def letters_of(system: ActorSystem) -> list[DeadLetter]:
    return await system.ref("/dead-letters", DeadLetters).ask(DeadLetters.latest)


class TestReasons:
    @pytest.mark.parametrize("kind", [Deeds, Ceremonious])
    @pytest.mark.parametrize("deed", [Deeds.do, Deeds.beside])
    @pytest.mark.parametrize(("act", "reason"), [(Deeds.crash, "crashed"), (Deeds.refuse, "rejected")])
    async def test_a_told_message_that_fails_becomes_a_letter_with_the_error(
        self, system: Make, kind: type[Deeds], deed: Any, act: Any, reason: str
    ) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", kind)
            await actor.tell(deed, act)
            await s.idle()
            (letter,) = await letters_of(s)
        assert (letter.recipient, letter.reason, letter.sender) == ("/actor", reason, None)
        assert letter.message.handler == deed.__name__
        assert letter.message.args == (act,)
        assert str(letter.error) in ("on purpose", "no")

    async def test_an_asked_message_that_crashes_becomes_a_letter_too(
        self, system: Make, recorders: list[Recorder]
    ) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", Deeds)
            error = await raised_by(actor.ask(Deeds.crash))
            (letter,) = recorders[0].letters
        assert letter.reason == "crashed"
        assert letter.error is error.__cause__
        assert letter.message.asked

    async def test_a_refusal_that_reaches_its_asker_is_no_dead_letter(self, system: Make) -> None:
        async with system() as s:
            await raised_by((await s.spawn("actor", Deeds)).ask(Deeds.refuse))
            assert await letters_of(s) == []

    async def test_a_message_in_hand_at_a_kill_becomes_a_letter(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, _, _ = await stuffed(s, Deeds)
            await kill(s, actor)
            await s.idle()
            assert [(letter.reason, letter.message.handler) for letter in await letters_of(s)] == [("killed", "hold")]

    async def test_what_waits_or_stands_in_line_when_an_actor_ends_becomes_letters_in_order(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, journal, gate = await stuffed(s, bounded(2))
            await actor.tell(Deeds.stop)
            await actor.tell(Deeds.note, "in")
            telling = await later(actor.tell(Deeds.note, "in line"), actor.tell(Deeds.note, "behind"))
            gate.set()
            await asyncio.gather(*telling)
            await s.idle()
            letters = await letters_of(s)
        assert journal == []
        assert [(letter.reason, letter.message.args[0]) for letter in letters] == [
            ("stopped", "in"),
            ("stopped", "in line"),
            ("stopped", "behind"),
        ]

    async def test_every_reason_that_is_documented_can_happen_and_no_other(self, system: Make) -> None:
        seen: list[str] = []
        async with system(log=None) as s:
            s.subscribe(lambda event: seen.append(event.letter.reason), DeadLettered)
            for full in ("drop_new", "drop_old"):
                actor, _, gate = await stuffed(s, bounded(1, cast(Any, full)), "in")
                await actor.tell(Deeds.note, "more")
                gate.set()
                await s.idle()
                await actor.tell(Deeds.refuse)
                await s.idle()
                await actor.tell(Deeds.crash)
                await s.idle()
                await actor.tell(Deeds.hang)
                await settle()
                await actor.tell(Deeds.stop)
                await kill(s, actor)
                await s.idle()
            await actor.tell(Deeds.note, "nobody")
            actor, _, gate = await stuffed(s, Deeds)
            await actor.tell(Deeds.stop)
            await actor.tell(Deeds.note, "stopped")
            gate.set()
        assert set(seen) == set(REASONS) - {"no_worker", "no_room"}, "which stand in tests of their own"


class TestReplaced:
    async def test_a_user_s_class_takes_the_letters(self, system: Make, kept: list[DeadLetter]) -> None:
        async with system(log=None, dead_letters=Undelivered) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, "x")
            await s.idle()
            assert [letter.recipient for letter in kept] == ["/nobody"]
            assert repr(s.ref("/dead-letters", Undelivered)) == "<Ref /dead-letters running 0/5>"

    @pytest.mark.parametrize("wrong", [Deeds, int, None, "DeadLetters", Undelivered.letter])
    def test_a_class_that_takes_no_letters_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="expected "):
            ActorSystem(dead_letters=wrong)

    async def test_a_subclass_of_the_usual_one_takes_the_letters(self, system: Make, kept: list[DeadLetter]) -> None:
        class Mine(DeadLetters):
            async def letter(self, letter: DeadLetter) -> None:
                kept.append(letter)
                await super().letter(letter)

        async with system(log=None, dead_letters=Mine) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, "x")
            assert await letters_of(s) == kept != []

    async def test_letters_that_a_stop_makes_are_handled_before_the_system_has_stopped(
        self, system: Make, kept: list[DeadLetter]
    ) -> None:
        class Roomy(Undelivered):
            mailbox = Bounded(100)

        async with system(log=None, dead_letters=Roomy) as s:
            actor, _, gate = await stuffed(s, Deeds)
            await actor.tell(Deeds.stop)
            for number in range(50):
                await actor.tell(Deeds.note, number)
            gate.set()
        assert [letter.message.args[0] for letter in kept] == list(range(50))


class TestNoCircle:
    async def test_one_that_crashes_on_letters_loses_them_and_goes_on(
        self, system: Make, kept: list[DeadLetter], recorders: list[Recorder]
    ) -> None:
        async with system(log=None, dead_letters=Hasty) as s:
            for number in range(10):
                await s.ref("/nobody", Deeds).tell(Deeds.note, number)
            await s.idle()
            assert [letter.message.args[0] for letter in kept] == list(range(10))
            assert s.dead_letters_lost == 10
            assert len(recorders[0].of(ActorRestarted, "/dead-letters")) == 10
        assert [event.lost for event in recorders[0].of(DeadLetterLost)] == list(range(1, 11))

    async def test_one_whose_own_messages_are_undeliverable_gets_none_of_them_back(
        self, system: Make, kept: list[DeadLetter]
    ) -> None:
        async with system(log=None, dead_letters=Circular) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, "x")
            await s.idle()
            assert len(kept) == 1
            assert s.dead_letters_lost == 1

    async def test_a_message_to_the_office_that_fails_does_not_come_back(self, system: Make) -> None:
        async with system(log=None) as s:
            office: Ref[Any] = s.ref("/dead-letters", DeadLetters)
            ask: Any = office.ask
            error = await raised_by(ask(DeadLetters.latest, "many"))
            assert isinstance(error, ActorFailed)
            assert s.dead_letters_lost == 1
            assert await letters_of(s) == []

    async def test_a_killed_office_loses_the_letter_in_hand_and_keeps_those_that_wait(
        self, system: Make, kept: list[DeadLetter]
    ) -> None:
        Undelivered.gate.clear()
        async with system(log=None, dead_letters=Undelivered) as s:
            for number in range(3):
                await s.ref("/nobody", Deeds).tell(Deeds.note, number)
            await settle()
            await kill(s, s.ref("/dead-letters", Undelivered))
            Undelivered.gate.set()
            await s.idle()
            assert [letter.message.args[0] for letter in kept] == [1, 2]
            assert s.dead_letters_lost == 1


class TestFlood:
    @pytest.mark.parametrize("full", ["wait", "reject", "drop_new", "drop_old"])
    async def test_a_flood_fills_the_mailbox_and_no_more_and_the_rest_is_counted(
        self, system: Make, kept: list[DeadLetter], recorders: list[Recorder], full: Any
    ) -> None:
        """Whatever the policy: no sender waits, no letter becomes a letter."""
        flooded = type("Flooded", (Undelivered,), {"mailbox": Bounded(5, full)})
        Undelivered.gate.clear()
        async with system(log=None, dead_letters=flooded) as s:
            nobody = s.ref("/nobody", Deeds)
            await nobody.tell(Deeds.note, "in hand")
            await settle()
            for number in range(100):
                await nobody.tell(Deeds.note, number)
            assert len(list(s.peek(s.ref("/dead-letters", flooded), 1_000))) == 5
            assert s.dead_letters_lost == 95
            Undelivered.gate.set()
            await s.idle()
        assert [letter.message.args[0] for letter in kept] == ["in hand", 0, 1, 2, 3, 4]
        assert len(recorders[0].of(DeadLettered)) == 101

    async def test_every_letter_is_told_before_it_is_sent(self, system: Make, recorders: list[Recorder]) -> None:
        async with system(log=None) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, "x")
            (told,) = recorders[0].of(DeadLettered)
            assert told.path == "/nobody"
            assert [told.letter] == await letters_of(s)
