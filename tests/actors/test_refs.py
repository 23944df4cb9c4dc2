"""The laws of refs: typed addresses that never go stale, and their three verbs."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, bounded, later, raised_by, stuffed
from tests.actors.lives import Doer
from upright.actors import (
    Actor,
    ActorFailed,
    ActorGone,
    ActorSystem,
    Normal,
    Ref,
    Refuse,
    SystemNotRunning,
    UnknownHandler,
    WrongArguments,
    WrongClass,
)
from upright.actors.testing import advance, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Interface(Actor):
    """What senders need to know of an actor."""

    async def reply(self, value: Any = None) -> Any:
        raise NotImplementedError

    async def only_here(self) -> str:
        return "the interface's own"


class Loud(Deeds, Interface):
    async def reply(self, value: Any = None) -> Any:
        return f"{value}!"


class TestVerbs:
    async def test_a_tell_returns_before_its_message_is_handled(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Deeds, journal)
            await actor.tell(Deeds.note, "told")
            assert journal == []
            await s.idle()
            assert journal == ["told"]

    async def test_an_ask_returns_the_reply_also_none_and_false(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            for value in (7, None, False, ValueError("a value like any other")):
                assert await actor.ask(Deeds.reply, value) is value

    async def test_arguments_travel_by_position_and_by_name(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            assert await actor.ask(Deeds.sleep, 0.0, value="v") == "v"
            assert await actor.ask(Deeds.reply, value="v") == "v"
            assert await actor.ask(Deeds.beside, deed=lambda me: me.reply("v")) == "v"

    async def test_arguments_that_a_handler_cannot_take_are_refused_and_harm_nobody(self, system: Make) -> None:
        async with system(log=None) as s:
            actor = await s.spawn("actor", Deeds)
            ask: Any = actor.ask
            error = await raised_by(ask(Deeds.note))
            assert isinstance(error, WrongArguments)
            assert "note() missing 1 required positional argument: 'word'" in str(error)
            assert s.tree().children[1].restarts == 0

    async def test_a_type_error_inside_a_handler_is_a_crash_as_any_other(self, system: Make) -> None:
        async def add(_: Doer) -> None:
            raise TypeError("in the handler")

        async with system(log=None) as s:
            actor = await s.spawn("actor", Doer)
            assert isinstance(await raised_by(actor.ask(Doer.do, add)), ActorFailed)

    async def test_try_tell_never_waits_and_says_whether_the_message_is_in(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1))
            assert actor.try_tell(Deeds.note, "in")
            assert not actor.try_tell(Deeds.note, "out")
            gate.set()
            await s.idle()
        assert journal == ["in"]

    async def test_try_tell_to_nobody_is_false_and_no_dead_letter(self, system: Make, dead_letters: Any) -> None:
        """The sender knows, so nobody else has to."""
        async with system() as s:
            assert not s.ref("/nobody", Deeds).try_tell(Deeds.note, "x")
        assert dead_letters.all == []

    async def test_a_tell_to_nobody_becomes_a_dead_letter(self, system: Make, dead_letters: Any) -> None:
        async with system(log=None) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, "x")
        (letter,) = dead_letters.all
        assert (letter.recipient, letter.reason, letter.message.args) == ("/nobody", "no_actor", ("x",))

    async def test_a_refusal_reaches_the_asker_and_leaves_the_actor_as_it_was(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Ceremonious, journal)
            for deed in (Deeds.refuse, Deeds.refuse):
                with pytest.raises(Refuse, match="not today"):
                    await actor.ask(deed, "not today")
            assert journal == ["started"]

    async def test_a_refusal_of_a_subclass_arrives_as_itself(self, system: Make) -> None:
        class Broke(Refuse):
            cents = 5

        async def broke(_: Deeds) -> None:
            raise Broke("no money")

        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            for deed in (Deeds.do, Deeds.beside):
                with pytest.raises(Broke) as caught:
                    await actor.ask(deed, broke)
                assert caught.value.cents == 5


class TestHandlers:
    async def test_a_subclass_override_runs_behind_a_ref_to_the_base_class(self, system: Make) -> None:
        async with system() as s:
            await s.spawn("actor", Loud)
            assert await s.ref("/actor", Deeds).ask(Deeds.reply, "hi") == "hi!"

    async def test_a_base_class_serves_as_an_interface(self, system: Make) -> None:
        async with system() as s:
            await s.spawn("actor", Loud)
            ref = s.ref("/actor", Interface)
            assert await ref.ask(Interface.reply, "hi") == "hi!"
            assert await ref.ask(Interface.only_here) == "the interface's own"

    @pytest.mark.parametrize("verb", ["tell", "ask", "try_tell"])
    @pytest.mark.parametrize("wrong", [Interface.only_here, Actor.started, "note", Deeds().note])
    async def test_what_is_no_handler_is_refused_at_the_sender(self, system: Make, verb: str, wrong: Any) -> None:
        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Ceremonious, journal)
            for ref in (actor, s.ref("/nobody", Deeds)):
                with pytest.raises(UnknownHandler):
                    sent = getattr(ref, verb)(wrong)
                    await sent
            assert journal == ["started"]


class TestClass:
    async def test_a_ref_of_another_class_than_the_actor_s_is_refused(self, system: Make) -> None:
        async with system() as s:
            await s.spawn("actor", Deeds)
            with pytest.raises(WrongClass, match="expected a Ceremonious at /actor, found a Deeds"):
                s.ref("/actor", Ceremonious)

    @pytest.mark.parametrize("verb", ["tell", "ask", "try_tell"])
    async def test_a_ref_made_before_its_actor_checks_the_class_at_its_first_use(self, system: Make, verb: str) -> None:
        async with system() as s:
            ref = s.ref("/actor", Interface)
            await s.spawn("actor", Deeds)
            with pytest.raises(WrongClass):
                await getattr(ref, verb)(Interface.only_here)

    async def test_a_name_given_to_another_class_is_noticed(self, system: Make) -> None:
        async with system() as s:
            ref = await s.spawn("actor", Ceremonious)
            await ref.ask(Deeds.stop)
            await ref.ended()
            await s.spawn("actor", Deeds)
            with pytest.raises(WrongClass):
                await ref.tell(Deeds.note, "x")


class TestLongLife:
    async def test_a_ref_survives_a_restart(self, system: Make) -> None:
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", Ceremonious, journal)
            for _ in range(3):
                await raised_by(actor.ask(Deeds.crash))
                assert await actor.ask(Deeds.reply, 1) == 1
        assert journal.count("started") == 4

    async def test_a_ref_finds_a_new_actor_of_the_same_name(self, system: Make) -> None:
        async with system() as s:
            ref = await s.spawn("actor", Deeds, ["first"])
            configured = ref.within(1.0)
            assert await ref.ask(Deeds.stop) == "stopped"
            assert await ref.ended() == Normal()
            assert isinstance(await raised_by(ref.ask(Deeds.reply, 1)), ActorGone)
            await s.spawn("actor", Deeds, ["second"])
            for one in (ref, configured):
                assert await one.ask(Deeds.do, journal_of) == ["second"]

    async def test_a_ref_may_be_made_before_its_actor(self, system: Make) -> None:
        async with system() as s:
            ref = s.ref("/actor", Deeds)
            assert isinstance(await raised_by(ref.ask(Deeds.reply, 1)), ActorGone)
            await s.spawn("actor", Deeds)
            assert await ref.ask(Deeds.reply, 1) == 1

    async def test_refs_are_equal_when_they_name_the_same_place_in_the_same_system(self, system: Make) -> None:
        async with system() as one, system() as other:
            actor = await one.spawn("actor", Deeds)
            same = one.ref("/actor", Deeds)
            assert actor == same == actor.within(1.0) == actor.fail_fast()
            assert len({actor, same, actor.within(1.0)}) == 1
            assert actor != one.ref("/other", Deeds)
            assert actor != other.ref("/actor", Deeds)
            assert actor != "/actor"

    async def test_a_configured_ref_is_a_copy(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            hasty = actor.within(1.0)
            assert await actor.ask(Deeds.sleep, 2.0, "patient") == "patient"
            assert await raised_by(hasty.ask(Deeds.sleep, 2.0))
            assert await hasty.within(3.0).ask(Deeds.sleep, 2.0, "patient") == "patient"

    @pytest.mark.parametrize("limit", [-1.0, math.nan])
    async def test_within_refuses_what_is_no_duration(self, system: Make, limit: float) -> None:
        async with system() as s:
            with pytest.raises(ValueError, match="expected within to be 0 or more seconds, got"):
                s.ref("/actor", Deeds).within(limit)

    async def test_who_waits_for_the_end_of_an_actor_learns_the_reason(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            first, second = await later(actor.ended(), s.ref("/actor", Deeds).ended())
            assert not first.done()
            await actor.tell(Deeds.stop)
            assert await first == await second == Normal()
            assert await actor.ended() == Normal()

    async def test_after_its_system_has_stopped_a_ref_says_so(self, system: Make) -> None:
        async with system() as s:
            actor = await s.spawn("actor", Deeds)
        with pytest.raises(SystemNotRunning):
            await actor.tell(Deeds.note, "x")
        with pytest.raises(SystemNotRunning):
            await actor.ask(Deeds.note, "x")
        assert not actor.try_tell(Deeds.note, "x")
        assert repr(actor) == "<Ref /actor nobody>"


class TestRepr:
    async def test_the_repr_shows_the_path_the_state_and_the_mailbox(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, _, gate = await stuffed(s, bounded(3), "a", "b")
            assert repr(actor) == repr(s.ref("/actor", Deeds)) == repr(actor.within(1)) == "<Ref /actor running 2/3>"
            gate.set()
            await s.idle()
            assert repr(actor) == "<Ref /actor running 0/3>"
            await actor.ask(Deeds.stop)
            await s.idle()
            assert repr(actor) == repr(s.ref("/nobody", Deeds)).replace("nobody ", "actor ") == "<Ref /actor nobody>"

    async def test_the_repr_shows_a_restart(self, system: Make) -> None:
        async with system(log=None) as s:
            flaky: list[str] = []
            actor = await s.spawn("actor", Flaky, flaky)
            flaky.append("from now on")
            await raised_by(actor.ask(Deeds.crash))
            await settle()
            assert repr(actor) == "<Ref /actor restarting 0/1000>"
            flaky.clear()
            await advance(1)
            assert repr(actor) == "<Ref /actor running 0/1000>"


class Flaky(Deeds):
    """Does not start while there is anything in its journal."""

    async def started(self) -> None:
        if self.journal:
            raise RuntimeError("not now")


async def journal_of(me: Deeds) -> list[Any]:
    return me.journal


def test_the_actor_of_a_ref_is_the_class_that_it_was_made_for() -> None:
    nowhere: Any = None
    ref: Ref[Interface] = Ref(nowhere, "/a", Interface)
    assert ref.actor is Interface
