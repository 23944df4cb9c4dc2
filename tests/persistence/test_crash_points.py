"""The laws that hold wherever a process is killed: at each numbered crash point, the first time and later ones.

See `tests.persistence.points` for what the processes do. After each kill, what both witnesses say is kept (see
`tests.persistence.outcome`), and then a fresh process has all done that is left.
"""

import ast
import functools
import signal
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec
import pytest

from tests.persistence.crashes import Books, look, read_lines
from tests.persistence.outcome import DONE, QUARANTINED, Outcome
from tests.persistence.points import WALKER, Kill, Killings, Order, forking, work
from upright.persistence import crash_points
from upright.persistence.crash_points import Point

CLAIMED, DROPPED = 1, 4
BEFORE_COMMIT = Point.BATCH, Point.BEGUN, Point.SETTLED, Point.PUT, Point.CLAIMED, Point.COUNTED
AFTER_COMMIT = Point.COMMITTED, Point.SYNCED, Point.TOLD, Point.ANSWERED
IN_HAND = Point.STARTING, Point.STARTED, Point.HANDLED, Point.DECIDED
ENDING = Point.KNOWN, Point.ENDED
EARLIER = Kill(Point.HANDLED, "produce", 9)
"""How those died whose claims are taken back."""

SECOND = ("stumble", 2), ("lose", 2)
MANY = ("produce", 5), ("produce", 17)
SCENES: dict[Point, list[tuple[str, int]]] = {
    Point.MADE: [("few", 1)],
    Point.SESSION_MADE: [("few", 1), ("finish", 1), ("lose", 2)],
    Point.SESSION_ENROLLED: [("few", 1), ("finish", 1)],
    **{point: [("finish", 1)] for point in (Point.RECOVERING, Point.TAKING_BACK, Point.TAKEN_BACK, Point.RECOVERED)},
    **{point: [("one", 1), ("one", 2), *SECOND, *MANY] for point in (*BEFORE_COMMIT, *AFTER_COMMIT)},
    **{point: [("one", 1), *MANY] for point in IN_HAND},
    **{point: [("one", 1), ("stumble", 1), *MANY] for point in ENDING},
    Point.BEATEN: [("walk", 1), ("walk", 2), ("walk", 3)],
    Point.REFUSED: [("lose", 1)],
    Point.CHECKPOINT: [("lengthen", 1), ("lengthen", 2), ("lengthen", 5)],
    Point.BY_HAND: [("mend", 1), ("mend", 2), ("mend", 3)],
    Point.LEAVING: [("few", 1)],
    Point.LEFT: [("few", 1)],
}
"""By point: the deeds on whose way it lies, and which time is the last."""
COMMITTED = [
    [],
    [("clerk", CLAIMED)],
    [("clerk", DONE), ("filers", CLAIMED), ("senders", CLAIMED)],
]
"""What is in the file after so many commits of `one`."""
KILLS = [Kill(point, deed, time) for point in Point for deed, time in SCENES.get(point, ())]


class Aftermath(msgspec.Struct, frozen=True):
    """What came of a kill. `codes`: how its processes ended. `deaths`: what was left by each kill; `end`: at last."""

    kill: Kill
    campaign: Killings
    codes: list[int]
    deaths: list[Outcome]
    end: Outcome


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Generator[Callable[[Kill], Aftermath]]:
    """What comes of a kill, found out once for all laws."""
    with forking() as do:

        @functools.cache
        def after(kill: Kill) -> Aftermath:
            campaign = Killings(tmp_path_factory.mktemp("killings"), do)
            codes: list[int] = []
            deaths: list[Outcome] = []
            for each in (EARLIER, kill) if kill.deed == "finish" else (kill,):
                codes.append(campaign.run(each.deed, each))
                if look(campaign.file, "SELECT 1 FROM sqlite_schema"):
                    campaign.see_what_is_over()
                    deaths.append(Outcome(campaign))
            codes.append(campaign.run("finish"))  # how it ends, the laws tell
            return Aftermath(kill, campaign, codes, deaths, Outcome(campaign))

        yield after


