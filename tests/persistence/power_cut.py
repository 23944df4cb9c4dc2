"""A disk whose power is cut: from the record of what a service did to its files, the states that these may be in.

As a program it is that service: `python -m tests.persistence.power_cut FOLDER RUN SYNCHRONOUS MANNER`, with the actors
of `tests.persistence.crashes`. It notes what it answered among the writes and the syncs, in one file, so that each
cut through that file tells what was on disk for sure, what may have been, and what somebody already relied on.

The disk is a bad one. Of what was not synced any part may be there, in sectors of 512 bytes, in any order across and
inside of files; a name that was made or deleted counts only when the folder was synced (ext4 would be kinder: there
the sync of a new file brings its name with it). `-shm` is not
carried over, nor what the files of sessions say.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tests.persistence import disk_recorder
from tests.persistence.crashes import PATIENCE, ROOT, Clerk, Line, Record, tree
from tests.persistence.disk_recorder import (
    CUT_OFF,
    DELETED,
    FOLDER,
    OPENED,
    SAID,
    SYNCED,
    SYNCING,
    WROTE,
    Deed,
    DiskRecorder,
    read_deeds,
)
from upright.actors import ActorSystem
from upright.persistence import Sqlite, sqlite_engine, sync_program, wal
from upright.persistence.syncer import Syncer
from upright.persistence.wal import HEADER

SECTOR, PAGE = 512, 4096
RUNS = 3
"""Services one after the other on one file: the second is killed, the others end in order."""
TELLERS, TOLD, ASKED = 4, 10, 5
"""Of each run: who tells side by side, how many numbers each of them tells, and how many are asked one by one."""


class TracedRecord(Record):
    """Writes what happened among the deeds of the disk."""

    def __init__(self, recorder: DiskRecorder, run: int) -> None:
        self.recorder, self.run, self.manner, self.in_hand = recorder, run, "stumbling", 0

    def note(self, what: str, number: int = -1, *delivery: Any) -> None:
        self.recorder.note(SAID, data=msgspec.json.encode(Line(what, self.run, number, *delivery)))


async def serve(folder: Path, run: int, synchronous: Any, manner: str) -> None:
    """One run, with checkpoints every few commits."""
    trace = folder.parent / "trace"
    recorder = DiskRecorder(str(trace))
    recorder.install()

    async def recorded(path: str) -> Syncer:
        program = (str(disk_recorder.__file__), str(trace), manner, sync_program.__file__)
        syncer = Syncer(path, program=program)
        await syncer.start()
        return syncer

    settings: Any = sqlite_engine
    settings.start_syncer, settings.LOOK_EVERY, wal.LONG = recorded, 8, 100_000
    record = TracedRecord(recorder, run)
    store = Sqlite(folder / "jobs.db", synchronous=synchronous)
    async with ActorSystem(tree(record), store=store, log=None) as system:
        numbers = iter(range(1000 * run, 1000 * run + TELLERS * TOLD + ASKED))
        await asyncio.gather(*(tell(system, record, numbers) for _ in range(TELLERS)), ask(system, record, numbers))
        if run == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        await system.idle()


async def tell(system: ActorSystem, record: Record, numbers: Iterator[int]) -> None:
    clerk = system.ref("/top/clerk", Clerk)
    for _ in range(TOLD):
        number = next(numbers)
        record.note("telling", number)
        await clerk.once(f"n{number}").tell(Clerk.book, number)
        record.note("accepted", number)


async def ask(system: ActorSystem, record: Record, numbers: Iterator[int]) -> None:
    for _ in range(ASKED):
        number = next(numbers)
        await system.ref("/top/clerk", Clerk).within(PATIENCE).ask(Clerk.book, number)
        record.note("replied", number)


def record_service(folder: Path, synchronous: str = "full", manner: str = "as it is") -> list[Deed]:
    """All that the runs did, in order. `manner`: a sync that the process which syncs leaves out."""
    (folder / "disk").mkdir()
    for run in range(1, RUNS + 1):
        words = [
            sys.executable,
            "-m",
            "tests.persistence.power_cut",
            str(folder / "disk"),
            str(run),
            synchronous,
            manner,
        ]
        done = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, timeout=2 * PATIENCE, check=False)
        assert done.returncode == (-signal.SIGKILL if run == 2 else 0), done.stderr.decode()
    return list(read_deeds((folder / "trace").read_bytes()))


class Inode:
    """A file: what is on disk for sure, and what may be."""

    def __init__(self) -> None:
        self.sure = bytearray()
        self.open: list[tuple[int, Deed]] = []

    def sync(self, since: int) -> None:
        """All that was done before `since` is on disk."""
        for at, deed in self.open:
            if at < since:
                apply(self.sure, deed)
        self.open = [one for one in self.open if one[0] >= since]


def apply(content: bytearray, deed: Deed) -> None:
    if deed.kind == CUT_OFF:
        del content[deed.where :]
        content.extend(bytes(deed.where - len(content)))
    else:
        content.extend(bytes(max(0, deed.where - len(content))))
        content[deed.where : deed.where + len(deed.data)] = deed.data


Fate = Callable[[list[tuple[int, Any]]], Iterable[Any]]
"""What becomes of the deeds that were not synced."""


def none(_: list[tuple[int, Any]]) -> Iterable[Any]:
    return ()


def all_of_it(open: list[tuple[int, Any]]) -> Iterable[Any]:
    return (deed for _, deed in open)


def first_part(rng: random.Random) -> Fate:
    """The first ones, and a part of one."""

    def fate(open: list[tuple[int, Any]]) -> Iterable[Any]:
        whole = rng.randint(0, len(open))
        yield from (deed for _, deed in open[:whole])
        for _, deed in open[whole : whole + 1]:
            if isinstance(deed, Deed) and deed.kind == WROTE:
                border = rng.choice((SECTOR, PAGE))
                last = deed.where + rng.randint(0, len(deed.data))
                yield deed._replace(data=deed.data[: max(0, last - last % border - deed.where)])

    return fate


def some(rng: random.Random) -> Fate:
    """Any of them."""
    return lambda open: (deed for _, deed in open if rng.random() < 0.5)


def torn(rng: random.Random) -> Fate:
    """Any sector of any of them."""

    def fate(open: list[tuple[int, Any]]) -> Iterable[Any]:
        for _, deed in open:
            if not isinstance(deed, Deed) or deed.kind != WROTE:
                if rng.random() < 0.5:
                    yield deed
                continue
            first = deed.where
            while first < deed.where + len(deed.data):
                last = min(first - first % SECTOR + SECTOR, deed.where + len(deed.data))
                if rng.random() < 0.7:
                    yield deed._replace(where=first, data=deed.data[first - deed.where : last - deed.where])
                first = last

    return fate


class Disk:
    """What the folder holds after the deeds so far."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.seen = Counter[str]()
        self._inodes: dict[int, Inode] = {}
        self._names: dict[bytes, Inode] = {}
        self._sure: dict[bytes, Inode] = {}
        self._open: list[tuple[int, tuple[bytes, Inode | None]]] = []
        self._begun: dict[int, int] = {}
        self._headed: set[int] = set()
        self._at = 0

    def do(self, deed: Deed) -> None:
        self._at += 1
        if deed.kind == OPENED:
            inode = self._names.get(deed.data)
            if inode is None or inode is not self._inodes.get(deed.inode):
                self._inodes[deed.inode] = self._names[deed.data] = inode = Inode()
                self._open.append((self._at, (deed.data, inode)))
                self.seen["logs"] += deed.data.endswith(b"-wal")
        elif deed.kind == DELETED:
            del self._names[deed.data]
            self._open.append((self._at, (deed.data, None)))
        elif deed.kind == SYNCING:
            self._begun[deed.where] = self._at
        elif deed.kind == SYNCED:
            self._sync(deed.inode, self._begun.pop(deed.where))
        elif deed.kind == SAID:
            self.said.append(deed.data)
        else:
            self._inodes[deed.inode].open.append((self._at, deed))
            if is_header(deed):
                self.seen["begun anew"] += deed.inode in self._headed
                self._headed.add(deed.inode)

    def _sync(self, inode: int, since: int) -> None:
        if inode != FOLDER:
            self._inodes[inode].sync(since)
            return
        for at, (name, named) in self._open:
            if at < since:
                self._name(self._sure, name, named)
        self._open = [one for one in self._open if one[0] >= since]

    @staticmethod
    def _name(names: dict[bytes, Inode], name: bytes, inode: Inode | None) -> None:
        if inode is not None:
            names[name] = inode
        else:
            names.pop(name, None)

    def after_a_cut(self, fate: Fate) -> dict[str, bytes]:
        """The files, if that becomes of what was not synced."""
        names = dict(self._sure)
        for name, inode in fate(list(self._open)):
            self._name(names, name, inode)
        files: dict[str, bytes] = {}
        for name, inode in names.items():
            content = bytearray(inode.sure)
            for deed in fate(inode.open):
                apply(content, deed)
            files[os.fsdecode(name)] = bytes(content)
        return files


