"""Every store: nothing is handed out before its time, and everything is when its time has come."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.persistence.contract import BEGIN, INBOX, RIGS, Bench, Session, SetClock, bodies, message, step
from upright.actors.testing import VirtualTimeLoop
from upright.persistence.clock import clock_of
from upright.persistence.records import ORDERS, Order, Want

pytestmark = pytest.mark.anyio
Make = Callable[[], Session]
Scene = Callable[[Make], Awaitable[None]]
Play = Callable[[Scene], None]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_delayed_message_is_claimed_when_it_is_due_and_holds_up_nobody(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("late", due=BEGIN + 10, key="k")
    await one.put("now", key="k")
    assert bodies(await one.claim(order)) == ["now"]
    bench.clock.pass_by(9.5)
    assert await one.claim(order) == []
    bench.clock.pass_by(0.5)
    assert bodies(await one.claim(order)) == ["late"]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_delayed_message_stands_by_the_time_that_it_was_due_at(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("10", due=BEGIN + 10)
    await one.put("5", due=BEGIN + 5)
    await one.put("urgent", due=BEGIN + 12, priority=1)
    bench.clock.pass_by(7)
    await one.put("7")
    bench.clock.pass_by(7)
    assert bodies(await one.claim(order)) == ["urgent", "5", "7", "10"]


@pytest.mark.parametrize("order", ORDERS)
async def test_the_store_tells_when_the_next_message_comes_due(bench: Bench, order: Order) -> None:
    one = await bench.session()
    assert await one.next_due(order) is None
    await one.receipts(
        message("a", due=BEGIN + 9), message("b", due=BEGIN + 5), message("c", "elsewhere", due=BEGIN + 1)
    )
    assert await one.next_due(order) == BEGIN + 5
    bench.clock.pass_by(5)
    assert bodies((await one.write(wants=[Want(INBOX, order, 9)])).deliveries) == ["b"]
    assert await one.next_due(order) == BEGIN + 9
    bench.clock.pass_by(4)
    assert await one.next_due(order) is None, "all that there is waits by now"


@pytest.mark.parametrize("order", ORDERS)
async def test_what_waits_now_is_not_what_comes_due(bench: Bench, order: Order) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a", "b", key="k")
    await one.settle(step(await one.one(order), "retry", at=BEGIN + 5, holds=True))
    await one.put("c", key="k", priority=1)
    assert bodies(await one.claim(order, 1)) == (["c"] if order == "free" else [])
    bench.clock.pass_by(5)
    written = await two.write(wants=[Want(INBOX, order, 9)])
    assert bodies(written.deliveries) == {"free": ["a", "b"], "keyed": ["a", "c", "b"], "strict": []}[order]
    assert not written.next_due


@pytest.mark.parametrize("order", ORDERS)
async def test_a_retry_comes_when_it_is_due_and_in_its_old_place(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", "b", key="k")
    first = await one.one(order)
    await one.settle(step(first, "retry", at=BEGIN + 10, delay=10.0, holds=order != "free"))
    assert await one.next_due(order) == BEGIN + 10
    bench.clock.pass_by(10)
    again, behind = await one.claim(order)
    assert bodies([again, behind]) == ["a", "b"]
    assert (again.place, again.delay, again.attempt) == (first.place, 10.0, 2)


@pytest.mark.parametrize("holds", [False, True])
async def test_a_retry_whose_time_has_come_already_can_be_claimed_at_once(bench: Bench, holds: bool) -> None:
    one = await bench.session()
    await one.put("a", "b")
    steps = [step(await one.one("strict"), "retry", at=BEGIN, holds=holds)]
    written = await one.write(steps, wants=[Want(INBOX, "strict", 9)])
    assert bodies(written.deliveries) == ["a", "b"]
    assert not written.next_due


@pytest.mark.parametrize(("due", "accepted"), [(0.0, BEGIN), (BEGIN + 60, BEGIN + 60), (BEGIN - 60, BEGIN)])
async def test_the_deadline_of_a_message_counts_from_when_it_was_stored_or_due_whichever_is_later(
    bench: Bench, due: float, accepted: float
) -> None:
    one = await bench.session()
    await one.put("a", due=due)
    bench.clock.pass_by(60)
    first = await one.one()
    assert first.accepted == accepted
    await one.settle(step(first, "retry", at=BEGIN + 600))
    bench.clock.pass_by(3600)
    assert (await one.one()).accepted == accepted, "a retry gives it no more time"


async def test_what_is_delayed_can_be_cancelled_and_counts_as_waiting(bench: Bench) -> None:
    one = await bench.session()
    ids = await one.put("a", "b", due=BEGIN + 10)
    assert await one.depth() == 2
    assert (await one.counts()).waiting == 2
    assert await one.desk.cancel(ids[0])
    bench.clock.pass_by(10)
    assert bodies(await one.claim()) == ["b"]


@pytest.mark.parametrize("order", ORDERS)
async def test_delays_outlive_a_session_and_pass_while_there_is_none(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", due=BEGIN + 10)
    await one.put("b")
    await one.settle(step(await one.one(order), "retry", at=BEGIN + 20, holds=order != "free"))
    await one.close()
    bench.clock.pass_by(15)
    two = await bench.session()
    held = order == "strict"
    assert bodies(await two.claim(order)) == ([] if held else ["a"])
    bench.clock.pass_by(5)
    assert bodies(await two.claim(order)) == (["b", "a"] if held else ["b"])


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("order", ORDERS)
async def test_a_clock_that_jumps_loses_nothing(bench: Bench, order: Order, jump: float) -> None:
    one = await bench.session()
    await one.put("late", due=BEGIN + 10)
    await one.put("now")
    bench.clock.pass_by(jump)
    first = bodies(await one.claim(order))
    assert first == (["now"] if jump < 0 else ["now", "late"])
    bench.clock.time = BEGIN + 10
    assert [*first, *bodies(await one.claim(order))] == ["now", "late"]


@pytest.mark.parametrize("order", ORDERS)
async def test_what_was_due_once_holds_up_nobody_when_the_clock_is_set_back(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", "b", due=BEGIN + 10, key="k")
    await one.put("c", key="k", priority=-1)
    bench.clock.pass_by(10)
    await one.one(order)
    bench.clock.pass_by(-10)
    assert bodies(await one.claim(order)) == ["b", "c"]


@pytest.fixture(params=RIGS)
def virtual(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Plays a scene on a loop with virtual time; the sessions that it makes have no clock of their own."""
    rig = RIGS[request.param](tmp_path)

    async def closing(scene: Scene) -> None:
        sessions: list[Session] = []

        def make() -> Session:
            sessions.append(Session(rig.session(None), SetClock()))
            return sessions[-1]

        await scene(make)
        for session in sessions:
            await session.close()

    def play(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(closing(scene))

    return play


class TestVirtualTime:
    """A store without a clock of its own follows the loop that it is opened on."""

    def test_a_delay_of_an_hour_passes_with_the_loops_hour(self, virtual: Play) -> None:
        async def scene(make: Make) -> None:
            one = await make().open()
            begin = one.engine.now()
            await one.put("a", due=begin + 3600)
            await asyncio.sleep(3599)
            assert await one.claim() == []
            await asyncio.sleep(1)
            assert bodies(await one.claim()) == ["a"]
            assert one.engine.now() == pytest.approx(begin + 3600, abs=1e-3)

        virtual(scene)

    def test_all_stores_on_a_loop_agree_whenever_they_are_opened(self, virtual: Play) -> None:
        async def scene(make: Make) -> None:
            one = await make().open()
            await asyncio.sleep(7200)
            two = await make().open()
            assert one.engine.now() == two.engine.now()
            await one.close()
            await asyncio.sleep(7200)
            await one.open()
            assert one.engine.now() == two.engine.now()

        virtual(scene)

    def test_it_begins_near_the_true_time(self, virtual: Play) -> None:
        async def scene(make: Make) -> None:
            one = await make().open()
            assert one.engine.now() == pytest.approx(time.time(), abs=60)

        virtual(scene)


async def test_on_any_other_loop_it_is_the_wall_clock(tmp_path: Path) -> None:
    assert clock_of(asyncio.get_running_loop()) is time.time
    for number, rig in enumerate(RIGS.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        one = await Session(rig(folder).session(None), SetClock()).open()
        assert one.engine.now() == pytest.approx(time.time(), abs=5)
        await one.close()
