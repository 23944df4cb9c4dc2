"""Pools to be tested: workers that are hands, which note what they did and in which worker, in one diary.

A pool stands at `/top/pool`; `bound` gives hands with another mailbox, `busy` has workers hold until a gate opens.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.actors.lives import Deed, Diary, Starter, Systems, quiet, wait_for
from upright.actors import ActorSystem, Bounded, Ref, concurrent
from upright.actors.options import Full
from upright.actors.testing import settle
from upright.supervision import ChildSpec, Pool, by_key, pool, supervisor
from upright.supervision.routing import slot

BY_KEY = by_key()
ROUTINGS: tuple[Any, ...] = ("least_loaded", "round_robin", "broadcast", BY_KEY)
ONE_TAKER: tuple[Any, ...] = ("least_loaded", "round_robin", BY_KEY)
"""Routings under which one worker gets a message, not all."""
SPREADING: tuple[Any, ...] = ("least_loaded", "round_robin")


def named(routing: Any) -> str:
    """The name of a routing, for the ids of tests."""
    return routing if isinstance(routing, str) else "by_key"


class Hand(Starter):
    """A worker: each message has a key first, and is noted with the number of the worker."""

    @property
    def number(self) -> str:
        return self.ctx.path.rpartition("/")[2]

    async def touch(self, key: str) -> str:
        """Note the key and this worker's number, such as `k@0`, and say it."""
        said = f"{key}@{self.number}"
        self.diary.add(said)
        return said

    async def work(self, key: str, deed: Deed) -> str:
        """A deed; it is noted when it begins and, if it does, when it ends."""
        self.diary.add(f"{key}@{self.number} begins")
        await deed(self)
        self.diary.add(f"{key}@{self.number} ends")
        return self.number

    @concurrent(2)
    async def beside(self, key: str, deed: Deed) -> str:
        """A deed that may overlap with another one."""
        return await Hand.work(self, key, deed)


class Other(Hand):
    """Another class than that of the workers."""


def bound(limit: int, full: Full = "wait", kind: type[Hand] = Hand) -> type[Hand]:
    """Hands with room for so many messages."""
    return type("Hand", (kind,), {"mailbox": Bounded(limit, full)})


def spec(
    diary: Diary, kind: type[Hand] = Hand, plans: Any = None, worker: Any = None, **options: Any
) -> ChildSpec[Hand]:
    """A pool of two hands that note in this diary, with room for many restarts, where the test says nothing else.

    `plans` are those of the hands, `worker` the options of their child spec.
    """
    chosen: dict[str, Any] = {"size": 2, "max_restarts": 1_000, **options}
    varied: Any = worker if worker is not None else {}
    one = ChildSpec("hand", kind, (diary, None), plans or {}).options(**varied)
    return pool("pool", one, **chosen)


def pooled(
    system: Systems, diary: Diary, kind: type[Hand] = Hand, *, before: Any = (), after: Any = (), **options: Any
) -> ActorSystem:
    """A system with such a pool at `/top/pool`, between the siblings given."""
    return quiet(system, tree=supervisor("top", *before, spec(diary, kind, **options), *after, max_restarts=1_000))


def hands(system: ActorSystem) -> Ref[Hand]:
    """The ref of the pool, for its workers' messages."""
    return system.ref("/top/pool", Hand)


def admin(system: ActorSystem) -> Ref[Pool]:
    """The ref of the pool, for its own."""
    return system.ref("/top/pool", Pool).within(1_000)


def hand(system: ActorSystem, number: int) -> Ref[Hand]:
    """The ref of one worker alone."""
    return system.ref(f"/top/pool/{number}", Hand)


async def busy(system: ActorSystem, *numbers: int, gate: asyncio.Event, then: Deed | None = None) -> None:
    """Have these workers hold a message of their own until the gate opens, and then do that."""

    async def deed(me: Hand) -> None:
        await wait_for(gate)(me)
        if then is not None:
            await then(me)

    for number in numbers:
        assert hand(system, number).try_tell(Hand.work, f"busy{number}", deed)
    await settle()


def keys_of(number: int, size: int, count: int = 1) -> list[str]:
    """Keys of the worker with that number in a pool of that size."""
    return keys_where(lambda key: slot(key, size) == number, count)


def keys_where(fits: Callable[[str], bool], count: int = 1) -> list[str]:
    """The first keys that fit."""
    return [key for key in (f"k{number}" for number in range(10_000)) if fits(key)][:count]


def noting(diary: Diary, word: str) -> Deed:
    """Note a word."""

    async def deed(_: Any) -> None:
        diary.add(word)

    return deed


def touched(diary: Diary) -> list[str]:
    """What was noted of messages, without starts and the messages of `busy`."""
    return [word for word in diary.words if "@" in word and not word.startswith("busy")]
