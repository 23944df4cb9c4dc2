"""What all benchmarks share: contenders take turns in processes of their own, and ratios are taken pair by pair.

A benchmark is a file with one question. Each contender is a function that does the work once and returns how many
operations per second it did (and whatever else it measured). `compare` runs them A B C, A B C, … so that a machine
whose speed drifts slows all alike.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Contender = Callable[[], dict[str, float]]
RESULTS = Path(__file__).parent / "results"


class Stopwatch:
    """Wall-clock seconds of a `with` block, in `seconds`, after a collection of garbage."""

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        gc.collect()
        self._from = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._from


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def resident_bytes() -> int:
    """Memory of this process, in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def compare(question: str, contenders: dict[str, Contender], ours: str = "upright", figure: str = "per_s") -> None:
    """Run the contenders in turn and print a table; the same as JSON goes to `results/`.

    `figure` is what the ratios are taken of; more is better. A contender whose library is missing is named as left out.
    """
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", choices=list(contenders), help="run one contender once and print its figures as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(contenders[options.one]()))
        return
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    missing: dict[str, str] = {}
    for _ in range(options.rounds):
        for name in contenders:
            if name not in missing:
                done = subprocess.run(
                    [sys.executable, sys.argv[0], "--one", name], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    missing[name] = (done.stderr.strip().splitlines() or ["no message"])[-1]
                else:
                    runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    report(question, runs, missing, ours, figure)


def report(
    question: str, runs: dict[str, list[dict[str, float]]], missing: dict[str, str], ours: str, figure: str
) -> None:
    """Print medians, spreads and the pair ratios, and write them down."""
    print(f"\n{question}\n  {machine()}")
    rows: dict[str, Any] = {}
    for name, rounds in runs.items():
        if not rounds:
            continue
        row: dict[str, Any] = {
            key: {
                "median": statistics.median(one[key] for one in rounds),
                "least": min(one[key] for one in rounds),
                "most": max(one[key] for one in rounds),
            }
            for key in rounds[0]
        }
        ratios = [mine[figure] / other[figure] for mine, other in zip(runs[ours], rounds, strict=False)]
        row["ours_to_theirs"] = statistics.median(ratios) if ratios else None
        rows[name] = row
        rest = ", ".join(
            f"{key} {value['median']:,.1f}" for key, value in row.items() if key not in (figure, "ours_to_theirs")
        )
        main = row[figure]
        print(
            f"  {name:28} {main['median']:>14,.0f}  ({main['least']:,.0f} … {main['most']:,.0f})"
            f"  ours ×{row['ours_to_theirs']:.2f}  {rest}"
        )
    for name, why in missing.items():
        print(f"  {name:28} left out: {why}")
    RESULTS.mkdir(exist_ok=True)
    name = Path(sys.argv[0]).stem
    text = json.dumps({"question": question, "machine": machine(), "rows": rows, "left_out": missing}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def machine() -> str:
    """Where this ran, and with what."""
    found: list[str] = []
    for package in ("pykka", "thespian", "uvloop", "msgspec", "anyio"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}; {', '.join(found)}"
