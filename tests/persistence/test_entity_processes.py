"""The laws of entities over kills and between processes, with real ones on one file."""

import signal
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from tests.persistence.crashes import Line, look, read_lines
from tests.persistence.outcome import DONE
from tests.persistence.points import Kill, Killings, Order, forking
from tests.persistence.tellers import EACH, IDS
from upright.persistence.crash_points import Point

POINTS = (Point.BEGUN, Point.SETTLED, Point.COMMITTED, Point.SYNCED, Point.STARTED, Point.HANDLED, Point.DECIDED)
KILLS = [Kill(point, "deposit", time) for point in POINTS for time in (1, 3, 9)]


@pytest.fixture(scope="module")
def do() -> Generator[Callable[[Order], int]]:
    with forking("tests.persistence.tellers") as do:
        yield do


def totals(campaign: Killings) -> dict[str, int]:
    """What the states say, by the ids."""
    rows = look(campaign.file, "SELECT name, body FROM record WHERE kind = 'tills'")
    return {name: msgspec.msgpack.decode(body)[1]["cents"] for name, body in rows}


def overlaps(lines: list[Line]) -> list[Line]:
    """The beginnings of messages of an entity of which another one was in hand."""
    busy: set[int] = set()
    found: list[Line] = []
    for line in lines:
        if line.what == "began":
            if line.number in busy:
                found.append(line)
            busy.add(line.number)
        elif line.what == "done":
            busy.discard(line.number)
    return found


@pytest.mark.parametrize("kill", KILLS, ids=str)
def test_after_a_kill_the_state_of_each_is_the_sum_of_its_messages(
    kill: Kill, do: Callable[[Order], int], tmp_path: Path
) -> None:
    campaign = Killings(tmp_path, do)
    assert campaign.run("deposit", kill) == -signal.SIGKILL, campaign.log()
    assert campaign.run("finish") == 0, campaign.log()
    stored = look(campaign.file, "SELECT key, count(*) FROM message GROUP BY key")
    assert totals(campaign) == dict(stored)
    assert look(campaign.file, f"SELECT 1 FROM message WHERE state <> {DONE}") == []


def test_two_processes_never_have_messages_of_one_in_hand_together_and_lose_no_cent(
    do: Callable[[Order], int], tmp_path: Path
) -> None:
    campaign = Killings(tmp_path, do)
    first, second = (Order(str(tmp_path), run, "deposit", None) for run in (1, 2))
    with forking("tests.persistence.tellers") as also_do, ThreadPoolExecutor() as both:
        ends = both.submit(do, first), both.submit(also_do, second)
        assert [end.result() for end in ends] == [0, 0], campaign.log()
    lines = read_lines(campaign.folder / "record")
    worked = Counter(line.run for line in lines if line.what == "began")
    assert len(worked) == 2
    assert min(worked.values()) > EACH
    assert overlaps(lines) == []
    assert totals(campaign) == {f"till {number}": 2 * EACH for number in range(IDS)}
