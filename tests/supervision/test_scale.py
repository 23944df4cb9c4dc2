"""The laws of scale, in work and not in seconds: function calls, and steps of the loop, are counted.

What a call of C code does inside is not seen here.
"""

import asyncio
import gc
import itertools
import sys
import tracemalloc
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.actors.lives import Doer, crash, no_trace
from tests.actors.loops import LOOPS, MakeLoop
from tests.supervision.trees import Book, member, tree
from upright.actors import Actor, ActorSystem, DeadLetter
from upright.actors.events import ActorRestarted
from upright.actors.testing import Recorder, VirtualTimeLoop, settle
from upright.supervision import Backoff, DynamicSupervisor, child, dynamic
from upright.supervision.backoff import Jitter

Scene = Callable[[], Coroutine[Any, Any, Any]]


class Forgetful(Actor):
    """A dead-letter actor that keeps nothing."""

    async def letter(self, letter: DeadLetter) -> None: ...


class Hooked(Actor):
    """One with both hooks, and so with a task of its own."""

    async def started(self) -> None: ...

    async def stopping(self, reason: object) -> None: ...


async def calls_in(work: Awaitable[Any]) -> int:
    """How many calls of Python and C functions are made, by anybody, until that has been done."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        await work
        await settle()
    finally:
        sys.setprofile(None)
    return count


def on_virtual_time(scene: Scene) -> Any:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(scene())


def bare(*specs: Any) -> ActorSystem:
    """A system that tells nobody anything and keeps no letter."""
    return ActorSystem(*specs, log=None, blocked_after=None, dead_letters=Forgetful)


def calls_to_start_and_stop(count: int, kind: type[Actor]) -> tuple[int, int]:
    """The calls that a static tree of so many children takes to start, and to stop."""

    async def scene() -> tuple[int, int]:
        system = bare(tree(*(child(str(number), kind) for number in range(count))))
        return await calls_in(system.start()), await calls_in(system.stop())

    found: tuple[int, int] = on_virtual_time(scene)
    return found


@pytest.mark.parametrize("kind", [Doer, Hooked])
def test_starting_and_stopping_a_static_tree_costs_each_child_the_same_however_many_there_are(
    kind: type[Actor],
) -> None:
    few, many = calls_to_start_and_stop(200, kind), calls_to_start_and_stop(4_000, kind)
    for one, other in zip(few, many, strict=True):
        assert other / 4_000 < 1.5 * one / 200


def calls_of_dynamic(count: int) -> int:
    """The calls to start so many children while a supervisor runs, and to end them all, half of them one by one."""

    async def scene() -> int:
        async with bare(dynamic("top")) as s:
            rooms = s.ref("/top", DynamicSupervisor)

            async def come_and_go() -> None:
                refs = [
                    await rooms.ask(DynamicSupervisor.start_child, child(str(number), Doer)) for number in range(count)
                ]
                for ref in refs[::2]:
                    await rooms.ask(DynamicSupervisor.terminate_child, ref)
                await s.kill(rooms)

            return await calls_in(come_and_go())

    found: int = on_virtual_time(scene)
    return found


def test_starting_and_ending_children_of_a_dynamic_supervisor_costs_each_the_same_however_many_there_are() -> None:
    assert calls_of_dynamic(5_000) < 15 * calls_of_dynamic(500)


def calls_of_restart(siblings: int, last: bool) -> int:
    async def scene() -> int:
        async with bare(tree(*(child(str(number), Doer) for number in range(siblings)))) as s:
            ref = member(s, str(siblings - 1 if last else 0))
            await ref.tell(Doer.do, crash)  # once before it is counted: what is looked up once is not the law
            await settle()
            return await calls_in(ref.tell(Doer.do, crash))

    found: int = on_virtual_time(scene)
    return found


@pytest.mark.parametrize("last", [False, True])
def test_a_restart_of_one_alone_costs_the_same_with_ten_siblings_and_with_ten_thousand(last: bool) -> None:
    assert calls_of_restart(10_000, last) <= calls_of_restart(10, last) + 10


def test_ten_thousand_supervised_restarts_leave_no_task_timer_reference_or_memory_behind() -> None:
    made: weakref.WeakSet[Doer] = weakref.WeakSet()

    async def scene() -> None:
        async with bare(tree(child("a", Doer, None, made.add), max_restarts=20_000, within=1_000.0)) as s:
            ref = member(s, "a")

            async def restart(times: int) -> None:
                for _ in range(times):
                    await ref.tell(Doer.do, crash)
                    await settle()
                gc.collect()

            await restart(100)
            tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
            await restart(9_900)
            loop: Any = asyncio.get_running_loop()
            assert [timer for timer in loop._scheduled if not timer.cancelled()] == []
            assert len(asyncio.all_tasks()) == tasks
            assert len(gc.get_objects()) - objects < 500
            assert len(made) <= 2, "the last error may hold its frames, and these their instance"
            tracemalloc.start()
            try:
                await restart(500)
                before = tracemalloc.get_traced_memory()[0]
                await restart(2_000)
                # The times of the restarts that count are kept, up to `max_restarts` of them: 24 bytes and a place.
                assert tracemalloc.get_traced_memory()[0] - before < 2_000 * 40 + 50_000
            finally:
                tracemalloc.stop()
        assert no_trace()

    on_virtual_time(scene)


class Jumpy(Doer):
    """Notes when it starts."""

    def __init__(self, times: list[float], crashes: int) -> None:
        super().__init__()
        times.append(asyncio.get_running_loop().time())
        if len(times) <= crashes:
            self.ctx.after(0.0, Doer.do, crash)


@pytest.mark.parametrize(("jitter", "least"), [("equal", 0.5), ("full", 0.0)])
def test_the_delays_of_a_live_back_off_lie_in_its_range_and_differ(jitter: Jitter, least: float) -> None:
    backoff = Backoff(1.0, 8.0, jitter=jitter)

    async def scene() -> None:
        times: list[list[float]] = [[] for _ in range(5)]
        specs = [child(str(at), Jumpy, each, 30).options(backoff=backoff) for at, each in enumerate(times)]
        async with bare(tree(*specs, max_restarts=1_000, within=1.0)) as s:
            await asyncio.sleep(1_000)
            assert {node.state for node in s.tree().children} == {"running"}
        for each in times:
            delays = [later - earlier for earlier, later in itertools.pairwise(each)]
            assert len(delays) == 30
            for nth, delay in enumerate(delays):
                whole = min(8.0, 2.0**nth)
                assert least * whole - 1e-9 <= delay <= whole + 1e-9
            assert len({round(delay, 6) for delay in delays[3:]}) == 27
        assert len({tuple(each) for each in times}) == 5, "children that failed together come back apart"

    on_virtual_time(scene)


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize(
    ("strategy", "lives"),
    [
        ("one_for_one", {"a": 1, "b": 2, "c": 1}),
        ("one_for_all", {"a": 2, "b": 2, "c": 2}),
        ("rest_for_one", {"a": 1, "b": 2, "c": 2}),
    ],
)
def test_every_strategy_holds_on_every_event_loop(make_loop: MakeLoop, strategy: Any, lives: dict[str, int]) -> None:
    book = Book()

    async def main() -> None:
        system = ActorSystem(tree(*book.children("a", "b", "c"), strategy=strategy), log=None)
        recorder = Recorder(system)
        async with system:
            await member(system, "b").tell(Doer.do, crash)
            await recorder.wait_for(ActorRestarted, "/top/c" if lives["c"] == 2 else "/top/b")
            assert await member(system, "b").ask(Doer.note, "back") == "back"
            assert book.lives == lives
        assert book.acts("stopped")[-3:] == ["c stopped", "b stopped", "a stopped"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
