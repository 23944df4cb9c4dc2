"""Several worker processes on one store, and the parent that keeps them up: a tree of ours with a process at each leaf.

The parent runs none of the service's own actors and opens no store, so it has nothing that could crash it; it answers
the probes, and hands on what the command line asks to a worker that can answer.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from upright.actors.errors import ActorError
from upright.actors.system import ActorSystem
from upright.supervision.backoff import Backoff
from upright.supervision.build import child, supervisor
from upright.supervision.spec import ChildSpec
from upright.supervision.supervisor import Supervisor

from .admin_client import call, calling
from .controls import Controls
from .crew import Crew, Worker
from .errors import Failed
from .events import ServiceDraining, ServiceHurried, WorkerEnded, WorkerReady
from .health import Check
from .service import Judge, Service, not_up
from .statuses import USAGE
from .watch import Health
from .worker_process import WorkerProcess

RESTARTS = Backoff(0.5, 30.0, quiet=60.0)
"""How long a worker that crashes at once is held back; one that has lived for a minute begins anew."""
ENDLESS = 1_000_000
"""Restarts that are allowed: the parent of a service never gives up on it."""
SLACK = 5.0
"""Seconds that the actor of a process has beyond the patience with the process itself."""
ANSWERING = 2.0
"""Seconds that a worker has to say what is added to the parent's own answer: one that hangs must not hang it."""
OURS = ("tree", "ps", "health")
"""What the parent answers itself, with what the workers say."""


def tree_of(crew: Crew, restarts: Backoff = RESTARTS) -> ChildSpec[Supervisor]:
    """The parent's tree: a child for each worker. It ends when all of them have ended cleanly."""
    children = (
        child(f"worker-{worker.number}", WorkerProcess, crew, worker.number).options(
            restart="transient", significant=True, shutdown=crew.patience + SLACK, backoff=restarts
        )
        for worker in crew.workers
    )
    return supervisor("workers", *children, max_restarts=ENDLESS, within=1.0, auto_shutdown="all_significant")


class WorkersControls(Controls):
    """What can be asked of a service of several processes: the trees of all, and of any one what all would answer."""

    def __init__(self, system: ActorSystem, crew: Crew, health: Health, store: str | None = None) -> None:
        super().__init__(system, None, health, draining=lambda: crew.ending)
        self._crew, self._file = crew, store

    async def do(self, name: str, given: Mapping[str, Any] | None = None) -> AsyncIterator[dict[str, Any]]:
        """Do the operation of that name; see `Controls.do`. Raises also `Failed`, while no worker can answer."""
        if name in OURS:
            async for answer in super().do(name, given):
                yield await self._with_workers(name, answer)
            return
        answering = self._crew.answering()
        if not answering:
            raise Failed("no worker is ready to answer: look at the log, and try again in a moment")
        async with contextlib.aclosing(calling(self._crew.admin_of(answering[0].number), name, given)) as answers:
            async for answer in answers:
                yield answer

    async def _with_workers(self, name: str, own: dict[str, Any]) -> dict[str, Any]:
        there = {worker.number for worker in self._crew.answering()}
        answers = await asyncio.gather(
            *(self._asked(worker, name, worker.number in there) for worker in self._crew.workers)
        )
        for worker, said in zip(self._crew.workers, answers, strict=True):
            match name:
                case "tree":
                    graft(own["tree"], f"/workers/worker-{worker.number}", said.get("tree"))
                case "ps":
                    fold(own, worker, said)
                case _:
                    own["health"].setdefault("workers", []).append(standing(worker) | said.get("health", {}))
        return own

    async def _asked(self, worker: Worker, name: str, is_there: bool) -> dict[str, Any]:
        if not is_there:
            return {}
        try:
            async with asyncio.timeout(ANSWERING):
                return await call(self._crew.admin_of(worker.number), name)
        except (ActorError, TimeoutError):  # it has just died, or hangs: the parent finds out, and shows it as down
            return {}


def graft(root: dict[str, Any], path: str, tree: dict[str, Any] | None) -> None:
    """Put the tree of a worker below the actor that owns its process."""
    ahead = [root]
    while ahead:
        node = ahead.pop()
        if node["path"] == path:
            if tree is not None:
                node["children"] = tree["children"]
            return
        ahead += node["children"]


def standing(worker: Worker) -> dict[str, Any]:
    """How a worker does, as the probes have it."""
    why = worker.trouble(time.monotonic())
    return {"worker": worker.number, "pid": worker.pid, "ready": not why, "why": why}


def fold(own: dict[str, Any], worker: Worker, said: dict[str, Any]) -> None:
    """Add what a worker says to what is known of all. What stands in the store is the same for each of them."""
    own.setdefault("workers", []).append(standing(worker) | {"status": worker.status})
    own["actors"] += [one | {"worker": worker.number} for one in said.get("actors", ())]
    own["breakers"] += [one | {"worker": worker.number} for one in said.get("breakers", ())]
    own["more"] += said.get("more", 0)
    own["mailboxes"] = own["mailboxes"] or said.get("mailboxes", [])
    own["machines"] = own["machines"] or said.get("machines", [])


class Workers:
    """The parent as a service: `await Workers(crew, drain=25.0).run()`; `health` answers its probes. `store`: the path
    of the store that all of them share, for those who ask.
    """

    def __init__(
        self, crew: Crew, *, drain: float, admin: str | None = None, restarts: Backoff = RESTARTS,
        store: str | None = None,
    ) -> None:  # fmt: skip
        self.crew = crew
        self.system = ActorSystem(tree_of(crew, restarts))
        self.health = Health(self.system, more=self._checks)
        controls = WorkersControls(self.system, crew, self.health, store)
        self._is_told = False
        self.service = Service(
            self.system, drain=drain, admin=admin, health=self.health, controls=controls, announces=False,
            quiet=crew.quiet,
        )  # fmt: skip

    async def run(self, judge: Judge = not_up) -> int:
        """Keep them up until it is asked to end; the status to exit with: 0 then, 2 if they cannot run as they are
        called, 1 if none of them came up.
        """
        self.system.subscribe(self._draining, ServiceDraining)
        self.system.subscribe(self._hurried, ServiceHurried)
        self.system.subscribe(self._worker_ended, WorkerEnded)
        self.system.subscribe(self._worker_ready, WorkerReady)
        try:
            return await self.service.run(judge)
        finally:
            self.system.unsubscribe(self._draining)
            self.system.unsubscribe(self._hurried)
            self.system.unsubscribe(self._worker_ended)
            self.system.unsubscribe(self._worker_ready)
            await self.crew.leave()
            self.crew.close()

    def _checks(self) -> list[Check]:
        return list(self.crew.checks())

    def _draining(self, _: ServiceDraining) -> None:
        self.crew.ask_all()

    def _hurried(self, _: ServiceHurried) -> None:
        self.crew.hurry_all()

    def _worker_ready(self, _: WorkerReady) -> None:
        """The first of them takes work, and so does the service."""
        if not self._is_told and not self.service.draining:
            self._is_told = True
            self.service.tell_ready()

    def _worker_ended(self, _: WorkerEnded) -> None:
        """Where they cannot run at all, whoever has started this shall know; see `Crew.ended`."""
        refused = self.crew.refused
        if refused is not None:
            why = "a worker cannot run as it is called" if refused == USAGE else "no worker came up"
            self.service.begin_drain(why, refused)
