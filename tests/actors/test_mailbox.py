"""The laws of the mailbox: order, bounds, and what a sender meets when there is no room."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds, bounded, later, raised_by, stuffed
from upright.actors import ActorRestarting, ActorSystem, AskTimedOut, MailboxFull, Message
from upright.actors.envelope import Envelope
from upright.actors.handlers import Handler
from upright.actors.mailbox import Mailbox
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestOrder:
    async def test_messages_of_one_sender_keep_their_order(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", bounded(3), journal)
            for number in range(100):
                await actor.tell(Deeds.note, number)
            await s.idle()
        assert journal == list(range(100))

    async def test_senders_who_wait_are_served_first_come_first_served(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            await later(*(actor.tell(Deeds.note, number) for number in range(20)))
            gate.set()
            await s.idle()
        assert journal == ["in", *range(20)]

    async def test_who_comes_when_there_is_room_again_does_not_overtake_who_waits(self, system: Make) -> None:
        """The mailbox has room from the instant that its actor takes a message, before any waiting task wakes."""
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")

            async def pushy(_: Deeds) -> None:
                journal.append(actor.try_tell(Deeds.note, "pushed in"))

            await later(actor.tell(Deeds.do, pushy), actor.tell(Deeds.note, "first"), actor.tell(Deeds.note, "second"))
            gate.set()
            await s.idle()
        assert journal == ["in", False, "first", "second"]

    async def test_asks_and_tells_wait_in_one_line(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            await later(actor.tell(Deeds.note, 1), actor.ask(Deeds.note, 2), actor.tell(Deeds.note, 3))
            gate.set()
            await s.idle()
        assert journal == ["in", 1, 2, 3]

    async def test_a_sender_that_waits_in_line_and_sends_again_keeps_its_order(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(2), "a", "b")

            async def send(name: str) -> None:
                for number in range(10):
                    await actor.tell(Deeds.note, (name, number))

            senders = await later(*(send(name) for name in "xyz"))
            gate.set()
            await asyncio.gather(*senders)
            await s.idle()
        for name in "xyz":
            assert [word for word in journal if word[0] == name] == [(name, number) for number in range(10)]


class TestWait:
    async def test_a_tell_returns_when_its_message_is_in(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            (telling,) = await later(actor.tell(Deeds.note, "next"))
            await advance(1_000_000)
            assert not telling.done()
            gate.set()
            await telling
            await s.idle()
        assert journal == ["in", "next"]

    async def test_within_bounds_the_wait_and_gives_the_message_back(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            error = await raised_by(actor.within(2.5).tell(Deeds.note, "next"))
            assert isinstance(error, MailboxFull)
            assert error.message == Message("note", ("next",))
            assert error.path == "/actor"
            assert asyncio.get_running_loop().time() == 2.5
            gate.set()
            await s.idle()
        assert journal == ["in"]

    async def test_inside_a_handler_the_wait_ends_after_five_seconds(self, system: Make) -> None:
        """Two full actors could else wait for each other for ever."""
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            other = await s.spawn("other", Deeds)
            error = await other.within(60).ask(Deeds.do, lambda _: raised_by(actor.tell(Deeds.note, "next")))
            assert isinstance(error, MailboxFull)
            assert asyncio.get_running_loop().time() == 5.0
            gate.set()
            await s.idle()
        assert journal == ["in"]

    async def test_inside_a_handler_within_says_how_long_else(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            other = await s.spawn("other", Deeds)
            await later(other.tell(Deeds.do, lambda _: actor.within(60).tell(Deeds.note, "next")))
            await advance(59)
            gate.set()
            await s.idle()
        assert journal == ["in", "next"]

    async def test_one_s_own_full_mailbox_raises_at_once(self, system: Make) -> None:
        """Nobody else could make room."""

        async def fill(me: Deeds) -> BaseException:
            for number in range(2):
                await me.ctx.self_ref.tell(Deeds.note, number)
            return await raised_by(me.ctx.self_ref.within(60).tell(Deeds.note, "too much"))

        async with system() as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", bounded(2), journal)
            error = await actor.ask(Deeds.do, fill)
            assert isinstance(error, MailboxFull)
            assert error.message.args == ("too much",)
            assert asyncio.get_running_loop().time() == 0
            await s.idle()
        assert journal == [0, 1]

    async def test_an_ask_that_finds_no_room_before_its_deadline_times_out_unhandled(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            error = await raised_by(actor.within(3.0).ask(Deeds.note, "next"))
            assert isinstance(error, AskTimedOut)
            assert not error.handled
            assert asyncio.get_running_loop().time() == 3.0
            gate.set()
            await s.idle()
        assert journal == ["in"]

    @pytest.mark.parametrize("verb", ["tell", "ask"])
    async def test_a_waiting_sender_that_is_cancelled_leaves_the_line(self, system: Make, verb: str) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            send = getattr(actor, verb)
            first, second, third = await later(*(send(Deeds.note, number) for number in range(3)))
            second.cancel()
            await asyncio.wait({second})
            assert second.cancelled()
            mailbox: Any = actor.recipient
            assert len(mailbox.mailbox.waiting) == 2
            gate.set()
            await asyncio.gather(first, third)
            await s.idle()
        assert journal == ["in", 0, 2]

    async def test_when_all_who_waited_have_left_the_mailbox_takes_messages_as_before(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, bounded(1), "in")
            (waiting,) = await later(actor.tell(Deeds.note, "left"))
            waiting.cancel()
            await settle()
            gate.set()
            await s.idle()
            assert actor.try_tell(Deeds.note, "after")
            await s.idle()
        assert journal == ["in", "after"]

    async def test_a_restart_keeps_what_waits_and_who_waits(self, system: Make) -> None:
        async with system(log=None) as s:
            actor, journal, gate = await stuffed(s, bounded(2), "in")
            assert actor.try_tell(Deeds.crash)
            waiting = await later(actor.tell(Deeds.note, 1), actor.tell(Deeds.note, 2))
            gate.set()
            await asyncio.gather(*waiting)
            await s.idle()
        assert journal == ["in", 1, 2]

    async def test_room_that_a_restart_makes_is_given_to_who_waits(self, system: Make) -> None:
        """A restart ends the asks that fail fast, and takes the old incarnation's ticks out of the mailbox."""
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", bounded(1), journal)
            gate = asyncio.Event()
            await actor.tell(Deeds.do, lambda _: crash_after(gate))
            await settle()
            (asking,) = await later(actor.fail_fast().ask(Deeds.note, "impatient"))
            (telling,) = await later(actor.tell(Deeds.note, "patient"))
            gate.set()
            assert await raised_by(asking)
            await asyncio.wait_for(telling, 10)
            await s.idle()
        assert journal == ["patient"]

    async def test_an_ask_in_line_that_fails_fast_ends_with_the_restart(self, system: Make) -> None:
        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", bounded(1), journal)
            gate = asyncio.Event()
            await actor.tell(Deeds.do, lambda _: crash_after(gate))
            await settle()
            await actor.tell(Deeds.sleep, 1.0)
            (asking,) = await later(actor.fail_fast().ask(Deeds.note, "impatient"))
            gate.set()
            error = await raised_by(asking)
            assert isinstance(error, ActorRestarting)
            assert not error.handled
            await s.idle()
        assert journal == []

    async def test_room_that_an_old_tick_leaves_is_given_to_who_waits(self, system: Make) -> None:
        async def tick_and_crash(me: Deeds) -> None:
            me.ctx.after(0.0, Deeds.note, "tick")
            await asyncio.sleep(1)
            await me.crash()

        async with system(log=None) as s:
            journal: list[Any] = []
            actor = await s.spawn("actor", bounded(1), journal)
            await actor.tell(Deeds.do, tick_and_crash)
            await advance(0.5)
            (telling,) = await later(actor.tell(Deeds.note, "patient"))
            await asyncio.wait_for(telling, 10)
            await s.idle()
        assert journal == ["patient"]


