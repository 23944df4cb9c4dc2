"""The laws of a supervisor that is set aside while a child comes up again: what waits, and what goes on as before."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.lives import Deed, Doer, Starter, Systems, crash, hang, rest, sleep, wait_for
from tests.actors.loops import LOOPS, MakeLoop
from tests.supervision.trees import (
    Book,
    awaited,
    carriers,
    fell,
    grown,
    is_aside,
    member,
    now,
    slow,
    states,
    top,
    tree,
    up_again,
)
from upright.actors import ActorSystem, AskCycle
from upright.actors.events import ActorRestarted, ActorStartFailed
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import Backoff, DynamicSupervisor, Pool, Supervisor, dynamic, pool, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ALL: Any = "one_for_all"
REST: Any = "rest_for_one"
INNER = "/top/in"


async def test_many_supervisors_that_wait_for_children_hold_no_task_and_serve_nothing_else(system: Systems) -> None:
    book, gate = Book(), asyncio.Event()
    names = [f"s{number}" for number in range(30)]
    inner = [supervisor(name, slow(book, f"{name}c", wait_for(gate))) for name in names]
    async with grown(system, *inner) as s:
        for name in names:
            assert member(s, f"{name}c", f"/top/{name}").try_tell(Doer.do, crash)
        await settle()
        asked = {name: awaited(states(s, f"/top/{name}")) for name in names}
        await advance(100.0)
        assert not any(task.done() for task in asked.values())
        assert all(is_aside(s, f"/top/{name}") for name in names)
        assert {f"/top/{name}/{name}c" for name in names} <= carriers()
        gate.set()
        assert {name: await task for name, task in asked.items()} == {name: {f"{name}c": "up"} for name in names}


async def test_when_the_start_fails_the_supervisor_answers_and_tries_again(system: Systems) -> None:
    async def fail_late(me: Doer) -> None:
        await asyncio.sleep(1.0)
        await crash(me)

    book = Book()
    async with grown(system, slow(book, "a", fail_late, fail_late, rest)) as s:
        assert member(s, "a").try_tell(Doer.do, crash)
        await settle()
        asked = awaited(states(s))
        assert await asked == {"a": "restarting"}
        assert (now(), book.lives) == (1.0, {"a": 2})
        await up_again(s, "a", path="/top")
        assert (now(), book.lives) == (2.0, {"a": 4})


async def test_a_start_that_has_used_up_its_time_is_tried_again_and_whoever_asked_is_answered(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    async with grown(system, slow(book, "a", hang, rest).options(start_timeout=2.0)) as s:
        assert member(s, "a").try_tell(Doer.do, crash)
        await settle()
        assert is_aside(s, "/top")
        assert await states(s) in ({"a": "restarting"}, {"a": "up"})
        assert now() == 2.0
        await up_again(s, "a", path="/top")
        (failed,) = recorders[0].of(ActorStartFailed)
        assert isinstance(failed.error, TimeoutError)


@pytest.mark.parametrize(("strategy", "names"), [(ALL, "abcd"), (REST, "bcd")])
@pytest.mark.parametrize("halts", [True, False])
async def test_a_group_is_stopped_and_each_of_it_is_waited_for_in_order(
    system: Systems, strategy: Any, names: str, halts: bool
) -> None:
    """It holds a task if it had to wait for the end of the siblings; after a delay they are down already."""
    book = Book()
    specs = {name: slow(book, name, sleep(1.0)) for name in "abcd"}
    if not halts:
        specs["b"] = specs["b"].options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, *specs.values(), strategy=strategy) as s:
        book.words.clear()
        await fell(s, member(s, "b"), "crash")
        await advance(0.0 if halts else 10.0)
        begun, asked = now(), awaited(states(s))
        for _ in names:
            await settle()
            assert is_aside(s, "/top") is not halts
            assert not asked.done()
            await advance(1.0)
        assert await asked == dict.fromkeys("abcd", "up")
        assert now() == begun + len(names)
        assert book.acts("starting", "started") == [
            f"{name} {verb}" for name in names for verb in ("starting", "started")
        ]


@pytest.mark.parametrize("first", ["x", "y"])
async def test_two_that_are_set_aside_at_once_go_on_each_when_its_own_child_is_up(system: Systems, first: str) -> None:
    """The upper one waits for a child of its own meanwhile, and so for its answer to an ask."""
    book, gates = Book(), {name: asyncio.Event() for name in "xy"}
    inner = supervisor("in", slow(book, "x", wait_for(gates["x"])))
    async with grown(system, inner, slow(book, "y", wait_for(gates["y"]))) as s:
        for ref in (member(s, "x", INNER), member(s, "y")):
            assert ref.try_tell(Doer.do, crash)
        await settle()
        assert is_aside(s, INNER)
        assert is_aside(s, "/top")
        asked = {"x": awaited(states(s, INNER)), "y": awaited(states(s))}
        for name in (first, "y" if first == "x" else "x"):
            await settle()
            assert not asked[name].done()
            gates[name].set()
            await asked[name]
        assert (await states(s), await states(s, INNER)) == ({"in": "up", "y": "up"}, {"x": "up"})
    assert s.zombies == 0


async def test_one_waits_for_a_whole_supervisor_that_comes_up_slowly_and_its_children_one_after_the_other(
    system: Systems,
) -> None:
    book = Book()
    names = "abc"
    inner = supervisor("in", *(slow(book, name, sleep(1.0)) for name in names))
    async with grown(system, inner) as s:
        await s.kill(s.ref(INNER, Supervisor))
        await settle()
        assert is_aside(s, "/top")
        asked = awaited(states(s))
        await advance(2.5)
        assert not asked.done()
        assert await asked == {"in": "up"}
        assert (now(), book.lives) == (3.0, dict.fromkeys(names, 2))
        await fell(s, member(s, "b", INNER), "crash")
        assert is_aside(s, INNER)
        await up_again(s, *names)
        assert now() == 4.0


async def test_a_child_that_asks_its_supervisor_while_it_comes_up_is_told_at_once_and_may_ask_others(
    system: Systems,
) -> None:
    book, told = Book(), list[Any]()

    async def ask_around(me: Doer) -> None:
        try:
            await me.ctx.ref("/top", Supervisor).ask(Supervisor.which_children)
        except AskCycle as error:
            told.append((now(), error.chain))
        told.append(await me.ctx.ref("/top/b", Doer).ask(Doer.note, "b answers"))

    async with grown(system, slow(book, "a", ask_around), book.child("b")) as s:
        await fell(s, member(s, "a"), "crash")
        assert told == [(0.0, ("/top", "/top/a", "/top")), "b answers"]
        assert await states(s) == {"a": "up", "b": "up"}
        assert book.lives == {"a": 2, "b": 1}


async def test_dynamic_supervisors_and_pools_are_set_aside_too_and_the_other_workers_go_on(system: Systems) -> None:
    book, gate = Book(), asyncio.Event()
    hand = slow(book, "w", *[rest_of(gate)] * 5)
    async with grown(system, dynamic("many"), pool("pool", hand, size=2)) as s:
        many = s.ref("/top/many", DynamicSupervisor).within(1_000)
        one = await many.ask(DynamicSupervisor.start_child, slow(book, "one", wait_for(gate)))
        for ref in (one, s.ref("/top/pool/0", Starter)):
            assert ref.try_tell(Doer.do, crash)
        await settle()
        assert is_aside(s, "/top/many")
        assert is_aside(s, "/top/pool")
        asked = awaited(many.ask(DynamicSupervisor.count_children))
        sized = awaited(s.ref("/top/pool", Pool).within(1_000).ask(Pool.size))
        assert await s.ref("/top/pool", Starter).ask(Doer.note, "other") == "other"
        assert not asked.done()
        assert not sized.done()
        gate.set()
        assert ((await asked).active, await sized) == (1, 2)


def rest_of(gate: asyncio.Event) -> Deed:
    """Wait for the gate, but for the second worker's first start."""

    async def started(me: Doer) -> None:
        if me.life > 2:
            await gate.wait()

    return started


