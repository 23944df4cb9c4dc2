"""How long the write-ahead log of a SQLite file is: what of it counts, and what the file takes.

A log that is begun anew keeps its file, and its frames are written over. That is what a sync is quickest with: where
the file would grow, the disk has to write down its new length as well. So the length of the file tells nothing of the
frames; what tells are their salts, which change each time that the log begins anew (SQLite's file format, section 4).
"""

import os
import struct
from pathlib import Path
from typing import Literal

LONG = 8 << 20
"""A log of so many bytes is written back into the file, and begun anew."""
LARGEST = 4 * LONG
"""A file of so many bytes, which a long reader has let it grow to, is cut off then."""
HEADER, FRAME = 32, 24


class WriteAheadLog:
    """The log beside a database.

    Opening and closing it harms nobody: SQLite's locks are on the other two files.
    """

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}-wal")

    def is_long(self) -> bool:
        """Whether it is time to begin it anew."""
        try:
            return self._path.stat().st_size > LONG and self._used() > LONG
        except FileNotFoundError:
            return False

    def way_to_begin_anew(self) -> Literal["RESTART", "TRUNCATE"]:
        """How: with its file, or with an empty one."""
        try:
            return "RESTART" if self._path.stat().st_size <= LARGEST else "TRUNCATE"
        except FileNotFoundError:
            return "TRUNCATE"

    def _used(self) -> int:
        """Bytes up to its last frame that counts: those with the salts of its header come first."""
        log = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = os.pread(log, HEADER, 0)
            if len(header) < HEADER:
                return 0
            page: int = struct.unpack(">I", header[8:12])[0]
            salts, size = header[16:24], FRAME + page
            low, high = 0, (os.fstat(log).st_size - HEADER) // size
            while low < high:
                middle = (low + high) // 2
                if os.pread(log, 8, HEADER + middle * size + 8) == salts:
                    low = middle + 1
                else:
                    high = middle
            return HEADER + low * size
        finally:
            os.close(log)
