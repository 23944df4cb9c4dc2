"""The standard streams of a command, where some are closed, or whoever reads them has gone."""

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Final, TextIO

STREAMS: Final = ("stdin", "stdout", "stderr")


def open_closed() -> None:
    """Have the streams that were closed when the process began (`2>&-`) lead nowhere, as they do for `print`.

    Their numbers are taken too: the next file that is opened, the store say, would get them, and with them whatever is
    written to standard error below Python.
    """
    for name in STREAMS:
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(nowhere, True)  # by the workers, who would have them closed again
            setattr(sys, name, open(nowhere, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115


@contextlib.contextmanager
def quiet_end(out: TextIO) -> Generator[None]:
    """Whoever read what was printed has gone, as `head` does: that is no error."""
    try:
        yield
        out.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, and would complain.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, out.fileno())
            os.close(nowhere)


def tell(text: str) -> None:
    """Print a line on standard error; where it cannot be written, the exit status has to do."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201  # the place where errors are said
