"""The laws of a hang-up: that its terminal has gone asks a service to end, unless it was told to outlive it."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.operations.processes import Running, command, environment
from upright.operations.signals import ASKING, HANGUP, Signals, asking

APP = """
from upright.supervision import supervisor
tree = supervisor("shop")
"""
STARTED = r'"event":"service\.started"'


@contextmanager
def service(folder: Path, first: str = "") -> Generator[Running]:
    (folder / "app.py").write_text(APP)
    words = command("app:tree", "--admin", "", "--log-format", "json")
    shell = ["sh", "-c", f'{first} exec "$@"', "sh", *words]
    with subprocess.Popen(shell, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        running = Running(process)
        try:
            yield running
        finally:
            process.kill()
            running.log.all()


def why(running: Running) -> list[str]:
    lines = [json.loads(line) for line in running.log.all().splitlines()]
    return [line["why"] for line in lines if line["event"] == "service.draining"]


def test_a_service_drains_when_its_terminal_has_gone(tmp_path: Path) -> None:
    with service(tmp_path) as running:
        running.log.until(STARTED)
        running.signal(signal.SIGHUP)
        assert running.end() == 0
        assert why(running) == ["SIGHUP"]


def test_one_that_was_told_to_ignore_it_outlives_it(tmp_path: Path) -> None:
    with service(tmp_path, 'trap "" HUP;') as running:
        running.log.until(STARTED)
        running.signal(signal.SIGHUP)
        running.signal(signal.SIGTERM)
        assert running.end() == 0
        assert why(running) == ["SIGTERM"]


def test_a_handler_that_is_there_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler_of(_: int) -> Any:
        return print

    monkeypatch.setattr(signal, "getsignal", handler_of)
    assert asking() == ASKING


async def heard_of(*numbers: signal.Signals) -> list[tuple[str, int]]:
    heard: list[tuple[str, int]] = []
    signals = Signals(lambda name, number: heard.append((name, number)), chain=False, wanted=(*ASKING, HANGUP))
    signals.install()
    try:
        for number in numbers:
            signal.raise_signal(number)
            await asyncio.sleep(0)
    finally:
        signals.restore()
    return heard


@pytest.mark.anyio
async def test_a_second_one_hurries_nobody_and_a_signal_after_it_does() -> None:
    assert await heard_of(HANGUP, HANGUP, HANGUP) == [("SIGHUP", 1)]
    assert await heard_of(HANGUP, signal.SIGTERM, HANGUP) == [("SIGHUP", 1), ("SIGTERM", 2)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
