"""What can be asked of a running system, and done to it: the answers behind the admin socket.

What concerns the store alone is answered by `StoreControls`, here with the store that the system has open.
"""

import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from upright.actors.system import ActorSystem
from upright.persistence.store import Store
from upright.supervision.checks import label
from upright.supervision.circuit_breaker import CircuitBreaker

from . import questions
from .answers import breathing
from .errors import Wrong
from .health import Probe
from .live_tree import listed, live_tree
from .questions import read
from .sending import send
from .standing import standing
from .store_controls import MOST, Answers, Given, StoreControls


class Report(Protocol):
    """How a service does."""

    def plain(self) -> dict[str, Any]: ...


class Reports(Protocol):
    """Who knows how a service does: `Health`."""

    def report(self) -> Any: ...
    def probe(self, probe: Probe) -> Any: ...


class Controls:
    """The operations on a running `system` and its `store`, if it has one.

    `health`: who is asked for that. `draining`: whether it takes no new work; `started`: since when it runs, seconds
    since the epoch. `do` yields `Progress`, where there is any, and last the result.
    """

    def __init__(
        self, system: ActorSystem, store: Store | None = None, health: Reports | None = None, *,
        draining: Callable[[], bool] | None = None, started: float | None = None,
    ) -> None:  # fmt: skip
        self.system, self._health, self._draining = system, health, draining
        self.started = time.time() if started is None else started
        self.metrics: Callable[[], tuple[str, bytes]] | None = None
        """What gives its metrics as they are now, where they are collected."""
        self._stored = StoreControls(store) if store is not None else None
        path = getattr(store, "path", None)
        self._file = None if path is None else str(path)
        self.operations: Mapping[str, Callable[[Given], Answers]] = {
            "tree": self._tree, "ps": self._ps, "send": self._send, "health": self._healthy, "guards": self._guards,
            "metrics": self._metrics_now,
        }  # fmt: skip

    async def do(self, name: str, given: Given | None = None) -> Answers:
        """Do the operation of that name. Raises `NotFound`, `Wrong`, and whatever the system and the store raise."""
        operation, stored = self.operations.get(name), self._stored
        if operation is not None:
            answers: Any = operation({} if given is None else given)
        elif stored is not None and name in stored.operations:
            answers = stored.do(name, given)
        else:
            raise Wrong(self._unknown(name))
        async with contextlib.aclosing(answers):
            async for answer in answers:
                yield answer

    def _unknown(self, name: str) -> str:
        names = dict.fromkeys([*self.operations, *(self._stored.operations if self._stored is not None else ())])
        without = ": this service has no store" if self._stored is None else ""
        return f"expected one of {', '.join(names)}, got {name!r}{without}"

    async def _tree(self, given: Given) -> Answers:
        read(questions.Nothing, "tree", given)
        yield {"tree": await live_tree(self.system, MOST)}

    async def _ps(self, given: Given) -> Answers:
        read(questions.Nothing, "ps", given)
        actors, more = listed(await live_tree(self.system, MOST))
        guards = [guard async for guard in self._all_guards(CircuitBreaker)]
        stored = self._stored
        yield {
            "process": {
                "pid": os.getpid(), "started": self.started, "python": platform.python_version(),
                "draining": self._draining is not None and self._draining(), "store": self._file,
            },
            "actors": actors,
            "more": more,
            "mailboxes": await stored.mailboxes() if stored is not None else [],
            "breakers": guards[:MOST],
            "machines": await stored.machines() if stored is not None else [],
        }  # fmt: skip

    async def _send(self, given: Given) -> Answers:
        yield await send(self.system, read(questions.Send, "send", given))

    async def _healthy(self, given: Given) -> Answers:
        asked = read(questions.Healthy, "health", given)
        if self._health is None:
            raise Wrong("expected a service with health checks: this one was started without")
        report: Report = self._health.report() if asked.probe is None else self._health.probe(asked.probe)
        yield {"health": report.plain()}

    async def _metrics_now(self, given: Given) -> Answers:
        read(questions.Nothing, "metrics", given)
        if self.metrics is None:
            raise Wrong("expected a service that collects metrics: this one does not")
        yield {"metrics": self.metrics()[1].decode()}

    async def _guards(self, given: Given) -> Answers:
        read(questions.Nothing, "guards", given)
        guards = [guard async for guard in self._all_guards(object)]
        yield {"guards": guards[:MOST], "more": max(len(guards) - MOST, 0)}

    async def _all_guards(self, kind: type[Any]) -> AsyncIterator[dict[str, Any]]:
        async for policy, gate in breathing(self.system.guards):
            if isinstance(policy, kind):
                name = label(policy.name, policy.key)
                yield {"name": name, "kind": type(policy).__name__, "state": standing(gate)}
