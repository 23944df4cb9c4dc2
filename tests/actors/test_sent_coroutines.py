"""What `tell` and `ask` return is a coroutine like any other, in C as in Python."""

import asyncio
import gc
import inspect
import warnings
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from tests.actors.lives import Doer, Oops, Systems, quiet, sleep
from tests.actors.ways import Taker, Thing, in_use, way, words
from upright.actors import (
    Ref,
    UnknownHandler,
    WrongArguments,
)
from upright.actors.accelerator import PYTHON
from upright.actors.testing import settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_what_is_sent_is_a_coroutine_for_everybody(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        methods: list[Any] = [ref.tell, ref.ask]
        assert all(inspect.iscoroutinefunction(method) for method in (*methods, partial(methods[1], Doer.note)))
        made: list[Any] = [ref.tell(Doer.note, "task"), ref.ask(Doer.note, "task")]
        awaitable, is_one = inspect.isawaitable, asyncio.iscoroutine
        assert all(awaitable(one) and isinstance(one, Coroutine) for one in made)
        assert all(map(is_one, made))
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


async def test_what_was_to_be_piped_and_was_cancelled_first_is_closed(system: Systems) -> None:
    async def pipe_and_stop(doer: Any) -> None:
        doer.ctx.pipe(doer.ctx.self_ref.ask(Doer.note, "never"), Doer.result)
        doer.ctx.stop()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with quiet(system) as s:
            ref = await s.spawn("a", Doer)
            await ref.tell(Doer.do, pipe_and_stop)
            await s.idle()
        gc.collect()


async def test_one_that_has_ended_or_was_closed_keeps_nothing(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Taker)
        for closes in (False, True) if in_use() else (False,):  # Python 3.13 keeps the frame of one that it closes
            for send in (ref.tell, ref.ask):
                thing = Thing()
                made: Any = send(Taker.take, thing)
                seen = weakref.ref(thing)
                del thing
                if closes:
                    made.close()
                else:
                    await made
                await s.idle()
                await ref.tell(Taker.note, "another")
                await s.idle()
                assert seen() is None


async def test_two_cannot_await_the_same(system: Systems) -> None:
    async def wait_for(made: Any) -> Any:
        return await made

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        made = ref.within(10).ask(Doer.do, sleep(1.0))
        first = asyncio.create_task(wait_for(made))
        await settle()
        with pytest.raises(RuntimeError, match="being awaited already"):
            await wait_for(made)
        await first


async def test_it_can_be_watched_and_told_the_state_of(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        made: Any = ref.within(10).ask(Doer.do, sleep(1.0))
        assert weakref.getweakrefcount(made) == 0
        watched = weakref.ref(made)
        assert weakref.getweakrefs(made) == [watched]
        owner: Any = Ref
        assert weakref.ref(owner.tell)() is owner.tell
        assert not made.cr_suspended
        assert made.cr_code is PYTHON[Ref, "ask"].__code__
        asked = asyncio.create_task(made)
        await settle()
        assert inspect.getcoroutinestate(made) == inspect.CORO_SUSPENDED
        await asked
        assert inspect.getcoroutinestate(made) == inspect.CORO_CLOSED


async def test_one_that_runs_cannot_be_closed_or_stepped(system: Systems) -> None:
    refused: list[str] = []

    class Meddles:
        """A handler's stand-in whose hash is taken in the first step of a tell."""

        def __hash__(self) -> int:
            for deed in (made[0].close, lambda: made[0].send(None)):
                with pytest.raises(ValueError, match="already executing"):
                    deed()
                refused.append("refused")
            return 1

    made: list[Any] = []
    async with quiet(system) as s:
        ref: Any = await s.spawn("a", Doer)
        made.append(ref.tell(Meddles()))
        with pytest.raises(UnknownHandler):
            await made[0]
    assert refused