class TestInspection:
    async def test_peek_shows_what_waits_next_first_and_takes_nothing(self, system: Make) -> None:
        async with system() as s:
            actor, journal, gate = await stuffed(s, Deeds, "a", "b", "c")
            shown = [Message("note", (word,)) for word in "abc"]
            assert list(s.peek(actor, 2)) == shown[:2]
            assert list(s.peek(actor)) == shown
            assert list(s.peek(actor, 0)) == []
            gate.set()
            await s.idle()
            assert list(s.peek(actor)) == []
        assert journal == ["a", "b", "c"]

    async def test_peek_shows_whether_somebody_waits_for_the_reply(self, system: Make) -> None:
        async with system() as s:
            actor, _, gate = await stuffed(s, Deeds, "told")
            await later(actor.ask(Deeds.note, word="asked"))
            assert list(s.peek(actor)) == [
                Message("note", ("told",)),
                Message("note", (), {"word": "asked"}, asked=True),
            ]
            gate.set()

    async def test_peeking_goes_on_while_the_mailbox_changes(self, system: Make) -> None:
        async with system() as s:
            actor, _, gate = await stuffed(s, Deeds, "a", "b")
            peeking = s.peek(actor)
            assert next(peeking).args == ("a",)
            gate.set()
            await s.idle()
            assert next(peeking).args == ("b",)

    async def test_nobody_s_mailbox_is_empty(self, system: Make) -> None:
        async with system() as s:
            assert list(s.peek(s.ref("/nobody", Deeds))) == []


