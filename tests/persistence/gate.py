"""A flush that stops, says that it has begun, and waits to be told its fate; and, as a program, a syncer's with that.

It imports next to nothing, because a bare interpreter runs it: `gate.py PROGRAM FOLDER` and what PROGRAM is given.
"""

import os
import runpy
import sys
from collections.abc import Callable

Flush = Callable[[int], None]


def gated(flush: Flush, folder: str) -> Flush:
    """Stand before `flush`: write process and inode to the pipe `began`, read from `go` what is to happen."""
    began, go = (os.open(f"{folder}/{name}", os.O_RDWR | os.O_CLOEXEC) for name in ("began", "go"))

    def stop(fd: int) -> None:
        os.write(began, b"%20d%20d" % (os.getpid(), os.fstat(fd).st_ino))
        match os.read(go, 1):
            case b"o":
                flush(fd)
            case b"e":
                raise OSError(5, "a broken disk")
            case b"d":
                os._exit(7)
            case _:
                raise KeyError("a mistake of ours")

    return stop


if __name__ == "__main__":
    program, folder = sys.argv.pop(1), sys.argv.pop(1)
    names = runpy.run_path(program)["main"].__globals__
    names["flush"] = gated(names["flush"], folder)
    names["main"](*sys.argv[1:])
