"""The stack of an error in a user's program, from that program on: what has called it tells them nothing."""

import asyncio
import importlib
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
WINGS = ("actors", "supervision", "persistence", "operations", "command")
ABOVE = (
    *(str(HERE / wing) for wing in WINGS), str(Path(asyncio.__file__).parent), str(Path(importlib.__file__).parent),
    "<frozen importlib",
)  # fmt: skip
"""Where the code is that stands between the start of the process and the first line of the user's."""


def user_stack(error: BaseException) -> str:
    """The error with its causes and their frames; whole where none of it is the user's, unless it is one of syntax,
    whose text says where.
    """
    told = traceback.TracebackException.from_exception(error)
    whole = "".join(told.format())
    is_cut = _cut(told)
    return "".join(told.format()) if is_cut or isinstance(error, SyntaxError) else whole


def _cut(told: traceback.TracebackException) -> bool:
    """Take away what comes before the user's frames; whether any are left."""
    frames = list(told.stack)
    first = next((at for at, frame in enumerate(frames) if not _is_above(frame)), len(frames))
    kept = [frame for frame in frames[first:] if not frame.filename.startswith("<frozen importlib")]
    told.stack = traceback.StackSummary.from_list(kept)
    for cause in (told.__cause__, told.__context__):
        if cause is not None:
            _cut(cause)
    return bool(kept)


def _is_above(frame: traceback.FrameSummary) -> bool:
    name = frame.filename
    return name.startswith(ABOVE) or f"{Path('site-packages', 'click')}/" in name
