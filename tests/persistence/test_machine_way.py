"""The drawing of a run shows where it is, how it came there, and what went wrong."""

import functools
from typing import Any

import pytest

from tests.persistence.parcels import (
    EPOCH,
    SVG,
    Delivery,
    Lone,
    Parcel,
    after_a_run,
    check_mermaid,
    drawn,
    is_heavy,
    states_of,
    words_of,
)
from upright.persistence import Run
from upright.persistence.machine_way import Way, named
from upright.persistence.run_record import HistoryEvent, Joining, RunRecord


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.mark.anyio
class TestRuns:
    async def test_what_was_passed_and_where_it_is_are_marked(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            text = await run.svg()
            assert states_of(text, "current") == ["HELD"]
            assert states_of(text, "passed") == ["NEW", "PACKED"]
            assert "waiting since 22:13:20.000" in words_of(text, "small")
            assert "in HELD" in str(drawn(text)[0].text)
            lines = (await run.mermaid()).splitlines()
            check_mermaid("\n".join(lines))
            assert "    class NEW,PACKED passed" in lines
            assert "    class HELD current" in lines

        await after_a_run(Delivery, Parcel(heavy=True), look)

    async def test_each_edge_that_was_taken_has_its_time_and_its_attempts(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            text = await run.svg()
            assert states_of(text, "done") == ["DONE"]
            assert "22:13:23.000, attempt 3" in words_of(text, "small")
            taken = [one for one in drawn(text).iter(f"{SVG}g") if one.get("class") == "edge taken"]
            assert len(taken) == 5, "the first arrow, pack, bill, ship, notify"
            ship = next(line for line in (await run.mermaid()).splitlines() if ": ship<br/>" in line)
            assert ship.endswith("22#58;13#58;23.000, attempt 3")

        await after_a_run(Delivery, Parcel(flaws=("late",)), look)

    async def test_an_edge_that_was_taken_because_of_a_rejection_shows_why_and_what_was_taken_back(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            text = await run.svg()
            assert states_of(text, "current") == ["REFUSED"]
            assert words_of(text, "error") == ["Reject: no such <street> & no such town"]
            assert "taken back 22:13:20.000" in words_of(text, "small")
            check_mermaid(await run.mermaid())

        await after_a_run(Delivery, Parcel(flaws=("refused",)), look)

    async def test_an_edge_that_was_taken_because_of_a_failure_shows_the_last_error(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            text = await run.svg()
            assert states_of(text, "current") == ["HELD"]
            assert words_of(text, "error") == ["ConnectionError: no road"]

        await after_a_run(Delivery, Parcel(flaws=("broken",)), look)

    async def test_of_a_run_that_has_failed_the_step_and_its_error_are_shown(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            text = await run.svg()
            assert states_of(text, "failed") == ["NEW"]
            assert "attempt 2 failed 22:13:21.000: ValueError: no & never" in words_of(text, "error")
            assert "no #38; never" in await run.mermaid()

        await after_a_run(Lone, Parcel(), look)

    async def test_a_cancelled_one_is_where_cancelled_ones_end(self) -> None:
        async def look(run: Run[Parcel]) -> None:
            await run.signal(Delivery.remark, "again")
            await run.cancel("enough")
            await run.result()
            text = await run.svg()
            assert states_of(text, "current") == ["STOPPED"]
            assert states_of(text, "passed") == ["NEW", "PACKED", "HELD"]
            assert "cancelled" in str(drawn(text)[0].text)
            check_mermaid(await run.mermaid())

        await after_a_run(Delivery, Parcel(heavy=True), look)


class TestOddRecords:
    def test_a_state_that_is_not_defined_any_more_is_told_and_none_is_marked(self) -> None:
        record = RunRecord(1, "no <such>", b"", started=EPOCH)
        text = Delivery.svg(record)
        assert states_of(text, "current") == []
        assert "in 'no <such>', a state that is not defined any more" in str(drawn(text)[0].text)
        check_mermaid(Delivery.mermaid(record))

    def test_steps_that_are_not_defined_any_more_are_left_out(self) -> None:
        record = RunRecord(1, "packed", b"", started=EPOCH)
        for name, state in (("completed", "new"), ("entered", "packed"), ("failed", "packed"), ("compensated", "")):
            record.tell(HistoryEvent(name, EPOCH, "no_such_step", state, 1))
        assert "no_such_step" not in Delivery.svg(record) + Delivery.mermaid(record)

    def test_an_attempt_that_failed_is_forgotten_when_the_step_is_done(self) -> None:
        record = RunRecord(1, "billed", b"", started=EPOCH)
        record.tell(HistoryEvent("failed", EPOCH, "ship", "billed", 1, error="ValueError: no"))
        assert [*Way(Delivery.definition, record).tried] == ["ship"]
        record.tell(HistoryEvent("completed", EPOCH, "ship", "billed", 2))
        assert not Way(Delivery.definition, record).tried

    def test_branches_that_are_waited_for_are_counted_and_those_that_failed_are_shown(self) -> None:
        record = RunRecord(1, "shipped", b"", status="failed", started=EPOCH)
        record.joining = Joining("notify", 3, begun=3, results={0: b""}, failed={1: "ValueError: no such address"})
        assert "1 of 3 done" in words_of(Delivery.svg(record), "small")
        assert words_of(Delivery.svg(record), "error") == ["ValueError: no such address"]

    def test_an_undo_that_fails_is_shown_at_the_step_that_it_takes_back(self) -> None:
        record = RunRecord(1, "billed", b"", status="compensating", started=EPOCH)
        record.tell(HistoryEvent("failed", EPOCH, "unpack", "billed", 1, error="ValueError: stuck"))
        assert "attempt 1 failed 22:13:20.000: ValueError: stuck" in words_of(Delivery.svg(record), "error")

    def test_a_redrive_from_an_earlier_step_is_no_edge(self) -> None:
        record = RunRecord(1, "new", b"", started=EPOCH)
        record.tell(HistoryEvent("failed", EPOCH, "ship", "billed", 3))
        record.tell(HistoryEvent("redriven", EPOCH, "pack", "held"))
        record.tell(HistoryEvent("entered", EPOCH, state="held"))
        assert not Way(Delivery.definition, record).taken


def test_functions_are_called_by_their_names() -> None:
    assert named(is_heavy) == "is_heavy"
    assert named(Delivery.definition.transitions["bill"].given) == "lambda"
    assert named(functools.partial(is_heavy)) == "is_heavy"
    assert named(functools.partial(functools.partial(is_heavy))) == "is_heavy"
