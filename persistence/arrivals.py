"""Who waits for a run of a state machine to end, in this process: told as soon as its end is on disk."""

import asyncio

Place = tuple[str, str]
"""The kind and the name of a record."""


class Arrivals:
    """The futures of those who wait. Other processes are not heard of here: who waits looks for himself, too."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[Place, set[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """For how many ends somebody waits."""
        return len(self._waiting)

    def wait(self, place: Place) -> "asyncio.Future[None]":
        """A future that is done when something has changed there that is worth a look."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(place, set()).add(future)
        future.add_done_callback(lambda done: self._forget(place, done))
        return future

    def tell(self, place: Place) -> None:
        """It has ended, or has failed."""
        for future in tuple(self._waiting.get(place, ())):
            if not future.done():
                future.set_result(None)

    def _forget(self, place: Place, future: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(place)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[place]
