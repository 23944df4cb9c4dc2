"""The line in front of a machine: who was refused waits here, and is called in the order of arrival.

A *waiter* is a paused actor, or a call that waits. It keeps its place until it has taken what it was called for, so
that nobody who comes later passes it. Mailboxes that would claim from a store stand in no line: they are told once
when there is room, and claim as much as that.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from itertools import islice
from typing import Any, Protocol

from .policies import House, Machine

TICK = 0.001
"""Seconds before the machine is asked again, at least: its clock may be a little behind what it announced."""


class Waiter(Protocol):
    """Who waits in line."""

    def called(self) -> None:
        """It may try again; it keeps its place until it has, or has left."""
        ...


class Gate:
    """One policy at work in one system."""

    __slots__ = (
        "_ahead",
        "_called",
        "_wants",
        "calls",
        "now",
        "line",
        "_shut",
        "_timer",
        "_wanting",
        "_was_shut",
        "guarding",
        "is_pinned",
        "is_touched",
        "label",
        "machine",
    )

    def __init__(self, machine: Machine, house: House, label: str) -> None:
        self.machine, self.label = machine, label
        self.now = house.now
        self.guarding: set[tuple[object, str]] = set()
        """The handlers, by class and name, that have put this policy around a call of theirs."""
        self.is_touched = True
        """Whether somebody has asked for it of late."""
        self.is_pinned = False
        """Whether an actor has it: it must not be forgotten, or there would be two of its name."""
        self.calls = 0
        """How many calls wait in line; the others are actors, which have a mailbox to wait in."""
        self.line: dict[Waiter, int] = {}
        """Who waits, in order, and for how many each counts."""
        self._ahead = 0  # for how many all of them count
        self._called: set[Waiter] = set()
        self._wanting: dict[Callable[[], object], int] = {}
        self._shut: dict[Callable[[], object], None] = {}
        self._was_shut = machine.is_shut
        listen = getattr(machine, "listen", None)
        if listen is not None:  # it hears from elsewhere, a store say, that there is room
            listen(self.changed)
        self._wants: Callable[[float, int], object] | None = getattr(machine, "wanted", None)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many wait in line."""
        return len(self.line)

    def room(self) -> float:
        """How many newcomers would be let through now."""
        return max(0.0, self.machine.room(self.now()) - self._ahead)

    def has_called(self, waiter: Waiter) -> bool:
        """Whether that one may try again now."""
        return waiter in self._called

    def take(self, waiter: Waiter, weight: int = 1, passes: bool = False) -> Any:
        """Let it through, which counts for so many: the token of its visit; None if it has to wait, and is in line now.
        `passes`: all others.
        """
        if self.line and not passes and waiter not in self._called:
            self._join(waiter, weight)
            self._arm(self.now())
            return None
        now = self.now()
        token = self.machine.enter(now, True, weight)
        if self.line:
            self._called.discard(waiter)
        if self._was_shut and token is not None:  # should it shut again, that is to be told
            self._was_shut = self.machine.is_shut
        if token is None:
            self._join(waiter, weight)
            self._arm(now)
            if self._shut and not self._was_shut and self.machine.is_shut:  # by time alone
                asyncio.get_running_loop().call_soon(self.changed)
        elif waiter in self.line:
            self._quit(waiter)
            if len(self.line) > len(self._called):  # who came while this one was called may have room too
                self.serve()
        return token

    def forget(self, waiter: Waiter) -> None:
        """It waits no more."""
        if waiter in self.line:
            self._quit(waiter)
            self._called.discard(waiter)
            if self.line or self._wanting:  # behind one who needed much there may be some who need little
                self.serve()

    def when_room(self, call: Callable[[], object], weight: int = 1) -> None:
        """Call that once, when there is room for so many that nobody in line needs, or when a line forms."""
        self._wanting[call] = weight
        self._arm(self.now())

    def forget_wish(self, call: Callable[[], object]) -> None:
        """Undo `when_room`."""
        self._wanting.pop(call, None)

    def when_shut(self, call: Callable[[], object]) -> None:
        """Call that whenever the machine shuts."""
        if not self._shut:
            self._was_shut = self.machine.is_shut
        self._shut[call] = None

    def forget_shut(self, call: Callable[[], object]) -> None:
        """Undo `when_shut`."""
        self._shut.pop(call, None)

    def leave(self, token: Any, error: BaseException | None, took: float, now: float) -> None:
        """The call behind that token has ended."""
        if self._was_shut:  # it may have let some through since, one of whom this is
            self._was_shut = self.machine.is_shut
        self.machine.leave(token, error, took, now)
        if self.line or self._wanting or self._shut:
            self.changed()

    def give_back(self, token: Any) -> None:
        """There was no call behind that token."""
        self.machine.give_back(token, self.now())
        if self.line or self._wanting:
            self.serve()

    def changed(self) -> None:
        """The machine may be in another state now: tell whom that concerns."""
        was_shut, self._was_shut = self._was_shut, self.machine.is_shut
        if self._was_shut and not was_shut:
            for call in tuple(self._shut):
                call()
        if self.line or self._wanting:
            self.serve()

    def serve(self) -> None:
        """Call as many as there is room for, in order, and then those who want what is left."""
        now = self.now()
        self._tell_wants(now)
        room = self.machine.room(now)
        if len(self.line) > len(self._called):
            self._call(room)
        if self._wanting:
            left = room - self._ahead
            for call in [call for call, weight in self._wanting.items() if weight <= left]:
                if self._wanting.pop(call, None) is not None:
                    call()
            if self._wants is not None and self._wanting:
                self._wants(now, self._ahead + min(self._wanting.values()))
        self._arm(now)

    def _tell_wants(self, now: float) -> None:
        """Say how much the next one needs, before it is asked for less."""
        if self._wants is not None:
            waiter = next(iter(self.line), None)
            if waiter is not None and waiter not in self._called:
                self._wants(now, self.line[waiter])

    def _call(self, room: float) -> None:
        most = len(self.line) if room >= len(self.line) else int(room) + 1  # each counts for one or more
        for waiter, weight in tuple(islice(self.line.items(), most)):
            if room < weight:  # and nobody passes one who needs much, or it would wait for ever
                if self._wants is not None and waiter not in self._called:
                    self._wants(self.now(), weight)
                break
            room -= weight
            if waiter in self.line and waiter not in self._called:
                self._called.add(waiter)
                waiter.called()

    def _join(self, waiter: Waiter, weight: int) -> None:
        if waiter not in self.line:
            self.line[waiter] = weight
            self._ahead += weight
            if self._wanting and len(self.line) == 1:  # who wants room may have to stand in line too, or gets none
                wanting, self._wanting = self._wanting, {}
                for call in wanting:
                    call()

    def _quit(self, waiter: Waiter) -> None:
        self._ahead -= self.line.pop(waiter)

    def _arm(self, now: float) -> None:
        """Look again when the machine says that it may help."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if len(self.line) > len(self._called) or self._wanting:
            at = self.machine.opens_at(now)
            if at < float("inf"):
                loop = asyncio.get_running_loop()
                # An empty context: what time alone does belongs to no message that is in hand now.
                self._timer = loop.call_at(max(at, now + TICK), self._look_again, context=Context())

    def _look_again(self) -> None:
        self._timer = None
        self._was_shut = self.machine.is_shut
        self._tell_wants(self.now())
        self.machine.room(self.now())  # time alone may have shut it
        self.changed()

    def close(self) -> None:
        """Look no more, but for calls that wait in line: nothing else would call them, and they may have no end."""
        self._wanting.clear()
        if self._timer is not None and not self.line:
            self._timer.cancel()
            self._timer = None

    def __repr__(self) -> str:
        return f"<Gate {self.label} {self.machine!r}, {len(self.line)} waiting>"
