"""The laws of asks among handlers that overlap: what runs beside the turn that waits is no circle."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.actors.ways import way
from upright.actors import Actor, ActorSystem, AskCycle, Ref, concurrent
from upright.actors.testing import settle
from upright.supervision import Bulkhead

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Hub(Actor):
    """Does what it is told: alone, beside one other, or as the only one of its kind."""

    async def alone(self, deed: Any) -> Any:
        return await deed()

    @concurrent(2)
    async def beside(self, deed: Any) -> Any:
        return await deed()

    async def hand_on(self, question: Any) -> None:
        ref, handler, deed = question
        await self.ctx.forward(ref, handler, deed)

    @concurrent(1)
    async def single(self, deed: Any) -> Any:
        return await deed()


async def said() -> str:
    return "said"


def ask(ref: Ref[Hub], handler: Any, deed: Any = said) -> Any:
    return lambda: ref.ask(handler, deed)


def after(gate: asyncio.Event, deed: Any) -> Any:
    async def held() -> Any:
        await gate.wait()
        return await deed()

    return held


async def hubs(system: ActorSystem, names: str = "ab") -> list[Ref[Hub]]:
    """Actors who are asked in vain for a minute before anybody gives up."""
    return [(await system.spawn(name, Hub)).within(60) for name in names]


def caught(deed: Any) -> Any:
    """That, with the circle that it was refused for as its result, so that nobody crashes."""

    async def careful() -> Any:
        try:
            return await deed()
        except AskCycle as circle:
            return circle.chain

    return careful


@pytest.mark.parametrize("other", [Hub.beside, Hub.single])
async def test_an_overlapping_handler_may_ask_its_own_actor_for_what_overlaps(system: Systems, other: Any) -> None:
    async with system(log=None) as s:
        (a,) = await hubs(s, "a")
        assert await a.ask(Hub.beside, ask(a, other)) == "said"


async def test_whom_it_asks_may_ask_back(system: Systems) -> None:
    async with system(log=None) as s:
        a, b = await hubs(s)
        assert await a.ask(Hub.beside, ask(b, Hub.alone, ask(a, Hub.single))) == "said"


async def test_a_question_that_is_handed_back_is_handled_beside(system: Systems) -> None:
    async with system(log=None) as s:
        a, b = await hubs(s)
        assert await a.ask(Hub.beside, ask(b, Hub.hand_on, (a, Hub.single, said))) == "said"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Hub.beside, Hub.alone),  # it wants the actor for itself
        (Hub.single, Hub.single),  # no second one may run
        (Hub.alone, Hub.beside),  # the one that waits has the actor for itself
    ],
)
async def test_what_cannot_begin_before_the_turn_that_waits_has_ended_is_a_circle(
    system: Systems, first: Any, then: Any
) -> None:
    async with system(log=None) as s:
        (a,) = await hubs(s, "a")
        assert await a.ask(first, caught(ask(a, then))) == ("/a", "/a")


async def test_the_last_slot_is_counted_with_those_who_wait_for_it(system: Systems) -> None:
    """Two run, and the third would wait for one of them."""
    async with system(log=None) as s:
        (a,) = await hubs(s, "a")
        deepest = caught(ask(a, Hub.beside))
        assert await a.ask(Hub.beside, ask(a, Hub.beside, deepest)) == ("/a", "/a")


async def test_an_ordinary_message_in_front_holds_up_what_would_overlap(system: Systems) -> None:
    gate = asyncio.Event()
    async with system(log=None) as s:
        (a,) = await hubs(s, "a")
        asked = asyncio.ensure_future(a.ask(Hub.beside, after(gate, caught(ask(a, Hub.single)))))
        await settle()
        ordinary = asyncio.ensure_future(a.ask(Hub.alone, said))
        await settle()
        gate.set()
        assert await asked == ("/a", "/a")
        assert await ordinary == "said"


async def test_whoever_is_asked_beside_may_be_asked_by_the_one_who_waits(system: Systems) -> None:
    """B waits for what A does beside; A, in another turn, asks B, and is answered after that."""
    gates = asyncio.Event(), asyncio.Event()
    async with system(log=None) as s:
        a, b = await hubs(s)
        waiting = asyncio.ensure_future(b.ask(Hub.alone, ask(a, Hub.single, after(gates[0], said))))
        asking = asyncio.ensure_future(a.ask(Hub.beside, after(gates[1], ask(b, Hub.alone))))
        await settle()
        gates[1].set()
        await settle()
        assert not asking.done()
        gates[0].set()
        assert await waiting == await asking == "said"


@pytest.mark.parametrize("wanted", [Hub.alone, Hub.single])
async def test_but_not_where_that_waits_for_the_asker(system: Systems, wanted: Any) -> None:
    """B waits for what A can begin only when the turn has ended that asks B."""
    gate = asyncio.Event()
    async with system(log=None) as s:
        a, b = await hubs(s)
        asking = asyncio.ensure_future(a.ask(Hub.single, after(gate, caught(ask(b, Hub.alone)))))
        await settle()
        waiting = asyncio.ensure_future(b.ask(Hub.alone, ask(a, wanted)))
        await settle()
        gate.set()
        assert await asking == ("/a", "/b", "/a")
        assert await waiting == "said"


@pytest.mark.parametrize("hook", ["started", "stopping"])
async def test_a_hook_that_asks_its_own_actor_is_a_circle_whatever_it_asks_for(system: Systems, hook: str) -> None:
    found: list[Any] = []

    async def ask_itself(me: Any, *_: Any) -> None:
        began = asyncio.get_running_loop().time()
        try:
            await me.ctx.self_ref.within(60).ask(Hub.beside, said)
        except Exception as error:
            found.append((type(error), asyncio.get_running_loop().time() - began))

    kind: Any = type("Hooked", (Hub,), {hook: ask_itself})
    async with system(log=None) as s:
        await s.spawn("a", kind)
    assert found == [(AskCycle, 0.0)]


async def test_what_may_have_to_wait_for_a_policy_that_the_asker_has_passed_is_a_circle(system: Systems) -> None:
    kind: Any = type("Guarded", (Hub,), {"uses": (Bulkhead("one", running=1),)})
    async with system(log=None) as s:
        a = (await s.spawn("a", kind)).within(60)
        assert await a.ask(Hub.beside, caught(ask(a, Hub.single))) == ("/a", "/a")
