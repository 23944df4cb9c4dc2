"""What is special to the store in memory: how long it remembers, and that it serves a system in virtual time."""

import asyncio

import pytest

from tests.persistence.contract import Opened, Session, SetClock, bodies, message, step
from upright.actors import Actor, ActorSystem
from upright.actors.durable import Receipt
from upright.actors.testing import VirtualTimeLoop
from upright.persistence.durable import Durable
from upright.persistence.memory import Memory
from upright.persistence.memory_desk import MemoryDesk
from upright.persistence.memory_engine import MemoryEngine
from upright.persistence.memory_tables import MemoryTables
from upright.persistence.reports import Counts
from upright.supervision import child, supervisor


async def keeping(keep: int) -> Session:
    clock = SetClock()
    engine = MemoryEngine(MemoryTables(keep), clock)
    return await Session(Opened(engine, MemoryDesk(engine), engine.abandon), clock).open()


@pytest.mark.anyio
async def test_of_the_finished_it_remembers_the_latest_only() -> None:
    one = await keeping(2)
    ids = await one.put("a", "b", "c", asked=True)
    for id in ids:
        await one.settle(step(await one.one(), reply=str(id).encode()))
    assert await one.engine.replies(ids) == {id: str(id).encode() for id in ids[1:]}
    assert [bool(await one.desk.story(id)) for id in ids] == [False, True, True]
    await one.close()


@pytest.mark.anyio
async def test_an_idempotency_key_is_free_again_when_its_message_is_forgotten() -> None:
    one = await keeping(1)
    (first,) = await one.put("a", once="17")
    await one.settle(step(await one.one()))
    assert await one.receipts(message("b", once="17")) == [Receipt(first, duplicate=True)]
    await one.put("c")
    await one.settle(step(await one.one()))
    (again,) = await one.receipts(message("d", once="17"))
    assert not again.duplicate
    assert await one.receipts(message("e", once="17")) == [Receipt(again.id, duplicate=True)]
    await one.close()


@pytest.mark.anyio
async def test_what_is_not_finished_is_never_forgotten() -> None:
    one = await keeping(0)
    await one.set_aside("aside")
    await one.put("waits", "a", "b")
    held, *others = await one.claim()
    assert await one.settle(*map(step, others)) == ["ok", "ok"]
    assert await one.counts() == Counts(0, 1, 1)
    assert bodies([held]) == ["waits"]
    assert [letter.body for letter in await one.letters()] == [b"aside"]
    await one.close()


class Diary(Actor):
    mailbox = Durable("diary")

    def __init__(self, pages: list[tuple[str, float]]) -> None:
        self.pages = pages

    async def write(self, text: str) -> int:
        self.pages.append((text, asyncio.get_running_loop().time()))
        return len(self.pages)


def test_in_virtual_time_an_hours_delay_passes_at_once_and_a_new_system_finds_what_was_left() -> None:
    store, pages = Memory(), list[tuple[str, float]]()

    def system() -> ActorSystem:
        return ActorSystem(supervisor("top", child("diary", Diary, pages)), store=store)

    async def main() -> None:
        async with system() as first:
            diary = first.ref("/top/diary", Diary)
            assert await diary.ask(Diary.write, "now") == 1
            await diary.later(3600).tell(Diary.write, "in an hour")
            await diary.later(7200).tell(Diary.write, "in two")
            await asyncio.sleep(3601)
            assert repr(store) == "<Memory 1 unfinished>"
        async with system():
            await asyncio.sleep(3600)
        assert await store.counts() == {}

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert [text for text, _ in pages] == ["now", "in an hour", "in two"]
    assert [at for _, at in pages] == pytest.approx([0, 3600, 7200], abs=0.01)
