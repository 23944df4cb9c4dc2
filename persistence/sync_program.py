"""What serves a `Syncer`: it has the log of a database put on disk, and written back into the database.

It stands apart because it is run by its path, in a bare interpreter that starts in 25 ms: it imports little of the
standard library and nothing of ours. Where no process may be started, the same two functions run in two threads.

Trap: who closes a descriptor of a database file, or of its `-shm`, drops all POSIX locks that SQLite holds on it in
that process. So here only SQLite opens these two. The `-wal` has no such locks.
"""

import _thread
import errno
import fcntl
import os
import sqlite3
import sys
from collections.abc import Callable

READY = b"\0"


class Log:
    """The write-ahead log of a database. It is deleted and made anew when the last connection to that closes.

    A log whose database was deleted, or moved away, belongs to nothing: what is in it is lost when it is closed.
    """

    def __init__(self, database: str) -> None:
        self._path, self._database = f"{database}-wal", database
        self._belongs_to = os.stat(database) if os.path.exists(database) else None
        self._fd = -1
        self._file: os.stat_result | None = None

    def open(self) -> None:
        """Open what is at the path now, and see to it that it is found there after a power cut. Raises `OSError`."""
        self.close()
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._file = os.fstat(self._fd)

    def sync(self) -> None:
        """Wait until the disk has it. Raises `OSError`; of these `ENOENT` and `ESTALE` say that a file was deleted."""
        owner = self._belongs_to
        if owner is not None and not os.path.samestat(os.stat(self._database), owner):
            raise OSError(errno.ESTALE, "expected the database to be where it was", self._database)
        if self._file is None or not os.path.samestat(os.stat(self._path), self._file):
            self.open()
        flush(self._fd)

    def close(self) -> None:
        """Close it; `sync` opens it again."""
        fd, self._fd, self._file = self._fd, -1, None
        if fd >= 0:
            os.close(fd)


def flush(fd: int) -> None:
    """Wait until the disk has what was written to the file, by whomever. Raises `OSError`."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)  # the others stop at the drive's own memory there
    else:
        os.fdatasync(fd)


def serve_syncs(channel: int, database: str) -> None:
    """A byte in, a byte out: 0, or the number of the error. After an error there is only that error.

    A failed sync is not tried again: the system may have dropped what it could not write, and would report success.
    Ends at the end of `channel`, or with the `ConnectionError` of an answer that nobody waits for.
    """
    log, error = Log(database), 0
    try:
        try:
            log.open()  # a descriptor learns of the errors that come after it, so it had better be early
        except OSError:
            pass  # not there yet; the first sync will say if it should be
        os.write(channel, READY)
        while os.read(channel, 1):
            if not error:
                try:
                    log.sync()
                except OSError as failure:
                    error = failure.errno or errno.EIO
            os.write(channel, bytes([error]))
    finally:
        log.close()


def serve_checkpoints(channel: int, database: str, pulse: str) -> None:
    """A line in: the mode, and milliseconds of patience. A line out: four numbers, or `!`, an error's name, its text.

    Ends as `serve_syncs` does. Its connection is made at the first request, and kept.
    """
    connection: sqlite3.Connection | None = None
    try:
        while request := os.read(channel, 64).decode():
            mode, patience = request.split()
            try:
                connection = connection or connect(database)
                answer = " ".join(map(str, checkpoint(connection, mode, int(patience), pulse)))
            except Exception as error:  # of whatever kind: the other side waits for an answer
                name = getattr(error, "sqlite_errorname", type(error).__name__)
                answer = f"! {name} {error}".replace("\n", " ")
            os.write(channel, f"{answer}\n".encode(errors="replace"))
    finally:
        if connection is not None:
            connection.close()


def connect(database: str) -> sqlite3.Connection:
    """A connection that makes no file, does no checkpoint by itself, and syncs only for one."""
    for sign in "%?#":
        database = database.replace(sign, f"%{ord(sign):x}")
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True, isolation_level=None)
    try:
        for setting in ("synchronous = NORMAL", "wal_autocheckpoint = 0", "checkpoint_fullfsync = ON"):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def checkpoint(connection: sqlite3.Connection, mode: str, patience: int, pulse: str) -> tuple[int, int, int, int]:
    """Checkpoint, then pulse: busy, pages in the log, pages moved, pulsed. Raises `sqlite3.Error`.

    The first commit into a log that begins anew syncs its header, in `NORMAL` mode too: the pulse is that commit.
    """
    connection.execute(f"PRAGMA busy_timeout = {patience}")
    # All rows, though there is one: a statement that was not run to its end would keep the pulse out.
    busy, log, moved = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0]
    if moved != log or not pulse:
        return busy, log, moved, 0  # it goes on where it was
    try:
        connection.execute(pulse)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return busy, log, moved, 0
    return busy, log, moved, 1


def main(database: str, pulse: str) -> None:
    """Serve the sockets that are standard input and output, until whoever started this closes them or dies."""
    import signal

    # A service manager may signal all processes of a service at once, and the parent still has work to finish then.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _thread.start_new_thread(quietly, (serve_checkpoints, 1, database, pulse))
    quietly(serve_syncs, 0, database)
    os._exit(0)  # out of a checkpoint too, which may be cut off anywhere


def quietly(serve: Callable[..., None], *args: object) -> None:
    """Call `serve`, until whoever was to have the answer is gone."""
    try:
        serve(*args)
    except ConnectionError:
        pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
