"""All benchmarks, one after the other, in a given time: what `make bench` runs.

    python benchmarks/suite.py --minutes 15

Each has the rounds that there is time for: three, or one when it is short. A benchmark that fails is named, and the
rest goes on.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import tables
from report import RESULTS

FOLDER = Path(__file__).parent
TIMES = RESULTS / "times.json"
ROUNDS = 3
SCALES: dict[str, float] = {}
"""Of the work of those that would take too long, by the name of their question."""


def main() -> int:
    """Run them, write the tables, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Run all benchmarks and write their tables and pictures.")
    parser.add_argument("--minutes", type=float, default=15.0, help="in which all of it is done")
    parser.add_argument("only", nargs="*", help="the names of questions, such as tell; without one all of them")
    options = parser.parse_args()
    wanted = [path for path in sorted(FOLDER.glob("bench_*.py")) if not options.only or question(path) in options.only]
    until = time.monotonic() + options.minutes * 60
    took: dict[str, float] = {}
    failed: list[str] = []
    for place, path in enumerate(wanted):
        began = time.monotonic()
        share = max(until - began, 0.0) / (len(wanted) - place)
        if run(path, share):
            failed.append(question(path))
        took[question(path)] = time.monotonic() - began
    RESULTS.mkdir(exist_ok=True)
    TIMES.write_text(json.dumps(took, indent=1) + "\n", "utf-8")
    tables.main()
    print(f"{sum(took.values()) / 60:.1f} minutes; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def question(path: Path) -> str:
    """What a benchmark's file is named after."""
    return path.stem.removeprefix("bench_")


def run(path: Path, seconds: float) -> int:
    """Run one, with the rounds for which there is time by what it took before; its exit status."""
    name = question(path)
    before: dict[str, float] = json.loads(TIMES.read_text("utf-8")) if TIMES.exists() else {}
    rounds = ROUNDS if before.get(name, 0.0) <= 2 * seconds else 1
    print(f"== {name}", flush=True)
    command = [sys.executable, str(path), "--rounds", str(rounds), "--scale", str(SCALES.get(name, 1.0))]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
