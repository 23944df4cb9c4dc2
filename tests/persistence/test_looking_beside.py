"""The laws of looking: all that only reads works on the file alone, while a service runs on it in another process."""

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from tests.persistence.neighbour import Clerk, Neighbour, neighbour
from upright.persistence import Counts, Sqlite, StoreUnavailable
from upright.persistence.testing import replay

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, Neighbour]]:
    """A file on which a service runs: one message is done, one in hand, one waits, three were set aside."""
    path = tmp_path_factory.mktemp("beside") / "jobs.db"
    with neighbour(path) as service:
        yield path, service
        assert service.process.poll() is None, "it ran on to the end"
        assert service.go_on() == ""
        assert service.process.returncode == 0


async def test_counts_tell_what_waits_is_in_hand_and_was_set_aside(beside: tuple[Path, Neighbour]) -> None:
    counts = await Sqlite(beside[0]).counts()
    assert counts == {"clerk": Counts(quarantined=3), "porters": Counts(waiting=1, claimed=1)}


async def test_stories_are_told_of_what_is_over_and_of_what_is_in_hand(beside: tuple[Path, Neighbour]) -> None:
    path, service = beside
    done, failed, *_, in_hand, waiting = service.ids
    stories = {id: [event.name for event in await Sqlite(path).story(id)] for id in (done, failed, in_hand, waiting)}
    assert stories == {
        done: ["stored", "claimed", "acked"],
        failed: ["stored", "claimed", "failed", "quarantined"],
        in_hand: ["stored", "claimed"],
        waiting: ["stored"],
    }
    assert await Sqlite(path).story(10_000) == []


async def test_letters_and_groups_are_shown_with_their_errors(beside: tuple[Path, Neighbour]) -> None:
    path, service = beside
    quarantine = Sqlite(path).quarantine
    shown = [(one.id, one.arguments, one.error) async for one in quarantine.letters(address="clerk")]
    assert shown == [
        (id, {"word": word}, f"LookupError: no order {word!r}")
        for id, word in zip(service.ids[1:4], "abc", strict=True)
    ]
    assert [letter.id async for letter in quarantine.letters(error="'b'", limit=1)] == [service.ids[2]]
    assert [(one.count, one.handler) for one in await quarantine.groups()] == [(3, "fail")]


async def test_an_export_holds_every_letter(beside: tuple[Path, Neighbour], tmp_path: Path) -> None:
    path, service = beside
    assert await Sqlite(path).quarantine.export(tmp_path / "letters.jsonl") == 3
    lines = (tmp_path / "letters.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["id"] for line in lines] == service.ids[1:4]


async def test_a_backup_is_a_whole_store(beside: tuple[Path, Neighbour], tmp_path: Path) -> None:
    path, service = beside
    await Sqlite(path).backup(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy = Sqlite(tmp_path / "copy.db")
    assert [letter.id async for letter in copy.quarantine.letters()] == service.ids[1:4]
    assert await copy.counts() == await Sqlite(path).counts()


async def test_a_letter_is_replayed_with_the_state_of_the_service(beside: tuple[Path, Neighbour]) -> None:
    class Mended(Clerk):
        async def fail(self, word: str) -> None:
            self.state.total += 1

    path, service = beside
    seen = await replay(service.ids[1], Mended, store=Sqlite(path))
    assert (seen.outcome, seen.before.total, seen.after.total) == ("done", 5, 6)


async def test_many_who_look_at_once_disturb_nobody(beside: tuple[Path, Neighbour]) -> None:
    path, service = beside
    seen = await asyncio.gather(*(Sqlite(path).counts() for _ in range(10)))
    assert all(one == seen[0] for one in seen)
    assert service.process.poll() is None


async def test_what_would_change_something_needs_a_system(beside: tuple[Path, Neighbour]) -> None:
    path, service = beside
    store = Sqlite(path)
    for deed in (store.quarantine.redrive, store.quarantine.discard, store.cancel):
        with pytest.raises(StoreUnavailable, match="is closed"):
            await deed(service.ids[1])
    assert (await store.counts())["clerk"] == Counts(quarantined=3)


async def test_looking_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"nothing\.db cannot be read"):
        await Sqlite(tmp_path / "nothing.db").counts()
    assert [*tmp_path.iterdir()] == []


def test_a_look_that_fails_leaves_no_thread_behind_that_speaks_to_a_loop_which_has_ended(tmp_path: Path) -> None:
    """The thread of such a connection was told to stop, and nobody waited for it."""

    async def look() -> None:
        with pytest.raises(StoreUnavailable):
            await Sqlite(tmp_path / "nothing.db").counts()

    for _ in range(30):
        asyncio.run(look())