def on(make_loop: MakeLoop, scene: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize("make_loop", LOOPS)
@pytest.mark.parametrize("strategy", ["one_for_one", ALL, REST])
def test_it_goes_on_and_ends_on_every_event_loop(make_loop: MakeLoop, strategy: Any) -> None:
    book = Book()

    async def scene() -> None:
        gate, coming = asyncio.Event(), asyncio.Event()

        async def come_up(_: Doer) -> None:
            coming.set()
            await gate.wait()

        system = ActorSystem(tree(*(slow(book, name, come_up) for name in "abc"), strategy=strategy), log=None)
        recorder = Recorder(system)
        async with system as s:
            for turn in range(2, 4):
                assert member(s, "b").try_tell(Doer.do, crash)
                await coming.wait()
                asked = awaited(states(s))
                for _ in range(5):
                    await asyncio.sleep(0)
                assert not asked.done()
                gate.set()
                assert await asked == dict.fromkeys("abc", "up")
                assert len(recorder.of(ActorRestarted, "/top/b")) == turn - 1
                gate.clear()
                coming.clear()
            assert member(s, "b").try_tell(Doer.do, crash)
            await coming.wait()
            await s.kill(top(s))
            gate.set()
        assert system.zombies == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    on(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_loop_that_shuts_down_while_a_supervisor_is_set_aside_does_not_hang_and_says_nothing(
    make_loop: MakeLoop,
) -> None:
    book = Book()

    async def scene() -> None:
        coming = asyncio.Event()

        async def come_up(me: Doer) -> None:
            coming.set()
            await hang(me)

        s = await ActorSystem(tree(slow(book, "a", come_up)), log=None, blocked_after=None).start()
        assert member(s, "a").try_tell(Doer.do, crash)
        await coming.wait()
        assert is_aside(s, "/top")

    on(make_loop, scene)
    gc.collect()
