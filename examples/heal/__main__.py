"""Read orders from a file through actors that strange lines crash and the system restarts, and account for every line.

    python examples/heal examples/heal/input.txt
    cat orders.txt | python examples/heal - --json

Exit status: 0 if it adds up, 1 if not or if reading failed half-way, 2 if the file cannot be opened, 130 after Ctrl-C.
"""

import argparse
import asyncio
import io
import logging
import os
import stat
import sys

from account import Result
from healing import heal
from report import as_json, as_text

from upright.actors import EventLog
from upright.operations import configure_logs


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="heal", description="Process a file of orders with actors, survive what it provokes, and report."
    )
    parser.add_argument("file", help="the file to read; - for standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a report for people")
    parser.add_argument("--log", action="store_true", help="write the events of the actors to standard error")
    chosen = parser.parse_args()
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 shows less, and nothing fails
    log: EventLog | None = None
    if chosen.log:
        configure_logs(logging.DEBUG)
        log = EventLog(logging.INFO)
    try:
        descriptor = opened(chosen.file)
    except OSError as error:
        print(f"heal: cannot read {printable(chosen.file)}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        name = "standard input" if chosen.file == "-" else printable(chosen.file)
        result = asyncio.run(heal(name, descriptor, log))
    finally:
        os.close(descriptor)
    print(as_json(result) if chosen.json else as_text(result), flush=True)
    return status(result)


def opened(name: str) -> int:
    """A descriptor to read from. Raises `OSError`, also for a directory."""
    descriptor = os.dup(0) if name == "-" else os.open(name, os.O_RDONLY)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(0, "it is a directory")
    return descriptor


def printable(name: str) -> str:
    """A file's name; bytes that are no text are shown as such."""
    return os.fsencode(name).decode(errors="backslashreplace")


def status(result: Result) -> int:
    """The exit status that says how it went."""
    if result.interrupted:
        return 130
    return 1 if result.problems or result.unreadable else 0


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # whoever read the report has seen enough; nothing more can be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
