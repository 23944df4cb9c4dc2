"""The laws of the tasks that carry actors: their names, stale cancellations, scopes across hooks, abrupt ends."""

import asyncio
import contextvars
import gc
from typing import Any

import anyio
import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Diary,
    Doer,
    Starter,
    Systems,
    crash,
    hang,
    quiet,
    sleep,
    stop,
)
from upright.actors import Actor, ActorSystem, Ref
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio

MANY = 40


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def own_task_after_a_while(_: Any) -> Any:
    await asyncio.sleep(0.1)
    return asyncio.current_task()


@pytest.mark.parametrize("deed", [own_task_after_a_while])
async def test_a_stale_cancel_of_a_finished_handlers_task_hits_no_other_actor_and_stops_no_service(
    system: Systems, deed: Any
) -> None:
    diaries = [Diary() for _ in range(10)]
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", Doer, diary) for number, diary in enumerate(diaries)]
        tasks = [await refs[0].ask(Doer.do, deed) for _ in range(5)]
        busy = [asyncio.create_task(ref.ask(Doer.do, sleep(2))) for ref in refs[1:]]
        await settle()
        for task in tasks:
            task.cancel()
        assert await asyncio.gather(*busy) == [None] * 9
        assert [await ref.ask(Doer.note, "here") for ref in refs] == ["here"] * 10
        assert {diary.lives for diary in diaries} == {1}


async def test_a_handler_that_cancels_its_own_task_crashes_itself_alone(system: Systems) -> None:
    diaries = [Diary(), Diary()]

    async def cancel_itself(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    async with quiet(system) as s:
        one, two = [await s.spawn(f"a{number}", Doer, diary) for number, diary in enumerate(diaries)]
        other = asyncio.create_task(two.ask(Doer.do, sleep(1)))
        await one.tell(Doer.do, cancel_itself)
        assert await other is None
        await s.idle()
        assert [diary.lives for diary in diaries] == [2, 1]
        assert await one.ask(Doer.note, "again") == "again"


async def test_a_handler_that_cancels_its_own_task_and_returns_first_harms_nobody_behind_it(system: Systems) -> None:
    """The cancellation arrives at the next wait, which is then another actor's, if the carrier is shared."""
    diary = Diary()

    async def cancel_itself_and_return(_: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async with quiet(system) as s:
        one, two = await s.spawn("one", Doer, Diary()), await s.spawn("two", Doer, diary)
        await one.tell(Doer.do, cancel_itself_and_return)
        await two.tell(Doer.do, sleep(1))
        assert await two.ask(Doer.note, "here") == "here"
        assert diary.lives == 1
        assert await one.ask(Doer.note, "here") == "here"


async def open_native(me: Doer) -> None:
    me.memory["group"] = group = asyncio.TaskGroup()
    await group.__aenter__()


async def close_native(me: Doer) -> None:
    await me.memory["group"].__aexit__(None, None, None)


async def open_anyio(me: Doer) -> None:
    me.memory["group"] = group = anyio.create_task_group()
    await group.__aenter__()


async def close_anyio(me: Doer) -> None:
    me.memory["group"].cancel_scope.cancel()
    await me.memory["group"].__aexit__(None, None, None)


async def open_scope(me: Doer) -> None:
    me.memory["scope"] = scope = anyio.CancelScope()
    scope.__enter__()


async def close_scope(me: Doer) -> None:
    me.memory["scope"].__exit__(None, None, None)


@pytest.mark.parametrize(
    ("opening", "closing"), [(open_native, close_native), (open_anyio, close_anyio), (open_scope, close_scope)]
)
async def test_an_actor_may_enter_a_task_group_or_a_scope_in_started_and_leave_it_in_stopping(
    system: Systems, opening: Any, closing: Any
) -> None:
    diary = Diary()

    async def start_work(me: Doer) -> None:
        group = me.memory.get("group")
        if isinstance(group, asyncio.TaskGroup):
            group.create_task(asyncio.sleep(1))
        elif group is not None:
            group.start_soon(anyio.sleep, 1)
        await asyncio.sleep(0.1)

    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary, started=opening, stopping=closing)
        await ref.ask(Doer.do, start_work)
        await ref.tell(Doer.do, crash)
        await ref.ask(Doer.do, start_work)
        await ref.tell(Doer.do, stop)
        await ref.ended()
    assert diary.words.count("stopped 1") == diary.words.count("stopped 2") == 1
    assert diary.lives == 2


async def test_a_task_that_fails_in_an_actors_own_group_crashes_that_actor(system: Systems) -> None:
    diary = Diary()

    async def start_failing(me: Doer) -> None:
        me.memory["group"].create_task(crash(me))

    async def close(me: Doer) -> None:
        await me.memory["group"].__aexit__(None, None, None)

    async with quiet(system) as s:
        ref = await s.spawn("a", Closer, diary, started=open_native, stopping=[close, close])
        await ref.ask(Doer.do, start_failing)
        await ref.tell(Doer.do, sleep(1))
        await s.idle()
        assert diary.lives == 2
        assert await ref.ask(Doer.note, "again") == "again"


async def test_the_tasks_of_actors_that_wait_bear_path_and_handler_and_the_others_the_carriers_name(
    system: Systems,
) -> None:
    async with quiet(system) as s:
        await s.spawn("idle", Doer)
        for name, kind in (("plain", Doer), ("starter", Starter), ("closer", Closer)):
            ref = await s.spawn(name, kind)
            await ref.tell(Doer.do, hang)
        await settle()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert {"/plain do", "/starter do", "/closer do"} <= set(names)
        assert not [name for name in names if name.startswith("/idle")]
        for path in ("/plain", "/starter", "/closer"):
            await s.kill(s.ref(path, Doer))
        await settle()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in names if name.startswith("/")]