class State(msgspec.Struct, frozen=True):
    """What is left after one cut.

    `name`: where the cut was, and its fate. `said`: by then. `disk`: how many logs there had been, and how often one
    was begun anew.
    """

    name: str
    files: dict[str, bytes]
    said: list[bytes]
    disk: Counter[str]


def is_header(deed: Deed) -> bool:
    """Whether a log begins with it, a new one or one that is begun anew."""
    return deed.kind == WROTE and not deed.where and len(deed.data) == HEADER


def states(deeds: list[Deed], cuts: int, rng: random.Random) -> Iterator[State]:
    """Five states for each cut; half of the cuts are where one hurts: after answers, changes of names and lengths."""
    sore = [
        at for at, deed in enumerate(deeds)
        if deed.kind in (OPENED, DELETED, CUT_OFF) or is_answer(deed) or is_header(deed)
    ]  # fmt: skip
    chosen = {*rng.sample(sore, min(cuts // 2, len(sore)))}
    while len(chosen) < min(cuts, len(deeds)):
        chosen.add(rng.randrange(len(deeds)))
    disk = Disk()
    for at, deed in enumerate(deeds):
        disk.do(deed)
        if at in chosen:
            fates = {"none": none, "all": all_of_it, "first": first_part(rng), "some": some(rng), "torn": torn(rng)}
            for name, fate in fates.items():
                yield State(f"{at} {name}", disk.after_a_cut(fate), list(disk.said), Counter(disk.seen))


def is_answer(deed: Deed) -> bool:
    return deed.kind == SAID and deed.data.startswith((b'["accepted"', b'["replied"'))


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
