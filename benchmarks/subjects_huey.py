"""huey's queue in SQLite, worked off without its consumer, whose threads and polls would only take time.

At most once: a job is deleted before it is done. As it comes, each of its commits waits for the disk (`FULL`), as ours
do. With `synchronous=NORMAL`, as the other peers, a power cut may cost it the last jobs.
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


def cycle(path: Path, count: int, normal: bool = False) -> Tally:
    """Enqueue so many jobs, then do them all."""
    tally = Tally()
    storage = NormalStorage if normal else SqliteStorage
    huey = Huey("jobs", results=False, storage_class=storage, filename=str(path))

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
