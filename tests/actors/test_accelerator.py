"""The accelerator is used where it can be built, and looks like the Python that it stands in for.

That it does the same is what all other tests say; they run with it and, under `UPRIGHT_PURE=1`, without.
"""

import asyncio
import inspect
import os
import shutil
import sysconfig
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from tests.actors.lives import Doer, Oops, Systems, crash, hang, quiet, sleep
from upright.actors import ActorFailed, ActorSystem, AskTimedOut, Ref, UnknownHandler, WrongArguments
from upright.actors.accelerator import METHODS, PYTHON, accelerate
from upright.actors.dispatcher import Dispatcher
from upright.actors.life import Life
from upright.actors.testing import VirtualTimeLoop, settle

pytestmark = pytest.mark.anyio
built = pytest.mark.skipif(not METHODS, reason="the accelerator is not built here, or is turned off by UPRIGHT_PURE")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture(params=["accelerated", "in Python"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each law holds both ways."""
    way: str = request.param
    accelerate(way == "accelerated")
    yield way
    accelerate()


def in_use() -> bool:
    return bool(METHODS) and Ref.tell is METHODS[Ref, "tell"]


def test_it_is_built_where_there_is_a_compiler() -> None:
    if os.environ.get("UPRIGHT_PURE", "0") not in ("", "0"):
        assert not METHODS
    elif shutil.which("cc") and Path(sysconfig.get_path("include"), "Python.h").is_file():
        assert set(METHODS) == {(Ref, "ask"), (Ref, "tell"), (Life, "serve"), (Dispatcher, "work")}


@built
def test_it_can_be_turned_off_and_on_again() -> None:
    assert accelerate()
    assert in_use()
    assert not accelerate(False)
    assert (Ref.tell, Ref.ask) == (PYTHON[Ref, "tell"], PYTHON[Ref, "ask"])
    assert accelerate()
    assert in_use()


@pytest.mark.parametrize("name", ["tell", "ask"])
def test_its_methods_look_like_those_of_python(name: str) -> None:
    method, original = getattr(Ref, name), PYTHON[Ref, name]
    assert inspect.iscoroutinefunction(method)
    assert inspect.signature(method) == inspect.signature(original)
    for attribute in ("__doc__", "__name__", "__qualname__", "__module__"):
        assert getattr(method, attribute) == getattr(original, attribute)
    assert name in repr(method)


async def test_a_mock_of_a_ref_has_async_methods() -> None:
    ref = create_autospec(Ref, instance=True)
    await ref.tell(Doer.note, "x")
    ref.tell.assert_awaited_once_with(Doer.note, "x")


async def test_what_is_sent_is_a_coroutine_for_everybody(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        made: list[Any] = [ref.tell(Doer.note, "task"), ref.ask(Doer.note, "task")]
        assert all(inspect.isawaitable(one) and isinstance(one, Coroutine) and asyncio.iscoroutine(one) for one in made)
        assert [one.__qualname__ for one in made] == ["Ref.tell", "Ref.ask"]
        told, asked = (asyncio.create_task(one) for one in made)
        assert (await told, await asked) == (None, "task")
        both: Any = await asyncio.gather(ref.tell(Doer.note, "gather"), ref.ask(Doer.note, "gather"))
        assert both == [None, "gather"]
        assert await asyncio.wait_for(ref.ask(Doer.note, "wait_for"), 1) == "wait_for"
        async with asyncio.TaskGroup() as group:
            group.create_task(ref.tell(Doer.note, "group"))


async def test_nothing_is_sent_before_it_is_awaited(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        waits = ref.tell(Doer.note, "later")
        await s.idle()
        assert list(s.peek(ref)) == []
        await waits
        assert await ref.ask(Doer.do, words) == ["later 1"]


async def words(doer: Doer) -> list[str]:
    return list(doer.diary.words)


@pytest.mark.parametrize("name", ["tell", "ask"])
async def test_one_that_was_closed_or_thrown_into_sends_nothing(system: Systems, name: str) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        send: Callable[..., Any] = getattr(ref, name)
        closed = send(Doer.note, "closed")
        closed.close()
        closed.close()
        thrown = send(Doer.note, "thrown")
        with pytest.raises(Oops):
            thrown.throw(Oops())
        for one in (closed, thrown):
            with pytest.raises(RuntimeError, match="already awaited"):
                await one
        sent = send(Doer.note, "sent")
        with pytest.raises(TypeError, match="just-started"):
            sent.send(1)
        sent.close()
        assert await ref.ask(Doer.do, words) == []


@pytest.mark.parametrize("name", ["tell", "ask"])
async def test_one_that_is_never_awaited_warns(system: Systems, name: str) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        for _ in range(3):  # what was used before is used again
            with pytest.warns(RuntimeWarning, match=rf"coroutine 'Ref\.{name}' was never awaited"):
                getattr(ref, name)(Doer.note, "lost")
            await ref.tell(Doer.note, "kept")


async def test_none_is_awaited_twice(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        for made in (ref.tell(Doer.note, "once"), ref.ask(Doer.note, "once")):
            await made
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await made
        assert await ref.ask(Doer.do, words) == ["once 1", "once 1"]


async def test_what_is_called_wrongly_says_so_at_once(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        for name in ("tell", "ask"):
            with pytest.raises(TypeError, match="handler"):
                getattr(ref, name)()
        wrongs: list[Any] = [len, "note", [], Doer.started, ref.tell]
        for wrong in wrongs:
            with pytest.raises(UnknownHandler):
                await ref.tell(wrong)
            with pytest.raises(UnknownHandler):
                await ref.ask(wrong)
        with pytest.raises(WrongArguments):
            await ref.ask(Doer.note, "one", "too many")  # type: ignore[call-arg]
        with pytest.raises(WrongArguments):
            await ref.ask(Doer.note, words="x")  # type: ignore[call-arg]


@pytest.mark.parametrize("count", [0, 1, 2, 6, 7, 12])
async def test_arguments_arrive_as_they_were_given(system: Systems, count: int) -> None:
    class Takes(Doer):
        async def take(self, *args: Any, **kwargs: Any) -> Any:
            return args, kwargs

    args = tuple(object() for _ in range(count))
    async with quiet(system) as s:
        ref = await s.spawn("a", Takes)
        assert await ref.ask(Takes.take, *args) == (args, {})
        assert await ref.ask(Takes.take, *args, key=1, word="x") == (args, {"key": 1, "word": "x"})


async def test_a_handler_may_raise_anything_and_a_type_error_of_its_own_is_a_crash(system: Systems) -> None:
    async def no_line(_: Any) -> None:
        raise TypeError("of the handler itself")

    class Bad(Doer):
        async def bad(self) -> None:
            raise TypeError("in its first line")

        async def stops(self) -> None:
            raise StopIteration("not an end")

    async with quiet(system) as s:
        for deed in (no_line, crash):
            with pytest.raises(ActorFailed):
                await (await s.spawn(deed.__name__, Doer)).ask(Doer.do, deed)
        for handler in (Bad.bad, Bad.stops):
            with pytest.raises(ActorFailed):
                await (await s.spawn(handler.__name__, Bad)).ask(handler)


async def test_an_ask_leaves_nothing_behind_however_it_ends(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        directory: Any = ref._directory
        deadlines = directory.deadlines
        assert await ref.ask(Doer.note, "answered") == "answered"
        waits = asyncio.create_task(ref.ask(Doer.do, sleep(2.0)))
        await settle()
        assert len(deadlines) == 1
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        with pytest.raises(AskTimedOut):
            await ref.within(0.01).ask(Doer.note, "late")
        with pytest.raises(AskTimedOut):
            await ref.within(0).ask(Doer.note, "at once")
        with pytest.raises(ActorFailed):
            await ref.ask(Doer.do, crash)
        assert len(deadlines) == 0


class Thing:
    """Something that can be watched."""


class Taker(Doer):
    """Takes something and keeps nothing."""

    async def take(self, thing: Thing) -> None:
        assert isinstance(thing, Thing)


async def test_what_was_said_is_let_go_when_it_was_handled(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        seen: list[weakref.ref[Thing]] = []
        taker = await s.spawn("taker", Taker)
        for send in (taker.tell, taker.ask):
            thing = Thing()
            seen.append(weakref.ref(thing))
            await send(Taker.take, thing)
            del thing
            await s.idle()
        await ref.tell(Doer.note, "another")
        assert [found() for found in seen] == [None, None]


async def test_envelopes_that_are_used_again_carry_nothing_from_one_message_to_another(system: Systems) -> None:
    class Takes(Doer):
        def __init__(self) -> None:
            super().__init__()
            self.got: list[Any] = []

        async def take(self, *args: Any, **kwargs: Any) -> None:
            self.got.append((args, kwargs))

        async def all(self) -> list[Any]:
            return self.got

    sent: list[Any] = [((), {"k": 1}), ((1,), {}), ((), {}), ((1, 2), {"k": 2})] * 50
    async with quiet(system) as s:
        ref = await s.spawn("a", Takes)
        for args, kwargs in sent:
            await ref.tell(Takes.take, *args, **kwargs)
            if len(args) == 1:
                await s.idle()
        assert await ref.ask(Takes.all) == sent


async def test_a_drain_that_waits_can_be_looked_into(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, hang)
        await settle()
        cell: Any = ref.recipient
        steps: Any = cell.life.stack
        assert steps.cr_await.__name__ == "do"
        assert not steps.cr_running
        assert steps.__qualname__ == "Life.serve"


async def test_handlers_of_every_kind_of_awaitable_work(system: Systems) -> None:
    class Waits:
        def __init__(self, result: Awaitable[Any]) -> None:
            self.result = result

        def __await__(self) -> Any:
            return self.result.__await__()

    async def deed(_: Any) -> Any:
        return await Waits(asyncio.sleep(0.01, "slept"))

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        assert await ref.ask(Doer.do, deed) == "slept"


async def waiting(s: ActorSystem, name: str = "busy") -> tuple[asyncio.Task[str], Any]:
    """An ask that waits in a mailbox, and what it waits for."""
    ref = await s.spawn(name, Doer)
    await ref.tell(Doer.do, sleep(1_000))
    asked = asyncio.create_task(ref.within(1_000_000).ask(Doer.note, "x"))
    await settle()
    found: Any = ref.recipient
    return asked, found.mailbox.queue[0].reply


async def test_what_an_ask_waits_for_is_a_future_for_everybody(system: Systems) -> None:
    async with quiet(system) as s:
        asked, reply = await waiting(s)
        assert asyncio.isfuture(reply)
        assert reply.get_loop() is asyncio.get_running_loop()
        assert not reply.done()
        for early in (reply.result, reply.exception):
            with pytest.raises(asyncio.InvalidStateError):
                early()
        calls: list[Any] = []
        counted = [calls.append, lambda _: calls.append("second"), lambda _: calls.append("third")]
        for callback in counted:
            reply.add_done_callback(callback)
        assert reply.remove_done_callback(counted[1]) == 1
        assert reply.remove_done_callback(counted[1]) == 0
        reply.set_result("done")
        assert calls == [], "callbacks are called by the loop"
        with pytest.raises(asyncio.InvalidStateError):
            reply.set_result(1)
        with pytest.raises(asyncio.InvalidStateError):
            reply.set_exception(Oops())
        assert not reply.cancel()
        assert await asked == "done"
        reply.add_done_callback(calls.append)
        await settle()
        assert calls == [reply, "third", reply]
        assert (reply.result(), reply.exception(), reply.cancelled()) == ("done", None, False)
        assert await reply == "done"


async def test_a_reply_may_be_an_error_or_be_cancelled_with_words(system: Systems) -> None:
    async with quiet(system) as s:
        asked, reply = await waiting(s)
        with pytest.raises(TypeError):
            reply.set_exception("no error")
        reply.set_exception(Oops("as told"))
        with pytest.raises(Oops, match="as told"):
            await asked
        assert isinstance(reply.exception(), Oops)
        asked, reply = await waiting(s, "another")
        assert asked.cancel("for a reason")
        with pytest.raises(asyncio.CancelledError, match="for a reason"):
            await asked
        assert reply.cancelled()
        for raises in (reply.result, reply.exception):
            with pytest.raises(asyncio.CancelledError, match="for a reason"):
                raises()


async def test_callbacks_have_the_context_that_they_were_added_in(system: Systems) -> None:
    word: ContextVar[str] = ContextVar("word", default="none")
    seen: list[str] = []
    async with quiet(system) as s:
        asked, reply = await waiting(s)
        word.set("mine")
        reply.add_done_callback(lambda _: seen.append(word.get()))
        other = copy_context()
        other.run(word.set, "other")
        reply.add_done_callback(lambda _: seen.append(word.get()), context=other)
        word.set("later")
        reply.set_result("done")
        await asked
        assert seen == ["mine", "other"]


async def test_a_callback_that_raises_is_told_to_the_loop_and_harms_no_other(system: Systems) -> None:
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fail(_: Any) -> None:
        raise Oops

    async with quiet(system) as s:
        asked, reply = await waiting(s)
        reply.add_done_callback(fail)
        seen: list[Any] = []
        reply.add_done_callback(seen.append)
        reply.set_result("done")
        assert await asked == "done"
        await settle()
        assert seen == [reply]
        assert [type(error) for error in told] == [Oops]


async def test_who_asked_first_is_woken_first_each_in_a_task_of_its_own(system: Systems) -> None:
    order: list[int] = []

    async def ask(ref: Ref[Doer], number: int) -> None:
        await ref.ask(Doer.note, str(number))
        order.append(number)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await asyncio.gather(*(ask(ref, number) for number in range(200)))
        assert order == list(range(200))


def test_an_error_that_ends_the_loop_in_one_callback_does_not_lose_the_others() -> None:
    seen: list[Any] = []

    def leave(_: Any) -> None:
        raise SystemExit(3)

    async def main() -> None:
        async with ActorSystem(log=None) as s:
            asked, reply = await waiting(s)
            reply.add_done_callback(leave)
            reply.add_done_callback(seen.append)
            reply.set_result("done")
            await asked

    with pytest.raises(SystemExit), asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert len(seen) == 1


def test_loops_in_several_threads_wake_their_own() -> None:
    async def main(name: str) -> list[str]:
        async with ActorSystem(log=None) as s:
            ref = await s.spawn("a", Doer)
            found: list[str] = []
            for number in range(50):
                found += await asyncio.gather(*(ref.ask(Doer.note, f"{name}{number}") for _ in range(5)))
            return found

    with ThreadPoolExecutor(4) as threads:
        for name, found in zip("abcd", threads.map(lambda name: asyncio.run(main(name)), "abcd"), strict=True):
            assert found == [f"{name}{number}" for number in range(50) for _ in range(5)]
