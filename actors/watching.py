"""Watching: any actor may learn that another has ended for good, by exactly one `Down` per watch.

A watch belongs to the incarnation that made it and goes with it: the next one's `started()` makes its own. There are
no links (Erlang's two-way, fatal kind): what they are for, supervision does, and what is left, a watch and
`ctx.stop()` do in two visible lines.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from .exits import Exit, NoActor
from .handlers import Handler
from .refs import Ref


class Down(msgspec.Struct, frozen=True):
    """The actor that `ref` names has ended for good, for this `reason`. Its name is free again."""

    ref: Ref[Any]
    reason: Exit


class Watching(Protocol):
    """What a watch needs of the incarnation that made it."""

    def notice(self, handler: Handler, args: tuple[Any, ...], token: object) -> None: ...

    def withdraw(self, matches: Callable[[object], bool], put_back: bool = False) -> None: ...


class Watcher(Protocol):
    """Who hears of an actor's end: a watch, or an entry on the roll of a topic or a group."""

    def down(self, reason: Exit, /) -> None: ...


class Watched(Protocol):
    """What a watch needs of the actor that is watched."""

    @property
    def watchers(self) -> dict[Watcher, None]: ...


class Watch:
    """One watch: who is told, by which handler, of whose end."""

    __slots__ = ("_watches", "handler", "ref", "target")

    def __init__(self, watches: "Watches", ref: Ref[Any], handler: Handler, target: Watched | None) -> None:
        self._watches, self.ref, self.handler, self.target = watches, ref, handler, target

    def down(self, reason: Exit) -> None:
        """Tell the watcher, once."""
        self.target = None
        self._watches.fire(self, Down(self.ref, reason))

    def cancel(self) -> None:
        """Leave nothing behind at the watched actor."""
        if self.target is not None:
            self.target.watchers.pop(self, None)
            self.target = None


class Watches:
    """The watches of one incarnation, by the path of who is watched."""

    __slots__ = ("_made", "_watcher")

    def __init__(self, watcher: Watching) -> None:
        self._watcher = watcher
        self._made: dict[str, list[Watch]] = {}

    def add(self, ref: Ref[Any], handler: Handler) -> None:
        """Watch; an actor that is gone already answers at once."""
        target: Any = ref.recipient
        watch = Watch(self, ref, handler, target)
        if target is None:
            watch.down(NoActor())
        else:
            self._made.setdefault(ref.path, []).append(watch)
            target.watchers[watch] = None

    def remove(self, ref: Ref[Any]) -> None:
        """Undo every watch of that ref, and withdraw a notice that is already waiting."""
        for watch in self._made.pop(ref.path, ()):
            watch.cancel()
        self._watcher.withdraw(lambda token: isinstance(token, Watch) and token.ref == ref, put_back=True)

    def fire(self, watch: Watch, down: Down) -> None:
        """Tell the watcher, and forget the watch."""
        made = self._made.get(watch.ref.path)
        if made is not None and watch in made:
            made.remove(watch)
            if not made:
                del self._made[watch.ref.path]
        self._watcher.notice(watch.handler, (down,), watch)

    def clear(self) -> None:
        """The incarnation has ended: undo all."""
        for watches in self._made.values():
            for watch in watches:
                watch.cancel()
        self._made.clear()
