"""The laws of being set aside: who goes on without a task of its own, when it goes on, and who never does."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

import pytest

from tests.actors.lives import Deed, Diary, Doer, Oops, Starter, Systems, crash, quiet, rest, wait_for
from upright.actors import ActorSystem, Exit, Ref
from upright.actors.dispatcher import Dispatcher
from upright.actors.handlers import HandlerTable
from upright.actors.handover import Handover, portable
from upright.actors.parent import Child, Parent
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Step:
    """A job of the run queue; `work` says what its activation does."""

    def __init__(self, path: str, work: Callable[["Step"], Coroutine[Any, Any, None]]) -> None:
        self.path, self.work = path, work
        self.context = Context()
        self.carrier: asyncio.Task[None] | Handover | None = None
        self.stack: Coroutine[Any, Any, Any] | None = None
        self.turn = None

    def activate(self) -> Coroutine[Any, Any, bool]:
        steps, self.stack, self.carrier = self.stack, None, None
        return self.run() if steps is None else steps

    async def run(self) -> bool:
        await self.work(self)
        return False

    def cancelled_at_rest(self, error: asyncio.CancelledError) -> None:
        raise error

    def pauses(self) -> None:
        """Nobody waits for room here."""


async def nothing(_: Step) -> None: ...


async def wait_on(handover: Handover) -> str:
    await handover
    return "went on"


def shelved(handover: Handover) -> tuple[Step, Coroutine[Any, Any, str]]:
    """A job that was set aside, and its steps."""
    job, steps = Step("/waits", nothing), wait_on(handover)
    assert steps.send(None) is handover
    handover.shelve(job, steps)
    return job, steps


def told_well(handover: Handover) -> None:
    handover.set_result(None)


def told_ill(handover: Handover) -> None:
    handover.set_exception(Oops("on purpose"))


WAYS: list[tuple[Callable[[Handover], None], type[BaseException]]] = [
    (told_well, StopIteration),
    (told_ill, Oops),
    (Handover.cancel, asyncio.CancelledError),
]


@pytest.mark.parametrize(("tell", "end"), WAYS, ids=["well", "ill", "cancelled"])
@pytest.mark.parametrize("before", [True, False])
def test_a_wait_ends_as_it_was_told_and_takes_no_step_if_that_was_known(
    tell: Callable[[Handover], None], end: type[BaseException], before: bool
) -> None:
    resumed: list[Any] = []
    handover = Handover(None, resumed.append)
    if before:
        tell(handover)
        steps = wait_on(handover)
    else:
        job, steps = shelved(handover)
        assert not handover.done()
        tell(handover)
        assert resumed == [job]
    assert handover.done()
    with pytest.raises(end) as ended:
        steps.send(None)
    if end is StopIteration:
        assert ended.value.value == "went on"  # type: ignore[attr-defined]  # of StopIteration, which this is


def test_one_that_is_set_aside_is_resumed_once_and_the_first_word_counts() -> None:
    resumed: list[Any] = []
    handover = Handover(None, resumed.append)
    job, steps = shelved(handover)
    for tell in (told_ill, told_well, told_ill):
        tell(handover)
    assert resumed == [job]
    assert isinstance(handover.exception(), Oops)
    with pytest.raises(Oops):
        steps.send(None)


def test_whoever_would_cancel_its_task_finds_the_handover_there() -> None:
    resumed: list[Any] = []
    handover = Handover(None, resumed.append)
    job, steps = shelved(handover)
    assert (job.carrier, job.stack) == (handover, steps)
    assert job.carrier is not None
    job.carrier.cancel()
    assert resumed == [job]
    with pytest.raises(asyncio.CancelledError):
        steps.send(None)


class Marked(Parent):
    @portable
    async def retry(self) -> None: ...

    async def other(self) -> None: ...


class Overriding(Marked):
    async def retry(self) -> None:
        await super().retry()


def test_only_what_is_marked_is_portable_and_no_override_of_it() -> None:
    table = HandlerTable(Marked)
    assert [table[handler].portable for handler in (Marked.retry, Marked.other)] == [True, False]
    assert not HandlerTable(Overriding)[Marked.retry].portable


def carriers() -> list[str]:
    """The names of the tasks that carry."""
    names = [task.get_name() for task in asyncio.all_tasks()]
    return sorted(name for name in names if name.startswith(("/", "upright carrier")))


async def test_the_one_it_waits_for_runs_before_all_that_are_ready_and_it_goes_on_after_them_in_the_same_task() -> None:
    words: list[str] = []
    held: list[Any] = []
    tasks: set[Any] = set()
    dispatcher = Dispatcher(asyncio.get_running_loop())

    def noting(name: str) -> Step:
        async def work(_: Step) -> None:
            words.append(name)
            tasks.add(asyncio.current_task())

        return Step(name, work)

    async def first(_: Step) -> None:
        words.append("first")
        handover.set_result(None)

    async def waits(job: Step) -> None:
        words.append("begins")
        tasks.add(asyncio.current_task())
        await handover
        words.append("goes on")
        tasks.add(asyncio.current_task())
        held.append((job.carrier, job.stack))

    handover = Handover(Step("first", first), dispatcher.push)
    for job in (Step("waits", waits), noting("one"), noting("two")):
        dispatcher.push(job)
    await settle()
    assert words == ["begins", "first", "one", "two", "goes on"]
    assert len(tasks) == 1
    assert held == [(None, None)]
    dispatcher.close()
    await dispatcher.closed()


async def test_one_that_is_set_aside_holds_no_task_until_it_waits_for_something_else() -> None:
    dispatcher, gates = Dispatcher(asyncio.get_running_loop()), [asyncio.Event() for _ in range(3)]
    seen: list[Any] = []

    def opened(gate: asyncio.Event) -> Handover:
        async def work(_: Step) -> None:
            await gate.wait()
            handover.set_result(None)

        handover = Handover(Step(f"/first-{len(seen)}", work), dispatcher.push)
        return handover

    async def waits(_: Step) -> None:
        for gate in gates[:2]:
            await opened(gate)
            seen.append(gate)
        await gates[2].wait()
        seen.append(gates[2])

    dispatcher.push(Step("/waits", waits))
    await settle()
    assert carriers() == ["/first-0"]
    gates[0].set()
    await settle()
    assert (seen, carriers()) == (gates[:1], ["/first-1"])
    gates[1].set()
    await settle()
    assert (seen, carriers()) == (gates[:2], ["/waits"])
    gates[2].set()
    await settle()
    assert (seen, carriers()) == (gates, [])


class Guardian(Parent):
    """Restarts its children as a supervisor does; does deeds as well."""

    def __init__(self, tasks: list[Any] | None = None) -> None:
        self.tasks: list[Any] = [] if tasks is None else tasks

    @portable
    async def child_ended(self, child: Child, exit: Exit) -> None:
        await self.bring_back(child)

    async def bring_back(self, child: Child) -> None:
        self.tasks.append(asyncio.current_task())
        await child.restart()
        self.tasks.append(asyncio.current_task())

    async def do(self, deed: Deed) -> Any:
        return await deed(self)


class Wary(Guardian):
    """Overrides the handler."""

    async def child_ended(self, child: Child, exit: Exit) -> None:
        await super().child_ended(child, exit)


class Waiter(Guardian):
    """Waits for something else before."""

    @portable
    async def child_ended(self, child: Child, exit: Exit) -> None:
        await asyncio.sleep(0)
        await self.bring_back(child)


class Solitary(Guardian):
    """Has a task of its own, because of its `stopping()`."""

    async def stopping(self, reason: Exit) -> None: ...


class Besides(Guardian):
    """Restarts in a task beside."""

    @portable
    async def child_ended(self, child: Child, exit: Exit) -> None:
        self.ctx.background(self.bring_back(child))


def spawn(gate: asyncio.Event, name: str = "child") -> Deed:
    """Start a child whose every start but the first waits for the gate."""

    async def deed(me: Guardian) -> Ref[Starter]:
        return await me.ctx.spawn(name, Starter, Diary(), None, started=[rest, wait_for(gate)])

    return deed


async def guarded(s: ActorSystem, kind: type[Guardian], gate: asyncio.Event) -> tuple[Ref[Guardian], list[Any]]:
    """A guardian whose child has crashed and comes up as soon as the gate is open; the tasks it noted."""
    tasks: list[Any] = []
    guardian = await s.spawn("guardian", kind, tasks)
    child = await guardian.ask(Guardian.do, spawn(gate))
    assert child.try_tell(Doer.do, crash)
    await settle()
    return guardian, tasks


@pytest.mark.parametrize(
    ("kind", "held"),
    [(Guardian, False), (Wary, True), (Waiter, True), (Solitary, False), (Besides, False)],
)
async def test_only_a_portable_handler_that_has_not_waited_is_set_aside_and_any_other_keeps_its_task(
    system: Systems, kind: type[Guardian], held: bool
) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        guardian, tasks = await guarded(s, kind, gate)
        parent: Any = guardian.recipient
        assert (type(parent.life.carrier) is Handover) is (kind is Guardian)
        assert ("/guardian child_ended" in carriers()) is (held or kind is Solitary)
        asked = asyncio.create_task(guardian.ask(Guardian.do, rest))
        await settle()
        assert asked.done() is (kind is Besides)
        gate.set()
        await asked
        await s.idle()
        assert len(tasks) == 2
        assert kind is Guardian or tasks[0] is tasks[1]
        assert parent.incarnation == 1


async def test_a_portable_handler_that_has_waited_may_start_what_is_not_its_own(system: Systems) -> None:
    gate = asyncio.Event()
    gate.set()
    async with quiet(system) as s:

        class Founder(Guardian):
            @portable
            async def child_ended(self, child: Child, exit: Exit) -> None:
                await asyncio.sleep(0)
                await s.spawn("other", Starter)
                await self.bring_back(child)

        guardian, tasks = await guarded(s, Founder, gate)
        await s.idle()
        assert await s.ref("/other", Starter).ask(Doer.note, "here") == "here"
        assert tasks[0] is tasks[1]
        assert guardian.recipient is not None
        assert guardian.recipient.state == "running"


async def test_a_restart_that_waits_for_nothing_needs_no_task_at_all(system: Systems) -> None:
    gate = asyncio.Event()
    gate.set()
    async with quiet(system) as s:
        _, tasks = await guarded(s, Guardian, gate)
        before = asyncio.all_tasks()
        tasks.clear()
        assert s.ref("/guardian/child", Starter).try_tell(Doer.do, crash)
        await settle()
        assert len({*tasks}) == 1
        assert asyncio.all_tasks() == before
        assert await s.ref("/guardian/child", Starter).ask(Doer.note, "here") == "here"
