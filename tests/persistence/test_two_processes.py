"""The laws of several processes on one file, and of a file in bad weather: locked, full, read-only, deleted.

The processes are those of `tests.persistence.crashes`, with a record beside the store that outlives them.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from tests.persistence.crashes import PATIENCE, Books, Campaign, Line, look
from tests.persistence.outcome import Outcome
from upright.actors import Actor, ActorSystem, Ref
from upright.persistence import (
    Durable,
    OutcomeUnknown,
    Retry,
    Sqlite,
    StoreError,
    StoreFailing,
    StoreUnavailable,
)
from upright.persistence import sqlite_engine as engine
from upright.supervision import child, supervisor

Process = subprocess.Popen[bytes]
Stop = Callable[[], Callable[[], None]]
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    campaign = Campaign(tmp_path)
    yield campaign
    for process in list(campaign.alive):
        process.kill()
        campaign.end(process)


def let_go(process: Process) -> None:
    """A line of input: it may go on, or end."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def done(lines: list[Line], address: str) -> Counter[int]:
    return Counter(line.number for line in lines if (line.what, line.address) == ("done", address))


def accepted(lines: list[Line]) -> set[int]:
    return {line.number for line in lines if line.what == "accepted"}


def up(campaign: Campaign, count: int) -> None:
    campaign.until(lambda lines: sum(line.what == "up" for line in lines) == count)


def test_each_message_of_a_shared_mailbox_is_handled_once_while_nobody_dies(campaign: Campaign) -> None:
    pair = [campaign.start("share"), campaign.start("share")]
    lines = campaign.until(lambda lines: len(accepted(lines)) == 600 and len(done(lines, "senders")) == 600)
    for process in pair:
        let_go(process)
        assert campaign.end(process) == 0, campaign.log()
    began = [line for line in lines if line.what == "began"]
    assert Counter(line.number for line in began) == Counter(accepted(lines))
    assert {line.run for line in began} == {1, 2}, "both took part"
    assert look(campaign.file, "SELECT count(*) FROM message WHERE state <> 2") == [(0,)]


def test_a_strict_mailbox_is_run_by_one_process_and_by_another_one_when_that_was_killed(campaign: Campaign) -> None:
    servers = {1: campaign.start("serve")}
    up(campaign, 1)
    servers[2] = campaign.start("serve")
    up(campaign, 2)
    assert campaign.end(campaign.start("send")) == 0, campaign.log()
    lines = campaign.until(lambda lines: len(done(lines, "clerk")) > 10)
    (first,) = {line.run for line in lines if line.address == "clerk"}
    campaign.kill(servers.pop(first))
    assert campaign.end(campaign.start("send")) == 0, campaign.log()
    lines = campaign.until(lambda lines: all(len(done(lines, name)) == 200 for name in ("clerk", "senders", "filers")))
    killed = next(at for at, line in enumerate(lines) if line.what == "killed")
    ((last, process),) = servers.items()
    assert {line.run for line in lines[:killed] if line.address == "clerk"} == {first}
    after = [line for line in lines[killed:] if line.address == "clerk" and line.what == "done"]
    assert {line.run for line in after} == {last}
    assert set(Counter(line.id for line in after).values()) == {1}, "none was refused because its state was an old one"
    let_go(process)
    assert campaign.end(process) == 0, campaign.log()
    ((body,),) = look(campaign.file, "SELECT body FROM state")
    assert msgspec.msgpack.decode(body, type=tuple[int, Books])[1] == Books(200, sum(accepted(lines)))


def test_a_process_that_runs_no_actors_stores_for_those_who_come_later(campaign: Campaign) -> None:
    assert campaign.end(campaign.start("send")) == 0, campaign.log()
    assert look(campaign.file, "SELECT state, count(*) FROM message") == [(0, 100)]
    campaign.finish()
    assert look(campaign.file, "SELECT state, count(*) FROM message") == [(2, 300)]


def test_those_who_open_one_file_at_once_all_get_in(campaign: Campaign) -> None:
    """A file that is new, and one that the dead have left behind with their claims and their log."""
    for _ in range(2):
        campaign.manner = "gated"
        gated = [campaign.start("send") for _ in range(5)]
        for process in gated:
            let_go(process)
        for process in gated:
            assert campaign.end(process) == 0, campaign.log()
        campaign.manner = "steady"
        working = campaign.start("produce")
        run = campaign.runs
        campaign.until(lambda lines: any(line.what == "done" and line.run == run for line in lines))  # noqa: B023
        campaign.kill(working)
    campaign.finish()
    assert Outcome(campaign).left == ["jobs.db"]


class Worker(Actor):
    mailbox = Durable("worker", retry=Retry(base=0.01))
    handled: list[int]

    def __init__(self, handled: list[int]) -> None:
        self.handled = handled

    async def work(self, number: int) -> None:
        self.handled.append(number)


class House:
    """A system in this process, with one durable actor."""

    def __init__(self, path: Path) -> None:
        self.path, self.handled = path, list[int]()
        self.failing: list[str] = []
        self.system = ActorSystem(
            supervisor("top", child("worker", Worker, self.handled)), store=Sqlite(path), log=None
        )
        self.system.subscribe(lambda event: self.failing.append(str(event)), StoreFailing)

    @property
    def worker(self) -> Ref[Worker]:
        return self.system.ref("/top/worker", Worker)

    async def tell(self, number: int) -> None:
        await self.worker.tell(Worker.work, number)

    async def could_tell(self, number: int) -> bool:
        """Whether it was accepted; if not, a moment later."""
        try:
            await self.tell(number)
        except StoreError:
            await asyncio.sleep(0.1)
            return False
        return True

    async def is_well(self, *numbers: int) -> None:
        """These were handled, in that order, and it still takes what comes."""
        await self.tell(99)
        await asyncio.wait_for(self.system.idle(), PATIENCE)
        assert self.handled == [*numbers, 99]