@pytest.fixture(params=KILLS, ids=str)
def aftermath(request: pytest.FixtureRequest, after: Callable[[Kill], Aftermath]) -> Aftermath:
    return after(request.param)


def only(*deeds: str) -> pytest.MarkDecorator:
    """The kills in these deeds, for laws of their own."""
    chosen = [kill for kill in KILLS if kill.deed in deeds]
    return pytest.mark.parametrize("aftermath", chosen, indirect=True, ids=str)


@pytest.mark.parametrize("point", Point, ids=lambda point: point.name)
def test_every_point_has_a_scene_in_which_a_process_comes_there(point: Point) -> None:
    assert SCENES.get(point)


def test_the_process_was_killed_at_that_point_and_the_next_has_all_done(aftermath: Aftermath) -> None:
    *killed, last = aftermath.codes
    assert set(killed) == {-signal.SIGKILL}, aftermath.campaign.log()
    assert last == 0, aftermath.campaign.log()


def test_what_was_accepted_is_done_or_was_refused(aftermath: Aftermath) -> None:
    end = aftermath.end
    assert not end.said("accepted") - {end.number[id] for id in end.rows if id in end.number}
    states = {row.state for row in end.rows.values()}
    assert states <= ({QUARANTINED, DROPPED} if aftermath.kill.deed == "mend" else {DONE})


def test_a_message_told_with_a_key_is_there_once_however_often_it_was_told(aftermath: Aftermath) -> None:
    assert not [number for number, times in aftermath.end.numbers("clerk", DONE).items() if times > 1]


def test_nothing_runs_again_once_its_end_was_stored(aftermath: Aftermath) -> None:
    assert not aftermath.end.ran_again()


def test_the_end_of_a_message_its_state_and_what_it_told_are_all_there_or_none(aftermath: Aftermath) -> None:
    for outcome in (*aftermath.deaths, aftermath.end):
        booked = outcome.numbers("clerk", DONE)
        assert outcome.books == Books(booked.total(), sum(booked.elements()))
        assert outcome.version == booked.total()
        told = Counter(row.address for row in outcome.rows.values() if row.address in ("senders", "filers"))
        assert told["senders"] == told["filers"] == booked.total()
    for address in ("senders", "filers"):
        assert aftermath.end.numbers(address, DONE) == aftermath.end.numbers("clerk", DONE)


def test_an_actor_in_memory_is_told_after_the_commit_and_once_or_if_a_process_dies_between_never(
    aftermath: Aftermath,
) -> None:
    for outcome in (*aftermath.deaths, aftermath.end):
        heard = Counter(line.number for line in outcome.lines if line.what == "heard")
        assert heard <= outcome.numbers("clerk", DONE)
    last = max(line.run for line in aftermath.end.lines)
    booked_in_peace = {line.number for line in aftermath.end.began if line.address == "clerk" and line.run == last}
    assert booked_in_peace <= aftermath.end.said("heard")


def test_each_attempt_that_began_is_used_up_and_no_other(aftermath: Aftermath) -> None:
    end, unseen = aftermath.end, Counter[int]()
    for row in end.rows.values():
        if row.state == DONE:
            assert row.attempt == end.failed[row.id] + end.crashed[row.id] + 1, row
            unseen[row.id] = row.attempt - sum(line.id == row.id for line in end.began)
    # Noted, and killed before the handler could say that it began.
    assert [times for times in unseen.values() if times] == [1] * (aftermath.kill.point is Point.STARTED)


def test_a_crash_is_counted_for_what_was_in_hand_and_for_nothing_else(aftermath: Aftermath) -> None:
    blamed = Counter[int]()
    for run, death in enumerate(aftermath.deaths, 1):
        blamed += Counter(in_hand(death, run, CLAIMED))
    if aftermath.kill.deed == "lose":  # it was blamed before the kill, by whoever took it away
        blamed = Counter(line.id for line in aftermath.deaths[0].began)
    rest = aftermath.end.crashed - blamed
    assert not blamed - aftermath.end.crashed
    assert rest.total() == (aftermath.kill.point is Point.STARTED)


