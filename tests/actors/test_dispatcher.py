"""The laws of carrying: who shares a task with whom, that nobody is held up, and that no cancellation goes astray."""

import asyncio
from typing import Any

import pytest

from tests.actors.idioms import IDIOMS, Locked
from tests.actors.lives import (
    KINDS,
    Deed,
    Diary,
    Doer,
    Systems,
    quiet,
    rest,
    sleep,
)
from upright.actors import Actor, Bounded, Ref

pytestmark = pytest.mark.anyio

MANY = 40


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Counter(Actor):
    """Counts its messages, and may be flooded."""

    mailbox = Bounded(2_000_000)

    def __init__(self, counts: list[int]) -> None:
        self.counts = counts

    async def count(self) -> None:
        self.counts[0] += 1


class Slow(Actor):
    """Takes a turn of the loop, or the processor, for each message."""

    async def spin(self, rounds: int) -> None:
        for _ in range(rounds):
            pass

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# -- fairness, counted in messages and turns of the loop, not in time


async def test_an_actor_with_a_million_messages_lets_others_in_after_a_few_hundred(system: Systems) -> None:
    counts = [0]
    async with quiet(system) as s:
        flooded = await s.spawn("flooded", Counter, counts)
        other = await s.spawn("other", Doer)
        for _ in range(1_000_000):
            flooded.try_tell(Counter.count)
        await asyncio.sleep(0)
        seen: list[int] = []
        for _ in range(20):
            before = counts[0]
            await other.ask(Doer.note, "through")
            seen.append(counts[0] - before)
        assert max(seen) <= 2_000, seen
        assert counts[0] < 100_000
        recipient: Any = flooded.recipient
        recipient.mailbox.queue.clear()


async def test_a_flooded_actor_lets_the_loop_turn(system: Systems) -> None:
    counts, turns = [0], [0]
    async with quiet(system) as s:
        flooded = await s.spawn("flooded", Counter, counts)
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns[0] += 1
            if counts[0] < 100_000:
                loop.call_soon(turn)

        for _ in range(100_000):
            flooded.try_tell(Counter.count)
        turn()
        await s.idle()
        assert counts[0] == 100_000
        assert turns[0] >= 100_000 / 2_000


async def test_two_actors_that_only_talk_to_each_other_let_the_loop_turn(system: Systems) -> None:
    """Each activation is short, so that only the number of them can tell the dispatcher to yield."""
    turns, limit = [0], 20_000
    done = asyncio.Event()

    class Player(Actor):
        other: "Ref[Player]"

        async def meet(self, other: "Ref[Player]") -> None:
            self.other = other

        async def ball(self, number: int) -> None:
            if number == limit:
                done.set()
            else:
                await self.other.tell(Player.ball, number + 1)

    async with quiet(system) as s:
        one, two = await s.spawn("one", Player), await s.spawn("two", Player)
        await one.tell(Player.meet, two)
        await two.tell(Player.meet, one)
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns[0] += 1
            if not done.is_set():
                loop.call_soon(turn)

        turn()
        await one.tell(Player.ball, 0)
        await done.wait()
        assert turns[0] >= limit / 200


async def test_an_actor_that_waits_holds_nobody_up(system: Systems) -> None:
    async with quiet(system) as s:
        loop = asyncio.get_running_loop()
        waiting = [await s.spawn(f"w{number}", Slow) for number in range(MANY)]
        other = await s.spawn("other", Doer)
        for ref in waiting:
            await ref.tell(Slow.sleep, 3.0)
        began = loop.time()
        assert await other.ask(Doer.note, "through") == "through"
        assert loop.time() == began
        await s.idle()
        assert loop.time() == began + 3.0, "and they wait side by side"


# -- one task from the beginning of a handler to its end


@pytest.mark.parametrize("kind", KINDS)
async def test_the_current_task_is_the_same_from_the_beginning_of_a_handler_to_its_end(
    system: Systems, kind: type[Doer]
) -> None:
    async def watch_task(me: Doer) -> bool:
        tasks = {asyncio.current_task()}
        for step in (0, 0.1, 0, 0.3):
            await asyncio.sleep(step)
            tasks.add(asyncio.current_task())
        return len(tasks) == 1

    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", kind) for number in range(MANY)]
        assert all(await asyncio.gather(*(ref.ask(Doer.do, watch_task) for ref in refs for _ in range(3))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("idiom", "expected"), IDIOMS)
async def test_every_idiom_of_waiting_works_inside_a_handler(
    system: Systems, kind: type[Doer], idiom: Deed, expected: Any
) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", kind)
        for _ in range(3):
            assert await ref.ask(Doer.do, idiom) == expected


@pytest.mark.parametrize("kind", KINDS)
async def test_all_idioms_interleaved_over_many_actors_harm_neither_each_other_nor_the_carriers(
    system: Systems, kind: type[Doer]
) -> None:
    locked = Locked()
    deeds: list[tuple[Deed, Any]] = [*IDIOMS, (locked, 1), (rest, None), (sleep(0.05), None)]
    diaries = [Diary() for _ in range(MANY)]
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", kind, diary) for number, diary in enumerate(diaries)]
        asked = [
            (refs[number % MANY].within(600).ask(Doer.do, deed), expected)
            for number in range(MANY * 3)
            for deed, expected in [deeds[number * 7 % len(deeds)]]
        ]
        answers = await asyncio.gather(*(asking for asking, _ in asked))
        assert answers == [expected for _, expected in asked]
        assert {diary.lives for diary in diaries} == {1}
