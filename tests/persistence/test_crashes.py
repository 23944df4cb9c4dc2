"""The laws that hold after a service was killed at random, again and again: see `tests.persistence.crashes`.

`UPRIGHT_KILLS` says how often it is killed, `UPRIGHT_SEED` when (with hundreds, give pytest `-o
faulthandler_timeout=3600`). Every law is read from two witnesses that do not know
of each other: the record beside the store, and the file, opened with nothing but `sqlite3`.
"""

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.persistence.crashes import POISON, Books, Campaign, Line, key_of, look, read_lines
from tests.persistence.outcome import DONE, QUARANTINED, Outcome, begun_again
from upright.persistence import Sqlite, session_file
from upright.persistence import sqlite_session as session

KILLS = int(os.environ.get("UPRIGHT_KILLS", "25"))
SEED = int(os.environ.get("UPRIGHT_SEED", "1"))


@pytest.fixture(scope="module", params=["steady", "stumbling", "beside another"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What is left of one campaign, for all laws: no handler fails; some do; there are two processes at a time."""
    manner: str = request.param
    campaign = Campaign(tmp_path_factory.mktemp("campaign"), manner)
    beside = int(manner == "beside another")
    campaign.rage(random.Random(SEED), KILLS // 5 if beside else KILLS * 2 // 5, beside)
    campaign.finish()
    return Outcome(campaign)


def test_the_campaign_killed_in_the_middle_of_the_work(outcome: Outcome) -> None:
    """Otherwise the laws below say nothing."""
    cut = [begin for begin, end in outcome.deliveries() if end is None]
    assert cut
    assert outcome.campaign.over
    assert len(outcome.said("accepted")) > 3 * KILLS
    if KILLS >= 100:
        assert {begin.address for begin in cut} == {"clerk", "senders", "filers"}
        assert max(Counter(line.number for line in outcome.lines if line.what == "telling").values()) > 1


def test_what_was_accepted_is_done_or_in_quarantine_with_its_story(outcome: Outcome) -> None:
    ends = outcome.numbers("clerk", DONE, QUARANTINED)
    assert not outcome.said("accepted") - set(ends)
    assert {row.state for row in outcome.rows.values()} <= {DONE, QUARANTINED}
    for row in outcome.rows.values():
        if row.state == QUARANTINED:
            assert row.reason in ("attempts", "crash_loop"), row
            assert outcome.failed[row.id] + outcome.crashed[row.id] == row.attempt, row


def test_a_message_told_with_a_key_is_there_once_however_often_it_was_told(outcome: Outcome) -> None:
    ends = outcome.numbers("clerk", DONE, QUARANTINED)
    assert not {number for number, times in ends.items() if times > 1}


def test_nothing_runs_again_once_its_end_was_stored(outcome: Outcome) -> None:
    assert not outcome.ran_again()


def test_messages_of_a_strict_mailbox_and_of_one_key_begin_for_the_first_time_in_the_order_of_their_coming(
    outcome: Outcome,
) -> None:
    for mailbox in in_order(outcome):
        first = list(dict.fromkeys(line.id for line in mailbox))
        assert first == sorted(first)


def test_a_message_that_is_tried_again_holds_up_those_behind_it(outcome: Outcome) -> None:
    for mailbox in in_order(outcome):
        for run, lines in groupby(mailbox, lambda line: line.run):
            ids = [line.id for line in lines]
            assert ids == sorted(ids), f"in run {run}"


def test_messages_of_one_key_are_never_in_hand_together(outcome: Outcome) -> None:
    hands: dict[tuple[int, str], int] = {}
    for line in outcome.lines:
        if line.address == "filers":
            place = line.run, key_of(line.number)
            if line.what == "began":
                assert place not in hands, f"{line} while {hands[place]} was in hand"
                hands[place] = line.id
            else:
                del hands[place]


def in_order(outcome: Outcome) -> Iterator[list[Line]]:
    """What began in the strict mailbox, and of each key."""
    yield [line for line in outcome.began if line.address == "clerk"]
    filed = [line for line in outcome.began if line.address == "filers"]
    for key in {key_of(line.number) for line in filed}:
        yield [line for line in filed if key_of(line.number) == key]


def test_durable_state_is_the_sum_of_what_was_acked(outcome: Outcome) -> None:
    booked = outcome.numbers("clerk", DONE)
    assert outcome.books == Books(booked.total(), sum(booked.elements()))
    assert outcome.version == booked.total()


@pytest.mark.parametrize("address", ["senders", "filers"])
def test_what_an_acked_handler_told_is_there_once_and_nothing_else_is(outcome: Outcome, address: str) -> None:
    assert outcome.numbers(address, DONE, QUARANTINED) == outcome.numbers("clerk", DONE)


def test_the_attempt_that_a_process_died_in_is_used_up_and_its_crash_counted(outcome: Outcome) -> None:
    for begin, again in begun_again(outcome):
        if begin.end is None:  # more where a process died when it had counted an attempt and not run its handler yet
            used, crashed = again.attempt - begin.line.attempt, again.crashes - begin.line.crashes
            assert used == crashed >= 1, begin.line


def test_an_attempt_that_failed_is_used_up_and_ends_the_row_of_crashes(outcome: Outcome) -> None:
    for begin, again in begun_again(outcome):
        if begin.end is not None and begin.end.what == "failed" and begin.line.run == again.run:
            assert (again.attempt, again.crashes) == (begin.line.attempt + 1, 0), begin.line


def test_no_two_attempts_bear_one_number(outcome: Outcome) -> None:
    """An attempt is counted when it begins: also one whose handler had returned when the process died."""
    same = [begin for begin, again in begun_again(outcome) if again.attempt <= begin.line.attempt]
    assert not same


def test_nothing_is_left_behind_by_the_dead(outcome: Outcome) -> None:
    file = outcome.campaign.file
    assert outcome.left == ["jobs.db"]
    assert look(file, "PRAGMA integrity_check") == [("ok",)]
    assert look(file, "SELECT name FROM session") == []
    assert look(file, "SELECT address FROM mailbox WHERE owner IS NOT NULL OR depth <> 0") == []


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What is left where one message kills every process that handles it, while others are in hand."""
    campaign = Campaign(tmp_path_factory.mktemp("poison"))
    ends = Counter(iter_ends(lambda: campaign.run("poison")))
    assert set(ends) == {-signal.SIGKILL, 0}, campaign.log()
    return Outcome(campaign)


def iter_ends(run: Callable[[], int]) -> Iterator[int]:
    """How the runs ended, until one ends well."""
    for _ in range(10):
        yield (code := run())
        if code == 0:
            return


def test_a_message_that_kills_three_processes_in_a_row_goes_to_quarantine_with_its_story(poisoned: Outcome) -> None:
    (row,) = (row for row in poisoned.rows.values() if poisoned.number[row.id] == POISON)
    assert (row.state, row.reason, row.attempt) == (QUARANTINED, "crash_loop", 3)
    assert [line.attempt for line in poisoned.began if line.number == POISON] == [1, 2, 3]
    story = look(poisoned.campaign.file, f"SELECT name, attempt FROM event WHERE message = {row.id} ORDER BY rowid")
    assert story == [("crashed", 1), ("crashed", 2), ("crashed", 3), ("quarantined", 3)]


def test_those_in_hand_beside_a_message_that_kills_are_cleared(poisoned: Outcome) -> None:
    """What has a crash count runs alone: once is enough to tell who it was."""
    assert poisoned.numbers("senders", DONE) == Counter((1, 2, 3))
    for begin, _ in poisoned.deliveries():
        assert begin.number == POISON or begin.attempt <= 2, begin


def test_a_message_that_runs_alone_after_a_crash_may_ask_others(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    assert campaign.run("enquire") == -signal.SIGKILL, campaign.log()
    assert campaign.run("enquire") == 0, campaign.log()
    assert [line.attempt for line in read_lines(campaign.record.path) if line.what == "began"] == [1, 2]
    assert look(campaign.file, "SELECT state, count(*) FROM message") == [(DONE, 2)]


def test_a_file_that_is_no_store_is_told_of_when_the_system_starts(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.file.write_bytes(b"x" * 5000)
    assert campaign.run("finish") == 1
    assert "StoreCorrupt" in campaign.log()


@pytest.mark.anyio
async def test_a_lock_while_a_dead_session_is_taken_over_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the dead had claimed comes back, and the system starts."""
    campaign = Campaign(tmp_path)
    working = campaign.start("produce")
    campaign.until(lambda lines: any(line.what == "done" for line in lines))
    campaign.kill(working)
    other = sqlite3.connect(campaign.file, isolation_level=None)
    held: list[Path] = []

    def take_over(path: Path, real: Callable[[Path], object] = session_file.take_over) -> object:
        if not held:
            held.append(path)
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.05, other.execute, "COMMIT")
        return real(path)

    monkeypatch.setattr(session, "take_over", take_over)
    store = Sqlite(campaign.file)._engine
    await store.open(lambda _: None)
    await store.close()
    other.close()
    assert held
    assert look(campaign.file, "SELECT count(*) FROM message WHERE state = 1") == [(0,)]
    assert look(campaign.file, "SELECT name FROM session") == []


@pytest.mark.anyio
async def test_files_of_sessions_that_died_before_they_were_enrolled_are_cleaned_up(tmp_path: Path) -> None:
    for name in ("jobs.db-session-1-abc", "jobs.db-session-2-abc"):
        session_file.SessionFile.create(tmp_path / name).close()
    (tmp_path / "jobs.db-session-2-abc").rename(tmp_path / "jobs.db-session-2-abc.new")
    store = Sqlite(tmp_path / "jobs.db")._engine
    await store.open(lambda _: None)
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]
