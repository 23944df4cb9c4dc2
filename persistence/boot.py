"""Which boot of the machine this is, and ids that a power cut may have taken back.

A message can be handled while its sender still waits for the disk. If the power goes then, the message is gone and its
id free; and the next message with that id would have the same idempotency key for the world outside, where somebody may
remember the other one. So whoever opens a store that was in use when the machine went down leaves out more ids than can
have been lost.
"""

import sqlite3
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LEFT_OUT = 10_000_000
"""More than the log of a store holds, from one write-back to the next."""


def boot_id() -> str:
    """A word that is another one after each boot; "" where the system has none (macOS)."""
    try:
        return BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def leave_out_lost_ids(connection: sqlite3.Connection, last: str, crashed: bool) -> None:
    """Note which boot this is; if it is another one than before, and a session has `crashed`, leave ids out. That, and
    the row of whoever does so, must be on disk before the first message. `last`: what finds the highest id.
    """
    execute, boot = connection.execute, boot_id()
    before = execute("SELECT value FROM meta WHERE name = 'boot'").fetchone()
    if before is not None and before[0] == boot != "":
        return
    execute("INSERT INTO meta VALUES ('boot', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (boot,))
    if before is not None and crashed:
        execute(f"UPDATE meta SET value = ({last}) + ? WHERE name = 'last'", (LEFT_OUT,))
