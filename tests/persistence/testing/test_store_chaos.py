"""The laws of chaos in a store: it strikes only where it may, tells all that it does, and no promise breaks."""

import asyncio
import functools
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems, no_trace, quiet
from tests.persistence.crashes import ROOT
from tests.persistence.jobs import (
    QUICK,
    Book,
    Clerk,
    Stores,
    Worker,
    clerk_ref,
    letters,
    running,
    story,
    worker,
    worker_ref,
)
from tests.persistence.testing.chaotic_shop import CALM, checked, send, tree
from upright.actors import ActorSystem
from upright.actors.testing import Chaos, ChaosNotAllowed, ChaosStruck, Recorder, VirtualTimeLoop
from upright.persistence import DeliveryLost, Memory, OutcomeUnknown, Retry, Sqlite, StoreUnavailable, crash_points
from upright.persistence.crash_points import Point
from upright.persistence.testing import KILLED_BY, StoreChaos
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio
PATIENT = Retry(max_attempts=100, base=0.01, cap=0.02, jitter="none")


def only(seed: int = 1, **odds: Any) -> StoreChaos:
    """Chaos of one kind."""
    chosen: dict[str, Any] = {**CALM, **odds}
    return StoreChaos(seed, **chosen)


def strange(system: Systems) -> Systems:
    """Makes systems that allow it."""
    return functools.partial(system, allows_chaos=True)


async def test_a_system_that_did_not_ask_for_it_is_left_alone(system: Systems, stores: Stores) -> None:
    store = stores()
    async with running(system, worker(Book()), store=store) as s:
        with pytest.raises(ChaosNotAllowed, match="allows_chaos=True"):
            async with StoreChaos(1).on(s, store):
                pytest.fail("it began")


async def test_a_store_that_is_closed_or_struck_already_is_refused(system: Systems, stores: Stores) -> None:
    store = stores()
    async with running(strange(system), worker(Book()), store=store) as s:
        with pytest.raises(StoreUnavailable):
            async with only().on(s, Memory()):
                pytest.fail("it began")
        async with only().on(s, store):
            with pytest.raises(ChaosNotAllowed, match="one chaos at a time"):
                async with only(fail=1.0).on(s, store):
                    pytest.fail("it began")
            assert await worker_ref(s).ask(Worker.note, "a") == "a"


async def test_afterwards_store_and_mailboxes_are_what_they_were(system: Systems, stores: Stores) -> None:
    store: Any = stores()
    async with running(strange(system), worker(Book()), store=store) as s:
        front: Any = s._running("").find("/top/a").mailbox.front
        before: list[set[str]] = [{*vars(one)} for one in (store._engine, store, front)]
        async with only(fail=1.0).on(s, store):
            assert "write" in vars(store._engine)
        assert [{*vars(one)} for one in (store._engine, store, front)] == before


