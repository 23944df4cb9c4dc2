"""The laws of pools of many workers, and of keys that move while messages are set aside."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from upright.actors import Actor
from upright.supervision import Pool, by_key, pool
from upright.supervision.routing import slot
from upright.supervision.worker_mailbox import WorkerMailbox

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Idle(Actor):
    """Has nothing to do."""


async def test_to_end_many_idle_workers_disturbs_none_of_the_others(
    system: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = 0
    release = WorkerMailbox.release

    def counted(mailbox: WorkerMailbox) -> None:
        nonlocal released
        released += 1
        release(mailbox)

    async with quiet(system) as s:
        await s.spawn_from(pool("p", Idle, size=300).blueprint())
        monkeypatch.setattr(WorkerMailbox, "release", counted)
        await s.ref("/p", Pool).within(600.0).ask(Pool.resize, 2)
        assert len(await s.ref("/p", Pool).ask(Pool.workers)) == 2
        assert released < 3_000, "a few for each worker, and not each for each other one"


async def test_what_was_set_aside_goes_to_the_worker_that_has_its_key_by_then(system: Systems) -> None:
    begun: list[tuple[str, int]] = []
    busy = 0
    ready = asyncio.Event()

    class Worker(Actor):
        async def do(self, _key: str, number: int) -> None:
            nonlocal busy
            if not ready.is_set() and number == 1:
                self.ctx.stash()
                return
            busy += 1
            assert busy == 1
            begun.append((self.ctx.path, number))
            await asyncio.sleep(1.0)
            busy -= 1

        async def go(self, _key: str) -> None:
            ready.set()
            self.ctx.unstash_all()

    moves = next(f"k{number}" for number in range(99) if slot(f"k{number}", 2) == 1)
    async with quiet(system) as s:
        await s.spawn_from(pool("p", Worker, size=1, routing=by_key()).blueprint())
        p = s.ref("/p", Worker)
        await p.tell(Worker.do, moves, 1)
        await asyncio.sleep(0.1)
        await s.ref("/p", Pool).ask(Pool.resize, 2)
        await p.tell(Worker.do, moves, 2)
        await p.tell(Worker.do, moves, 3)
        await asyncio.sleep(0.1)
        await s.ref("/p/0", Worker).tell(Worker.go, moves)
        await s.idle()
    assert begun == [("/p/1", 2), ("/p/1", 1), ("/p/1", 3)], "in front of what that worker has not begun"


async def test_a_key_that_cannot_be_told_any_more_leaves_what_was_set_aside_where_it_is(system: Systems) -> None:
    begun: list[tuple[str, int]] = []

    class Worker(Actor):
        async def do(self, job: dict[str, int]) -> None:
            if not job.get("again"):
                job["again"] = 1
                del job["key"]
                self.ctx.stash()
            else:
                begun.append((self.ctx.path, job["number"]))

        async def crash(self) -> None:
            raise RuntimeError("as told")

    async with quiet(system) as s:
        by = by_key(lambda message: message.args[0]["key"])
        await s.spawn_from(pool("p", Worker, size=2, routing=by, max_restarts=9).blueprint())
        where = await s.ref("/p", Pool).ask(Pool.worker_of, 3)
        assert where is not None
        await s.ref("/p", Worker).tell(Worker.do, {"key": 3, "number": 1})
        await asyncio.sleep(0.1)
        await s.ref(where.path, Worker).tell(Worker.crash)
        await s.idle()
        assert begun == [(where.path, 1)]
