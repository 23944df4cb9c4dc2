"""The actor that owns a process: it hears it, starts it anew, and leaves nothing behind."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.command.demo.process import Process
from upright.supervision import Backoff, child, supervisor

pytestmark = pytest.mark.anyio
TALKS = "import json,os,sys; print(json.dumps({'up': os.getpid()}), flush=True); sys.stdin.read()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + TALKS + "; import time; time.sleep(600)"
GARBLED = "print('no json', flush=True); " + TALKS


class Quiet(Actor):
    async def letter(self, letter: object) -> None: ...


class Ear:
    def __init__(self) -> None:
        self.reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def heard(self, name: str, report: dict[str, Any]) -> None:
        assert name == "talker"
        self.reports.put_nowait(report)

    async def next(self, key: str) -> Any:
        while key not in (report := await self.reports.get()):
            pass
        return report[key]


def system_of(program: str, ear: Ear, folder: Path, patience: float = 5.0) -> ActorSystem:
    spec = child("talker", Process, "talker", (sys.executable, "-c", program), ear.heard, folder / "err", patience)
    spec = spec.options(backoff=Backoff(0.01, 0.01, jitter="none"))
    return ActorSystem(supervisor("top", spec, max_restarts=100), log=None, dead_letters=Quiet)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_heard_and_ended_with_its_actor(tmp_path: Path) -> None:
    ear = Ear()
    async with system_of(GARBLED, ear, tmp_path):
        pid = await ear.next("up")
        assert is_there(pid)
    assert not is_there(pid)


async def test_one_that_is_killed_is_started_anew(tmp_path: Path) -> None:
    ear = Ear()
    async with system_of(TALKS, ear, tmp_path) as system:
        first = await ear.next("up")
        assert await system.ref("/top/talker", Process).ask(Process.kill) == first
        assert await ear.next("ended") == -9
        second = await ear.next("up")
        assert first != second
    assert not is_there(second)


async def test_one_that_does_not_hear_is_killed(tmp_path: Path) -> None:
    ear = Ear()
    async with system_of(DEAF, ear, tmp_path, patience=0.1):
        pid = await ear.next("up")
    assert not is_there(pid)
