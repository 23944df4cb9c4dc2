"""What SQLite says when something is wrong, as an error of this wing."""

import os
import sqlite3
from pathlib import Path

from .errors import StoreCorrupt, StoreError, StoreUnavailable
from .place import unwritable

NEEDS_A_FILE = ("SQLITE_CANTOPEN", "SQLITE_READONLY_DIRECTORY")
"""What SQLite says where it cannot make a file: the store itself, or one beside it."""
LOST = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""What nothing but a copy helps against."""


def told(error: sqlite3.Error | OSError, path: Path, deed: str = "") -> StoreError:
    """`StoreCorrupt` or `StoreUnavailable`, with the name of the file. `deed`: what could not be done with it.

    >>> told(sqlite3.OperationalError("disk I/O error"), Path("jobs.db"), " cannot be read")
    StoreUnavailable('jobs.db cannot be read: disk I/O error (OperationalError)')
    """
    code = getattr(error, "sqlite_errorname", type(error).__name__)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in LOST:
        return StoreCorrupt(f"{path} is damaged or no database: {error} ({code})")
    if code == "SQLITE_CANTOPEN" and path.exists() and not os.access(path, os.R_OK, effective_ids=True):
        return StoreUnavailable(f"{path} cannot be opened: no permission to read and write it")
    why = unwritable(path.parent) if code in NEEDS_A_FILE and path.parent.is_dir() else ""
    if code == "SQLITE_CANTOPEN" and not path.exists():
        if why and not deed:
            return StoreUnavailable(f"{path} cannot be made: {why}")
        return StoreUnavailable(f"{path}{deed}: there is no such file")
    if path.is_dir():
        return StoreUnavailable(f"{path}{deed}: it is a folder")
    if why:
        deed = deed or " cannot be opened"
        advice = "" if why.endswith("read-only") else ": call as the user of the service"
        return StoreUnavailable(f"{path}{deed}: {why}, where a file beside it is needed even to read{advice} ({code})")
    return StoreUnavailable(f"{path}{deed}: {error} ({code})")