@asynccontextmanager
async def house(path: Path) -> AsyncGenerator[House]:
    made = House(path)
    async with made.system:
        yield made


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Stop]:
    """Has a process stop in the middle of a write; and what has it go on and end."""
    started: list[Process] = []

    def stop() -> Callable[[], None]:
        words = [sys.executable, "-c", HOLD, str(tmp_path / "jobs.db")]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)

        def go_on() -> None:
            process.send_signal(signal.SIGCONT)
            process.communicate(b"\n", timeout=PATIENCE)

        return go_on

    yield stop
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.anyio
async def test_a_tell_waits_for_a_process_that_was_stopped_in_the_middle_of_a_write(
    tmp_path: Path, stopped: Stop
) -> None:
    async with house(tmp_path / "jobs.db") as home:
        await home.tell(1)
        go_on = stopped()
        telling = asyncio.ensure_future(home.tell(2))
        assert await asyncio.wait({telling}, timeout=0.2) == (set(), {telling})
        go_on()
        await telling
        await home.is_well(1, 2)
        assert not home.failing


@pytest.mark.anyio
async def test_a_tell_that_waited_too_long_for_another_process_says_so_and_the_next_one_works(
    tmp_path: Path, stopped: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCKED_FOR", 0.1)
    async with house(tmp_path / "jobs.db") as home:
        await home.tell(1)
        go_on = stopped()
        with pytest.raises(StoreUnavailable, match=r"was locked for 0\.1\d* s by another"):
            await home.tell(2)
        go_on()
        await home.is_well(1)
        assert home.failing


@pytest.mark.anyio
async def test_a_session_whose_file_was_deleted_and_that_was_taken_for_dead_goes_on(
    tmp_path: Path, campaign: Campaign
) -> None:
    async with house(campaign.file) as home:
        await home.tell(1)
        await asyncio.wait_for(home.system.idle(), PATIENCE)
        (mine,) = tmp_path.glob("jobs.db-session-*")
        mine.unlink()
        assert await asyncio.to_thread(campaign.end, campaign.start("send")) == 0, campaign.log()
        await home.is_well(1)


@pytest.mark.anyio
async def test_a_store_whose_file_was_deleted_takes_nothing_more_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path / "jobs.db") as home:
        await home.tell(1)
        for path in tmp_path.glob("jobs.db*"):
            path.unlink()
        with pytest.raises(StoreError):
            await home.tell(2)
        assert home.failing


@pytest.mark.anyio
async def test_when_the_process_that_syncs_was_killed_a_tell_says_so_and_then_all_goes_on(tmp_path: Path) -> None:
    """It is a process like others: the system may kill it when memory is short."""
    async with house(tmp_path / "jobs.db") as home:
        await home.tell(1)
        for process in children():
            os.kill(process, signal.SIGKILL)
        with suppress(OutcomeUnknown):
            await home.tell(2)
        async with asyncio.timeout(PATIENCE):
            while not await home.could_tell(3):
                pass
            while 3 not in home.handled:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(0.01)
        assert [number for number, _ in groupby(home.handled)] == [1, 2, 3]  # of 2 nobody could tell that it was done


def children() -> list[int]:
    """The processes that this one has started."""
    threads = Path("/proc/self/task")
    if not threads.is_dir():
        pytest.skip("the system does not tell which processes these are")
    return [int(word) for thread in threads.iterdir() for word in (thread / "children").read_text().split()]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of our own, where this may be had."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or subprocess.call(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.check_call(["umount", "--lazy", str(folder)])


@pytest.mark.anyio
async def test_a_full_disk_is_told_of_and_when_there_is_room_again_all_goes_on(disk: Path) -> None:
    async with house(disk / "jobs.db") as home:
        await home.tell(1)
        await asyncio.wait_for(home.system.idle(), PATIENCE)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        with pytest.raises((StoreUnavailable, OutcomeUnknown), match=r"full|No space"):
            for number in range(2, 100):
                await home.tell(number)
        stored = list(home.handled)
        filler.unlink()
        await home.tell(98)
        await asyncio.wait_for(home.system.idle(), PATIENCE)
        assert home.handled[: len(stored)] == stored
        assert home.handled[-1] == 98
        assert home.failing


@pytest.mark.anyio
async def test_a_store_on_a_read_only_disk_is_told_of_and_opens_when_that_is_over(disk: Path) -> None:
    """A file that its process left in order, and one that was left with its log."""
    async with house(disk / "jobs.db") as home:
        await home.tell(1)
        await asyncio.wait_for(home.system.idle(), PATIENCE)
    for _ in range(2):
        subprocess.check_call(["mount", "-o", "remount,ro", str(disk)])
        store = Sqlite(disk / "jobs.db")._engine
        with pytest.raises(StoreUnavailable, match=r"read-?only|unable to open"):
            await store.open(lambda _: None)
        subprocess.check_call(["mount", "-o", "remount,rw", str(disk)])
        assert await asyncio.to_thread(left_by_the_dead, disk) == -signal.SIGKILL
    async with house(disk / "jobs.db") as home:
        await home.is_well()


def left_by_the_dead(folder: Path) -> int:
    """Have a process write into the file there, and kill it."""
    program = "import sqlite3, sys, os; c = sqlite3.connect(sys.argv[1], isolation_level=None); " \
        "c.execute('UPDATE pulse SET beats = beats + 1'); os.kill(os.getpid(), 9)"  # fmt: skip
    return subprocess.call([sys.executable, "-c", program, str(folder / "jobs.db")])
