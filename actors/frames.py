"""Where code stands that waits, or that a thread is at: its frames, and how a traceback prints them."""

import sys
import traceback
from types import FrameType
from typing import Any

DEEPEST = 100
"""Frames that are looked at, at most."""


def frames_of(step: Any) -> list[FrameType]:
    """The frames of a suspended coroutine, outermost first. (`Task.get_stack` gives only one of them.)"""
    frames: list[FrameType] = []
    while step is not None and len(frames) < DEEPEST:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None) or getattr(step, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None) or getattr(step, "ag_await", None)
    return frames


def stack_text(frames: list[FrameType]) -> str:
    """Frames as a traceback prints them, without local variables."""
    return "".join(traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames).format())


def stack_of(thread: int) -> str | None:
    """Where the thread of that number stands, innermost last; None if it has ended. From any other thread."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return None
    frames = [*traceback.walk_stack(frame)][::-1]
    return "".join(traceback.StackSummary.extract(iter(frames)).format())
