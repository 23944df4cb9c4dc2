"""The accelerator is used where it can be built, and looks like the Python that it stands in for.

That it does the same is what all other tests say; they run with it and, under `UPRIGHT_PURE=1`, without.
"""

import asyncio
import inspect
import os
import shutil
import subprocess
import sys
import sysconfig
import weakref
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import anyio
import pytest

from tests.actors.lives import Diary, Doer, Systems, crash, hang, quiet, sleep
from tests.actors.ways import Taker, Thing, built, in_use, way, words
from upright.actors import (
    ActorFailed,
    ActorSystem,
    AskTimedOut,
    Bounded,
    Exit,
    Ref,
    concurrent,
)
from upright.actors.accelerator import METHODS, PLACES, PYTHON, accelerate
from upright.actors.events import ActorCrashed
from upright.actors.testing import settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def test_it_is_built_where_there_is_a_compiler() -> None:
    if os.environ.get("UPRIGHT_PURE", "0") not in ("", "0"):
        assert not METHODS
    elif shutil.which("cc") and Path(sysconfig.get_path("include"), "Python.h").is_file():
        assert set(METHODS) == set(PLACES)


@built
def test_it_can_be_turned_off_and_on_again() -> None:
    assert accelerate()
    assert in_use()
    assert not accelerate(False)
    owner: Any = Ref
    assert (owner.tell, owner.ask) == (PYTHON[owner, "tell"], PYTHON[owner, "ask"])
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


async def test_who_asked_first_is_woken_first_each_in_a_task_of_its_own(system: Systems) -> None:
    order: list[int] = []

    async def ask(ref: Ref[Doer], number: int) -> None:
        await ref.ask(Doer.note, str(number))
        order.append(number)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await asyncio.gather(*(ask(ref, number) for number in range(200)))
        assert order == list(range(200))


def test_loops_in_several_threads_wake_their_own() -> None:
    async def main(name: str) -> list[str]:
        async with ActorSystem(log=None) as s:
            ref = await s.spawn("a", Doer)
            found: list[str] = []
            for number in range(50):
                found += await asyncio.gather(*(ref.ask(Doer.note, f"{name}{number}") for _ in range(5)))
            return found

    def run(name: str) -> list[str]:
        return asyncio.run(main(name))

    with ThreadPoolExecutor(4) as threads:
        for name, found in zip("abcd", threads.map(run, "abcd"), strict=True):
            assert found == [f"{name}{number}" for number in range(50) for _ in range(5)]


async def test_a_time_out_does_not_take_a_reply_that_has_come(system: Systems) -> None:
    """A scope spares a task that waits for a future that is done."""
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        found = "nothing"
        with anyio.CancelScope() as scope:

            async def answer_and_cancel(_: Any) -> str:
                asyncio.get_running_loop().call_soon(scope.cancel)
                return "the reply"

            found = await ref.ask(Doer.do, answer_and_cancel)
        assert (found, scope.cancelled_caught) == ("the reply", False)


async def test_what_is_scheduled_between_two_replies_is_called_between_them(system: Systems) -> None:
    order: list[str] = []

    class Calls(Doer):
        async def call(self, name: str) -> None:
            asyncio.get_running_loop().call_soon(order.append, f"called {name}")

    async def ask(ref: Ref[Calls], name: str) -> None:
        await ref.ask(Calls.call, name)
        order.append(f"answered {name}")

    async with quiet(system) as s:
        ref = await s.spawn("a", Calls)
        await asyncio.gather(*(ask(ref, name) for name in "xyz"))
    assert order == [f"{what} {name}" for name in "xyz" for what in ("called", "answered")]


def test_a_drain_that_is_closed_handles_nothing_more() -> None:
    """As all that waits is when a loop goes without having ended them."""
    diary = Diary()

    async def swallow(doer: Any) -> None:
        try:
            await asyncio.Event().wait()
        except GeneratorExit:
            doer.diary.add("swallowed")

    async def begin() -> Any:
        s = await ActorSystem(log=None).start()
        ref = await s.spawn("a", Doer, diary)
        await ref.tell(Doer.do, swallow)
        for number in range(3):
            await ref.tell(Doer.note, str(number))
        await asyncio.sleep(0.01)
        return ref.recipient

    loop = asyncio.new_event_loop()
    cell = loop.run_until_complete(begin())
    for carrier in asyncio.all_tasks(loop):
        carrier._log_destroy_pending = False  # type: ignore[attr-defined]
    cell.life.stack.close()
    loop.close()
    assert diary.words == ["swallowed"]
    assert len(cell.mailbox) == 3


@pytest.mark.parametrize("limit", [float("inf"), 10**20])
async def test_a_mailbox_without_an_end_takes_all(system: Systems, limit: Any) -> None:
    class Wide(Doer):
        mailbox = Bounded(limit)

    async with quiet(system) as s:
        ref = await s.spawn("a", Wide)
        await asyncio.gather(*(ref.tell(Wide.note, str(number)) for number in range(2_000)))
        assert len(await ref.ask(Wide.do, words)) == 2_000


async def test_any_number_may_overlap(system: Systems) -> None:
    class Wide(Doer):
        @concurrent(float("inf"))  # type: ignore[arg-type]
        async def wait(self, word: str) -> str:
            await asyncio.sleep(1.0)
            return word

    async with quiet(system) as s:
        ref = await s.spawn("a", Wide)
        said = [str(number) for number in range(20)]
        assert await asyncio.gather(*(ref.ask(Wide.wait, word) for word in said)) == said


async def test_who_follows_a_crash_finds_its_error_in_hand(system: Systems) -> None:
    seen: list[tuple[str, Any]] = []

    class Stops(Doer):
        async def stopping(self, reason: Exit) -> None:
            seen.append(("stopping", sys.exc_info()[1]))

    async with quiet(system) as s:
        s.subscribe(lambda _: seen.append(("crashed", sys.exc_info()[1])), ActorCrashed)
        ref = await s.spawn("a", Stops)
        with pytest.raises(ActorFailed) as failed:
            await ref.ask(Stops.do, crash)
        await s.idle()
    error = failed.value.__cause__
    assert error is not None
    assert seen[:2] == [("crashed", error), ("stopping", error)]


@built
def test_a_second_copy_of_the_library_in_one_process_goes_without() -> None:
    """Its classes are others, and there is one place only for where their fields lie."""
    program = (
        "import sys; from upright.actors.accelerator import METHODS; first = len(METHODS)\n"
        "for name in [name for name in sys.modules if name.startswith('upright.actors')]: del sys.modules[name]\n"
        "import asyncio; from upright.actors import Actor, ActorSystem\n"
        "from upright.actors.accelerator import METHODS\n"
        "class Echo(Actor):\n    async def say(self, word): return word\n"
        "async def main():\n    async with ActorSystem(log=None) as system:\n"
        "        return await (await system.spawn('a', Echo)).ask(Echo.say, 'word')\n"
        "print(first, len(METHODS), asyncio.run(main()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "0", "word"]
