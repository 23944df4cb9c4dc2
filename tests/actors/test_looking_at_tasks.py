"""What is seen from outside of a handler: the names and stacks of tasks, tracebacks of crashes, the debug mode."""

import asyncio
import io
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Doer, Oops, Starter, hang
from tests.actors.loops import LOOPS, MakeLoop, run
from upright.actors import Actor, ActorFailed, ActorSystem
from upright.actors.accelerator import METHODS

HERE = Path(__file__)
OURS = str(Path(__file__).parents[2] / "actors")
on_every_loop = pytest.mark.parametrize("make_loop", LOOPS)


class Waits(Actor):
    """Waits in each part of its life until the test opens its gate."""

    def __init__(self, gate: asyncio.Event, begun: asyncio.Event) -> None:
        self.gate, self.begun = gate, begun

    async def wait(self) -> None:
        self.begun.set()
        await self.deeper()

    async def deeper(self) -> None:
        await self.gate.wait()

    async def fail(self, how: Callable[[], Any]) -> None:
        await self.fail_deeper(how)

    async def fail_deeper(self, how: Callable[[], Any]) -> None:
        await how()

    async def own_name(self) -> list[str]:
        names: list[str] = []
        for _ in range(2):
            task = asyncio.current_task()
            assert task is not None
            names.append(task.get_name())
            await asyncio.sleep(0)
        return names


def task_named(name: str) -> "asyncio.Task[Any]":
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == name)
    return task


def functions(error: BaseException | None) -> list[str]:
    """The functions that its traceback shows, innermost last, without those of the standard library."""
    assert error is not None
    frames = traceback.extract_tb(error.__traceback__)
    return [frame.name for frame in frames if frame.filename == str(HERE) or frame.filename.startswith(OURS)]


async def at_once() -> None:
    raise Oops("on purpose")


async def after_a_wait() -> None:
    await asyncio.sleep(0)
    raise Oops("on purpose")


async def by_a_future() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, Oops("on purpose"))
    await future


async def by_a_task() -> None:
    await asyncio.create_task(after_a_wait())


async def with_a_cause() -> None:
    try:
        await after_a_wait()
    except Oops as error:
        error.add_note("seen")
        raise LookupError("none") from error


async def by_a_time_out() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.Event().wait()


@on_every_loop
def test_the_task_of_a_handler_that_waits_bears_path_and_handler_and_so_does_the_one_it_runs_in(
    make_loop: MakeLoop,
) -> None:
    async def scene(system: ActorSystem) -> None:
        gate, begun = asyncio.Event(), asyncio.Event()
        waits = await system.spawn("waits", Waits, gate, begun)
        assert await waits.ask(Waits.own_name) == ["/waits own_name"] * 2
        await waits.tell(Waits.wait)
        await begun.wait()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert names.count("/waits wait") == 1
        assert "name='/waits wait'" in repr(task_named("/waits wait"))
        gate.set()
        assert await waits.ask(Waits.own_name) == ["/waits own_name"] * 2
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("/")]

    run(make_loop, scene)


