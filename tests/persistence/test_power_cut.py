"""The laws that hold after the power was cut, at any moment and whatever the disk had of what was not synced.

`UPRIGHT_POWER_CUTS` says how many cuts are tried, five states each, and `UPRIGHT_SEED` which. Each state is read by two
witnesses, from copies of their own: the file as it is left, with nothing but `sqlite3`, and a service that starts on
it, finishes what is there and tells once more what had a key. See `tests.persistence.power_cut`.
"""

import asyncio
import os
import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.persistence.crashes import PATIENCE, Books, Campaign, Clerk, Line, Record, look, tree
from tests.persistence.disk_recorder import default_vfs
from tests.persistence.outcome import DONE, QUARANTINED, Outcome
from tests.persistence.power_cut import State, record_service, states
from upright.actors import ActorSystem, Receipt
from upright.persistence import Sqlite, StoreFailing, sqlite_engine
from upright.persistence.syncer import Syncer, ThreadSyncer

CUTS = int(os.environ.get("UPRIGHT_POWER_CUTS", "45"))
SEED = int(os.environ.get("UPRIGHT_SEED", "1"))
OF = "SELECT message.id FROM message JOIN mailbox ON mailbox.id = mailbox WHERE address ="
LAWS = ("whole", "lost", "undone", "half", "doubled", "unfinished")


class Verdict(msgspec.Struct):
    """By the law that was broken: in which states, and how. `seen`: all of the states, and what had been answered."""

    broken: dict[str, list[str]]
    seen: Counter[str]


async def threads(path: str) -> Syncer:
    """Syncs in a thread: the power is not cut again, and a process for each state would take most of the time."""
    syncer = ThreadSyncer(path)
    await syncer.start()
    return syncer


