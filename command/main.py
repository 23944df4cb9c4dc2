"""Where the command line begins: it imports no more than the command needs.

A probe is asked every few seconds, in a process that begins anew each time; so `upright health` goes straight to a room
of the standard library, and everything else is imported only when it is wanted.
"""

import sys

from .streams import open_closed, tell

EXTRA = "this needs more than the library itself: pip install \"upright[cli]\" (there is no module '{}')"
OF_THE_EXTRA = frozenset({"click", "rich"})


def main() -> int:
    """Run the command line; returns the exit status: 0 done, 1 it is not so, 2 wrong usage, 3 nobody answers."""
    given = sys.argv[1:]
    open_closed()
    if given[:1] == ["health"]:
        from .probe import health

        return health(given[1:])
    try:
        from .app import command_line
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OF_THE_EXTRA:
            raise
        tell(f"upright: {EXTRA.format(missing)}")
        return 2
    return command_line(given)
