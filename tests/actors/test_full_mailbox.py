"""The laws of the four policies: what a sender meets at a full mailbox, and what becomes of what is dropped."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, bounded, later, raised_by, stuffed
from upright.actors import ActorSystem, Blueprint, DeadLetter, MailboxFull, Shutdown
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_reject_gives_the_message_back_and_makes_no_dead_letter(system: Make, dead_letters: Any) -> None:
    async with system() as s:
        actor, journal, gate = await stuffed(s, bounded(1, "reject"), "in")
        for sending in (actor.tell(Deeds.note, "told"), actor.ask(Deeds.note, "asked")):
            error = await raised_by(sending)
            assert isinstance(error, MailboxFull)
            assert error.message.args in (("told",), ("asked",))
        assert not actor.try_tell(Deeds.note, "tried")
        gate.set()
        await s.idle()
    assert journal == ["in"]
    assert dead_letters.all == []


async def test_drop_new_makes_a_dead_letter_of_what_comes(system: Make, dead_letters: Any) -> None:
    async with system(log=None) as s:
        actor, journal, gate = await stuffed(s, bounded(1, "drop_new"), "in")
        await actor.tell(Deeds.note, "told")
        assert not actor.try_tell(Deeds.note, "tried")
        error = await raised_by(actor.ask(Deeds.note, "asked"))
        assert isinstance(error, MailboxFull)
        gate.set()
        await s.idle()
    assert journal == ["in"]
    assert [letter.message.args[0] for letter in dead_letters.all] == ["told", "tried", "asked"]
    assert set(dead_letters.reasons()) == {"dropped_new"}


async def test_drop_old_makes_a_dead_letter_of_what_waited_longest(system: Make, dead_letters: Any) -> None:
    async with system(log=None) as s:
        actor, journal, gate = await stuffed(s, bounded(2, "drop_old"))
        (asking,) = await later(actor.ask(Deeds.note, "asked"))
        for word in "abc":
            await actor.tell(Deeds.note, word)
        assert actor.try_tell(Deeds.note, "d")
        error = await raised_by(asking)
        assert isinstance(error, MailboxFull)
        assert error.message.args == ("asked",)
        gate.set()
        await s.idle()
    assert journal == ["c", "d"]
    assert [letter.message.args[0] for letter in dead_letters.all] == ["asked", "a", "b"]
    assert set(dead_letters.reasons()) == {"dropped_old"}


@pytest.mark.parametrize("full", ["drop_new", "drop_old"])
async def test_a_drop_is_an_event_with_its_reason(system: Make, recorders: list[Recorder], full: Any) -> None:
    async with system(log=None) as s:
        actor, _, gate = await stuffed(s, bounded(1, full), "in")
        await actor.tell(Deeds.note, "more")
        gate.set()
    reason = full.replace("drop", "dropped")
    dropped = [event for event in recorders[0].events if event.name == "message.dropped"]
    assert [(event.path, getattr(event, "reason", "")) for event in dropped] == [("/actor", reason)]


@pytest.mark.parametrize("full", ["wait", "reject", "drop_new", "drop_old"])
async def test_no_policy_ever_holds_more_than_the_limit(system: Make, full: Any) -> None:
    async with system(log=None) as s:
        actor, _, gate = await stuffed(s, bounded(3, full))
        took = [actor.try_tell(Deeds.note, number) for number in range(10)]
        assert took == [True] * (10 if full == "drop_old" else 3) + [False] * (0 if full == "drop_old" else 7)
        assert len(list(s.peek(actor, 100))) == 3
        gate.set()


@pytest.mark.parametrize("full", ["wait", "reject", "drop_new", "drop_old"])
async def test_a_full_mailbox_never_holds_up_a_stop_or_drops_it(system: Make, full: Any) -> None:
    async with system(log=None) as s:
        actor, _, gate = await stuffed(s, bounded(1, full), "in")
        ending = asyncio.create_task(s.stop())
        await settle()
        for _ in range(5):
            actor.try_tell(Deeds.note, "more")
        gate.set()
        await ending
        assert asyncio.get_running_loop().time() == 0


async def test_a_stop_that_drains_is_never_dropped_by_what_comes_after_it(
    system: Make, recorders: list[Recorder], dead_letters: Any
) -> None:
    """What is dropped are messages; the stop that waits among them is none."""
    async with system(log=None) as s:
        gate = asyncio.Event()
        actor = await s.spawn_from(Blueprint("actor", bounded(1, "drop_old"), drains=True))
        await actor.tell(Deeds.hold, gate)
        await settle()
        ending = asyncio.create_task(s.stop())
        await settle()
        for number in range(3):
            actor.try_tell(Deeds.note, number)
        gate.set()
        await ending
    assert {letter.message.handler for letter in dead_letters.all} <= {"note"}
    (stopped,) = recorders[0].of(ActorStopped, "/actor")
    assert isinstance(stopped.exit, Shutdown)


async def test_a_stop_that_drains_never_becomes_a_dead_letter(system: Make, dead_letters: Any) -> None:
    """A crash while it drains leaves the stop unread in the mailbox."""
    async with system(log=None) as s:
        gate = asyncio.Event()
        actor = await s.spawn_from(Blueprint("actor", Deeds, drains=True))
        await actor.tell(Deeds.hold, gate)
        await actor.tell(Deeds.crash)
        await actor.tell(Deeds.note, "behind")
        ending = asyncio.create_task(s.stop())
        await settle()
        gate.set()
        await ending
    letters: list[DeadLetter] = dead_letters.all
    assert [(letter.message.handler, letter.reason) for letter in letters] == [
        ("crash", "crashed"),
        ("note", "stopped"),
    ]
