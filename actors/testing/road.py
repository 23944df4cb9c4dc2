"""The way to one mailbox, on which chaos holds messages up.

A message that is late holds up all that come behind it, for senders count on the order of what they send. One that
steps aside lets the next one pass. Neither is ever lost: what is on the way when the actor ends is its mail too.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from ..envelope import Envelope
from ..errors import ActorError
from ..runtime import Runtime


class Road:
    """Leads to `mailbox`; `arrive` puts an envelope in there, if there is room."""

    def __init__(self, mailbox: Any, arrive: Callable[[Envelope], bool], runtime: Runtime) -> None:
        self._mailbox, self._arrive, self._runtime = mailbox, arrive, runtime
        self._late: deque[tuple[float, Envelope]] = deque()
        self._aside: Envelope | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    def send(self, envelope: Envelope, delay: float) -> bool:
        """Have an envelope arrive after so many seconds, behind all that are on the way; False if it finds no room."""
        if not (delay or self._late):
            arrived = self._arrive(envelope)
        else:
            now = self._runtime.loop.time()
            due = max(now + delay, self._late[-1][0] if self._late else now)
            self._late.append((due, envelope))
            self._runtime.activity.add(1)
            if self._timer is None:
                self._set_timer()
            arrived = True
        if arrived and self._aside is not None:
            self._step_back()
        return arrived

    def step_aside(self, envelope: Envelope, most: float) -> bool:
        """Have an envelope wait until the next one has passed, for `most` seconds; False if one waits already."""
        if self._aside is not None:
            return False
        self._aside = envelope
        self._runtime.activity.add(1)
        loop, plain = self._runtime.loop, self._runtime.plain
        self._patience = loop.call_later(most, self._step_back, context=plain)
        return True

    def take_all(self) -> list[Envelope]:
        """Everything that is on the way, in order; nothing is afterwards."""
        taken = [envelope for _, envelope in self._late]
        self._late.clear()
        if self._aside is not None:
            taken.append(self._aside)
            self._aside = None
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        self._timer = self._patience = None
        self._runtime.activity.add(-len(taken))
        return taken

    def clear(self) -> None:
        """Have everything arrive now."""
        for envelope in self.take_all():
            self._deliver(envelope)

    def _set_timer(self) -> None:
        self._timer = None
        if self._late:
            loop, plain = self._runtime.loop, self._runtime.plain
            self._timer = loop.call_at(self._late[0][0], self._come, context=plain)

    def _come(self) -> None:
        now = self._runtime.loop.time()
        while self._late and self._late[0][0] <= now:
            self._deliver(self._late.popleft()[1])
            self._runtime.activity.add(-1)
        self._set_timer()

    def _step_back(self) -> None:
        envelope, self._aside = self._aside, None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if envelope is not None:
            if not self.send(envelope, 0.0):
                self._wait(envelope)
            self._runtime.activity.add(-1)

    def _deliver(self, envelope: Envelope) -> None:
        """Nobody waits for that any more; so there is nobody to be told that there is no room."""
        owner = self._mailbox.owner
        try:
            if owner.gone:
                owner.dropped(envelope, "no_actor")
            elif not self._arrive(envelope):
                self._wait(envelope)
        except ActorError as error:  # it cannot be routed, say
            owner.dropped(envelope, "rejected", error)

    def _wait(self, envelope: Envelope) -> None:
        if self._mailbox.full == "wait":
            self._mailbox.line_up(envelope, None)
        else:
            self._mailbox.owner.dropped(envelope, "dropped_new")
