"""The doctor: is this machine, this store, this service as it should be, and if not, what to do.

Each check is a function of its own that returns findings and raises nothing: what cannot be looked at is a finding too.
All of them only read, and work beside a service that runs.
"""

import os
import platform
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from upright.actors.accelerator import METHODS
from upright.persistence.errors import StoreCorrupt, StoreError
from upright.persistence.place import check_place, file_system, size_of, unwritable
from upright.persistence.records import StateRecord
from upright.persistence.session_file import is_dead, session_path
from upright.persistence.sqlite_errors import told as of_store
from upright.persistence.sqlite_schema import APPLICATION, VERSION
from upright.persistence.wal import LARGEST

from .last_words import KIND, NAME, read_word

Verdict = Literal["ok", "warn", "fail"]
PACKAGES: Final = ("upright", "anyio", "msgspec", "aiosqlite", "structlog")
OLDEST_SQLITE: Final = (3, 35, 0)
"""The first that knows RETURNING."""
RESET_MENDED: Final = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""Of each line of releases the first without a race that may damage a file in WAL mode which several write and
checkpoint (https://sqlite.org/wal.html#walresetbug); 3.7.0 has it, and all between.
"""
FREE: Final = 256 << 20
"""Bytes that should be free beside a store."""
FILES: Final = 1024
"""Open files that a service should be allowed."""
PATIENCE: Final = 10.0
"""Seconds that the check of a file may take."""
LATELY: Final = 86_400.0
"""Seconds for which it is worth a warning that a tree gave up."""
STRAY: Final = 60.0
"""Seconds by which the last event of a store may be ahead of the clock."""


class Finding(msgspec.Struct, frozen=True):
    """What one check found: `ok`, `warn` or `fail`, in words, and what to do."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(store: Path | None = None, admin: Path | None = None, patience: float = PATIENCE) -> Iterator[Finding]:
    """All that can be found out, a finding after the other. `store`: its file. `admin`: the socket of a service."""
    yield python()
    yield packages()
    yield sqlite()
    yield open_files()
    if admin is not None:
        yield from admin_socket(admin)
    if store is not None:
        yield from examine_store(store, patience)


def python() -> Finding:
    """The interpreter."""
    return Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def packages() -> Finding:
    """The packages that the library stands on."""
    found, missing = list[str](), list[str]()
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "fail", f"not installed: {', '.join(missing)}", "install upright with pip")
    found.append("with the accelerator" if METHODS else "without the accelerator: messages in memory are slower")
    return Finding("packages", "ok", ", ".join(found))


def sqlite(number: tuple[int, int, int] = sqlite3.sqlite_version_info) -> Finding:
    """The SQLite that Python was built with, or finds."""
    text = ".".join(map(str, number))
    if number < OLDEST_SQLITE:
        return Finding("sqlite", "fail", text, "use a Python with SQLite 3.35 or newer")
    if not is_reset_mended(number):
        advice = "use SQLite 3.51.3, 3.50.7, 3.44.6 or newer, unless your system has mended its own"
        return Finding("sqlite", "warn", f"{text} has the WAL-reset bug, which very rarely damages a file", advice)
    return Finding("sqlite", "ok", text)


def is_reset_mended(number: tuple[int, int, int]) -> bool:
    """Whether that SQLite has no WAL-reset bug.

    >>> is_reset_mended((3, 46, 1)), is_reset_mended((3, 44, 6)), is_reset_mended((3, 53, 0))
    (False, True, True)
    """
    return number >= RESET_MENDED[-1] or any(number[:2] == one[:2] and number >= one for one in RESET_MENDED)


