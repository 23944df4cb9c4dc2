"""The laws of many who are answered at once: each goes on with its own answer, in order, on every event loop."""

import asyncio
import contextvars
from typing import Any

import pytest

from tests.actors.lives import Deed, Diary, Doer, wait_for
from tests.actors.loops import LOOPS, MakeLoop, run
from tests.actors.ways import way
from upright.actors import ActorSystem, Ref

pytestmark = [pytest.mark.usefixtures("way"), pytest.mark.parametrize("make_loop", LOOPS)]
__all__ = ["way"]

MANY = 100
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


async def let_run() -> None:
    """Let everything come as far as it can, on any loop."""
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """An actor that holds until the gate opens, and tasks that have asked it meanwhile."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.order: list[tuple[int, str, str]] = []
        self.asking: list[asyncio.Task[str]] = []

    async def gather(self, system: ActorSystem, *, at: int = MANY, deed: Deed | None = None) -> Ref[Doer]:
        """Have all ask; before the one at that place is answered, the actor does the deed."""
        ref = await system.spawn("a", Doer, Diary())
        await ref.tell(Doer.do, wait_for(self.gate))
        for number in range(MANY):
            if number == at and deed is not None:
                await let_run()
                await ref.tell(Doer.do, deed)
            self.asking.append(asyncio.create_task(self.ask(ref, number)))
        await let_run()
        return ref

    async def ask(self, ref: Ref[Doer], number: int) -> str:
        VARIABLE.set(f"of {number}")
        result = await ref.ask(Doer.note, str(number))
        self.order.append((number, result, VARIABLE.get()))
        return result

    def expect(self, *but: int) -> None:
        """All others were answered, in order, each with its own answer, in its own context."""
        all = [(number, str(number), f"of {number}") for number in range(MANY) if number not in but]
        assert self.order == all


def test_askers_who_wait_at_once_get_their_own_answers_in_order_each_in_its_context(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        crowd = Crowd()
        await crowd.gather(system)
        crowd.gate.set()
        assert await asyncio.gather(*crowd.asking) == [str(number) for number in range(MANY)]
        crowd.expect()

    run(make_loop, scene)


@pytest.mark.parametrize("place", [0, 1, 50, 99])
@pytest.mark.parametrize("before", [True, False])
def test_an_asker_that_is_cancelled_just_before_or_after_its_answer_is_the_only_one(
    make_loop: MakeLoop, place: int, before: bool
) -> None:
    async def scene(system: ActorSystem) -> None:
        crowd = Crowd()

        async def cancel_one(_: Any) -> None:
            crowd.asking[place].cancel()

        ref = await crowd.gather(system, at=place if before else place + 1, deed=cancel_one)
        if place + (not before) == MANY:
            await ref.tell(Doer.do, cancel_one)
        crowd.gate.set()
        await asyncio.wait(crowd.asking)
        cancelled = [number for number, task in enumerate(crowd.asking) if task.cancelled()]
        assert cancelled == [place] or (not before and not cancelled), "it may have gone on first, if the loop turned"
        crowd.expect(*cancelled)
        assert await ref.ask(Doer.note, "after") == "after"

    run(make_loop, scene)


def test_a_time_out_that_comes_between_an_answer_and_its_wake_up_ends_as_with_a_plain_future(
    make_loop: MakeLoop,
) -> None:
    """The task is cancelled though its reply is there, and `asyncio.timeout` makes a TimeoutError of that."""

    async def scene(system: ActorSystem) -> None:
        crowd, scopes = Crowd(), list[asyncio.Timeout]()

        async def use_up_its_time(_: Any) -> None:
            scopes[0].reschedule(asyncio.get_running_loop().time())

        async def ask_in_time(ref: Ref[Doer]) -> str:
            async with asyncio.timeout(1_000) as scope:
                scopes.append(scope)
                return await ref.ask(Doer.note, "late")

        ref = await crowd.gather(system)
        await ref.tell(Doer.do, use_up_its_time)
        late = asyncio.create_task(ask_in_time(ref))
        await let_run()
        crowd.gate.set()
        assert await asyncio.gather(*crowd.asking) == [str(number) for number in range(MANY)]
        with pytest.raises(TimeoutError):
            await late
        crowd.expect()
        assert await ref.ask(Doer.note, "after") == "after"

    run(make_loop, scene)
