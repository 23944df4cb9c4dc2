"""The laws of steps inside a handler that hold wherever its process is killed."""

import signal
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.persistence.crashes import Line, look, read_lines
from tests.persistence.outcome import DONE
from tests.persistence.points import Kill, Killings, Order, forking
from tests.persistence.stepping import NEWS, STEPS
from upright.persistence.crash_points import Point

POINTS = (
    Point.BATCH, Point.BEGUN, Point.SETTLED, Point.PUT, Point.COUNTED, Point.COMMITTED, Point.SYNCED, Point.ANSWERED,
)  # fmt: skip
KILLS = [Kill(point, "take_all", time) for point in POINTS for time in (1, 2, 4)]


@pytest.fixture(scope="module")
def do() -> Generator[Callable[[Order], int]]:
    with forking("tests.persistence.stepping") as do:
        yield do


@pytest.fixture(params=KILLS, ids=str)
def campaign(request: pytest.FixtureRequest, tmp_path: Path, do: Callable[[Order], int]) -> Killings:
    """A store whose process was killed there, and another one has finished its work."""
    campaign = Killings(tmp_path, do)
    assert campaign.run("take_all", request.param) == -signal.SIGKILL, campaign.log()
    assert campaign.run("finish") == 0, campaign.log()
    return campaign


def test_a_step_that_returned_is_never_run_again_and_each_is_done(campaign: Killings) -> None:
    lines = read_lines(campaign.folder / "record")
    did = Counter(line.number for line in lines if line.what == "did")
    returned = {line.number for line in lines if line.what == "returned" and line.run == 1}
    assert set(did) == set(range(STEPS))
    assert all(did[number] == 1 for number in returned)
    assert sum(did.values()) <= STEPS + 1  # what the crash cut off, and nothing else
    assert look(campaign.file, f"SELECT 1 FROM message WHERE state <> {DONE}") == []


def test_what_a_step_told_is_handled_once_with_it(campaign: Killings) -> None:
    heard = Counter(line.number for line in read_lines(campaign.folder / "record") if line.what == "heard")
    stored = look(campaign.file, "SELECT count(*) FROM message WHERE handler = 'hear'")
    assert stored == [(STEPS,)]
    assert set(heard) == {NEWS + number for number in range(STEPS)}


def test_no_step_outlives_its_message(campaign: Killings) -> None:
    assert look(campaign.file, "SELECT * FROM record") == []


def test_the_kills_are_spread_over_all_steps(do: Callable[[Order], int], tmp_path: Path) -> None:
    """Or the laws above would hold without a step in anybody's way."""
    deaths: list[list[Line]] = []
    for time in (1, 2, 4):
        folder = tmp_path / str(time)
        folder.mkdir()
        Killings(folder, do).run("take_all", Kill(Point.COMMITTED, "take_all", time))
        deaths.append(read_lines(folder / "record"))
    assert len({sum(line.what == "did" for line in death) for death in deaths}) > 1


def test_whoever_has_lost_the_message_keeps_no_step_and_tells_nothing(
    do: Callable[[Order], int], tmp_path: Path
) -> None:
    campaign = Killings(tmp_path, do)
    assert campaign.run("lose") == 0, campaign.log()
    words = Counter(line.what for line in read_lines(campaign.folder / "record"))
    assert words == {"did": 2, "detached": 1, "heard": 1}
