"""All benchmarks, one after the other, in a given time: what `make bench` runs.

    python benchmarks/suite.py --minutes 15

Each has the rounds that there is time for: three, or fewer where all that are left would take too long, at the pace of
those before. A benchmark that fails is named, and the rest goes on.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import tables
from report import RESULTS

FOLDER = Path(__file__).parent
ROUNDS = 3
USUAL = {
    "ask": 24, "ask_at_once": 22, "durable_cycle": 47, "durable_depth": 106, "durable_entities": 58,
    "durable_idle": 111, "durable_machines": 201, "durable_recovery": 17, "durable_tell": 31, "durable_wake": 13,
    "events": 12, "fairness": 10, "fan_in": 17, "guards": 46, "jitter": 9, "leak": 13, "memory": 43, "ping_pong": 21,
    "restart": 18, "ring": 26, "spawn": 23, "spawn_many": 18, "stop": 15, "tell": 24,
}  # fmt: skip
"""Seconds that each takes with all its rounds, on two slow cores."""
UNKNOWN = 30
TABLES = 20
"""Seconds kept for the tables and pictures."""


def main() -> int:
    """Run them, write the tables, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description="Run all benchmarks and write their tables and pictures.")
    parser.add_argument("--minutes", type=float, default=15.0, help="in which all of it is done")
    parser.add_argument("only", nargs="*", help="the names of questions, such as tell; without one all of them")
    options = parser.parse_args()
    known = {question(path): path for path in sorted(FOLDER.glob("bench_*.py"))}
    if unknown := [name for name in options.only if name not in known]:
        parser.error(f"expected questions of {', '.join(known)}, got {', '.join(unknown)}")
    wanted = [path for name, path in known.items() if not options.only or name in options.only]
    began = time.monotonic()
    until = began + options.minutes * 60 - TABLES
    failed: list[str] = []
    usual = 0.0  # of those that have run, with the rounds that they had
    for place, path in enumerate(wanted):
        now = time.monotonic()
        pace = (now - began) / usual if usual else 1.0
        rounds = rounds_for(sum(weight(question(one)) for one in wanted[place:]) * pace, until - now)
        if run(path, rounds):
            failed.append(question(path))
        usual += weight(question(path)) * rounds / ROUNDS
    took = time.monotonic() - began
    RESULTS.mkdir(exist_ok=True)
    tables.main()
    print(f"{took / 60:.1f} minutes; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def question(path: Path) -> str:
    """What a benchmark's file is named after."""
    return path.stem.removeprefix("bench_")


def weight(name: str) -> float:
    """Seconds that it usually takes."""
    return USUAL.get(name, UNKNOWN)


def rounds_for(needed: float, left: float) -> int:
    """The rounds of the next one: `needed` are the seconds of all that are to run, with all their rounds.

    >>> rounds_for(100.0, 120.0), rounds_for(100.0, 90.0), rounds_for(100.0, 50.0), rounds_for(100.0, -1.0)
    (3, 2, 1, 1)
    """
    return next((rounds for rounds in range(ROUNDS, 1, -1) if needed * rounds / ROUNDS <= left), 1)


def run(path: Path, rounds: int) -> int:
    """Run one, with so many rounds; its exit status."""
    print(f"== {question(path)}", flush=True)
    return subprocess.run([sys.executable, str(path), "--rounds", str(rounds)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
