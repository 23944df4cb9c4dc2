"""The signals that ask a process to end, as calls on the event loop; what was installed before is called as well.

A server that runs the service (uvicorn, say) has its own handlers, and waits for all open responses before it ends the
lifespan: one client with an endless stream would hold the end up for ever. So the service has to hear of the signal
itself, and the server too.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

ASKING = (signal.SIGTERM, signal.SIGINT)
HANGUP = signal.SIGHUP
"""The terminal has gone. It comes more than once, from the system and from the shell, and means the same each time."""
HURRY, AT_ONCE = 2, 3
"""The signal of the second number ends the process at once, whatever it does; that of the first cancels what runs."""


def asking() -> tuple[signal.Signals, ...]:
    """What asks a program of its own to end: also that its terminal has gone, unless somebody ignores that (`nohup`) or
    means something else by it.
    """
    return (*ASKING, HANGUP) if signal.getsignal(HANGUP) is signal.SIG_DFL else ASKING


class Signals:
    """From `install` to `restore`, each of the signals calls `heard` on the loop with its name and its number, from 1.

    `chain`: whether to call the handlers that were there before, but not for the second one: a server would leave at
    once then, with everything half done; `forward` it when that is over. Without `chain`, the third one ends the
    process. Nothing is installed in a thread that is not the main one, where Python allows none.
    """

    def __init__(
        self, heard: Callable[[str, int], None], chain: bool, wanted: Iterable[signal.Signals] = ASKING
    ) -> None:
        self._heard, self.chains, self._wanted = heard, chain, tuple(wanted)
        self._before: dict[int, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0
        """How many came."""
        self.first = 0
        """The first of them."""

    def install(self) -> None:
        """Begin to listen, for the running loop."""
        if threading.current_thread() is not threading.main_thread() or self._before:
            return
        self._loop, self.count, self.first = asyncio.get_running_loop(), 0, 0
        for number in self._wanted:
            self._before[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Listen no more. What somebody else has installed since is left."""
        before, self._before = self._before, {}
        for number, handler in before.items():
            if signal.getsignal(number) == self._handle:
                # None: it was installed by a library in C, and cannot be put back from here
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def forward(self, number: int) -> None:
        """Call what was there before, as if that signal had come."""
        handler = self._before.get(number)
        if callable(handler):
            handler(number, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == HANGUP and self.count:
            return
        self.count += 1
        self.first = self.first or number
        name, loop = signal.Signals(number).name, self._loop
        if self.count >= AT_ONCE and not self.chains:
            os._exit(128 + number)
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._heard, name, self.count)
        before = self._before.get(number)
        if self.chains and self.count != HURRY and callable(before):
            before(number, frame)
