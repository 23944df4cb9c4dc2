"""The laws of the four policies: what a sender meets at a full mailbox, and what becomes of what is dropped."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.actors.deeds import Deeds, bounded, later, raised_by, stuffed
from upright.actors import ActorSystem, AskTimedOut, Blueprint, DeadLetter, MailboxFull, Ref, Shutdown
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, advance, settle

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


def in_line(actor: Ref[Deeds]) -> int:
    """How many places there are in the line of those who wait for room."""
    found: Any = actor.recipient
    return len(found.mailbox.waiting or ())


async def cancelled(sending: Coroutine[Any, Any, Any]) -> None:
    """Begin to send, and give up."""
    (task,) = await later(sending)
    assert not task.done()
    task.cancel()
    await settle()
    assert task.cancelled()


async def timed_out(sending: Coroutine[Any, Any, Any]) -> None:
    """Begin to send, and give up when the time is over."""
    (task,) = await later(sending)
    assert not task.done()
    await advance(1.0)
    assert isinstance(task.exception(), MailboxFull | AskTimedOut)


@pytest.mark.parametrize("give_up", [cancelled, timed_out])
@pytest.mark.parametrize("send", ["tell", "ask"])
async def test_when_the_last_who_waited_has_given_up_nobody_is_in_line_and_the_others_are_served_in_order(
    system: Make, give_up: Callable[[Any], Awaitable[None]], send: str
) -> None:
    async with system(log=None) as s:
        actor, journal, gate = await stuffed(s, bounded(2), "a", "b")
        for _ in range(3):
            await give_up(getattr(actor.within(1.0), send)(Deeds.note, "given up"))
            assert in_line(actor) == 0
        asked = await later(*(actor.within(100.0).ask(Deeds.note, word) for word in "cde"))
        assert in_line(actor) == 3
        gate.set()
        await asyncio.gather(*asked)
        assert in_line(actor) == 0
        assert actor.try_tell(Deeds.note, "f")
        await actor.tell(Deeds.note, "g")
        await s.idle()
    assert journal == list("abcdefg")


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_one_who_gives_up_takes_nobody_else_out_of_the_line(system: Make, left: int) -> None:
    async with system(log=None) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "in")
        senders = await later(*(actor.tell(Deeds.note, number) for number in range(3)))
        for number, sender in enumerate(senders):
            if number != left:
                sender.cancel()
        await settle()
        assert in_line(actor) == 1
        assert not actor.try_tell(Deeds.note, "pushed in")
        gate.set()
        await senders[left]
        assert in_line(actor) == 0
        await s.idle()
    assert journal == ["in", left]


async def test_all_who_give_up_in_the_same_instant_leave_nobody_in_line(system: Make) -> None:
    async with system(log=None) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "in")
        senders = await later(*(actor.within(1.0).tell(Deeds.note, number) for number in range(10)))
        await advance(1.0)
        assert {type(sender.exception()) for sender in senders} == {MailboxFull}
        assert in_line(actor) == 0
        (sender,) = await later(actor.tell(Deeds.note, "later"))
        gate.set()
        await sender
        await s.idle()
    assert journal == ["in", "later"]
