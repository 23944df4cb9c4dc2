"""A look into the file of a store: a connection that only reads, and needs nobody to have the store open.

It stands apart because whoever looks needs the same: never to make a file, and to leave no thread behind that speaks to
a loop which has ended meanwhile.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from .place import check_kind
from .sqlite_errors import told
from .sqlite_schema import KIND, VERSION, check_made, too_old


@asynccontextmanager
async def looking_into(path: Path) -> AsyncGenerator[aiosqlite.Connection]:
    """A connection that reads that file.

    Raises `StoreUnavailable` where it cannot be read, `StoreTooNew`, `StoreCorrupt`.
    """
    check_kind(path)
    connection, version = aiosqlite.connect(f"{path.as_uri()}?mode=ro", uri=True), VERSION
    try:
        async with connection:
            await connection.execute("PRAGMA busy_timeout = 5000")
            async with connection.execute(KIND) as cursor:
                found: Any = await cursor.fetchone()
            version = check_made(found, path)
            yield connection
    except sqlite3.Error as error:
        raise (too_old(error, path, version) or told(error, path, " cannot be read")) from error
    finally:
        # One that could not connect is told to stop and is not waited for: its last word would find the loop closed.
        thread: Any = getattr(connection, "_thread", connection)
        while thread.is_alive():  # noqa: ASYNC110  # it has nothing to do any more, and no event tells its end
            await asyncio.sleep(0)
