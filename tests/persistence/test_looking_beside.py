"""The laws of looking: all that only reads works on the file alone, while a service runs on it in another process."""

import asyncio
import enum
import sqlite3
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import Stores
from tests.persistence.neighbour import Books, Clerk, Journey, Neighbour, Trip, neighbour
from upright.persistence import Counts, RunFailed, RunNotFound, Sqlite, StateMachine, StoreUnavailable, step
from upright.persistence.codec import StateCodec
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


async def test_a_look_at_a_closed_store_changes_nothing_and_leaves_what_the_next_system_takes_away(
    tmp_path: Path, system: Systems
) -> None:
    path = tmp_path / "jobs.db"
    async with quiet(system, store=Sqlite(path)):
        pass
    before = path.read_bytes()
    assert await Sqlite(path).counts() == {}
    assert path.read_bytes() == before
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes.keys() <= {"jobs.db", "jobs.db-wal", "jobs.db-shm"}
    assert sizes.get("jobs.db-wal", 0) == 0
    async with quiet(system, store=Sqlite(path)):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["jobs.db"]


def test_a_look_that_fails_leaves_no_thread_behind_that_speaks_to_a_loop_which_has_ended(tmp_path: Path) -> None:
    """The thread of such a connection was told to stop, and nobody waited for it."""

    async def look() -> None:
        with pytest.raises(StoreUnavailable):
            await Sqlite(tmp_path / "nothing.db").counts()

    for _ in range(30):
        asyncio.run(look())


@pytest.fixture(scope="module")
def travelling(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    """A file on which another service runs: with three runs of a machine, two schedules and a circuit."""
    path = tmp_path_factory.mktemp("travelling") / "jobs.db"
    with neighbour(path, "travel") as service:
        yield path
        assert service.process.poll() is None, "it ran on to the end"
        assert service.go_on() == ""
        assert service.process.returncode == 0


async def test_runs_are_listed_with_their_status_and_state(travelling: Path) -> None:
    """A system had to run for it, which would have taken part in the work."""
    store = Sqlite(travelling)
    shown = [(one.id, one.status, one.state) async for one in Trip.runs(store)]
    assert shown == [("a", "completed", "paid"), ("b", "waiting", "booked"), ("c", "failed", "new")]
    assert [one.id async for one in Trip.runs(store, status="waiting")] == ["b"]
    assert [one.id async for one in Trip.runs(store, state=Trip.State.NEW, name="trips")] == ["c"]
    assert [one.id async for one in Trip.runs(store, name="machine/trips", limit=1)] == ["a"]


async def test_a_run_tells_how_it_stands_with_which_data_and_how_it_came_there(travelling: Path) -> None:
    run = Trip.run(Sqlite(travelling), "b")
    assert (await run.status(), await run.state()) == ("waiting", Trip.State.BOOKED)
    assert await run.data() == Journey("Oslo", 2)
    assert await run.query(Trip.places) == "2 to Oslo"
    assert next(iter(await run.history())).name == "started"
    assert "BOOKED" in await run.mermaid()
    assert "<svg" in await run.svg()
    assert await Trip.run(Sqlite(travelling), "a").result() == Journey("Rome", 2)
    with pytest.raises(RunFailed, match="no such place"):
        await Trip.run(Sqlite(travelling), "c").result()
    with pytest.raises(RunNotFound):
        await Trip.run(Sqlite(travelling), "z").data()


async def test_a_run_in_a_store_is_only_looked_at(travelling: Path) -> None:
    store, wrong = Sqlite(travelling), cast("Any", Sqlite(travelling))
    with pytest.raises(StoreUnavailable, match="expected a system, to send something to run 'b'"):
        await Trip.run(store, "b").signal(Trip.paid)
    with pytest.raises(StoreUnavailable, match="expected a system, to send something to run 'b'"):
        await Trip.run(store, "b").cancel()
    with pytest.raises(StoreUnavailable, match="is closed"):
        await Trip.run(store, "c").redrive()
    with pytest.raises(TypeError, match=r"expected a system, or self\.ctx, got <Sqlite .*jobs\.db>"):
        await Trip.start(wrong, Journey("Rome"), id="d")
    assert [one.status async for one in Trip.runs(store)] == ["completed", "waiting", "failed"]


async def test_a_machine_of_which_there_is_nothing_is_told_unless_its_address_is_named(travelling: Path) -> None:
    class Other(StateMachine[Journey]):
        class State(enum.Enum):
            NEW = "fresh"
            PAID = "over"

        initial = State.NEW

        @step(State.NEW, to=State.PAID)
        async def book(self, data: Journey) -> None: ...

    store = Sqlite(travelling)
    with pytest.raises(LookupError, match=r"expected the runs of one machine of Other in .*, got those of none"):
        assert [one async for one in Other.runs(store)]
    assert [one async for one in Trip.runs(store, name="machine/none")] == []


async def test_schedules_tell_when_they_were_fired_last(travelling: Path) -> None:
    hourly, often = await Sqlite(travelling).schedules()
    assert (hourly.name, hourly.last, often.name) == ("hourly", None, "often")
    assert often.last is not None
    assert hourly.until is not None
    assert abs(often.last - hourly.until) < timedelta(hours=1)


async def test_circuits_tell_what_is_remembered_of_them(travelling: Path) -> None:
    (smtp,) = await Sqlite(travelling).breakers()
    assert (smtp.name, smtp.state, smtp.who, smtp.why) == ("smtp", "forced-open", "ada", "they move house")


async def test_the_state_of_an_actor_can_be_read(beside: tuple[Path, Neighbour]) -> None:
    record = await Sqlite(beside[0]).read("clerk")
    assert record is not None
    assert StateCodec(Books).decode(record.body) == Books(5)


async def test_a_store_that_knows_of_none_of_them_says_so(stores: Stores, system: Systems) -> None:
    async with quiet(system, store=stores()):
        pass
    store = stores()
    assert (await store.schedules(), await store.breakers(), await store.read("clerk")) == ([], [], None)
