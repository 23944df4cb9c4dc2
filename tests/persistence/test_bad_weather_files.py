"""The laws of a file that is not as it was left: damaged, cut short, of somebody else, of a newer version, or no file.

What is wrong is told at the start, or as soon as it is met. Never does a service work on as if nothing were missing.
"""

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.persistence.weather import Hands, Service, Worker, refused, rows, service
from upright.persistence import StoreCorrupt, StoreError, StoreTooNew, sqlite_engine
from upright.persistence.syncer import Syncer, ThreadSyncer

pytestmark = pytest.mark.anyio
MESSAGES = 150
Damage = Callable[[bytearray, int], None]


async def threads(path: str) -> Syncer:
    syncer = ThreadSyncer(path)
    await syncer.start()
    return syncer


@pytest.fixture
async def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with messages that wait and messages that are done."""
    monkeypatch.setattr(sqlite_engine, "start_syncer", threads)  # the file is what is looked at here
    path, hands = tmp_path / "whole.db", Hands()
    async with service(path, hands) as home:
        await home.tell(-1, -2, -3)
        await home.rests()
    producer = Service(path, only=())
    async with producer.system:
        await producer.worker.tell_many(Worker.work, range(MESSAGES))
    return path


async def outcome(path: Path, hands: Hands | None = None) -> set[str]:
    """How a service fares on that file: whether it told of something, and whether all that waited was handled."""
    home = Service(path, hands)
    try:
        async with home.system:
            resting, told = asyncio.ensure_future(home.rests()), asyncio.ensure_future(home.told())
            await asyncio.wait({resting, told}, return_when=asyncio.FIRST_COMPLETED)
            if home.errors:
                await home.answers()
            for task in (resting, told):
                task.cancel()
            await asyncio.gather(resting, told, return_exceptions=True)
    except StoreError as error:
        home.errors.append(str(error))
    seen = {"told" if str(path) in error else f"unclear: {error}" for error in home.errors}
    if home.hands.handled == list(range(MESSAGES)):
        seen.add("all handled")
    return seen or {"lost"}


def page_of(path: Path, name: str) -> slice:
    """The bytes of the first page of that table or index."""
    ((root, size),) = rows(
        path, f"SELECT rootpage, page_size FROM sqlite_schema, pragma_page_size WHERE name = '{name}'"
    )
    assert isinstance(root, int)
    assert isinstance(size, int)
    return slice((root - 1) * size, root * size)


def a_bit(page: bytearray, start: int) -> None:
    """The kind of the page is another one."""
    page[start] ^= 0x05


def zeros(page: bytearray, start: int) -> None:
    page[start:] = bytes(len(page) - start)


def noise(page: bytearray, start: int) -> None:
    page[start:] = random.Random(1).randbytes(len(page) - start)


@pytest.mark.parametrize("damage", [a_bit, zeros, noise])
async def test_whichever_page_is_damaged_the_store_tells_or_nothing_is_missing(damage: Damage, whole: Path) -> None:
    """Pages of tables and of indexes; in the first one, what comes behind the header of the file."""
    ((size,),), ((pages,),) = rows(whole, "PRAGMA page_size"), rows(whole, "PRAGMA page_count")
    assert isinstance(size, int)
    assert isinstance(pages, int)
    content = whole.read_bytes()
    seen: dict[int, set[str]] = {}
    for number in range(pages):
        page = bytearray(content[number * size : (number + 1) * size])
        damage(page, 0 if number else 100)
        path = whole.with_name(f"{number}.db")
        path.write_bytes(content[: number * size] + page + content[(number + 1) * size :])
        seen[number + 1] = await outcome(path)
    assert not {number: said for number, said in seen.items() if not said <= {"told", "all handled"}}
    assert sum("told" in said for said in seen.values()) > pages / 2


async def test_wherever_the_file_is_cut_off_the_store_tells_of_it(whole: Path) -> None:
    content = whole.read_bytes()
    for length in (99, 100, 512, 4095, 4096, 4097, len(content) // 2, len(content) - 4096):
        path = whole.with_name(f"{length}.db")
        path.write_bytes(content[:length])
        await refused(path, StoreCorrupt)
        assert path.read_bytes() == content[:length]


async def test_an_index_that_leads_to_what_is_over_is_told_of_and_nothing_is_done_again(tmp_path: Path) -> None:
    """The index says that a message waits, the table that it was acked."""
    path, hands = tmp_path / "jobs.db", Hands()
    producer = Service(path, only=())
    async with producer.system:
        await producer.tell(*range(5))
    page = page_of(path, "message_waiting")
    stale = path.read_bytes()[page]
    async with service(path, hands) as home:
        await home.rests()
    content = bytearray(path.read_bytes())
    content[page] = stale
    path.write_bytes(content)
    assert await outcome(path, hands) == {"told"}
    assert hands.handled == [0, 1, 2, 3, 4]


async def test_a_page_that_was_damaged_and_is_mended_costs_nothing(whole: Path) -> None:
    content = whole.read_bytes()
    page = page_of(whole, "message")
    damaged = bytearray(content)
    damaged[page] = bytes(len(content[page]))
    path = whole.with_name("mended.db")
    path.write_bytes(damaged)
    assert await outcome(path) == {"told"}
    damaged = bytearray(path.read_bytes())
    damaged[page] = content[page]
    path.write_bytes(damaged)
    assert await outcome(path) == {"all handled"}


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_was(whole: Path) -> None:
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("PRAGMA user_version = 1000")
    before = whole.read_bytes()
    await refused(whole, StoreTooNew, "1000", "use a newer upright")
    assert whole.read_bytes() == before
    assert [path.name for path in whole.parent.glob("whole.db*")] == ["whole.db"]


@pytest.mark.parametrize(
    "statement", ["PRAGMA application_id = 77", "CREATE TABLE theirs(x)"], ids=["its name", "its tables"]
)
async def test_a_database_of_somebody_else_is_refused_and_keeps_what_it_holds(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    await refused(path, StoreCorrupt)
    assert not rows(path, "SELECT 1 FROM sqlite_schema WHERE name = 'message'")


async def test_what_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all" * 1000)
    await refused(path, StoreCorrupt, "no database")
    assert path.read_text() == "no database at all" * 1000


async def test_a_log_that_belongs_to_another_file_takes_nothing_away(whole: Path) -> None:
    """One that a copy or a restore has left beside it."""
    other = whole.with_name("other.db")
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs(x)")
        shutil.copy(f"{other}-wal", whole.with_name("copy.db-wal"))
    shutil.copy(whole, whole.with_name("copy.db"))
    assert await outcome(whole.with_name("copy.db")) <= {"told", "all handled"}