@pytest.fixture(scope="module")
def fast(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder in memory, where there is such a thing."""
    try:
        default_vfs()
    except (OSError, AttributeError) as error:
        if os.environ.get("UPRIGHT_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"the SQLite of this Python cannot be reached from outside: {error}")
    folder = tempfile.mkdtemp(prefix="upright-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_engine, "start_syncer", threads)
        yield Path(folder)
    shutil.rmtree(folder)


def judge(folder: Path, left: Iterator[State], until: str = "") -> Verdict:
    """Judge every state, or all up to the first in which that law is broken."""
    verdict = Verdict({law: [] for law in LAWS}, Counter())

    async def all_of_them() -> None:
        for state in left:
            seen = Witnesses(folder, state)
            await seen.testify()
            verdict.seen["states"] += 1
            verdict.seen |= seen.answers | state.disk
            for law, how in seen.broken:
                verdict.broken[law].append(f"{state.name}: {how}")
            if until and verdict.broken[until]:
                return

    asyncio.run(all_of_them())
    return verdict


class Witnesses:
    """What both say of one state."""

    def __init__(self, folder: Path, state: State) -> None:
        self._folder, self._state = folder, state
        self.lines = [msgspec.json.decode(line, type=Line) for line in state.said]
        self.sessions: list[str] = []
        self.broken: list[tuple[str, str]] = []
        self.answers = Counter({what: len(self.said(what)) for what in ("accepted", "replied")})

    def said(self, what: str) -> set[int]:
        return {line.number for line in self.lines if line.what == what}

    async def testify(self) -> None:
        for witness in (self.file_as_it_is, self.service_that_starts):
            place = self._folder / "state"
            place.mkdir()
            for name, content in self._state.files.items():
                (place / name).write_bytes(content)
            try:
                await witness(place)
            except Exception as error:
                self.broken.append(("whole", f"{witness.__name__}: {error!r}"))
            shutil.rmtree(place)

    async def file_as_it_is(self, place: Path) -> None:
        """No half of a message, and no answer that was taken back."""
        with closing(sqlite3.connect(place / "jobs.db")) as file:
            if not file.execute("SELECT 1 FROM sqlite_schema").fetchone():
                self.expect("lost", sum(self.answers.values()), 0)
                return
            self.expect("whole", file.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.sessions = [name for (name,) in file.execute("SELECT name FROM session")]
            number = {line.id: line.number for line in self.lines if line.what == "began"}
            acked = Counter(number[id] for (id,) in file.execute(f"{OF} 'clerk' AND state = {DONE}"))
            if missing := self.said("replied") - set(acked):
                self.broken.append(("undone", f"{missing} had been replied to"))
            kept = [(version, books_of(body)) for version, body in file.execute("SELECT version, body FROM state")]
            booked = acked.total(), Books(acked.total(), sum(acked.elements()))
            self.expect("half", kept, [booked] if acked else [])
            for address in ("senders", "filers"):
                self.expect("half", len(file.execute(f"{OF} '{address}'").fetchall()), acked.total())

    async def service_that_starts(self, place: Path) -> None:
        """All that was accepted comes to its end, once, and all keys are still known."""
        for name in self.sessions:  # what may be left of its file: nothing, a name, a length
            if left := len(self.lines) % 3:
                (place / f"jobs.db-session-{name}").write_bytes(bytes((left - 1) * 4096))
        (place / "record").write_bytes(b"".join(line + b"\n" for line in self._state.said))
        record = Record(place / "record", 99)
        try:
            await self.finish(ActorSystem(tree(record), store=Sqlite(place / "jobs.db"), log=None))
        finally:
            os.close(record._fd)
        campaign = Campaign(place)
        os.close(campaign.record._fd)
        self.end(Outcome(campaign))

    async def finish(self, system: ActorSystem) -> None:
        async with asyncio.timeout(PATIENCE) as limit, system:
            system.subscribe(lambda _: limit.reschedule(0), StoreFailing)  # on a whole disk no store may fail
            clerk = system.ref("/top/clerk", Clerk)
            keyed = sorted(self.said("accepted"))
            again = await asyncio.gather(*(clerk.once(f"n{number}").tell(Clerk.book, number) for number in keyed))
            fresh = [number for number, receipt in zip(keyed, again, strict=True) if not known(receipt)]
            self.expect("lost", fresh, [])
            await system.idle()

    def end(self, outcome: Outcome) -> None:
        self.expect("whole", look(outcome.campaign.file, "PRAGMA integrity_check"), [("ok",)])
        self.expect("unfinished", {row.state for row in outcome.rows.values()} <= {DONE, QUARANTINED}, True)
        booked = outcome.numbers("clerk", DONE)
        if missing := (self.said("accepted") | self.said("replied")) - set(booked):
            self.broken.append(("lost", f"{missing} had been answered"))
        self.expect("doubled", [number for number, times in booked.items() if times > 1], [])
        self.expect("half", outcome.books, Books(booked.total(), sum(booked.elements())))
        for address in ("senders", "filers"):
            self.expect("half", outcome.numbers(address, DONE, QUARANTINED), booked)

    def expect(self, law: str, got: Any, expected: Any) -> None:
        if got != expected:
            self.broken.append((law, f"expected {expected}, got {got}"))


def books_of(body: bytes) -> Books:
    return msgspec.msgpack.decode(body, type=tuple[int, Books])[1]


def known(receipt: Receipt | None) -> bool:
    return receipt is not None and receipt.duplicate


@pytest.fixture(scope="module")
def full(fast: Path, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    deeds = record_service(tmp_path_factory.mktemp("full"))
    return judge(fast, states(deeds, CUTS, random.Random(SEED)))


def test_the_cuts_come_after_many_answers_and_amid_checkpoints_and_new_logs(full: Verdict) -> None:
    """Otherwise the laws below say nothing."""
    assert full.seen["states"] >= 5 * CUTS
    assert full.seen["accepted"] > 50
    assert full.seen["replied"] > 5
    assert full.seen["logs"] >= 2
    assert full.seen["begun anew"] >= 1


def test_after_a_power_cut_the_file_is_whole_and_a_service_starts_on_it(full: Verdict) -> None:
    assert not full.broken["whole"]


def test_what_was_accepted_before_a_power_cut_is_there_and_its_key_is_known(full: Verdict) -> None:
    assert not full.broken["lost"]


def test_what_was_replied_to_before_a_power_cut_is_not_done_again(full: Verdict) -> None:
    assert not full.broken["undone"]


def test_of_an_ack_its_state_and_what_was_told_a_power_cut_leaves_all_or_nothing(full: Verdict) -> None:
    assert not full.broken["half"]


def test_after_a_power_cut_all_that_is_there_comes_to_its_end_and_what_has_a_key_once(full: Verdict) -> None:
    assert not full.broken["unfinished"]
    assert not full.broken["doubled"]


def test_where_nothing_waits_for_the_disk_a_power_cut_takes_the_last_moments_and_leaves_nothing_half_done(
    fast: Path, tmp_path: Path
) -> None:
    deeds = record_service(tmp_path, synchronous="normal")
    broken = judge(fast, states(deeds, CUTS // 3, random.Random(SEED))).broken
    assert not broken["whole"] + broken["half"] + broken["unfinished"] + broken["doubled"]


@pytest.mark.parametrize("manner", ["no sync", "no sync in checkpoints"])
def test_a_service_that_leaves_out_a_sync_is_caught_losing_what_it_had_answered(
    manner: str, fast: Path, tmp_path: Path
) -> None:
    deeds = record_service(tmp_path, manner=manner)
    assert judge(fast, states(deeds, CUTS // 5, random.Random(SEED)), until="lost").broken["lost"]
