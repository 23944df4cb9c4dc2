"""The laws of leaving: what has said that it has stopped is gone soon, whatever threads and tasks it leaves behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.operations.processes import Running, environment, ran, running

APP = """
import asyncio, atexit, os, sys, threading, time
from upright.actors import Actor, ActorSystem
from upright.operations import configure_logs, run
from upright.supervision import child, supervisor

HOURS = 10_000.0
atexit.register(lambda: print("bye", file=sys.stderr))

def ends() -> None:
    threading.main_thread().join()
    print("the program has ended", file=sys.stderr)
    time.sleep(0.5)
    print("the thread has ended", file=sys.stderr)

def stays() -> None:
    ends()
    time.sleep(HOURS)

class Busy(Actor):
    async def started(self) -> None:
        self.ctx.background(getattr(self, os.environ["DEED"])())

    async def nothing(self) -> None:
        pass

    async def executor(self) -> None:
        await asyncio.to_thread(time.sleep, HOURS)

    async def thread(self) -> None:
        threading.Thread(target=stays, name="mine").start()

    async def short(self) -> None:
        threading.Thread(target=ends).start()

    async def zombie(self) -> None:
        while True:
            try:
                await asyncio.sleep(HOURS)
            except asyncio.CancelledError:
                pass

    async def gives_up(self) -> None:
        await self.thread()
        raise LookupError("on purpose")

    async def leaves(self) -> None:
        await self.thread()
        sys.exit(7)

tree = supervisor("shop", child("busy", Busy), max_restarts=0)

def late():
    threading.Thread(target=time.sleep, args=(HOURS,), name="mine").start()
    raise ValueError("expected SHOP_TOKEN to be set")

if __name__ == "__main__":
    configure_logs(json=True)
    status = run(ActorSystem(tree), drain=1.0)
    if "GOES_ON" in os.environ:
        time.sleep(6.0)
        print("went on", file=sys.stderr)
        os._exit(5)
    sys.exit(status)
"""
WORDS = ("app:tree", "--admin", "", "--log-format", "json")
STARTED = r'"event":"service\.started"'
STOPPED = r'"event":"service\.stopped"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def told(said: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in said.splitlines() if line.startswith("{"))


def last(said: str) -> dict[str, Any]:
    return [*told(said)][-1]


def stop(service: Running) -> int:
    service.log.until(STARTED)
    service.signal(signal.SIGTERM)
    return service.end()


@pytest.mark.parametrize(
    ("deed", "left"), [("executor", "asyncio_0 at "), ("thread", "mine at "), ("zombie", "/shop/busy")]
)
def test_a_thread_or_a_task_that_does_not_end_is_left_when_the_time_is_over_and_named(
    folder: Path, deed: str, left: str
) -> None:
    with running(folder, *WORDS, "--drain", "1", DEED=deed) as service:
        assert stop(service) == 0
        line = last(service.log.all())
    assert (line["event"], line["status"]) == ("service.cut_off", 0)
    assert left in str([*line["threads"], *line["tasks"]])


def test_one_that_ends_in_time_is_waited_for_and_so_are_functions_for_the_exit(folder: Path) -> None:
    with running(folder, *WORDS, "--drain", "30", DEED="short") as service:
        assert stop(service) == 0
        said = service.log.all()
    assert last(said)["event"] == "service.stopped"
    assert said.endswith("the program has ended\nthe thread has ended\nbye\n")


def test_with_nobody_left_it_ends_at_once(folder: Path) -> None:
    with running(folder, *WORDS, "--drain", "1000", DEED="nothing") as service:
        assert stop(service) == 0
        assert service.log.all().endswith("bye\n")


@pytest.mark.parametrize(("deed", "status"), [("gives_up", 1), ("leaves", 7)])
def test_a_tree_that_gives_up_or_a_handler_that_exits_ends_it_in_the_time_of_a_drain(
    folder: Path, deed: str, status: int
) -> None:
    done = ran(folder, *WORDS, "--drain", "1", DEED=deed)
    assert (done.status, last(done.said)["event"], last(done.said)["status"]) == (status, "service.cut_off", status)


def test_a_program_that_raises_after_it_has_begun_a_thread_ends_all_the_same(folder: Path) -> None:
    done = ran(folder, "app:late", *WORDS[1:], "--drain", "1")
    assert (done.status, [line["event"] for line in told(done.said)]) == (1, ["service.failed", "service.cut_off"])


def test_a_signal_while_it_waits_for_threads_ends_it_at_once_with_its_status(folder: Path) -> None:
    with running(folder, *WORDS, "--drain", "1000", DEED="thread") as service:
        service.log.until(STARTED)
        service.signal(signal.SIGTERM)
        service.log.until("the thread has ended")
        service.signal(signal.SIGTERM)
        assert service.end() == 0
        assert last(service.log.all())["event"] == "service.cut_off"


def script(folder: Path, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "app.py"], cwd=folder, stderr=subprocess.PIPE, text=True, env=environment(**more)
    )


@pytest.mark.parametrize("deed", ["executor", "thread"])
def test_a_script_that_runs_a_service_and_nothing_else_ends_too(folder: Path, deed: str) -> None:
    with script(folder, DEED=deed) as process:
        service = Running(process)
        assert stop(service) == 0
        assert last(service.log.all())["event"] == "service.cut_off"


def test_a_script_that_goes_on_with_something_else_is_left_alone(folder: Path) -> None:
    with script(folder, DEED="thread", GOES_ON="1") as process:
        service = Running(process)
        assert stop(service) == 5
        assert service.log.all().endswith("went on\n")