async def test_idle_actors_without_stopping_share_one_task_however_many_they_are(system: Systems) -> None:
    async with quiet(system) as s:
        before = len(asyncio.all_tasks())
        refs = [await s.spawn(f"a{number}", Starter) for number in range(500)]
        await asyncio.gather(*(ref.ask(Doer.do, sleep(1)) for ref in refs))
        await settle()
        assert len(asyncio.all_tasks()) <= before + 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_context_variable_set_in_one_handler_or_hook_reaches_no_other_message_and_no_actor(
    system: Systems, kind: type[Doer]
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def set_it(_: Any) -> None:
        variable.set("set")
        await asyncio.sleep(0.1)

    async def get_it(_: Any) -> str:
        return variable.get()

    variable.set("of the spawner")
    async with quiet(system) as s:
        one = await s.spawn("one", kind, None, started=set_it)
        two = await s.spawn("two", kind)
        for _ in range(2):
            assert [await ref.ask(Doer.do, get_it) for ref in (one, two)] == ["unset", "unset"]
            await one.ask(Doer.do, set_it)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_that_shuts_down_without_a_stop_does_not_hang_and_says_nothing(kind: type[Doer], waits: bool) -> None:
    diary = Diary()

    async def main() -> None:
        system = await ActorSystem(log=None, blocked_after=None).start()
        ref: Ref[Doer] = await system.spawn("a", kind, diary)
        if waits:
            await ref.tell(Doer.do, hang)
            await settle()
        else:
            await ref.tell(Doer.note, "queued")

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    gc.collect()


async def test_an_actor_that_ends_abruptly_leaves_its_carrier_to_the_next(system: Systems) -> None:
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", Doer, Diary()) for number in range(MANY)]
        for ref in refs:
            await ref.tell(Doer.do, hang if ref.path[-1] in "02468" else crash)
        await settle()
        for ref in refs:
            if ref.path[-1] in "02468":
                await s.kill(ref)
        await advance(1)
        assert [await ref.ask(Doer.note, "here") for ref in refs] == ["here"] * MANY


def test_a_system_exit_in_started_ends_the_program_at_once_and_leaves_nobody_behind() -> None:
    class Ends(Actor):
        starts = 0

        async def started(self) -> None:
            Ends.starts += 1
            if Ends.starts == 2:
                raise SystemExit(3)

        async def crash(self) -> None:
            raise ValueError

    system = ActorSystem(log=None)

    async def main() -> None:
        async with system:
            ends = await system.spawn("ends", Ends)
            await ends.tell(Ends.crash)
            await asyncio.Event().wait()

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert system.zombies == 0
