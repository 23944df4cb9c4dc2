"""DBOS on SQLite: a workflow of three steps that do nothing, in one process.

Its file is in WAL mode, in which it is several times as fast as in the one that it makes by itself; both sync at each
commit.
"""

# pyright: basic
# A handle of DBOS's that is looked up does not know its type.

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from dbos import DBOS, SetWorkflowID


class Seen:
    """How many steps ran in this process, after how many it is to die, and whether they may begin."""

    def __init__(self) -> None:
        self.steps = self.fatal = 0
        self.may_begin = threading.Event()
        self.may_begin.set()

    def note(self) -> None:
        self.may_begin.wait()
        self.steps += 1
        if 0 < self.fatal <= self.steps:  # steps of several threads may be counted as one
            os.kill(os.getpid(), signal.SIGKILL)


SEEN = Seen()


@DBOS.step()
def charge(number: int) -> int:
    SEEN.note()
    return number


@DBOS.step()
def reserve(number: int) -> int:
    SEEN.note()
    return number


@DBOS.step()
def ship(number: int) -> int:
    SEEN.note()
    return number


@DBOS.workflow()
def order(number: int) -> int:
    return ship(reserve(charge(number)))


@contextmanager
def dbos(path: Path) -> Generator[None, None, None]:
    """DBOS up on that file; it goes on with the workflows that were under way when its process died."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"})
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def one_after_another(count: int) -> list[float]:
    """So many workflows; the seconds that each took."""
    took: list[float] = []
    for number in range(count):
        since = time.perf_counter()
        if order(number) != number:
            raise AssertionError(f"expected {number} of the workflow {number}")
        took.append(time.perf_counter() - since)
    return took


def at_once(count: int) -> None:
    """So many workflows, all started before the first is waited for."""
    handles = [DBOS.start_workflow(order, number) for number in range(count)]
    if [handle.get_result() for handle in handles] != list(range(count)):
        raise AssertionError("expected each workflow to return its number")


def work_until_killed(path: Path, count: int) -> None:
    """Start so many workflows, and die when half of their steps are done."""
    SEEN.fatal = 3 * count // 2
    SEEN.may_begin.clear()
    with dbos(path):
        for number in range(count):
            with SetWorkflowID(f"order-{number}"):
                DBOS.start_workflow(order, number)
        SEEN.may_begin.set()
        time.sleep(600)


def recover(path: Path, count: int) -> int:
    """Go on with those workflows until all are done; how many were not when it began."""
    with closing(sqlite3.connect(path)) as connection:
        done = connection.execute("SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'").fetchone()[0]
    with dbos(path):
        for number in range(count):
            handle: Any = DBOS.retrieve_workflow(f"order-{number}", existing_workflow=False)
            if handle.get_result() != number:
                raise AssertionError(f"expected {number} of the workflow {number}")
    return count - int(done)
