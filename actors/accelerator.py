"""The path of a message and the making of an actor, in C where that could be built: five methods of Python's, replaced.

`Ref.tell`, `Ref.ask`, `Life.serve` and `Dispatcher.work` are what every message passes through, and `Birth.child` what
every spawn does. Their Python says what is right, and it is all there is where no compiler was at hand at the
installation, or where `UPRIGHT_PURE=1` is set.
The C (in `native/`) does the same for what is usual, on the same objects, and hands whatever is rare to the Python of
the same methods: a full mailbox, a durable one, a crash. Every test holds both ways.
"""

import asyncio
import importlib
import os
from collections import deque
from collections.abc import Awaitable
from typing import Any

from .birth import Birth
from .bus import EventBus
from .carrier import Carrier
from .cell import Cell
from .cycles import refuse_cycle
from .deadlines import WIDTH, Deadlines
from .dispatcher import Dispatcher
from .envelope import IN_HAND, QUEUED, Envelope, Link, Question
from .handlers import Handler, HandlerTable
from .identity import Identity
from .incarnation import RUNNING, UNUSED
from .life import BUDGET, FIRST_LOOK, Life
from .mailbox import NOTHING, Mailbox
from .nursery import CHILDLESS, Nursery
from .options import Blueprint
from .refs import ASK_WITHIN, Ref
from .runtime import Activity, Runtime
from .seat import COUNTS_TELL, TURN, Seat
from .waking import Waker

PLACES: tuple[tuple[Any, str], ...] = (
    (Ref, "ask"), (Ref, "tell"), (Life, "serve"), (Dispatcher, "work"), (Birth, "child"),
)  # fmt: skip
PYTHON: dict[tuple[Any, str], Any] = {(owner, name): getattr(owner, name) for owner, name in PLACES}
"""The methods that are replaced, as they stand in their rooms."""
CLASSES = (
    Activity, Birth, Blueprint, Carrier, Cell, Deadlines, Dispatcher, Envelope, EventBus, Handler, HandlerTable,
    Identity, Life, Link, Mailbox, Nursery, Question, Ref, Runtime, Seat, Waker,
)  # fmt: skip
METHODS: dict[tuple[Any, str], Any] = {}
"""What replaces them; empty where there is no accelerator."""


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what  # a handler returned something other than a coroutine of its own


def _built() -> dict[tuple[Any, str], Any]:
    """What replaces Python's methods, where that is built and wanted."""
    if os.environ.get("UPRIGHT_PURE", "0") not in ("", "0") or not COUNTS_TELL:
        return {}
    queue: Any = deque
    things: dict[str, Any] = {one.__name__: one for one in CLASSES} | {
        "ASK_WITHIN": ASK_WITHIN,
        "BUDGET": BUDGET,
        "CHILDLESS": CHILDLESS,
        "FIRST_LOOK": FIRST_LOOK,
        "FUTURE_LOOP": ("loop",),
        "Future": asyncio.Future,
        "IN_HAND": IN_HAND,
        "InvalidStateError": asyncio.InvalidStateError,
        "NOTHING": NOTHING,
        "QUEUED": QUEUED,
        "RUNNING": RUNNING,
        "TURN": TURN,
        "UNUSED": UNUSED,
        "WIDTH": WIDTH,
        "awaited": _awaited,
        "deque": queue,
        "deque_append": queue.append,
        "deque_popleft": queue.popleft,
        "fail_turn": Life.fail_turn,
        "refuse_cycle": refuse_cycle,
        **{name: method for (_, name), method in PYTHON.items()},
    }
    try:
        methods = importlib.import_module("._accelerator", __package__).bind(things)
    except ImportError:  # it is optional: there was no compiler; or it serves another interpreter of this process
        return {}
    return {place: methods[place[1]] for place in PYTHON}


def accelerate(on: bool = True) -> bool:
    """Use the accelerator from now on, where it was built, or not; whether it is used then. To import the system is to
    use it; all else is for tests.
    """
    methods = METHODS if on and METHODS else PYTHON
    for (owner, name), method in methods.items():
        setattr(owner, name, method)
    return methods is METHODS


METHODS.update(_built())
