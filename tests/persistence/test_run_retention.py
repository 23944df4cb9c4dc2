"""The laws of how long the records of runs are kept: those that are over, by age and by number, and no others."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.contract import SetClock
from tests.persistence.neighbour import Journey, Trip
from upright.persistence import KEEP_ALL, Retention, RunFailed, Sqlite, StoreSwept, machine
from upright.persistence.records import NOBODYS, Batch, RecordWrite, Step
from upright.persistence.reports import RecordFilter
from upright.persistence.sqlite_desk import SqliteDesk
from upright.persistence.sqlite_engine import SqliteEngine
from upright.persistence.sqlite_sweep import Swept
from upright.persistence.sqlite_upkeep import Upkeep
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio
TREE = supervisor("top", machine("trips", Trip))


async def travelled(s: Any) -> None:
    """One run is over, one was cancelled, one waits, and one has failed."""
    for id, to in (("over", "Rome"), ("cancelled", "Oslo"), ("waits", "Oslo"), ("failed", "")):
        await Trip.start(s, Journey(to), id=id)
    await Trip.run(s, "over").result()
    await Trip.run(s, "cancelled").cancel("no time")
    await Trip.run(s, "cancelled").result()
    with pytest.raises(RunFailed):
        await Trip.run(s, "failed").result()
    await s.idle()


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        pytest.param(Retention(), {"over", "cancelled", "waits", "failed"}, id="for ever"),
        pytest.param(Retention(runs_for=3_600.0), {"over", "cancelled", "waits", "failed"}, id="an hour"),
        pytest.param(Retention(runs_for=0.0), {"waits", "failed"}, id="by age"),
        pytest.param(Retention(runs_count=1), {"cancelled", "waits", "failed"}, id="by count"),
        pytest.param(Retention(runs_count=2), {"over", "cancelled", "waits", "failed"}, id="few enough"),
        pytest.param(Retention(runs_count=0), {"waits", "failed"}, id="none"),
        pytest.param(KEEP_ALL, {"over", "cancelled", "waits", "failed"}, id="all"),
    ],
)
async def test_a_sweep_deletes_the_records_of_runs_that_are_over_and_no_others(
    system: Systems, tmp_path: Path, retention: Retention, left: set[str]
) -> None:
    store, told = Sqlite(tmp_path / "jobs.db", retention=retention), list[StoreSwept]()
    async with quiet(system, tree=TREE, store=store) as s:
        await travelled(s)
        s.subscribe(told.append, StoreSwept)
        swept = await store.sweep()
        assert {one.id async for one in Trip.runs(s)} == left
        assert swept.runs == 4 - len(left)
        assert [event.runs for event in told] == [swept.runs] * (swept.runs > 0)


async def test_a_run_whose_record_was_deleted_can_be_started_again(system: Systems, tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db", retention=Retention(runs_for=0.0))
    async with quiet(system, tree=TREE, store=store) as s:
        await (await Trip.start(s, Journey("Rome"), id="a")).result()
        assert (await store.sweep()).runs == 1
        assert (await (await Trip.start(s, Journey("Rome"), id="a")).result()).seats == 2


async def test_of_runs_that_ended_at_one_moment_so_many_stay_as_are_to_be_kept(tmp_path: Path) -> None:
    """And they are deleted a little at a time."""
    path, clock = tmp_path / "jobs.db", SetClock()
    engine = SqliteEngine(path, "normal", clock)
    await engine.open(lambda _: None)
    try:
        names = [f"{number:04}" for number in range(1_300)]
        written = [RecordWrite("machine/trips", name, 0, b"body", "completed", "paid") for name in names]
        others = [RecordWrite("entity", name, 0, b"body") for name in names]
        await engine.write(Batch(steps=[Step(NOBODYS, "save", records=(*written, *others))]))
        clock.pass_by(10.0)
        upkeep = Upkeep(path, Retention(math.inf, None, runs_count=2), clock)
        assert await upkeep.sweep() == Swept(0, 0, 1_298)
        desk = SqliteDesk(path, engine)
        assert [one.name for one in await desk.records(RecordFilter("machine/trips"))] == names[-2:]
        assert len(await desk.records(RecordFilter("entity", limit=2_000))) == 1_300
    finally:
        await engine.close()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"runs_for": -1.0}, "expected runs_for to be 0 or more seconds, got -1.0"),
        ({"runs_count": 1.5}, "expected runs_count to be 0 or more, got 1.5"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Retention(**fields)
