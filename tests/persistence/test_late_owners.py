"""The laws of late owners, with real processes: who is stopped loses what he has claimed, who is merely busy does not,
and who goes on after that does no harm.
"""

import asyncio
import functools
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.crashes import PATIENCE, look
from tests.persistence.jobs import Book, Worker, kept, running, until, worker_ref
from tests.persistence.late import BLOCKED, Clerk, Owner, system_on
from upright.persistence import Sqlite, lease
from upright.persistence import sqlite_session as session
from upright.persistence.records import Batch, Outgoing
from upright.persistence.session_file import SessionFile, read_header, read_running
from upright.persistence.sqlite_engine import SqliteEngine
from upright.supervision import pool

SHORT = 0.5
"""A lease that a test can wait for."""
Owners = Callable[..., Owner]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def owners(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owners]:
    """Starts owners; this process looks round more often than others do."""
    monkeypatch.setattr(session, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(lease, "SECOND_LOOK", 0.05)
    started: list[Owner] = []

    def start(deed: str, promise: float = SHORT) -> Owner:
        started.append(Owner(path, promise, deed))
        return started[-1]

    yield start
    for owner in started:
        owner.end()


class Other:
    """A system in this process, on the same file, whose clerk does no deeds."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.said: list[str] = []
        self.system = system_on(path, 15.0, lambda *words: self.said.append(" ".join(map(str, words))), None, **options)

    async def tell(self, number: int) -> None:
        await self.system.ref("/top/clerk", Clerk).tell(Clerk.add, number, "")


@asynccontextmanager
async def another(path: Path, **options: Any) -> AsyncGenerator[Other]:
    made = Other(path, **options)
    async with made.system:
        yield made


async def happens(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110  # it happens in another process
            await asyncio.sleep(0.01)


async def stopped(owner: Owner, path: Path, word: str, counts: list[tuple[int, int]]) -> None:
    """Stop it where it has said that word and writes nothing: `counts`, the messages in each state, are those then."""
    await happens(lambda: {"up", word} <= {*owner.said})
    await happens(lambda: look(path, "SELECT state, count(*) FROM message GROUP BY 1 ORDER BY 1") == counts)
    owner.stop()


async def leave(owner: Owner, path: Path, *numbers: int) -> None:
    """It leaves in order; each of these numbers was added and copied once, and nothing is left behind."""
    assert await asyncio.to_thread(owner.leave) == 0
    assert [one.name for one in path.parent.iterdir()] == ["jobs.db"]
    ((body,),) = look(path, "SELECT body FROM state")
    assert body.endswith(b"total" + sum(numbers).to_bytes()), body
    copies = "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE address = 'copies'"
    assert look(path, copies) == [(len(numbers),)]
    assert look(path, "SELECT state, count(*) FROM message GROUP BY 1") == [(2, 2 * len(numbers))]


@pytest.mark.anyio
@pytest.mark.parametrize("deed", ["ack", "retry", "heartbeat"])
async def test_who_is_stopped_loses_his_claims_and_what_he_does_later_is_refused_and_leaves_no_trace(
    deed: str, path: Path, owners: Owners
) -> None:
    """And then he works on: what others tell wakes him, and what he runs is written down."""
    owner = owners(deed)
    await stopped(owner, path, "began 1 1", [(1, 3)])
    async with another(path) as other:
        await happens(lambda: "heard 3" in other.said)
        assert [word for word in other.said if word.startswith("began")] == ["began 1 2", "began 2 1", "began 3 1"]
        assert look(path, "SELECT message, name, note FROM event") == [(1, "crashed", "its lease ran out")]
        owner.wake()
        await happens(lambda: "lost 1 1 lost" in owner.said)
        await other.tell(4)
        await happens(lambda: "heard 4" in other.said)
    async with another(path, only=()) as other:
        await other.tell(5)
        await happens(lambda: "heard 5" in owner.said)
    begun = [word for word in owner.said if word.startswith(("began", "heard"))]
    # Before he hears that his claims are lost he may begin what he had claimed; then that is refused, too.
    assert (begun[0], begun[-2:]) == ("began 1 1", ["began 5 1", "heard 5"])
    assert {*begun[1:-2]} <= {"began 2 1", "began 3 1"}
    assert ("detached" in owner.said) == (deed == "heartbeat")
    await leave(owner, path, 1, 2, 3, 4, 5)
    assert look(path, "SELECT * FROM failure") == []


@pytest.mark.anyio
async def test_what_a_late_owner_had_claimed_and_not_begun_is_not_begun_once_he_has_heard_that_it_is_lost(
    path: Path, owners: Owners
) -> None:
    owner = owners("ack")
    await stopped(owner, path, "began 1 1", [(1, 3)])
    async with another(path) as other:
        await happens(lambda: "heard 3" in other.said)
    owner.go_on()
    async with another(path, only=()) as other:
        await other.tell(4)
        claimed = (
            "SELECT count(*) FROM message JOIN mailbox ON mailbox.id = mailbox WHERE address = 'clerk' AND state = 1"
        )
        await happens(lambda: look(path, claimed) == [(1,)])
        owner.open()
        await happens(lambda: "heard 4" in owner.said)
    assert [word for word in owner.said if word.startswith("began")] == ["began 1 1", "began 4 1"]
    await leave(owner, path, 1, 2, 3, 4)


@pytest.mark.anyio
async def test_state_that_a_late_owner_writes_outside_of_a_delivery_is_refused(path: Path, owners: Owners) -> None:
    owner = owners("save")
    await stopped(owner, path, "grows", [(2, 6)])
    async with another(path) as other:
        await other.tell(4)
        await happens(lambda: "heard 4" in other.said)
        owner.wake()
    async with another(path, only=()) as other:
        await other.tell(5)
        await happens(lambda: "heard 5" in owner.said)
    await leave(owner, path, 1, 2, 3, 4, 5)


@pytest.mark.anyio
async def test_who_blocks_his_event_loop_for_longer_than_his_lease_keeps_it_and_is_reported(
    path: Path, owners: Owners
) -> None:
    promise = BLOCKED / 2
    owner = owners("block", promise)
    await happens(lambda: "began 1 1" in owner.said)
    async with another(path) as other:
        await happens(lambda: "heard 3" in owner.said)
        assert other.said == []
    assert "blocked /top/clerk add" in owner.said
    assert [word for word in owner.said if word.startswith(("began", "lost"))] == [
        "began 1 1",
        "began 2 1",
        "began 3 1",
    ]
    await leave(owner, path, 1, 2, 3)


@pytest.mark.anyio
async def test_a_late_owner_that_is_killed_leaves_nothing_behind(path: Path, owners: Owners) -> None:
    owner = owners("ack")
    await stopped(owner, path, "began 1 1", [(1, 3)])
    async with another(path) as other:
        await happens(lambda: "heard 3" in other.said)
        assert len(list(path.parent.glob("jobs.db-session-*"))) == 2, "the file is left to its owner while he may wake"
    owner.end()
    async with another(path):
        pass
    assert [one.name for one in path.parent.iterdir()] == ["jobs.db"]


def dispossess(path: Path) -> None:
    """Do to the sessions on that file what those do who find them late."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("""
        BEGIN IMMEDIATE;
        UPDATE message SET state = 0, owner = NULL, token = NULL WHERE state = 1;
        UPDATE mailbox SET owner = NULL;
        DELETE FROM session;
        COMMIT""")
    connection.close()


@pytest.mark.anyio
async def test_who_gets_back_what_he_still_has_in_hand_runs_it_anew_and_its_key_goes_on(
    system: Systems, path: Path
) -> None:
    """In a pool the old claim's end must not be taken for the new one's: those of the same key would wait for ever."""
    book, gates, store = Book(), [asyncio.Event(), asyncio.Event()], Sqlite(path)

    @book.deed
    async def hold(me: Any) -> None:
        gate = gates[book.begun["hold"] - 1]
        book.add(f"hold {book.begun['hold']}")
        await gate.wait()

    keyed = pool("a", functools.partial(kept(Worker, order="keyed"), book), size=2)
    async with running(system, keyed, store=store) as s:
        await worker_ref(s).keyed("k").tell(Worker.do, "hold")
        await worker_ref(s).keyed("k").tell(Worker.note, "x")
        await until(lambda: book.words == ["hold 1"])
        dispossess(path)
        await worker_ref(s).keyed("k").tell(Worker.note, "y")
        await until(lambda: look(path, "SELECT count(*) FROM session") == [(1,)])
        gates[0].set()
        await until(lambda: book.words == ["hold 1", "hold 2"])
        gates[1].set()
        await s.idle()
    assert book.words == ["hold 1", "hold 2", "x", "y"]


@pytest.mark.anyio
async def test_the_end_of_an_attempt_that_began_in_a_session_that_is_over_ends_no_other_one(path: Path) -> None:
    engine = SqliteEngine(path, "normal")
    await engine.open(lambda _: None)
    mine = engine._session
    assert mine is not None
    old = mine.begin(7, 1, 1.0)
    dispossess(path)
    await engine.write(Batch(puts=[Outgoing("work", "do", b"")]))
    mine.begin(8, 1, 2.0)
    mine.end(old)
    (file,) = path.parent.glob("jobs.db-session-*")
    assert [(one.message, one.attempt) for one in read_running(file)] == [(8, 1)]
    await engine.close()


def leases() -> int:
    """How many threads keep a lease here."""
    return sum(thread.name == "upright lease" for thread in threading.enumerate())


@pytest.mark.anyio
async def test_a_store_that_is_open_has_one_thread_for_its_lease_and_a_closed_one_none(path: Path) -> None:
    engine = SqliteEngine(path, "normal", lease=1.5)
    await engine.open(lambda _: None)
    (file,) = path.parent.glob("jobs.db-session-*")
    header = read_header(file)
    assert (header.lease if header else 0, leases()) == (1.5, 1)
    dispossess(path)
    await engine.write(Batch(puts=[Outgoing("work", "do", b"")]))
    (other,) = path.parent.glob("jobs.db-session-*")
    assert (other != file, leases()) == (True, 1), "a new session, with a lease of its own"
    await engine.close()
    assert leases() == 0


@pytest.mark.anyio
async def test_the_file_of_who_is_in_the_table_and_files_of_others_are_never_swept_away(path: Path) -> None:
    engine = SqliteEngine(path, "normal")
    await engine.open(lambda _: None)
    strange = [path.with_name(f"jobs.db-session-{name}") for name in ("notes.txt", "1-abc.bak", "")]
    for one in strange:
        one.write_text("somebody's")
    for name in ("1-abc", "2-abc"):
        SessionFile.create(path.with_name(f"jobs.db-session-{name}")).close()
    path.with_name("jobs.db-bell-1-abc").touch()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("INSERT INTO session(name, pid, opened) VALUES ('2-abc', 1, 1.0)")
    engine._session._sweep(set())  # type: ignore[union-attr]
    left = {one.name for one in path.parent.iterdir()}
    assert {one.name for one in strange} | {"jobs.db-session-2-abc"} <= left
    assert not left & {"jobs.db-session-1-abc", "jobs.db-bell-1-abc"}
    connection.close()
    await engine.close()


@pytest.mark.anyio
async def test_who_was_swept_away_before_he_had_his_lock_tries_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, tries = os.rename, list[str]()

    def swept(old: str, new: str) -> None:
        if not tries:
            os.unlink(old)
        tries.append(new)
        rename(old, new)

    monkeypatch.setattr(os, "rename", swept)
    engine, descriptors = SqliteEngine(path, "normal"), len(os.listdir("/dev/fd"))
    await engine.open(lambda _: None)
    await engine.close()
    assert len({*tries}) == 2
    assert len(os.listdir("/dev/fd")) == descriptors