def test_what_begins_again_knows_how_many_attempts_in_a_row_a_process_died_in(aftermath: Aftermath) -> None:
    end, redriven = aftermath.end, aftermath.kill.deed == "mend"
    for line in end.began:
        if line.attempt > 1:
            assert line.crashes == line.attempt - 1 - (0 if redriven else end.failed[line.id]), line


@only("stumble")
def test_an_attempt_that_failed_is_used_up_once_whether_that_was_written_or_not(aftermath: Aftermath) -> None:
    written = aftermath.kill.point not in BEFORE_COMMIT
    (id,) = (row.id for row in aftermath.end.rows.values() if row.address == "clerk")
    assert (aftermath.end.failed[id], aftermath.end.crashed[id]) == (written, not written)
    assert aftermath.end.rows[id].attempt == 2


def in_hand(death: Outcome, run: int, *states: int) -> set[int]:
    """What began in that run, and was in such a state when it was killed."""
    return {line.id for line in death.began if line.run == run and death.rows[line.id].state in states}


def test_nothing_is_left_behind_by_the_dead(aftermath: Aftermath) -> None:
    file = aftermath.campaign.file
    assert aftermath.end.left == [file.name]
    assert look(file, "PRAGMA integrity_check") == [("ok",)]
    assert look(file, "SELECT name FROM session") == []
    assert look(file, "SELECT address FROM mailbox WHERE owner IS NOT NULL OR depth <> 0") == []


@only("one")
def test_what_is_written_in_one_go_is_there_from_its_commit_on_and_not_before(aftermath: Aftermath) -> None:
    """The first commit stores a message, and the second one its end, its state, and what it told."""
    point, time = aftermath.kill.point, aftermath.kill.time
    commits = 1 if point in IN_HAND else 2 if point in ENDING else time - (point in BEFORE_COMMIT)
    states = sorted((row.address, row.state) for row in aftermath.deaths[0].rows.values())
    assert states == COMMITTED[commits]


@only("walk")
def test_the_last_committed_word_of_an_attempt_is_there_for_the_next(aftermath: Aftermath) -> None:
    found = [line.number for line in aftermath.end.lines if line.what == "found"]
    assert found == [0, aftermath.kill.time - 1]


@only("mend")
def test_what_was_committed_by_hand_stays_done(aftermath: Aftermath) -> None:
    """They cancel the last of three messages, redrive the first and discard the second, each of which was refused."""
    time, end = aftermath.kill.time, aftermath.end
    then, now = ([rows[id].state for id in sorted(rows)] for rows in (aftermath.deaths[0].rows, end.rows))
    assert then[1:] == [DROPPED if time == 3 else QUARANTINED, DROPPED]
    assert now == [QUARANTINED, *then[1:]]
    times = Counter(line.number for line in end.began)
    # Once redriven it may have been in hand when the process was killed.
    assert times == {WALKER: (1 if time == 1 else 2) + end.crashed.total(), WALKER + 1: 1}


def test_a_file_that_was_not_made_to_its_end_is_made_anew(after: Callable[[Kill], Aftermath]) -> None:
    assert after(Kill(Point.MADE, "few")).deaths == []


@pytest.mark.anyio
async def test_points_cost_one_look_while_none_is_armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is called at them, from the opening of a new file to the orderly end."""
    assert not crash_points.on
    called: list[Point] = []
    monkeypatch.setattr(crash_points, "at", called.append)
    for run, deed in enumerate(("few", "walk", "mend", "lose"), 1):
        await work(Order(str(tmp_path), run, deed, None))
    assert read_lines(tmp_path / "record")
    assert called == []


def test_each_point_stands_behind_that_look_and_nothing_else_does() -> None:
    stand: list[str] = []
    for room in Path(crash_points.__file__).parent.glob("*.py"):
        nodes = list(ast.walk(ast.parse(room.read_text())))
        looks = [node for node in nodes if isinstance(node, ast.If) and ast.unparse(node.test) == "crash_points.on"]
        behind = [ast.unparse(line) for look in looks for line in (*look.body, *look.orelse)]
        assert behind == [ast.unparse(node) for node in nodes if is_call(node)]
        stand += behind
    assert Counter(stand) == Counter(f"crash_points.at(Point.{point.name})" for point in Point)


def is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "crash_points.at"
