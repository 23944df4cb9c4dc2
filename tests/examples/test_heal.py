"""The demo as users run it: every line of whatever it is given is accounted for once, and its exit status says so."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house.rooms import ROOT

HEAL = [sys.executable, "-W", "error", str(ROOT / "examples" / "heal")]
INPUT = ROOT / "examples" / "heal" / "input.txt"
GOOD = b"2026-03-02T08:00:00 A1 tea 2 19.80 EUR\n"
CRASHING = b"2026-03-02T08:00:00 A2 tea 0 19.80 EUR\n"


def heal(*words: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*HEAL, *words], input=given, capture_output=True, timeout=60, check=False)


def healed(*words: str, given: bytes | None = None) -> dict[str, Any]:
    """The JSON report of a run that adds up."""
    done = heal(*words, "--json", given=given)
    assert (done.returncode, done.stderr) == (0, b""), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["adds_up"] is True
    assert report["read"] == report["handled"] + report["refused"] + report["lost"]
    assert report["crashes"] == report["restarts"] == report["lost"] == report["dead_letters"].get("crashed", 0)
    assert report["answering"] == report["parsers"]
    return report


def test_the_shipped_input_provokes_crashes_and_refusals_and_every_line_is_accounted_for_once() -> None:
    report = healed(str(INPUT))
    assert report["read"] == len(INPUT.read_bytes().splitlines()) == 300
    assert report["crashes"] > 5
    assert report["refused"] > 10
    lines = [entry["line"] for entry in report["refused_lines"] + report["lost_lines"]]
    assert len(lines) == len({*lines}) == report["refused"] + report["lost"]
    assert report["handled"] == report["sums"]["orders"] == sum(report["sums"]["hours"].values())


def test_a_report_for_people_names_lines_reasons_crashes_and_restarts() -> None:
    done = heal("-", given=GOOD + CRASHING + b"nonsense\n")
    text = done.stdout.decode()
    assert done.returncode == 0
    assert "line      2  /parser-" in text
    assert "crashed: DivisionByZero" in text
    assert "line      3  expected 6 fields" in text
    assert "It adds up: every line is accounted for exactly once" in text


def test_the_actor_answers_on_after_a_thousand_crashes_in_a_row() -> None:
    report = healed("-", given=CRASHING * 1_000 + GOOD)
    assert (report["crashes"], report["handled"], report["sums"]["euros"]) == (1_000, 1, {"tea": "19.80"})


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        pytest.param(b"", (0, 0, 0), id="an empty file"),
        pytest.param(b"\n", (1, 0, 1), id="an empty line"),
        pytest.param(GOOD.rstrip(), (1, 1, 0), id="no newline at the end"),
        pytest.param(GOOD.replace(b"\n", b"\r\n"), (1, 1, 0), id="newlines of another system"),
        pytest.param(bytes(range(256)) * 40, (41, 0, 41), id="bytes that are no text"),
        pytest.param(b"x" * 3_000_000 + b"\n" + GOOD, (2, 1, 1), id="a huge line"),
        pytest.param(b" ".join([GOOD.strip()] * 5_000) + b"\n", (1, 0, 1), id="a huge line of good text"),
    ],
)
@pytest.mark.parametrize("piped", [True, False])
def test_strange_input_is_counted_and_refused(
    given: bytes, counts: tuple[int, int, int], piped: bool, tmp_path: Path
) -> None:
    (tmp_path / "orders.txt").write_bytes(given)
    report = healed("-", given=given) if piped else healed(str(tmp_path / "orders.txt"))
    assert (report["read"], report["handled"], report["refused"]) == counts


def test_a_long_line_is_refused_with_its_length_and_not_kept() -> None:
    report = healed("-", given=b"x" * 100_000)
    assert report["refused_lines"] == [{"line": 1, "reason": "expected at most 4,096 bytes, got 100,000"}]


def test_bytes_of_the_input_never_reach_the_terminal_as_they_are() -> None:
    done = heal(
        "-", given=b"2026-03-02T08:00:00 A1 \x1b[2J 2 19.80 EUR\n" + b"2026-03-02T08:00:00 A1 tea \x07 19.80 EUR\n"
    )
    assert b"\x1b" not in done.stdout
    assert b"\x07" not in done.stdout
    assert b"\\x1b[2J" in done.stdout


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_what_cannot_be_opened_is_told_in_one_line_with_status_2(name: str, tmp_path: Path) -> None:
    done = heal(str(tmp_path / name))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"heal: cannot read ")
    assert done.stderr.count(b"\n") == 1


def test_ctrl_c_ends_the_reading_and_reports_what_was_done() -> None:
    with subprocess.Popen([*HEAL, "-", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # More than a pipe holds: once it is written, the program is reading, and so it listens for Ctrl-C.
        process.stdin.write(GOOD * 10_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        report = json.loads(process.stdout.read())
        assert process.wait(60) == 130
    assert report["interrupted"] is True
    assert report["adds_up"] is True
    assert 0 < report["read"] == report["handled"] <= 10_000


def test_a_reader_that_has_seen_enough_ends_it_without_a_traceback(tmp_path: Path) -> None:
    near, far = os.pipe()
    os.close(near)
    try:
        done = subprocess.run([*HEAL, str(INPUT)], stdout=far, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(far)
    assert (done.returncode, done.stderr) == (1, b"")


def test_the_events_of_the_actors_go_to_standard_error_when_asked_for() -> None:
    done = heal("-", "--json", "--log", given=CRASHING)
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert sorted(events) == ["actor.crashed", "actor.restarted", "message.dead_lettered"]
    assert json.loads(done.stdout)["crashes"] == 1