class Nobody:
    """The owner of a mailbox without an actor."""

    path, kind, state = "/a", "Nobody", "running"

    def wake(self) -> None: ...

    def dropped(self, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        pytest.fail(reason)


# What happens to a mailbox: somebody sends, waits in line if there is no room, and may give up; the actor takes one.
STORY = st.lists(
    st.one_of(st.just(("send", 0)), st.just(("take", 0)), st.tuples(st.just("leave"), st.integers(0, 30))), max_size=60
)


@given(st.integers(1, 4), STORY)
def test_what_enters_is_taken_in_the_order_of_coming_whoever_leaves_the_line(
    limit: int, story: list[tuple[str, int]]
) -> None:
    async def tell() -> None:
        mailbox = Mailbox(Nobody(), limit, "wait")
        taken: list[int] = []
        line: list[int] = []  # the model: who is in or waits, in order
        sending: dict[int, asyncio.Task[None]] = {}
        sent = 0

        async def put(envelope: Envelope) -> None:
            if not mailbox.put_nowait(envelope):
                await mailbox.put(envelope, None)

        expected: list[int] = []
        for verb, number in story:
            if verb == "send":
                sending[sent] = asyncio.create_task(put(Envelope(Handler("note", Deeds.note), (sent,), None, None)))
                line.append(sent)
                sent += 1
            elif verb == "take" and line:
                taken.append(mailbox.queue.popleft().args[0])
                mailbox.release()
                expected.append(line.pop(0))
            elif verb == "leave" and number in line[limit:]:
                sending[number].cancel()
                line.remove(number)
            await settle()
            assert [message.args[0] for message in mailbox.peek(100)] == line[:limit]
            assert [not sending[one].done() for one in line] == [False] * min(limit, len(line)) + [True] * (
                len(line) - limit
            )
        left = mailbox.drain()
        assert [envelope.args[0] for envelope in left] == line
        assert taken == expected
        await settle()
        assert all(task.done() for task in sending.values())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(tell())


async def crash_after(gate: asyncio.Event) -> None:
    await gate.wait()
    raise ValueError("on purpose")
