"""What all benchmarks share: contenders take turns, each time in a process of its own, and answer with their figures.

A benchmark is a file with one question. Each contender is a function that does the work once, checks its own result,
and returns what it measured. `compare` runs them A B C, A B C, … so that a machine whose speed drifts slows all alike.
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from report import AtLeast, AtMost, Figures, Trials, report

from upright.actors.accelerator import accelerate

Contender = Callable[[], Figures]

ABSENT = 3
"""How a contender's process exits when the library that it needs is not there."""
PATIENCE = 600.0
"""Seconds until a contender is given up; none comes near, unless it has lost a message and waits for ever."""


class Absent(Exception):
    """What a contender needs, other than a Python package, is not on this machine."""


class Stopwatch:
    """Wall-clock seconds of a `with` block, in `seconds`, after a collection of garbage."""

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        gc.collect()
        self._from = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._from


def rate(count: int, watch: Stopwatch) -> Figures:
    """So many in that time."""
    return {"per_s": count / watch.seconds}


def latencies(seconds: Sequence[float]) -> Figures:
    """The median and the 99th percentile, in microseconds."""
    return {"p50_us": percentile(seconds, 0.5) * 1e6, "p99_us": percentile(seconds, 0.99) * 1e6}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def check(found: object, expected: object) -> None:
    """A contender that lost or doubled something gets no figures."""
    if found != expected:
        raise AssertionError(f"expected {expected!r}, got {found!r}")


def resident_bytes() -> int:
    """Memory of this process, in bytes (Linux), after a collection of garbage."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def scaled(count: int) -> int:
    """The count, times what `--scale` says."""
    return max(1, round(count * float(os.environ.get("BENCH_SCALE", "1"))))


def on_asyncio(main: Callable[[], Coroutine[Any, Any, Figures]]) -> Contender:
    """A contender that runs on the event loop of the standard library."""
    return lambda: asyncio.run(main())


def on_uvloop(main: Callable[[], Coroutine[Any, Any, Figures]]) -> Contender:
    """A contender that runs on uvloop."""

    def run() -> Figures:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())

    return run


def in_python(contender: Contender) -> Contender:
    """A contender of ours without the accelerator."""

    def run() -> Figures:
        accelerate(False)
        return contender()

    return run


def compare(
    question: str,
    contenders: Mapping[str, Contender],
    *,
    figure: str = "per_s",
    ours: str | None = "upright",
    goals: Sequence[AtLeast | AtMost] = (),
) -> None:
    """Run the contenders in turn and print a table with its goals; the same goes to `results/` as JSON.

    `figure`: what is compared, one that every contender returns. `ours`: the contender that the others are compared
    with, if any. One whose library is missing is named as left out; one that fails is named with its error.
    """
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="do so many times the work (0.1 for a quick look)")
    parser.add_argument("--one", choices=list(contenders), help="run one contender once and print its figures as JSON")
    options = parser.parse_args()
    if options.one:
        sys.exit(run_one(contenders[options.one]))
    os.environ["BENCH_SCALE"] = str(float(os.environ.get("BENCH_SCALE", "1")) * options.scale)
    trials = take_turns(list(contenders), options.rounds)
    report(question, trials, figure, ours, goals)
    if trials.failed and (ours is None or ours in trials.failed):
        sys.exit(1)


def run_one(contender: Contender) -> int:
    """Run a contender here, print its figures, and return the exit code of its process.

    All have one core, and so one thing less by which rounds differ; threads that share the GIL are even faster there.
    """
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        figures = contender()
    except (ImportError, Absent) as error:
        print(error, file=sys.stderr)
        return ABSENT
    print(json.dumps(figures))
    return 0


def take_turns(names: Sequence[str], rounds: int) -> Trials:
    """Run each contender once a round; one that fails is not called again."""
    trials = Trials({name: [] for name in names}, {}, {})
    for _ in range(rounds):
        for name in names:
            if name in trials.failed or name in trials.left_out:
                continue
            command = [sys.executable, sys.argv[0], "--one", name]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                trials.failed[name] = f"no result after {PATIENCE:g} s"
                continue
            last_words = (done.stderr.strip().splitlines() or ["no message"])[-1]
            if done.returncode == ABSENT:
                trials.left_out[name] = last_words
            elif done.returncode:
                trials.failed[name] = last_words
            else:
                trials.rounds[name].append(json.loads(done.stdout.splitlines()[-1]))
    return trials