def open_files() -> Finding:
    """How many files a process may have open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        advice = f"raise it: ulimit -n {min(hard, 4 * FILES) if hard > 0 else 4 * FILES}, or LimitNOFILE= of systemd"
        return Finding("open files", "warn", f"a process may open {text}", advice)
    return Finding("open files", "ok", f"a process may open {text}")


def admin_socket(path: Path) -> Iterator[Finding]:
    """The socket of a service: its permissions, and whether anybody is there."""
    try:
        found = os.stat(path)
    except OSError as error:
        yield Finding("admin socket", "fail", f"{path}: {told(error)}", "start the service, or name another --admin")
        return
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISSOCK(found.st_mode):
        yield Finding("admin socket", "fail", f"{path} is no socket", "name the socket of a service by --admin")
        return
    if mode & 0o077:
        yield Finding(
            "admin socket", "fail", f"{path} has mode {mode:04o}: others may command the service",
            f"chmod 600 {path}, and look who changed it",
        )  # fmt: skip
    else:
        yield Finding("admin socket", "ok", f"{path} has mode {mode:04o}")
    yield from answering(path)


def answering(path: Path, within: float = 2.0) -> Iterator[Finding]:
    """Whether a service listens at that socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(within)
        try:
            connection.connect(os.fspath(path))
        except PermissionError as error:
            advice = "call as the user of the service: its socket is for that user alone"
            yield Finding("service", "fail", f"{path} may not be used: {told(error)}", advice)
            return
        except OSError as error:
            advice = "start the service; it makes the socket anew"
            yield Finding("service", "fail", f"nobody listens at {path}: {told(error)}", advice)
            return
    yield Finding("service", "ok", f"listens at {path}")


def examine_store(path: Path, patience: float = PATIENCE) -> Iterator[Finding]:
    """The file of a store: where it is, how large, whole or damaged, and who has it open."""
    try:
        yield from _examine_store(path.absolute(), patience)
    except OSError as error:
        advice = "look at the permissions of its folder, or call as the user of the service"
        yield Finding("file", "fail", f"{path} cannot be looked at: {told(error)}", advice)


def _examine_store(path: Path, patience: float) -> Iterator[Finding]:
    try:
        check_place(path)
    except StoreError as error:
        yield Finding("place", "fail", str(error), "see the page on operating a store")
        return
    is_there = path.exists()
    if why := unwritable(path.parent):
        advice = "call as the user of the service, or name a store in a folder where it may write"
        yield Finding("place", "fail", f"{path} cannot be {'written' if is_there else 'made'}: {why}", advice)
        if not is_there:
            return
    else:
        kind = file_system(path.parent)
        yield Finding("place", "ok", f"{path}" + (f" on {kind}" if kind else ""))
    yield free_space(path)
    if not is_there:
        yield Finding(
            "file", "fail", f"there is no {path}", "name the file by --store; a service makes it at its start"
        )
        return
    yield sizes(path)
    yield from inside(path, patience)


def free_space(path: Path) -> Finding:
    """The room beside the file; a vacuum needs as much again as the file has."""
    free, used = shutil.disk_usage(path.parent).free, size_of(path)
    text = f"{free >> 20} MB"
    if free < FREE:
        return Finding("free space", "fail", text, "make room: what cannot be written is not accepted")
    if free < used:
        return Finding("free space", "warn", text, "make room: a backup or a vacuum needs as much as the file has")
    return Finding("free space", "ok", text)


def sizes(path: Path) -> Finding:
    """The file and its write-ahead log."""
    log = size_of(path.with_name(f"{path.name}-wal"))
    text = f"{size_of(path) / (1 << 20):.1f} MB, its log {log / (1 << 20):.1f} MB"
    if log > LARGEST:
        advice = "a reader keeps a transaction open, or nobody has the store open: close what looks into it, start it"
        return Finding("size", "warn", text, advice)
    return Finding("size", "ok", text)


Look = Callable[[sqlite3.Connection, Path], Iterator[Finding]]


def inside(path: Path, patience: float) -> Iterator[Finding]:
    """What can be read of it, without writing anything."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as connection:
            findings = [*schema(connection, path)]
            yield from findings
            if all(one.verdict != "fail" for one in findings):
                for look in (sessions, quarantine, last_words, clock):
                    yield from look(connection, path)
                yield from whole(connection, patience)
    except sqlite3.Error as error:
        known = of_store(error, path, " cannot be read")
        advice = "look at the permissions of its folder, or call as the user of the service"
        if isinstance(known, StoreCorrupt):
            advice = "stop the service, and put a copy back; see the page on operating a store"
        yield Finding("file", "fail", str(known), advice)


def schema(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Whether it is a store, and of which version."""
    made: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION:
        yield Finding("schema", "fail", f"{path} is no store of upright", "name the file of a store by --store")
    elif made > VERSION:
        yield Finding("schema", "fail", f"version {made}, and this upright knows {VERSION}", "use a newer upright")
    elif made < VERSION:
        advice = f"start a service of this upright: it brings the file to version {VERSION}"
        yield Finding("schema", "fail", f"version {made}", advice)
    else:
        yield Finding("schema", "ok", f"version {made}")


