"""Every store: what a session held when it died comes back at once, and what it ran is remembered."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.persistence.contract import BEGIN, INBOX, Bench, Session, SetClock, SqliteRig, bodies, message, step
from upright.persistence.records import ORDERS, Order, Want

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("order", ORDERS)
async def test_claims_return_to_their_places_when_their_session_is_found_dead(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", "b", "c", key="k")
    await one.claim(order, 2)
    one.kill()
    two = await bench.session()
    assert (await two.counts()).claimed == 0
    deliveries = await two.claim(order)
    assert bodies(deliveries) == ["a", "b", "c"]
    assert [(delivery.attempt, delivery.crashes) for delivery in deliveries] == [(1, 0)] * 3
    assert await two.depth() == 3


@pytest.mark.parametrize("order", ORDERS)
async def test_claims_return_without_loss_when_their_session_is_closed(bench: Bench, order: Order) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a", "b")
    for delivery in await one.claim(order):
        one.engine.begin(delivery.id, delivery.attempt, 0.0)
    await one.close()
    deliveries = await two.claim(order)
    assert bodies(deliveries) == ["a", "b"]
    assert [(delivery.attempt, delivery.crashes) for delivery in deliveries] == [(1, 0)] * 2


@pytest.mark.parametrize("order", ORDERS)
async def test_a_session_that_lives_keeps_its_claims(bench: Bench, order: Order) -> None:
    one, dead = await bench.session(), await bench.session()
    await one.put("a")
    held = await one.one(order)
    one.engine.begin(held.id, held.attempt, 0.0)
    dead.kill()
    two = await bench.session()
    assert await two.claim(order) == []
    assert await one.settle(step(held)) == ["ok"]


async def test_a_crash_counts_for_what_had_begun_and_not_ended_and_for_nothing_else(bench: Bench) -> None:
    one = await bench.session()
    ended, running, unbegun, settled = await one.put("ended", "running", "unbegun", "settled")
    slots = {
        delivery.id: one.engine.begin(delivery.id, 1, 0.0) for delivery in await one.claim() if delivery.id != unbegun
    }
    one.engine.end(slots[ended])
    one.engine.end(slots[settled])
    one.kill()
    two = await bench.session()
    found = {delivery.id: (delivery.attempt, delivery.crashes) for delivery in await two.claim()}
    assert found == {ended: (1, 0), running: (2, 1), unbegun: (1, 0), settled: (1, 0)}


async def test_what_was_settled_before_the_crash_stays_settled(bench: Bench) -> None:
    """Though its slot was not cleared yet, or was cleared late."""
    one = await bench.session()
    await one.put("acked", "retried", "aside")
    acked, retried, aside = await one.claim()
    for delivery in (acked, retried, aside):
        one.engine.begin(delivery.id, delivery.attempt, 0.0)
    await one.settle(step(acked), step(retried, "retry"), step(aside, "quarantine"))
    one.kill()
    two = await bench.session()
    (delivery,) = await two.claim()
    assert (delivery.body, delivery.attempt, delivery.crashes) == (b"retried", 2, 0)
    assert (await two.counts()).quarantined == 1


async def test_what_another_session_has_in_hand_is_not_charged_to_it(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a")
    delivery = await one.one()
    one.engine.begin(delivery.id, 1, 0.0)
    await one.settle(step(delivery, "release"))
    held = await two.one()
    one.kill()
    three = await bench.session()
    assert await two.settle(step(held, "release")) == ["ok"]
    assert [(again.attempt, again.crashes) for again in await three.claim()] == [(1, 0)]


async def test_crashes_are_counted_in_a_row_until_an_attempt_ends_otherwise(bench: Bench) -> None:
    session = await bench.session()
    await session.put("a")
    for crashes in (1, 2, 3):
        delivery = await session.one()
        session.engine.begin(delivery.id, delivery.attempt, 0.0)
        session.kill()
        session = await bench.session()
        delivery = await session.one()
        assert (delivery.crashes, delivery.attempt) == (crashes, crashes + 1)
        await session.settle(step(delivery, "release"))
    delivery = await session.one()
    assert delivery.crashes == 3, "it was only given back"
    await session.settle(step(delivery, "retry"))
    assert (await session.one()).crashes == 0


async def test_the_number_of_the_attempt_that_died_is_the_one_that_began(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a")
    await one.settle(step(await one.one(), "retry", attempt=6))
    delivery = await one.one()
    assert delivery.attempt == 7
    one.engine.begin(delivery.id, delivery.attempt, 0.0)
    one.kill()
    two = await bench.session()
    assert (await two.one()).attempt == 8


async def test_a_slot_serves_again_when_its_attempt_has_ended(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a", "b")
    first, second = await one.claim()
    one.engine.end(one.engine.begin(first.id, 1, 0.0))
    one.engine.begin(second.id, 1, 0.0)
    one.kill()
    two = await bench.session()
    assert [delivery.attempt for delivery in await two.claim()] == [1, 2]


async def test_what_waited_for_a_retry_or_was_delayed_waits_still(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a", "b")
    await one.put("c", due=BEGIN + 5)
    await one.settle(step(await one.one("strict"), "retry", at=BEGIN + 9, holds=True))
    one.kill()
    two = await bench.session()
    assert await two.claim("strict") == []
    assert await two.next_due("strict") == BEGIN + 5
    bench.clock.pass_by(9)
    assert bodies(await two.claim("strict")) == ["a", "b", "c"]


async def test_progress_and_the_last_delay_outlive_a_crash(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a")
    await one.settle(step(await one.one(), "retry", delay=4.0))
    delivery = await one.one()
    await one.engine.extend(delivery.id, delivery.token, b"half")
    one.engine.begin(delivery.id, delivery.attempt, 0.0)
    one.kill()
    two = await bench.session()
    again = await two.one()
    assert (again.progress, again.delay) == (b"half", 4.0)


async def test_several_dead_sessions_are_found_at_once(bench: Bench) -> None:
    sessions = [await bench.session() for _ in range(3)]
    await sessions[0].put("a", "b", "c")
    for session in sessions:
        delivery = await session.one()
        session.engine.begin(delivery.id, 1, 0.0)
    for session in sessions:
        session.kill()
    heir = await bench.session()
    deliveries = await heir.claim("strict")
    assert bodies(deliveries) == ["a", "b", "c"]
    assert {delivery.crashes for delivery in deliveries} == {1}


async def test_a_crash_stands_in_the_story(bench: Bench) -> None:
    one = await bench.session()
    (id,) = await one.put("a")
    delivery = await one.one()
    one.engine.begin(id, delivery.attempt, 0.0)
    one.kill()
    bench.clock.pass_by(5)
    two = await bench.session()
    crashed = [event for event in await two.desk.story(id) if event.name == "crashed"]
    assert [(event.attempt, event.at) for event in crashed] == [(1, BEGIN + 5)]
    assert crashed[0].owner


async def test_a_session_hears_of_what_others_write(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a", "b", "c")
    assert await two.hears(INBOX)
    first, second, third = await one.claim()
    await one.settle(step(first, outgoing=(message("x", "elsewhere"),)))
    assert await two.hears("elsewhere")
    await one.settle(step(second, "retry"))
    assert await two.hears(INBOX)
    await one.settle(step(third, "release"))
    assert await two.hears(INBOX)
    await one.close()
    assert await two.hears(INBOX)


KILLED = """
import asyncio, sys
from pathlib import Path
from tests.persistence.contract import Session, SetClock, SqliteRig, step

