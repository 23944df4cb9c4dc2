"""pgqueuer on the PostgreSQL of this machine: jobs enqueued a thousand at a time, and one worker in the same process.

It is left out where no server answers without a password. The database is made for a run, and dropped after it.
"""

# pyright: basic
# asyncpg has no types.

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from durable import BODY, Tally
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode
from support import Absent

AT_ONCE = 1_000
SERVER = {"host": "127.0.0.1", "user": "postgres", "timeout": 3}


@asynccontextmanager
async def database() -> AsyncGenerator[Any, None]:
    """A connection to a new database with pgqueuer's tables. Raises `Absent` where there is no server."""
    name = f"upright_bench_{os.getpid()}"
    try:
        server: Any = await asyncpg.connect(**SERVER, database="postgres")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise Absent(f"no PostgreSQL at 127.0.0.1:5432: {error}") from error
    try:
        await server.execute(f"CREATE DATABASE {name}")
        connection: Any = await asyncpg.connect(**SERVER, database=name)
        try:
            await Queries(AsyncpgDriver(connection)).install()
            yield connection
        finally:
            await connection.close()
            await server.execute(f"DROP DATABASE {name}")
    finally:
        await server.close()


async def cycle(connection: Any, count: int) -> Tally:
    """Enqueue so many jobs, then do them all."""
    tally = Tally()
    driver = AsyncpgDriver(connection)
    queries = Queries(driver)
    manager = QueueManager(queries)

    async def work(job: Job) -> None:
        assert job.payload is not None
        tally.add(int.from_bytes(job.payload[:4], "big"))

    manager.entrypoint("work")(work)
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(count, first + AT_ONCE))
        bodies: list[bytes | None] = [number.to_bytes(4, "big") + BODY for number in numbers]
        await queries.enqueue(["work"] * len(bodies), bodies, [0] * len(bodies))
    await manager.run(batch_size=AT_ONCE, mode=QueueExecutionMode.drain)
    return tally
