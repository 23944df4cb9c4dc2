"""Whom a command speaks to: a service that runs, over its admin socket, or a store alone.

Both answer the same questions in the same words, so that no command knows the difference. A call is one loop from its
beginning to its end: a command line has nothing to keep open between two of them.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, Protocol

from upright.operations.admin_client import calling
from upright.operations.answers import Progress
from upright.operations.errors import Unreachable, Wrong
from upright.operations.store_controls import StoreControls
from upright.operations.store_from import store_from
from upright.persistence.sqlite import Sqlite

SOCKET: Final = "upright.sock"
"""Where a service has its admin socket, if nothing else was said."""
Told = Callable[[dict[str, Any]], object]


class Target(Protocol):
    """Whom a command speaks to."""

    def call(self, do: str, given: dict[str, Any] | None = None, progress: Told | None = None) -> dict[str, Any]:
        """Ask for that; the result. `progress`: called with what comes before it.

        Raises `Unreachable`, `NotFound`, `Wrong`, `Failed`; a store alone raises `StoreError`s too.
        """
        ...


def target_of(admin: str | None, store: str | None) -> Target:
    """The one that the options name: a store, a socket, the socket of UPRIGHT_ADMIN, `upright.sock`.

    Raises `Unreachable` where there is none, `Wrong` for a store that cannot be meant.
    """
    if store:
        return StoreAlone(file_of(store))
    if path := socket_of(admin):
        return Live(path)
    raise Unreachable(
        "whom to ask? There is no upright.sock here: name a service that runs by --admin PATH, "
        f"or look into a store alone by --store {os.environ.get('UPRIGHT_STORE') or 'STORE'}"
    )


def socket_of(admin: str | None) -> str | None:
    """The path of the admin socket; None where none was named and none is here."""
    return admin or os.environ.get("UPRIGHT_ADMIN") or (SOCKET if os.path.exists(SOCKET) else None)


def file_of(text: str) -> Sqlite:
    """The store that this text names. Raises `Wrong`."""
    try:
        store = store_from(text)
    except ValueError as error:
        raise Wrong(str(error)) from error
    if not isinstance(store, Sqlite):
        raise Wrong(f"expected --store to name a file, got {text}: a store in memory is in its own process alone")
    return store


class Live:
    """A service that runs, by the path of its admin socket."""

    def __init__(self, path: str) -> None:
        self.path = path

    def call(self, do: str, given: dict[str, Any] | None = None, progress: Told | None = None) -> dict[str, Any]:
        """Ask the service. Raises `Unreachable`, `NotFound`, `Wrong`, `Failed`."""

        async def whole() -> dict[str, Any]:
            return await last_of(calling(self.path, do, given), progress)

        return asyncio.run(whole())


class StoreAlone:
    """A store; nobody needs to have it open."""

    def __init__(self, store: Sqlite) -> None:
        self.store = store

    def call(self, do: str, given: dict[str, Any] | None = None, progress: Told | None = None) -> dict[str, Any]:
        """Ask the store. Raises `NotFound`, `Wrong`, `StoreError`s."""

        async def whole() -> dict[str, Any]:
            # One of its own for each loop: what a store keeps of one is of no use in another.
            return await last_of(StoreControls(Sqlite(self.store.path)).do(do, given or {}), progress)

        return asyncio.run(whole())


async def last_of(answers: Any, progress: Told | None) -> dict[str, Any]:
    """The result; what comes before goes to `progress`. `answers`: a generator of both."""
    generator: AsyncGenerator[dict[str, Any]] = answers
    async with contextlib.aclosing(generator) as all_of_them:
        async for answer in all_of_them:
            if not isinstance(answer, Progress):
                return answer
            if progress is not None:
                progress(answer)
    raise Unreachable("the service ended before it had answered")