def sessions(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    """Who has it open, and whether their processes live."""
    rows: list[tuple[str, int]] = connection.execute("SELECT name, pid FROM session ORDER BY id").fetchall()
    living, dead = list[str](), list[str]()
    for name, pid in rows:
        try:
            kind = dead if is_dead(session_path(path, name)) else living
        except OSError as error:
            advice = "call as the user of the service"
            yield Finding("sessions", "warn", f"{name} cannot be looked at: {told(error)}", advice)
        else:
            kind.append(f"{name} (process {pid})")
    if living or not rows:
        yield Finding("sessions", "ok", f"open in {', '.join(living)}" if living else "nobody has it open")
    if dead:
        advice = (
            "those who have it open clean up after it" if living else "start a service: it takes back what they had"
        )
        yield Finding("sessions", "warn", f"died: {', '.join(dead)}", advice)


def quarantine(connection: sqlite3.Connection, _path: Path) -> Iterator[Finding]:
    """How much was set aside."""
    count: int = connection.execute("SELECT count(*) FROM message WHERE state = 3").fetchone()[0]
    if count:
        yield Finding("quarantine", "warn", f"{count} in quarantine", "upright dlq ls --groups")
    else:
        yield Finding("quarantine", "ok", "empty")


def last_words(connection: sqlite3.Connection, _path: Path) -> Iterator[Finding]:
    """Whether a tree on this store gave up of late: the log may be gone with its container."""
    row = connection.execute("SELECT version, body FROM record WHERE kind = ? AND name = ?", (KIND, NAME)).fetchone()
    word = read_word(StateRecord(*row)) if row is not None else None
    if word is None:
        return
    ago = time.time() - word.at
    times = "once" if word.times == 1 else f"{word.times} times"
    found = f"a tree gave up {times}, last {ago / 3600:.1f} h ago in process {word.pid}: {word.why}"
    yield Finding("gave up", "warn" if ago < LATELY else "ok", found, "look at its log of that time")


def clock(connection: sqlite3.Connection, _path: Path) -> Iterator[Finding]:
    """Whether the last event of the store lies in the future: the clock was set back."""
    execute = connection.execute
    event: tuple[float] | None = execute("SELECT at FROM event ORDER BY rowid DESC LIMIT 1").fetchone()
    message: tuple[float] | None = execute("SELECT stored FROM message ORDER BY id DESC LIMIT 1").fetchone()
    latest = max((row[0] for row in (event, message) if row is not None), default=None)
    ahead = latest - time.time() if latest is not None else 0.0
    if ahead > STRAY:
        advice = "look at the clock of this machine: retries that wait come later by as much"
        yield Finding("clock", "warn", f"the last event of the store is {ahead:.0f} s ahead of the clock", advice)
    else:
        yield Finding("clock", "ok", "not behind the last event of the store")


def whole(connection: sqlite3.Connection, patience: float) -> Iterator[Finding]:
    """SQLite's own quick check, for so many seconds at most."""
    until = time.monotonic() + patience
    connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)
    try:
        said: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if time.monotonic() <= until:
            raise
        advice = f"check a copy: sqlite3 COPY 'PRAGMA quick_check' ({error})"
        yield Finding("quick check", "warn", f"not done after {patience:g} s", advice)
        return
    finally:
        connection.set_progress_handler(None, 0)
    if said == "ok":
        yield Finding("quick check", "ok", "the file is whole")
    else:
        yield Finding("quick check", "fail", said, "stop the service, and put a copy back")


def told(error: OSError) -> str:
    """An error of the system in a few words."""
    return (error.strerror or str(error)).lower()


def of_health(report: dict[str, Any]) -> Iterator[Finding]:
    """What a service says of its own health."""
    ok, checks = report.get("ok"), report.get("checks", [])
    bad = [f"{one.get('name')}: {one.get('why')}" for one in checks if one.get("status") != "ok"]
    status = str(report.get("status", "unknown"))
    verdict: Verdict = "fail" if not ok else "ok" if status == "ok" else "warn"
    yield Finding("health", verdict, "; ".join([status, *bad]), "" if verdict == "ok" else "see its logs")
