"""What asyncio and anyio promise holds inside a handler, on every event loop: time-outs, scopes, threads, variables."""

import asyncio
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests.actors.idioms import IDIOMS
from tests.actors.lives import Diary, Doer, Starter, crash, hang, stop, wait_for
from tests.actors.loops import LOOPS, MakeLoop, debugging, eager, run
from upright.actors import ActorFailed, ActorSystem, Ref, current_turn

pytestmark = pytest.mark.parametrize("make_loop", LOOPS)

REQUEST: ContextVar[str] = ContextVar("request", default="none")
SOON = 0.01
MANY = 10_000


def how_many(make_loop: MakeLoop) -> int:
    """In debug mode each task and future keeps where it was made, which takes most of the time."""
    return MANY // 10 if make_loop is debugging else MANY


async def spawn(system: ActorSystem, name: str = "a") -> tuple[Ref[Doer], Diary]:
    diary = Diary()
    return await system.spawn(name, Doer, diary), diary


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


def test_every_idiom_of_waiting_works_side_by_side(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        refs = [(await spawn(system, f"a{number}"))[0] for number in range(len(IDIOMS))]
        asked = [ref.within(60).ask(Doer.do, idiom) for ref, (idiom, _) in zip(refs, IDIOMS, strict=True)]
        assert await asyncio.gather(*asked) == [expected for _, expected in IDIOMS]

    run(make_loop, scene)


def test_the_current_task_is_one_from_the_first_line_to_the_last_whatever_it_waits_for(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        other, _ = await spawn(system, "other")

        async def watch(_: Doer) -> set[Any]:
            tasks = {current()}
            await asyncio.sleep(0)
            tasks.add(current())
            assert await other.ask(Doer.note, "asked") == "asked"
            tasks.add(current())
            await asyncio.to_thread(int)
            tasks.add(current())
            async with asyncio.TaskGroup() as group:
                beside = group.create_task(anyio.lowlevel.checkpoint())
            assert beside not in tasks
            return tasks | {current()}

        ref, _ = await spawn(system)
        for _ in range(3):
            assert len(await ref.ask(Doer.do, watch)) == 1

    run(make_loop, scene)


def test_of_nested_time_outs_the_one_that_expired_is_known_and_the_others_go_on(make_loop: MakeLoop) -> None:
    async def inner(me: Doer) -> str:
        async with asyncio.timeout(60) as outer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SOON):
                    await hang(me)
            await asyncio.sleep(0)
        return f"outer expired: {outer.expired()}, left over: {current().cancelling()}"

    async def outer(me: Doer) -> str:
        within = asyncio.timeout(60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON), within:
                await hang(me)
        return f"inner expired: {within.expired()}, left over: {current().cancelling()}"

    async def scene(system: ActorSystem) -> None:
        ref, diary = await spawn(system)
        assert await ref.ask(Doer.do, inner) == "outer expired: False, left over: 0"
        assert await ref.ask(Doer.do, outer) == "inner expired: False, left over: 0"
        assert diary.lives == 1

    run(make_loop, scene)


def test_a_time_out_around_an_ask_ends_the_wait_and_harms_neither_of_the_two(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        gate = asyncio.Event()
        asking, asks = await spawn(system, "asking")
        asked, is_asked = await spawn(system, "asked")

        async def ask(_: Doer) -> str:
            try:
                async with asyncio.timeout(SOON):
                    await asked.ask(Doer.do, wait_for(gate))
            except TimeoutError:
                return "timed out"
            return "answered"

        assert await asking.ask(Doer.do, ask) == "timed out"
        gate.set()
        assert [await ref.ask(Doer.note, "goes on") for ref in (asking, asked)] == ["goes on"] * 2
        assert (asks.lives, is_asked.lives) == (1, 1)

    run(make_loop, scene)


def test_a_time_out_or_a_group_that_fails_and_is_not_caught_crashes_its_actor_alone(make_loop: MakeLoop) -> None:
    async def expires(me: Doer) -> None:
        async with asyncio.timeout(SOON):
            await hang(me)

    async def group(me: Doer) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(crash(me))
            await hang(me)

    async def anyio_group(me: Doer) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(crash, me)
            await anyio.sleep_forever()

    async def scene(system: ActorSystem) -> None:
        gate = asyncio.Event()
        ref, diary = await spawn(system)
        other, bystander = await spawn(system, "other")
        waits = asyncio.ensure_future(other.within(60).ask(Doer.do, wait_for(gate)))
        for deed, kind in ((expires, TimeoutError), (group, ExceptionGroup), (anyio_group, ExceptionGroup)):
            with pytest.raises(ActorFailed) as failure:
                await ref.ask(Doer.do, deed)
            assert type(failure.value.__cause__) is kind
            assert await ref.ask(Doer.note, "again") == "again"
        gate.set()
        assert await waits is None
        assert (diary.lives, bystander.lives) == (4, 1)

    run(make_loop, scene)


def test_cancelling_one_scope_leaves_the_scopes_around_it_and_the_next_messages_alone(make_loop: MakeLoop) -> None:
    async def nested(_: Doer) -> list[bool]:
        with anyio.CancelScope() as outer, anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        return [outer.cancelled_caught, inner.cancelled_caught]

    async def around(_: Doer) -> list[bool]:
        with anyio.CancelScope() as outer, anyio.CancelScope() as inner:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            await anyio.sleep_forever()
        return [outer.cancelled_caught, inner.cancelled_caught]

    async def scene(system: ActorSystem) -> None:
        ref, diary = await spawn(system)
        for _ in range(3):
            assert await ref.ask(Doer.do, nested) == [False, True]
            assert await ref.ask(Doer.do, around) == [True, False]
            assert await ref.ask(Doer.note, "again") == "again"
        assert diary.lives == 1

    run(make_loop, scene)


def test_libraries_find_the_loop_and_that_it_is_asyncio_before_and_after_a_wait(make_loop: MakeLoop) -> None:
    sniffio = pytest.importorskip("sniffio")

    async def sniff(_: Any) -> list[Any]:
        found: list[Any] = []
        for _ in range(2):
            found += [sniffio.current_async_library(), asyncio.get_running_loop(), anyio.get_cancelled_exc_class()]
            assert anyio.get_current_task().id == id(current())
            await asyncio.sleep(0)
        return found

    async def keep(me: Doer) -> None:
        me.memory["found"] = await sniff(me)

    async def of_the_start(me: Doer) -> Any:
        return me.memory["found"]

    async def scene(system: ActorSystem) -> None:
        expected = ["asyncio", asyncio.get_running_loop(), asyncio.CancelledError] * 2
        ref = await system.spawn("a", Starter, started=keep)
        assert await ref.ask(Doer.do, sniff) == expected
        assert await ref.ask(Doer.do, of_the_start) == expected
        assert await ref.ask(Doer.overlap, "beside", sniff) == "beside"

    run(make_loop, scene)


def test_a_thread_of_a_handler_sees_its_variables_and_turn_and_may_call_back(make_loop: MakeLoop) -> None:
    def in_thread() -> tuple[str, str]:
        turn = current_turn()
        return REQUEST.get(), f"{turn.actor} {turn.handler}" if turn is not None else ""

    def calls_back() -> tuple[str, str]:
        return anyio.from_thread.run_sync(in_thread)

    async def deed(_: Doer) -> list[tuple[str, str]]:
        REQUEST.set("mine")
        return [
            await asyncio.to_thread(in_thread),
            await anyio.to_thread.run_sync(in_thread),
            await anyio.to_thread.run_sync(calls_back),
        ]

    async def see(_: Doer) -> str:
        return REQUEST.get()

    async def scene(system: ActorSystem) -> None:
        ref, _ = await spawn(system)
        other, _ = await spawn(system, "other")
        assert await ref.ask(Doer.do, deed) == [("mine", "/a do")] * 3
        assert [await one.ask(Doer.do, see) for one in (ref, other)] == ["none"] * 2

    run(make_loop, scene)


def test_a_task_that_a_handler_makes_begins_when_the_loops_factory_says_and_belongs_to_the_handler(
    make_loop: MakeLoop,
) -> None:
    async def deed(_: Doer) -> list[str]:
        words: list[str] = []
        mine = current()

        async def work() -> None:
            turn = current_turn()
            words.append(f"{current() is not mine} {turn.handler if turn is not None else ''}")
            await asyncio.sleep(0)
            words.append(f"{current() is not mine}")

        task = asyncio.create_task(work())
        words.append(f"made {current() is mine}")
        await task
        return words

    async def scene(system: ActorSystem) -> None:
        ref, _ = await spawn(system)
        at_once = make_loop is eager and hasattr(asyncio, "eager_task_factory")
        first = ["True do", "made True"] if at_once else ["made True", "True do"]
        for _ in range(3):
            assert await ref.ask(Doer.do, deed) == [*first, "True"]

    run(make_loop, scene)


@pytest.mark.parametrize("times", [1, 2])
def test_a_handler_that_is_cancelled_from_outside_is_cancelled_alone(make_loop: MakeLoop, times: int) -> None:
    async def scene(system: ActorSystem) -> None:
        gate, begun, tasks = asyncio.Event(), asyncio.Event(), dict[str, "asyncio.Task[Any]"]()

        async def wait(me: Doer) -> str:
            tasks[me.ctx.path] = current()
            if len(tasks) == 3:
                begun.set()
            await gate.wait()
            return "went on"

        actors = [await spawn(system, f"a{number}") for number in range(3)]
        asked = [asyncio.ensure_future(ref.within(60).ask(Doer.do, wait)) for ref, _ in actors]
        await begun.wait()
        await actors[1][0].tell(Doer.note, "behind it")
        for _ in range(times):
            tasks["/a1"].cancel("from outside")
        with pytest.raises(ActorFailed) as failure:
            await asked[1]
        assert type(failure.value.__cause__) is asyncio.CancelledError
        assert await actors[1][0].ask(Doer.note, "again") == "again"
        gate.set()
        assert [await asked[0], await asked[2]] == ["went on"] * 2
        assert [diary.lives for _, diary in actors] == [1, 2, 1]
        assert actors[1][1].words == ["behind it 2", "again 2"]

    run(make_loop, scene)


def test_a_handler_that_catches_its_cancellation_goes_on_and_its_task_serves_nobody_else(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        tasks: list[asyncio.Task[Any]] = []
        begun = asyncio.Event()

        async def wait(_: Doer) -> str:
            tasks.append(current())
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                current().uncancel()
            await asyncio.sleep(0)
            return "went on"

        async def mine(_: Doer) -> Any:
            return current()

        ref, diary = await spawn(system)
        asked = asyncio.ensure_future(ref.ask(Doer.do, wait))
        await begun.wait()
        tasks[0].cancel()
        assert await asked == "went on"
        assert await ref.ask(Doer.do, mine) is not tasks[0]
        assert diary.lives == 1

    run(make_loop, scene)


def test_of_ten_thousand_actors_the_half_that_waits_holds_up_none_of_the_others(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        gate = asyncio.Event()
        refs = [await system.spawn(f"a{number}", Doer) for number in range(how_many(make_loop))]
        waiting, free = refs[::2], refs[1::2]
        held = [asyncio.ensure_future(ref.within(600).ask(Doer.do, wait_for(gate))) for ref in waiting]
        for ref in waiting:
            await ref.tell(Doer.note, "behind it")
        for _ in range(2):
            answers = await asyncio.gather(*(ref.within(600).ask(Doer.note, "free") for ref in free))
            assert answers == ["free"] * len(free)
        assert not any(ask.done() for ask in held)
        for ref in free[:10]:
            await ref.tell(Doer.do, stop)
            await ref.ended()
        gate.set()
        assert await asyncio.gather(*held) == [None] * len(waiting)
        await system.idle()

    run(make_loop, scene)
