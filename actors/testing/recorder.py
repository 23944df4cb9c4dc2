"""A recorder of events, so that tests wait for what happens and not for seconds."""

import asyncio
from typing import Any, Self, TypeVar

from ..events import DeadLettered, Event
from ..message import DeadLetter
from ..system import ActorSystem

E = TypeVar("E", bound=Event)


class Recorder:
    """Keeps every event of a system in order; make it before the system starts, or use it with `with` around a part.

    >>> from upright.actors import ActorSystem
    >>> recorder = Recorder(ActorSystem(log=None))
    >>> recorder.events, recorder.letters
    ([], [])
    """

    def __init__(self, system: ActorSystem) -> None:
        self.events: list[Event] = []
        self._system = system
        self._waiting: list[asyncio.Future[None]] = []
        system.subscribe(self._note)

    def of(self, kind: type[E], path: str | None = None) -> list[E]:
        """The events of a class, of one actor or of all."""
        return [event for event in self.events if isinstance(event, kind) and path in (None, event.path)]

    @property
    def letters(self) -> list[DeadLetter]:
        """Every dead letter so far."""
        return [event.letter for event in self.of(DeadLettered)]

    async def wait_for(self, kind: type[E], path: str | None = None, count: int = 1, within: float = 5.0) -> E:
        """The `count`-th event of that class and path; waits for it, `AssertionError` after `within` seconds."""
        try:
            async with asyncio.timeout(within):
                while len(found := self.of(kind, path)) < count:
                    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._waiting.append(future)
                    await future
        except TimeoutError:
            about = f" of {path}" if path is not None else ""
            raise AssertionError(f"expected {count} {kind.__name__}{about} within {within:g} s") from None
        return found[count - 1]

    def close(self) -> None:
        """Stop recording."""
        self._system.unsubscribe(self._note)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _note(self, event: Event) -> None:
        self.events.append(event)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            # The watchdog emits from its own thread.
            future.get_loop().call_soon_threadsafe(_wake, future)


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
