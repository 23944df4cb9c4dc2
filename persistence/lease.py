"""The lease of a session: a thread says again and again that its process goes on, and others believe it for so long.

A lock on a file tells at once that a process has died. It does not tell that one was stopped (SIGSTOP, a debugger), or
hangs in C code that never lets go of the interpreter: such a one would keep what it has claimed for ever. So each
session promises to give a sign of life, a *beat*, and who breaks that promise loses its claims. The thread is no part
of the event loop: a handler that blocks the loop costs nobody the lease.

A late owner does no harm when it goes on: each claim has a token, and what was claimed under it is refused.
"""

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .errors import StoreError
from .session_file import Running, SessionFile, read_header, read_running
from .session_header import Header, boot_id

LEASE: Final = 15.0
"""Seconds for which a beat holds, by default."""
BEATS: Final = 5
"""Beats in the time of one lease."""
SECOND_LOOK: Final = 0.5
"""Seconds between the first look that finds a beat too old and the one that counts."""


class Lease:
    """Keeps the lease of a session, in a thread of its own, from `start` to `stop`; `lease`: in seconds.

    It ends by itself when the file is closed, or when nobody has it any more; then the lease runs out.
    """

    def __init__(self, file: SessionFile, lease: float) -> None:
        self._file = weakref.ref(file)  # of a system that was forgotten unstopped, no thread may remain
        self._pause = lease / BEATS
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="upright lease", daemon=True)

    def start(self) -> None:
        """Start to keep it. Raises `RuntimeError` if no thread can be started."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. Again, or in the child of a fork, where it is not: does nothing."""
        if self._thread.is_alive():
            self._over.set()
            self._thread.join()

    def _keep(self) -> None:
        while not self._over.wait(self._pause):
            file = self._file()
            try:
                if file is None or not file.beat():
                    return
            except OSError:  # a disk that fails for a moment: the next beat may get through before the lease is over
                pass
            del file  # or the wait would hold it


class Lookout:
    """Sees which sessions have let their lease run out, though their files are locked still.

    It takes two looks. Where all processes have been stopped together, as in a machine that was paused, each finds
    that all others are late, and whoever wakes first must give them the time to say that they go on.
    """

    def __init__(self) -> None:
        self._boot = boot_id()
        self._since: dict[tuple[Path, float], float] = {}  # by file and beat: when it was first seen to be too old

    def late(self, paths: Iterable[Path]) -> list[Path]:
        """Those of these files whose owners are late, now and when they were looked at before."""
        now, since = time.monotonic(), self._since
        self._since = {
            (path, header.beat): since.get((path, header.beat), now)
            for path in paths
            if (header := header_of(path)) is not None and has_run_out(header, self._boot, now)
        }
        return [path for (path, _), first in self._since.items() if now - first >= SECOND_LOOK]

    def running(self, path: Path) -> list[Running] | None:
        """What a late owner was running; None if it is not late any more. The last look before its claims are taken."""
        header = header_of(path)
        if header is None or not has_run_out(header, self._boot, time.monotonic()):
            return None
        with contextlib.suppress(FileNotFoundError):
            return read_running(path)
        return None


def has_run_out(header: Header, boot: str, now: float) -> bool:
    """Whether the owner has broken its promise, by the clock `time.monotonic` in the boot of that id.

    One of another boot is judged by its lock alone, for its clock is another one.

    >>> owner = Header(pid=1, boot="b", created=0.0, lease=15.0, beat=100.0)
    >>> has_run_out(owner, "b", 115.0), has_run_out(owner, "b", 115.1), has_run_out(owner, "c", 999.0)
    (False, True, False)
    """
    return header.boot == boot and 0 < header.lease < now - header.beat


def header_of(path: str | os.PathLike[str]) -> Header | None:
    """The header of a session's file; None if it has none that can be read, as one of a newer version."""
    try:
        return read_header(path)
    except (OSError, StoreError):
        return None
