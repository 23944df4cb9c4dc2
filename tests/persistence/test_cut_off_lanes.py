"""The laws of durable workers that are cut off, or overlap: those behind go on, in their order, and all are done."""

import asyncio
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Stores, running
from upright.actors import Actor, concurrent
from upright.persistence import Durable, entities
from upright.supervision import child, pool

pytestmark = pytest.mark.anyio


class Log:
    """What was begun and done, and what holds the first one up."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.began = asyncio.Event()


class Worker(Actor):
    """Hangs in its first message the first time, until it is cut off."""

    def __init__(self, log: Log) -> None:
        self.log = log

    async def do(self, number: int) -> None:
        self.log.begun.append(number)
        if len(self.log.begun) == 1:
            self.log.began.set()
            await asyncio.Event().wait()
        self.log.done.append(number)


class Started(Worker):
    """The same, with a beginning that is waited for."""

    async def started(self) -> None:
        await asyncio.sleep(0)


def of(kind: type[Worker], order: str) -> type[Worker]:
    return type("Kept", (kind,), {"mailbox": Durable("work", order=order)})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Worker, Started])
@pytest.mark.parametrize(
    ("where", "cut_off"),
    [
        *itertools.product(
            ["strict actor", "strict pool", "strict pool of one", "keyed actor", "keyed pool"], ["kill", "end"]
        ),
        ("entity", "kill"),
    ],
)
async def test_of_one_lane_none_passes_the_one_that_was_cut_off(
    system: Systems, stores: Stores, where: str, cut_off: str, kind: type[Worker]
) -> None:
    log = Log()
    order = "strict" if "strict" in where else "keyed"
    spec: Any = child("a", of(kind, order), log).options(shutdown=0.05)
    if "pool" in where:
        spec = pool("a", spec, size=1 if "one" in where else 2, max_restarts=9)
    if where == "entity":
        spec = entities("a", functools.partial(of(kind, order), log))
    async with running(system, spec, store=stores(), max_restarts=9) as s:
        ref = s.ref("/top/a", Worker)
        ref = ref.entity("x") if where == "entity" else ref.keyed("x") if order == "keyed" else ref
        for number in range(1, 5):
            await ref.tell(Worker.do, number)
        await log.began.wait()
        victim = "/top/a/0" if "pool" in where else "/top/a/x" if where == "entity" else "/top/a"
        if "pool" in where and "one" not in where:  # whichever of the two has it
            victim = next(path for path in ("/top/a/0", "/top/a/1") if s.ref(path, Worker).recipient.life.turn)  # type: ignore[union-attr]
        await getattr(s, cut_off)(s.ref(victim, Worker))
        await s.idle()
    assert log.begun == [1, 1, 2, 3, 4]
    assert log.done == [1, 2, 3, 4]


ORDERS: Sequence[Any] = ("free", "keyed", "strict")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("size", "at_once"), [(1, 1), (1, 2), (2, 1), (4, 2)])
async def test_a_pool_of_workers_whose_handlers_overlap_does_all(
    system: Systems, stores: Stores, order: Any, size: int, at_once: int
) -> None:
    done: list[int] = []

    class Overlapping(Actor):
        mailbox = Durable("work", order=order)

        @concurrent(at_once)
        async def do(self, number: int) -> None:
            await asyncio.sleep(0.001)
            done.append(number)

    async with running(system, pool("a", Overlapping, size=size), store=stores()) as s:
        ref = s.ref("/top/a", Overlapping)
        for number in range(24):
            await (ref.keyed(str(number % 3)) if order == "keyed" else ref).tell(Overlapping.do, number)
        await s.idle()
    assert sorted(done) == [*range(24)]
