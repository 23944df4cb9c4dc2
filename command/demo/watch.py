"""`Watch`: looks into the store again and again, with plain SQLite, and says when there is no more to do."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from .scene import Scene

EVERY = 0.3
MESSAGES = """
SELECT address, (SELECT count(*) FROM message WHERE mailbox = mailbox.id AND state = 0)
    + (SELECT count(*) FROM message WHERE mailbox = mailbox.id AND state = 5)
    + (SELECT count(*) FROM message JOIN session ON session.id = owner WHERE mailbox = mailbox.id AND state = 1)
    , (SELECT count(*) FROM message WHERE mailbox = mailbox.id AND state = 3) FROM mailbox
"""
RUNS = "SELECT status, count(*) FROM record WHERE kind = 'machine/orders' GROUP BY status"


class Stalled(Exception):
    """Nothing has moved for too long."""


class Watch:
    """`patience`: seconds without any progress after which it gives up."""

    def __init__(self, store: Path, scene: Scene, patience: float = 90.0) -> None:
        self._store, self._scene, self._patience = store, scene, patience
        self._second, self._ended_before = time.monotonic(), 0

    async def until_done(self) -> None:
        """Return when the input has ended and every accepted order has come to an end. Raises `Stalled`."""
        scene, moved, last = self._scene, time.monotonic(), None
        while True:
            before = scene.accepted
            await asyncio.to_thread(self.look)
            if scene.input_ended and not scene.unfinished and scene.ended >= scene.accepted == before:
                return
            calls = sum(service.calls for service in scene.services.values())
            now = (scene.ended, scene.accepted, scene.read, scene.unfinished, calls)
            if now != last or not scene.input_ended:
                moved, last = time.monotonic(), now
            elif time.monotonic() - moved > self._patience:
                raise Stalled(f"nothing has moved for {self._patience:g} seconds")
            await asyncio.sleep(EVERY)

    def look(self) -> None:
        """Bring the scene up to date."""
        scene = self._scene
        with closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True, timeout=10)) as database:
            scene.depths = {address: (open, kept) for address, open, kept in database.execute(MESSAGES)}
            scene.runs = dict(database.execute(RUNS))
        self._count(time.monotonic())

    def _count(self, now: float) -> None:
        scene = self._scene
        while now - self._second >= 1.0:
            self._second += 1.0
            scene.done.append(max(scene.ended - self._ended_before, 0))
            self._ended_before = scene.ended