@on_every_loop
def test_the_name_follows_from_message_to_message_and_tells_of_hooks_too(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        starting, begun, gates = asyncio.Event(), asyncio.Event(), [asyncio.Event(), asyncio.Event()]

        async def start(_: Doer) -> None:
            starting.set()
            await gates[0].wait()

        spawning = asyncio.ensure_future(system.spawn("slow", Starter, started=start))
        waits = await system.spawn("waits", Waits, gates[0], begun)
        await waits.tell(Waits.wait)
        await waits.tell(Waits.fail, gates[1].wait)
        await begun.wait()
        await starting.wait()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert {"/slow started", "/waits wait"} <= names
        gates[0].set()
        await spawning
        await asyncio.sleep(0)
        assert task_named("/waits fail")
        gates[1].set()

    run(make_loop, scene)


@on_every_loop
def test_the_stack_of_a_handler_that_waits_begins_with_the_handler_and_ends_where_it_waits(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        gate, begun = asyncio.Event(), asyncio.Event()
        waits = await system.spawn("waits", Waits, gate, begun)
        await waits.tell(Waits.wait)
        await begun.wait()
        task = task_named("/waits wait")
        stack = [frame.f_code.co_name for frame in task.get_stack()]
        assert stack[:3] == ["wait", "deeper", "wait"]  # the last one is that of the event
        assert [frame.f_code.co_name for frame in task.get_stack(limit=1)] == stack[-1:]
        printed = io.StringIO()
        task.print_stack(file=printed)
        assert "await self.deeper()" in printed.getvalue()
        assert OURS not in printed.getvalue().partition("\n")[2]
        coroutine: Any = task.get_coro()
        awaited: list[str] = []
        while coroutine is not None:
            awaited.append(getattr(coroutine, "__name__", ""))
            coroutine = getattr(coroutine, "cr_await", None)
        assert awaited[1:3] == ["wait", "deeper"]
        gate.set()

    run(make_loop, scene)


@on_every_loop
@pytest.mark.parametrize("how", [at_once, after_a_wait, by_a_future, by_a_task, by_a_time_out, with_a_cause])
def test_the_traceback_of_a_crash_leads_from_the_handler_to_the_line_and_shows_nothing_of_the_carrier(
    make_loop: MakeLoop, how: Callable[[], Any]
) -> None:
    async def scene(system: ActorSystem) -> None:
        waits = await system.spawn("waits", Waits, asyncio.Event(), asyncio.Event())
        with pytest.raises(ActorFailed) as failure:
            await waits.ask(Waits.fail, how)
        error = failure.value.__cause__
        inner = ["after_a_wait"] if how is by_a_task else []
        drain = [] if METHODS else ["serve"]  # the accelerator's has no line to show
        assert functions(error) == [*drain, "fail", "fail_deeper", how.__name__, *inner]
        if how is by_a_time_out:
            assert functions(error.__cause__ if error is not None else None) == ["by_a_time_out"]
        if how is with_a_cause:
            cause = error.__cause__ if error is not None else None
            assert functions(cause) == ["with_a_cause", "after_a_wait"]
            assert getattr(cause, "__notes__", []) == ["seen"]

    run(make_loop, scene)


PROGRAM = """
import asyncio, sys
import anyio
from upright.actors import Actor, ActorFailed, ActorSystem, concurrent

class Busy(Actor):
    async def started(self):
        await asyncio.sleep(0)
    async def work(self):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        return await asyncio.to_thread(int)
    async def crash(self):
        await asyncio.sleep(0)
        raise ValueError
    async def hang(self):
        await asyncio.Event().wait()
    @concurrent(2)
    async def beside(self):
        await asyncio.sleep(0)

async def main():
    loop = asyncio.get_running_loop()
    assert loop.get_debug()
    loop.slow_callback_duration = 3600
    if "eager" in sys.argv:
        loop.set_task_factory(asyncio.eager_task_factory)
    async with ActorSystem(log=None) as system:
        busy = await system.spawn("busy", Busy)
        for _ in range(20):
            assert await busy.ask(Busy.work) == 0
            await asyncio.gather(busy.ask(Busy.beside), busy.ask(Busy.beside))
            try:
                await busy.ask(Busy.crash)
            except ActorFailed:
                pass
        await busy.tell(Busy.hang)
        other = await system.spawn("other", Busy)
        await other.tell(Busy.hang)
        await asyncio.sleep(0)
        await system.kill(other)

asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize("tasks", ["lazy", "eager"])
def test_in_debug_mode_with_every_warning_an_error_nothing_is_said(tasks: str) -> None:
    if tasks == "eager" and not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("this Python has no eager tasks")
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1"}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, tasks]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


@pytest.mark.parametrize("make_loop", [LOOPS[0], LOOPS[-1]])
def test_a_slow_callback_is_logged_with_the_actor_that_was_slow(
    make_loop: MakeLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Each step counts as slow here; so what is looked at is under which names they are logged."""

    async def scene(system: ActorSystem) -> None:
        loop: Any = asyncio.get_running_loop()
        refs = [await system.spawn(name, Doer) for name in ("swift", "waits")]
        loop.set_debug(True)
        loop.slow_callback_duration = 0.0
        for ref, deed in zip(refs, (nothing, hang), strict=True):
            await ref.tell(Doer.do, deed)
        for _ in range(3):
            await asyncio.sleep(0)
        loop.set_debug(False)

    with caplog.at_level(logging.WARNING, "asyncio"):
        run(make_loop, scene)
    for name in ("upright carrier after /swift", "/waits do"):
        assert f"name='{name}'" in caplog.text


async def nothing(_: Any) -> None: ...
