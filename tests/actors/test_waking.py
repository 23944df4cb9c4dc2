"""The laws of the waker: those whose replies follow each other go on as if each had its own callback of the loop."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.actors.loops import MakeLoop, debugging
from upright.actors.waking import Waker

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")
PLAIN_LOOPS = [asyncio.new_event_loop, debugging, uvloop.new_event_loop]


def play(
    scene: Callable[[Waker], Coroutine[Any, Any, None]], make_loop: MakeLoop = asyncio.new_event_loop
) -> list[Any]:
    """Play a scene on a loop of its own, and return what the loop complained of."""
    complaints = list[Any]()

    loop = make_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    async def main() -> None:
        playing = asyncio.create_task(scene(Waker(loop)))
        # A task that is never woken cannot be cancelled either, so that to wait for it would hang.
        await asyncio.wait({playing}, timeout=10)
        playing.result()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return complaints


def replies(count: int) -> list[asyncio.Future[Any]]:
    loop = asyncio.get_running_loop()
    return [loop.create_future() for _ in range(count)]


class Waiting:
    """Tasks that wait for replies, one each, and note who went on, with what."""

    def __init__(self, *waited_for: asyncio.Future[Any]) -> None:
        self.order: list[Any] = []
        self.tasks = [
            asyncio.create_task(self.wait(number, reply), context=contextvars.copy_context())
            for number, reply in enumerate(waited_for)
        ]

    async def wait(self, number: int, reply: asyncio.Future[Any]) -> Any:
        VARIABLE.set(f"of {number}")
        result = await reply
        self.order.append((number, result, VARIABLE.get()))
        return result


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
def test_replies_that_follow_each_other_are_woken_in_order_each_in_its_own_context(make_loop: MakeLoop) -> None:
    async def scene(waker: Waker) -> None:
        given = replies(10)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        for number in reversed(range(10)):
            waker.answer(given[number], number * number)
        assert all(reply.done() for reply in given)
        assert waiting.order == [], "nobody goes on before the loop turns"
        await asyncio.gather(*waiting.tasks)
        assert waiting.order == [(number, number * number, f"of {number}") for number in reversed(range(10))]
        assert VARIABLE.get() == "unset"

    assert play(scene, make_loop) == []


def test_many_replies_take_two_places_in_the_loops_queue_and_each_its_own_in_debug_mode() -> None:
    async def scene(waker: Waker) -> None:
        loop: Any = asyncio.get_running_loop()
        given = replies(10)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        loop.call_soon(str)
        before = len(loop._ready)
        for reply in given:
            waker.answer(reply, None)
        assert len(loop._ready) - before == (10 if loop.get_debug() else 2), "the first one alone, the rest together"
        await asyncio.gather(*waiting.tasks)

    assert play(scene) == []
    assert play(scene, debugging) == []


def test_debug_mode_that_is_turned_on_later_ends_the_sharing() -> None:
    async def scene(waker: Waker) -> None:
        loop: Any = asyncio.get_running_loop()
        given = replies(6)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        loop.set_debug(True)
        loop.call_soon(str)
        before = len(loop._ready)
        for reply in given:
            waker.answer(reply, None)
        assert len(loop._ready) - before == 6
        await asyncio.gather(*waiting.tasks)
        assert [number for number, *_ in waiting.order] == list(range(6))

    assert play(scene) == []


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_what_is_scheduled_between_two_replies_is_called_between_them(make_loop: MakeLoop, after: int) -> None:
    async def scene(waker: Waker) -> None:
        loop = asyncio.get_running_loop()
        given = replies(6)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        for number, reply in enumerate(given):
            waker.answer(reply, None)
            if number == after:
                loop.call_soon(waiting.order.append, ("called",))
        await asyncio.gather(*waiting.tasks)
        expected: list[Any] = list(range(6))
        expected.insert(after + 1, "called")
        assert [entry[0] for entry in waiting.order] == expected

    assert play(scene, make_loop) == []


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_a_callback_that_raises_is_told_and_keeps_nobody_from_going_on(make_loop: MakeLoop, place: int) -> None:
    def fail(_: object) -> None:
        raise ValueError("on purpose")

    async def scene(waker: Waker) -> None:
        given = replies(5)
        special = given.pop(place)
        special.add_done_callback(fail)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        given.insert(place, special)
        for number, reply in enumerate(given):
            waker.answer(reply, number)
        assert await asyncio.gather(*waiting.tasks) == [number for number in range(5) if number != place]
        assert [number for number, *_ in waiting.order] == [0, 1, 2, 3]

    (complaint,) = play(scene, make_loop)
    assert isinstance(complaint, ValueError)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_one_that_ends_the_loop_keeps_nobody_from_going_on_when_it_runs_again(
    error: type[BaseException], place: int
) -> None:
    async def leave(reply: asyncio.Future[Any]) -> None:
        await reply
        raise error

    async def begin() -> tuple[Waiting, list[asyncio.Future[Any]], asyncio.Task[None], Waker]:
        given = replies(5)
        leaving = asyncio.create_task(leave(given[place]))
        waiting = Waiting(*(reply for number, reply in enumerate(given) if number != place))
        await asyncio.sleep(0)
        return waiting, given, leaving, Waker(asyncio.get_running_loop())

    async def answer_all(waker: Waker, given: list[asyncio.Future[Any]]) -> None:
        for number, reply in enumerate(given):
            waker.answer(reply, number)
        await asyncio.sleep(1)

    async def the_rest(waiting: Waiting) -> list[Any]:
        await asyncio.wait(waiting.tasks, timeout=10)
        return [task.result() for task in waiting.tasks]

    loop = asyncio.new_event_loop()
    try:
        waiting, given, leaving, waker = loop.run_until_complete(begin())
        answering = loop.create_task(answer_all(waker, given))
        with pytest.raises(error):
            loop.run_until_complete(answering)
        assert loop.run_until_complete(the_rest(waiting)) == [number for number in range(5) if number != place]
        assert [number for number, *_ in waiting.order] == [0, 1, 2, 3]
        assert isinstance(leaving.exception(), error)
        answering.cancel()
        loop.run_until_complete(asyncio.wait({answering}))
    finally:
        loop.close()


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_reply_with_no_waiter_or_with_several_is_given_as_to_any_future(make_loop: MakeLoop, place: int) -> None:
    async def scene(waker: Waker) -> None:
        given, twice = replies(4), list[object]()
        for _ in range(2):
            given[place].add_done_callback(twice.append)
        waiting = Waiting(*given[:place], given[place], given[place], given[place], *given[place + 1 :])
        nobody = replies(3)
        await asyncio.sleep(0)
        for reply, other in zip(given, [*nobody, None], strict=True):
            waker.answer(reply, "said")
            if other is not None:
                waker.answer(other, "to nobody")
        await asyncio.gather(*waiting.tasks)
        assert [number for number, *_ in waiting.order] == list(range(6))
        assert [other.result() for other in nobody] == ["to nobody"] * 3
        assert twice == [given[place]] * 2

    assert play(scene, make_loop) == []


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_reply_that_was_given_or_given_up_cannot_be_given_and_harms_no_other(make_loop: MakeLoop, place: int) -> None:
    async def scene(waker: Waker) -> None:
        given = replies(4)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        waiting.tasks[place].cancel()
        await asyncio.sleep(0)
        assert given[place].cancelled()
        for number, reply in enumerate(given):
            for again in (False, True):
                if number == place or again:
                    with pytest.raises(asyncio.InvalidStateError):
                        waker.answer(reply, "again")
                else:
                    waker.answer(reply, "said")
        await asyncio.wait(waiting.tasks)
        assert waiting.tasks[place].cancelled()
        assert [number for number, *_ in waiting.order] == [number for number in range(4) if number != place]
        assert {result for _, result, _ in waiting.order} == {"said"}

    assert play(scene, make_loop) == []


@pytest.mark.parametrize("make_loop", PLAIN_LOOPS)
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_one_that_is_cancelled_between_its_reply_and_its_going_on_is_cancelled_as_with_any_future(
    make_loop: MakeLoop, place: int
) -> None:
    def give(reply: asyncio.Future[Any], number: int) -> None:
        reply.set_result(number)

    async def outcome(answer: Callable[[asyncio.Future[Any], int], None]) -> list[Any]:
        given = replies(5)
        waiting = Waiting(*given)
        await asyncio.sleep(0)
        for number, reply in enumerate(given):
            answer(reply, number)
        waiting.tasks[place].cancel()
        await asyncio.wait(waiting.tasks)
        return [[task.cancelled() for task in waiting.tasks], waiting.order, [reply.result() for reply in given]]

    async def scene(waker: Waker) -> None:
        assert await outcome(waker.answer) == await outcome(give)

    assert play(scene, make_loop) == []


def test_a_queue_that_is_no_plain_deque_is_not_looked_into() -> None:
    class Odd:
        _ready: list[Any] = []

    odd: Any = Odd()
    assert Waker(odd).ready is None
    uv = uvloop.new_event_loop()
    try:
        assert Waker(uv).ready is None
    finally:
        uv.close()


def test_one_that_is_woken_may_give_the_replies_of_others() -> None:
    async def scene(waker: Waker) -> None:
        given = replies(6)
        waiting = Waiting(*given)
        given[1].add_done_callback(lambda _: waker.answer(given[4], "from within"))
        given[2].add_done_callback(lambda _: waker.answer(given[5], "from within"))
        await asyncio.sleep(0)
        for reply in given[:4]:
            waker.answer(reply, "said")
        await asyncio.gather(*waiting.tasks)
        assert [number for number, *_ in waiting.order] == list(range(6))

    assert play(scene) == []
