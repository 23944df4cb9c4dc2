"""The laws of the line of those who wait for room: first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.deeds import raised_by
from upright.actors import MailboxFull
from upright.actors.envelope import Envelope
from upright.actors.handlers import Handler
from upright.actors.line import Line
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def nothing(_: Any) -> None: ...


def letter(word: Any) -> Envelope:
    return Envelope(Handler("note", nothing), (word,), None, None)


def words(envelopes: Any) -> list[Any]:
    """What envelopes say."""
    return [envelope.args[0] for envelope in envelopes]


class Queue:
    """A line, those who wait in it, and the queues that they enter."""

    def __init__(self) -> None:
        self.line = Line()
        self.waiting: dict[Any, asyncio.Task[None]] = {}
        self.told: list[Any] = []

    async def join(self, word: Any, timeout: float | None = None) -> None:
        async def wait() -> None:
            await self.line.join("/somewhere", letter(word), timeout)
            self.told.append(word)

        self.waiting[word] = asyncio.create_task(wait())
        await settle()

    def admit(self, room: int) -> list[Any]:
        """Who enters a queue with so much room."""
        queue: deque[Envelope] = deque()
        self.line.admit(queue, room)
        return words(queue)

    async def leave(self) -> None:
        for task in self.waiting.values():
            task.cancel()
        await settle()


async def filled(*words: Any) -> Queue:
    queue = Queue()
    for word in words:
        await queue.join(word)
    return queue


async def test_those_who_wait_enter_in_order_as_far_as_there_is_room_and_are_told_so() -> None:
    queue = await filled("a", "b", "c")
    assert queue.admit(2) == ["a", "b"]
    await settle()
    assert (queue.told, len(queue.line)) == (["a", "b"], 1)
    assert queue.admit(0) == []
    assert queue.admit(5) == ["c"]
    await settle()
    assert queue.told == ["a", "b", "c"]
    assert not queue.line


async def test_room_counts_what_is_in_the_queue_already() -> None:
    queue = await filled("a", "b")
    inside = deque([letter("x")])
    queue.line.admit(inside, 2)
    assert words(inside) == ["x", "a"]
    await queue.leave()


async def test_lines_that_share_their_orders_can_be_compared() -> None:
    orders = count(1)
    one, other = Line(orders), Line(orders)
    for line, word in ((one, "a"), (other, "b"), (one, "c")):
        line.hold(letter(word))
    places = sorted([*one, *other], key=lambda place: place.order)
    assert words(place.envelope for place in places) == ["a", "b", "c"]


async def test_the_first_that_may_enter_is_found_behind_those_that_may_not() -> None:
    queue = await filled("a", "b", "c")
    place = queue.line.first(lambda envelope: envelope.args[0] != "a")
    assert place is not None
    queue.line.remove(place)
    assert place.enter().args == ("b",)
    assert queue.line.first(lambda envelope: envelope.args[0] == "z") is None
    assert queue.admit(9) == ["a", "c"]


async def test_what_is_held_waits_like_all_others_though_nobody_waits_for_it() -> None:
    queue = await filled("a")
    queue.line.hold(letter("b"))
    queue.line.hold_in_front([letter("x"), letter("y")])
    assert queue.admit(9) == ["x", "y", "a", "b"]


async def test_one_who_gives_up_is_told_with_the_message_and_is_out_of_the_line() -> None:
    queue = Queue()
    await queue.join("a", timeout=1.0)
    await queue.join("b")
    await advance(1.0)
    error = await raised_by(queue.waiting["a"])
    assert isinstance(error, MailboxFull)
    assert (error.path, error.message.args) == ("/somewhere", ("a",))
    assert len(queue.line) == 1
    assert queue.admit(9) == ["b"]


async def test_one_who_is_cancelled_is_out_of_the_line() -> None:
    queue = await filled("a", "b")
    queue.waiting["a"].cancel()
    await settle()
    assert len(queue.line) == 1
    assert queue.admit(9) == ["b"]


async def test_one_who_gave_up_in_the_same_instant_does_not_enter() -> None:
    queue = await filled("a", "b")
    queue.waiting["a"].cancel()
    assert queue.admit(1) == ["b"]
    await settle()
    assert queue.told == ["b"]


async def test_one_who_was_let_in_before_it_was_cancelled_is_in() -> None:
    """Its message is out of its hands; nobody takes it back."""
    queue = await filled("a")
    assert queue.admit(1) == ["a"]
    queue.waiting["a"].cancel()
    await settle()
    assert queue.waiting["a"].cancelled()
    assert not queue.line


async def test_time_that_is_not_used_leaves_no_timer() -> None:
    loop: Any = asyncio.get_running_loop()
    queue = Queue()
    await queue.join("a", timeout=50.0)
    await queue.join("b", timeout=50.0)
    queue.waiting["b"].cancel()
    queue.admit(1)
    await settle()
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


async def test_what_is_taken_out_leaves_the_others_in_order_and_its_senders_wait_no_more() -> None:
    queue = await filled(*range(6))
    assert words(queue.line.take_out(lambda envelope: envelope.args[0] % 2 == 0)) == [0, 2, 4]
    await settle()
    assert queue.told == [0, 2, 4]
    assert queue.admit(9) == [1, 3, 5]


async def test_what_is_cleared_is_not_told_and_waits_on_where_it_is_put() -> None:
    queue, other = await filled("a", "b", "c"), Queue()
    places = queue.line.clear()
    await settle()
    assert (len(queue.line), queue.told) == (0, [])
    queue.waiting["b"].cancel()
    await settle()
    other.line.extend(places[1:])
    other.line.extend_in_front(places[:1])
    queue.waiting["c"].cancel()
    await settle()
    assert len(other.line) == 1, "one who gives up is out of the line that it stands in now"
    assert other.admit(9) == ["a"]


def multiples(number: int) -> Callable[[Envelope], bool]:
    return lambda envelope: bool(envelope.args[0] % number == 0)


Steps = list[tuple[str, int]]


def script(random: Random, length: int) -> Steps:
    steps: Steps = []
    for number in range(length):
        match random.randrange(8):
            case 0 | 1 | 2:
                steps.append(("join", number))
            case 3:
                steps.append(("cancel", random.randrange(length)))
            case 4:
                steps.append(("take out", random.randrange(2, 5)))
            case 5:
                steps.append(("clear and put back", 0))
            case _:
                steps.append(("admit", random.randrange(3)))
    return steps


async def perform(steps: Steps) -> None:
    """Everybody ends once: let in, taken out, or given up; and in the order of coming."""
    queue, out, inside = Queue(), list[Any](), list[Any]()
    for verb, value in steps:
        match verb:
            case "join":
                await queue.join(value)
            case "cancel" if value in queue.waiting:
                queue.waiting[value].cancel()
            case "take out":
                out += words(queue.line.take_out(multiples(value)))
            case "clear and put back":
                queue.line.extend(queue.line.clear())
            case "admit":
                inside += queue.admit(value)
            case _:
                pass
        await settle()
    assert sorted(queue.told) == sorted([*inside, *out])
    assert inside == sorted(inside)
    still = [word for word, task in queue.waiting.items() if not task.done()]
    assert len(queue.line) == len(still)
    assert queue.admit(99) == still
    await settle()
    assert all(task.done() for task in queue.waiting.values())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_everybody_is_let_in_once_or_gives_up_and_in_order(seed: int, length: int) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(perform(script(Random(seed), length)))