async def test_a_write_that_fails_is_not_done_and_one_of_unknown_outcome_is(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(strange(system), worker(book), store=store) as s:
        recorder = Recorder(s)
        async with only(fail=1.0).on(s, store):
            with pytest.raises(StoreUnavailable, match="chaos: fail at write, strike 1 of seed 1"):
                await worker_ref(s).tell(Worker.note, "failed")
        async with only(unknown=1.0).on(s, store):
            with pytest.raises(OutcomeUnknown, match="chaos: unknown at write"):
                await worker_ref(s).tell(Worker.note, "unknown")
        await s.idle()
        await worker_ref(s).ask(Worker.note, "after")
    assert book.words == ["unknown", "after"]
    assert [(one.what, one.path) for one in recorder.of(ChaosStruck)][:1] == [("fail", "/")]


async def test_a_handler_whose_ack_was_lost_runs_again_and_leaves_one_trace(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def add(me: Clerk) -> None:
        me.state.total += 1

    async with running(strange(system), child("a", Clerk, book), store=store) as s:
        lost = Recorder(s)
        async with only(seed=3, duplicate=0.5).on(s, store) as strikes:
            await clerk_ref(s).tell_many(Clerk.do, [add] * 20)  # in one write, without an ack in it
            await s.idle()
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == 20
    assert strikes.count("duplicate") > 0
    assert book.begun["add"] >= 20 + strikes.count("duplicate")
    assert lost.of(DeliveryLost)


@pytest.mark.parametrize("kind", [Worker, Clerk])
async def test_a_crash_is_before_the_handler_or_after_it_and_is_a_failed_attempt(
    system: Systems, stores: Stores, kind: Any
) -> None:
    book, store = Book(), stores()
    async with running(strange(system), worker(book, kind, retry=PATIENT), store=store) as s:
        async with only(seed=5, crash=0.5).on(s, store) as strikes:
            receipts = [await s.ref("/top/a", kind).tell(kind.note, str(number)) for number in range(20)]
            await s.idle()
        ids = [receipt.id for receipt in receipts if receipt is not None]
        stories = [await story(store, id) for id in ids]
        assert await letters(store) == []
    where = Counter(one.where for one in strikes.all)
    assert where.keys() == {"note, before it", "note, after it"}
    assert sum(one.count("failed") for one in stories) == len(strikes.all)
    assert len(book.words) == 20 + where["note, after it"]


async def test_a_crash_after_the_handler_takes_back_its_state(system: Systems, stores: Stores) -> None:
    store = stores()
    async with running(strange(system), worker(Book(), Clerk, retry=PATIENT), store=store) as s:
        async with only(seed=2, crash=0.6).on(s, store) as strikes:
            for amount in range(20):
                await clerk_ref(s).tell(Clerk.book_in, amount)
            await s.idle()
        assert await clerk_ref(s).ask(Clerk.book_in, 0) == sum(range(20))
    assert strikes.count("crash") > 0


async def test_only_the_addresses_that_were_named_crash_also_of_those_who_come_later(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    patient = worker(book, name="a", retry=PATIENT, address="named"), worker(book, name="b", address="not")
    async with quiet(system, store=store, allows_chaos=True) as s, only(crash=0.5).on(s, store, "named") as strikes:
        await s.spawn_from(supervisor("top", *patient).blueprint())
        for name in "ab":
            await worker_ref(s, name).tell_many(Worker.note, "abcdefgh")
        await s.idle()
    assert {one.path for one in strikes.all} == {"/top/a"}


def virtually(work: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


async def open_the_shop(seed: int, numbers: int) -> list[ChaosStruck]:
    """A shop on virtual time under all that chaos can do to it; its invariants hold, and this is what was done."""
    store = Memory(keep=100_000)
    system = ActorSystem(tree(), store=store, log=None, blocked_after=None, allows_chaos=True)
    odd = StoreChaos(seed, crash=0.05, fail=0.03, unknown=0.02, duplicate=0.05, slow=0.1, longest=0.5)
    async with system:
        async with odd.on(system, store) as strikes, Chaos(seed, delay=0.2).on(system):
            for number in range(0, numbers, 2):
                await asyncio.gather(send(system, number), send(system, number + 1))
                await asyncio.sleep(0.5 if number % 10 else 3.0)
            await system.idle()
        await checked(system, store, [*range(numbers)])
        hands = [consumer._hands for consumer in _fronts(store)]
        assert len(hands) == 3
        assert not any(hands)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert no_trace()
    return strikes.all


def _fronts(store: Any) -> list[Any]:
    return [*store._journal.consumers._known.values()]


@pytest.mark.parametrize("seed", range(12))
def test_a_shop_under_chaos_for_minutes_ends_with_every_invariant_held(seed: int) -> None:
    struck = Counter(one.what for one in virtually(open_the_shop(seed, 200)))
    assert struck.keys() == {"crash", "fail", "unknown", "duplicate", "slow"}


def test_the_same_seed_brings_the_same_strikes_and_another_one_others() -> None:
    one, again, other = [virtually(open_the_shop(seed, 60)) for seed in (4, 4, 5)]
    assert one == again
    assert [strike.where for strike in one] != [strike.where for strike in other]


async def test_a_shop_on_a_file_keeps_its_promises_too(system: Systems, tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    odd = StoreChaos(8, crash=0.05, fail=0.05, unknown=0.02, duplicate=0.05, slow=0.1, longest=0.01)
    async with asyncio.timeout(30), quiet(system, tree=tree(), store=store, allows_chaos=True) as s:
        async with odd.on(s, store):
            await asyncio.gather(*(send(s, number) for number in range(60)))
            await s.idle()
        await checked(s, store, [*range(60)])


def run_shop(path: Path, point: Point, time: int, **environment: str) -> "subprocess.CompletedProcess[str]":
    words = [str(path), str(int(point)), str(time)]
    return subprocess.run(
        [sys.executable, "-m", "tests.persistence.testing.chaotic_shop", *words],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("point", "time"), [(Point.SETTLED, 20), (Point.COMMITTED, 30), (Point.HANDLED, 25)])
async def test_a_child_that_asked_for_it_is_killed_at_its_point_and_nothing_is_lost(
    system: Systems, tmp_path: Path, point: Point, time: int
) -> None:
    path = tmp_path / "jobs.db"
    done = await asyncio.to_thread(run_shop, path, point, time, **{KILLED_BY: str(os.getpid())})
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = Sqlite(path)
    async with quiet(system, tree=tree(), store=store) as s:
        for number in range(50):
            await send(s, number)
        await s.idle()
        await checked(s, store, [*range(50)])


async def test_a_process_that_did_not_ask_to_be_killed_is_not(
    system: Systems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KILLED_BY, str(os.getpid()))  # its own number, which is no parent's
    store = Sqlite(tmp_path / "jobs.db")
    async with running(strange(system), worker(Book()), store=store) as s:
        with pytest.raises(ChaosNotAllowed, match=f"expected a child process that asked to be killed.*{KILLED_BY}"):
            async with only(kill=Point.COMMITTED).on(s, store):
                pytest.fail("it began")
        assert not crash_points.on
        assert await worker_ref(s).ask(Worker.note, "a") == "a"


async def test_what_was_not_reached_kills_nobody_after_the_block(
    system: Systems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KILLED_BY, str(os.getppid()))
    store = Sqlite(tmp_path / "jobs.db")
    async with running(strange(system), worker(Book(), retry=QUICK), store=store) as s:
        async with only(kill=Point.COMMITTED, time=1000).on(s, store):
            assert crash_points.on
            await worker_ref(s).tell(Worker.note, "a")
        assert not crash_points.on


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fail": 1.5}, "expected fail to be a probability from 0 to 1, got 1.5"),
        ({"duplicate": None}, "expected duplicate to be a probability from 0 to 1, got None"),
        ({"longest": -1.0}, "expected longest to be 0 or more seconds and finite, got -1.0"),
        ({"time": 0}, "expected time to be 1 or more, got 0"),
        ({"seed": "a"}, "expected seed to be a whole number, got 'a'"),
        ({"kill": 14}, r"expected kill to be a crash point, such as Point.COMMITTED, got 14"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"seed": 1, **fields}
    with pytest.raises((ValueError, TypeError), match=said):
        StoreChaos(**values)