async def main():
    one = await Session(SqliteRig(Path(sys.argv[1])).session(None), SetClock()).open()
    await one.put("ended", "running", "acked", "waits")
    ended, running, acked = await one.claim("strict", 3)
    slots = [one.engine.begin(each.id, 1, 0.0) for each in (ended, running, acked)]
    one.engine.end(slots[0])
    one.engine.end(slots[2])
    await one.settle(step(acked))
    print("ready", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


async def test_all_that_holds_for_a_process_that_is_really_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        heir = Session(SqliteRig(tmp_path).session(None), SetClock())
        await heir.open()
        assert await heir.claim("strict") == [], "it lives"
        await heir.close()
        process.kill()
    await heir.open()
    written = await heir.write(wants=[Want(INBOX, "strict", 9)])
    found = [(one.body.decode(), one.attempt, one.crashes) for one in written.deliveries]
    assert found == [("ended", 1, 0), ("running", 2, 1), ("waits", 1, 0)]
    assert written.depths == {INBOX: 3}
    await heir.close()


async def test_an_attempt_whose_end_was_written_is_not_blamed_though_it_is_claimed_again(bench: Bench) -> None:
    """It was killed before it could note that the attempt had ended."""
    one = await bench.session()
    await one.put("a")
    first = await one.one()
    one.engine.begin(first.id, first.attempt, 0.0)
    await one.settle(step(first, "retry", attempt=1))
    await one.one()
    one.kill()
    two = await bench.session()
    again = await two.one()
    assert (again.attempt, again.crashes) == (2, 0)
