"""Servers as users start them: uvicorn in a process of its own, with an application of the examples or of a test."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from tests.house.rooms import ROOT

EMBEDDING = ROOT / "examples" / "embedding"
APPS = ("fastapi_app", "starlette_app", "litestar_app")
PATIENCE = 60.0
RUNNING = r"Uvicorn running on (http://[\d.]+:\d+)"


class Lines:
    """What a process says, line by line, and a wait for what it is to say."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._said, self._changed = stream, "", threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._said += line
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """The so manyth match of the pattern."""

        def found() -> list[re.Match[str]]:
            return [*re.finditer(pattern, self._said)]

        with self._changed:
            self._changed.wait_for(lambda: self._over or len(found()) >= times, PATIENCE)
            assert len(found()) >= times, f"expected {pattern!r} {times} times in:\n{self._said}"
            return found()[times - 1]

    def all(self) -> str:
        """All that it said, once it has ended."""
        self._thread.join(PATIENCE)
        return self._said


class Server:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process, self.log = process, Lines(process.stdout)

    def client(self) -> httpx.Client:
        """A client of it, when it is up."""
        url = self.log.until(RUNNING)[1]
        self.log.until("Application startup complete")
        return httpx.Client(base_url=url, timeout=PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit status, as soon as it has ended."""
        status = self.process.wait(PATIENCE)
        self.log.all()
        return status

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()


@contextmanager
def started(words: list[str], db: Path, drain: float) -> Generator[Server, None, None]:
    """A Python program in a process of its own, which is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
        env={**os.environ, "SHOP_DB": str(db), "SHOP_DRAIN": str(drain), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    with process:
        server = Server(process)
        try:
            yield server
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            server.log.all()


@contextmanager
def uvicorn(
    app: str, db: Path, *words: str, drain: float = 20.0, folder: Path = EMBEDDING
) -> Generator[Server, None, None]:  # fmt: skip
    """An application below uvicorn."""
    command = ["-m", "uvicorn", "--app-dir", str(folder), f"{app}:app", "--port", "0", "--no-access-log", *words]
    with started(command, db, drain) as server:
        yield server


def order(client: httpx.Client, seconds: float = 0.0, key: str | None = None) -> int:
    """The id of a new order, which takes so long."""
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = client.post("/orders", json={"item": "tea", "seconds": seconds}, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/orders/{answer.json()['id']}"
    return int(answer.json()["id"])


def story(client: httpx.Client, id: int, until: str) -> list[str]:
    """What has happened to an order, as soon as that has."""
    deadline = threading.Event()
    timer = threading.Timer(PATIENCE, deadline.set)
    timer.start()
    try:
        while True:
            names: list[str] = client.get(f"/orders/{id}").json()["story"]
            if until in names:
                return names
            assert not deadline.is_set(), f"expected {until}, got {names}"
    finally:
        timer.cancel()
