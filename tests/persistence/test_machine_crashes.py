"""The laws that hold after a service of state machines was killed in the midst of its runs, again and again.

See `tests.persistence.machine_crashes` for what they do. `UPRIGHT_MACHINE_KILLS` says how often it is killed at random,
`UPRIGHT_SEED` when. The witnesses are the ledger beside the store, and the records of the runs in it.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.persistence.crashes import look
from tests.persistence.machine_crashes import AT_A_TIME, Entry, Ledger, On, Order, forking
from upright.persistence.crash_points import Point
from upright.persistence.run_record import ENDED, RunRecord, decoded

KILLS = int(os.environ.get("UPRIGHT_MACHINE_KILLS", "20"))
SEED = int(os.environ.get("UPRIGHT_SEED", "1"))
POINTS = (
    Point.BEGUN, Point.SETTLED, Point.PUT, Point.COUNTED, Point.COMMITTED, Point.SYNCED, Point.ANSWERED, Point.STARTED,
    Point.HANDLED, Point.DECIDED, Point.KNOWN, Point.ENDED,
)  # fmt: skip
"""Where it kills itself, too: some way into its work."""


Do = Callable[[Order], int]


class Wreck:
    """What is left of one campaign. `codes`: how its processes ended; `last`: how the one did that had all done."""

    def __init__(self, folder: Path, do: Do, codes: list[int]) -> None:
        self.folder, self.codes = folder, codes
        self.last = do(Order(str(folder), len(codes), "finish"))
        self.entries = Ledger(folder).entries()
        self.records: dict[str, RunRecord] = {}
        self.payments: dict[str, RunRecord] = {}
        for kind, name, body in look(folder / "jobs.db", "SELECT kind, name, body FROM record"):
            (self.records if kind == "machine/travel" else self.payments)[name] = decoded(body)

    @property
    def begun(self) -> set[str]:
        return {entry.trip for entry in self.entries if not entry.key}

    def effects(self, trip: str) -> Counter[str]:
        """What was done for a trip, each once for a key."""
        once: set[Entry] = {entry for entry in self.entries if entry.key and entry.trip == trip}
        return Counter(entry.name for entry in once)

    def log(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-5000:] if log.exists() else ""


@pytest.fixture(scope="module")
def do() -> Generator[Do]:
    with forking() as do:
        yield do


@pytest.fixture(scope="module", params=["at random", "beside another", *(point.name for point in POINTS)])
def wreck(request: pytest.FixtureRequest, do: Do, tmp_path_factory: pytest.TempPathFactory) -> Wreck:
    folder, rng = tmp_path_factory.mktemp("wreck"), random.Random(SEED)
    if request.param in ("at random", "beside another"):
        orders = [Order(str(folder), run, after=rng.uniform(0.02, 0.4)) for run in range(KILLS)]
    else:
        times = sorted(rng.sample(range(2, 40), 3)) if KILLS >= 20 else [5]
        orders = [
            Order(str(folder), run, point=Point[request.param].value, time=time) for run, time in enumerate(times)
        ]
    if request.param != "beside another":
        return Wreck(folder, do, all_of(do, orders))
    with forking() as other, ThreadPoolExecutor(2) as both:
        halves = both.submit(all_of, do, orders[::2]), both.submit(all_of, other, orders[1::2])
        return Wreck(folder, do, [code for half in halves for code in half.result()])


def all_of(do: Do, orders: list[Order]) -> list[int]:
    return [do(order) for order in orders]


def test_it_was_killed_in_the_midst_of_its_work_and_then_came_to_an_end(wreck: Wreck) -> None:
    assert wreck.last == 0, wreck.log()
    assert set(wreck.codes) <= {-signal.SIGKILL, 0}, wreck.log()
    assert wreck.codes.count(-signal.SIGKILL) > len(wreck.codes) // 3
    assert len(wreck.begun) >= AT_A_TIME


def test_every_run_that_was_begun_is_over_and_there_is_no_other(wreck: Wreck) -> None:
    assert set(wreck.records) == wreck.begun
    for trip, record in wreck.records.items():
        assert record.status in ENDED, (trip, record)
        ends = {"completed": On.AWAY, "rejected": On.HOME, "cancelled": On.OFF}
        assert record.state == ends[record.status]
        assert int(trip) % 4 != 1 or record.status == "rejected"
        assert record.status != "cancelled" or int(trip) % 4 == 2


def test_each_step_of_a_run_took_effect_once_under_its_key_and_was_taken_back_once(wreck: Wreck) -> None:
    for trip, record in wreck.records.items():
        number = int(trip)
        found = wreck.effects(trip)
        assert set(found.values()) <= {1}, (trip, found)
        steps = {"book", *(f"item {item}" for item in range(number % 4)), "pack", "settle", "confirm"}
        if record.status == "completed":
            assert set(found) == {*steps, "leave", "file"}, trip
        elif record.status == "rejected":
            assert set(found) == {*steps, "unpack", "unbook", "file"}, trip
        elif not gave_up(record):
            assert ("book" in found) == ("unbook" in found), trip
            assert ("pack" in found) == ("unpack" in found), trip


def test_the_data_of_a_run_tell_what_it_did(wreck: Wreck) -> None:
    for trip, record in wreck.records.items():
        if record.status == "cancelled" and gave_up(record):
            continue
        words = msgspec.msgpack.decode(record.data)["words"]
        done = [name for name in wreck.effects(trip) if not name.startswith(("item", "file"))]
        assert sorted(words) == sorted(done), trip


def gave_up(record: RunRecord) -> bool:
    """Whether a step had failed for good, its process dead each time: when that is cancelled, it was never done."""
    return any("its process died" in event.error for event in record.history)


def test_each_payment_was_made_once_and_none_for_a_trip_that_is_not_there(wreck: Wreck) -> None:
    for record in wreck.payments.values():
        assert record.status in ENDED
        assert record.parent is not None
    paid = [record.parent.id for record in wreck.payments.values() if record.parent is not None]
    assert len(paid) == len(set(paid))
    for trip, record in wreck.records.items():
        if record.status != "cancelled":
            assert trip in paid
            assert wreck.effects(f"trip {trip}") == {"pay": 1}


def test_nothing_is_left_in_the_mailboxes(wreck: Wreck) -> None:
    assert look(wreck.folder / "jobs.db", "SELECT reason, state FROM message WHERE state IN (0, 1, 3, 5)") == []


@pytest.mark.parametrize("what", ["first", "branch", "many", "sent", "late", "undo"])
def test_a_run_whose_step_kills_its_process_three_times_has_failed_and_goes_on_when_that_is_mended(
    what: str, do: Do, tmp_path: Path
) -> None:
    codes = [do(Order(str(tmp_path), run, deed)) for run, deed in enumerate([what] * 3 + ["mend"])]
    wreck = Wreck(tmp_path, do, codes)
    assert codes == [-signal.SIGKILL] * 3 + [0], wreck.log()
    (failed, ended) = [entry for entry in wreck.entries if entry.name in ("mended", "ended")]
    assert (failed.trip, "its process died" in failed.key) == ("failed", True)
    assert ended.trip == ("cancelled" if what == "undo" else "completed")
