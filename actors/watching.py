"""Watching: any actor may learn that another has ended for good, by exactly one `Down` per watch.

A watch belongs to the incarnation that made it and goes with it: the next one's `started()` makes its own. There are
no links (Erlang's two-way, fatal kind): what they are for, supervision does, and what is left, a watch and
`ctx.stop()` do in two visible lines.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from .exits import Exit, NoActor
from .handlers import Handler
from .refs import Ref


class Down(msgspec.Struct, frozen=True):
    """The actor that `ref` names has ended for good, for this `reason`. Its name is free again."""

    ref: Ref[Any]
    reason: Exit


class Watcher(Protocol):
    """What a watch needs of the incarnation that made it."""

    def notice(self, handler: Handler, args: tuple[Any, ...], token: object) -> None: ...

    def withdraw(self, tokens: set[object]) -> None: ...


class Watched(Protocol):
    """What a watch needs of the actor that is watched."""

    @property
    def watchers(self) -> "dict[Watch, None]": ...


class Watch:
    """One watch: who is told, by which handler, of whose end."""

    __slots__ = ("handler", "ref", "target", "watcher")

    def __init__(self, watcher: Watcher, ref: Ref[Any], handler: Handler, target: Watched | None) -> None:
        self.watcher, self.ref, self.handler, self.target = watcher, ref, handler, target

    def down(self, reason: Exit) -> None:
        """Tell the watcher, once."""
        self.target = None
        self.watcher.notice(self.handler, (Down(self.ref, reason),), self)

    def cancel(self) -> None:
        """Leave nothing behind at the watched actor."""
        if self.target is not None:
            self.target.watchers.pop(self, None)
            self.target = None


class Watches:
    """The watches of one incarnation."""

    __slots__ = ("_made", "_watcher")

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._made: list[Watch] = []

    def add(self, ref: Ref[Any], handler: Handler) -> None:
        """Watch; an actor that is gone already answers at once."""
        self._made = [watch for watch in self._made if watch.target is not None or watch.ref == ref]
        target: Any = ref.recipient
        watch = Watch(self._watcher, ref, handler, target)
        self._made.append(watch)
        if target is None:
            watch.down(NoActor())
        else:
            target.watchers[watch] = None

    def remove(self, ref: Ref[Any]) -> None:
        """Undo every watch of that ref, and withdraw a notice that is already waiting."""
        gone = [watch for watch in self._made if watch.ref == ref]
        self._made = [watch for watch in self._made if watch.ref != ref]
        for watch in gone:
            watch.cancel()
        self._watcher.withdraw(set(gone))

    def clear(self) -> None:
        """The incarnation has ended: undo all."""
        for watch in self._made:
            watch.cancel()
        self._made.clear()


WatchHandler = Callable[[Any, Down], Awaitable[Any]]
