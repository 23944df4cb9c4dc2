"""huey's queue in SQLite, worked off without its consumer, whose threads and polls would only take time.

At most once: a job is deleted before it is done. `synchronous=NORMAL` as for the other peers, while its own switch
knows only `FULL` and `OFF`.
"""

# pyright: basic
# huey has no types.

import sqlite3
from pathlib import Path
from typing import Any

from durable import BODY, Tally
from huey import Huey
from huey.storage import SqliteStorage


class NormalStorage(SqliteStorage):  # type: ignore[misc]
    """The storage with the setting that survives the end of a process."""

    def _create_connection(self) -> Any:
        connection: sqlite3.Connection = super()._create_connection()
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


def cycle(path: Path, count: int) -> Tally:
    """Enqueue so many jobs, then do them all."""
    tally = Tally()
    huey = Huey("jobs", results=False, storage_class=NormalStorage, filename=str(path))

    @huey.task()  # type: ignore[untyped-decorator]
    def work(number: int, body: bytes) -> None:
        tally.add(number)

    for number in range(count):
        work(number, BODY)
    while (task := huey.dequeue()) is not None:
        huey.execute(task)
    if huey.pending_count():
        raise AssertionError("expected an empty queue")
    return tally
