"""Pools: one address, several workers that are alike, and a routing that says who gets a message."""

import asyncio
from typing import Any

import msgspec

from upright.actors.durable import WorkSeat
from upright.actors.errors import StartFailed
from upright.actors.mailbox import MailboxSpec
from upright.actors.options import Bounded
from upright.actors.refs import Ref

from .charge import Charge
from .errors import InvalidSpec, NotStarted
from .intensity import Intensity
from .ordered import Ordered
from .plan import Plan
from .pool_mailbox import PoolMailbox, PoolMailboxSpec
from .routing import Routing, check_routing, plain_key
from .spec import ChildSpec
from .worker_mailbox import WorkerMailboxSpec


class Pool(Ordered):
    """Keeps its workers up, each alone, at `<path>/0`, `<path>/1`, …; `pool("thumbs", Thumbnailer, size=4)` makes one.

    Messages for a worker are sent to the pool: `system.ref("/bank/thumbs", Thumbnailer)`. Its own handlers are asked
    through a ref of this class: `system.ref("/bank/thumbs", Pool).ask(Pool.resize, 8)`. For a worker, `ctx.ref("name")`
    finds a sibling of the pool.
    """

    children_stand_beside = True

    def __init__(self, worker: ChildSpec[Any], intensity: Intensity) -> None:
        super().__init__()
        self._worker, self._intensity = worker, intensity

    def plan(self) -> Plan:
        """As many workers as there were before a restart, or as it was made with."""
        found: Any = self.ctx.self_ref.recipient
        self._mailbox: PoolMailbox = found.mailbox
        return Plan(tuple(self._spec(number) for number in range(self._mailbox.size)), intensity=self._intensity)

    async def started(self) -> None:
        """Start the workers; from then on they get what is sent."""
        await super().started()
        self._let_join()
        self._mailbox.open()

    async def resize(self, size: int) -> None:
        """Have `size` workers, 1 or more, from now on, also after a restart of the pool.

        The last ones are ended, each after the message in hand; what waits for them goes to the others. Workers that
        have ended for good before are replaced. Routed by key, nothing new is begun until all messages in hand are
        done, so that no two of one key overlap. Raises
        `NotStarted` when a new worker does not start; those that did stay. `InvalidSpec` for a wrong size.
        """
        given: object = size
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise InvalidSpec(f"expected size to be a whole number of 1 or more, got {size!r}", "")
        mailbox, error = self._mailbox, None
        for number in range(size):
            try:
                await self._add(number)
            except NotStarted as failure:
                error, size = failure, max(number, min(mailbox.size, size))
                break
        mailbox.move()
        try:
            surplus = range(mailbox.size - 1, size - 1, -1)
            mailbox.resized(size)
            self._let_join()
            await asyncio.gather(*[self._remove(number) for number in surplus])
        finally:
            mailbox.settle()
        if error is not None:
            raise error

    async def _add(self, number: int) -> None:
        charge = self._charges.setdefault(str(number), Charge(self._spec(number)))
        if charge.standing != "down":
            return
        try:
            await self._start(charge)
        except StartFailed as error:
            del self._charges[charge.spec.id]
            raise NotStarted(error, charge.spec.id) from error.__cause__

    def _let_join(self) -> None:
        """Let every worker that is there take part."""
        for charge in self._charges.values():
            actor: Any = charge.child
            if actor is not None:
                self._mailbox.join(actor.mailbox)

    async def _remove(self, number: int) -> None:
        charge = self._charges.get(str(number))
        if charge is None:
            return  # a temporary one that has ended
        actor: Any = charge.child
        if actor is not None:
            actor.mailbox.drain()  # what it has not begun goes to the others now, not when it has ended
        await self._let_go(charge, forget=True)

    async def size(self) -> int:
        """How many workers there are to be."""
        return self._mailbox.size

    async def workers(self) -> list[Ref[Any]]:
        """The refs of the workers, in the order of their numbers; messages sent to one go to it alone."""
        return [worker.owner.self_ref for worker in self._mailbox.workers]

    async def worker_of(self, key: object) -> Ref[Any] | None:
        """The worker that gets the messages with that key, in a pool that is routed by key; None if none is up."""
        try:
            found = self._mailbox.worker_of(plain_key(key))
        except TypeError as error:
            raise InvalidSpec(str(error), "") from error
        return found.owner.self_ref if found is not None else None

    def _spec(self, number: int) -> ChildSpec[Any]:
        bounds = self._worker.actor.mailbox
        if isinstance(bounds, Bounded):
            mailbox = WorkerMailboxSpec(self._mailbox, bounds.limit, bounds.full)
        else:  # a durable one: what waits is stored, and each worker has one to go on with
            mailbox = WorkerMailboxSpec(self._mailbox, 1, "wait", WorkSeat)
        return msgspec.structs.replace(self._worker, id=str(number), mailbox=mailbox)


def pool_spec(
    id: str, worker: ChildSpec[Any], size: int, routing: Routing, intensity: Intensity, pool: type[Pool]
) -> ChildSpec[Any]:
    """The child spec of a pool. Raises `TypeError` or `ValueError` for what cannot be one."""
    check_routing(routing)
    bounds: object = worker.actor.mailbox
    if worker.mailbox is not None:
        raise TypeError(f"expected the worker of the pool {id!r} to be an actor or a supervisor, got another pool")
    pooled: Any = getattr(bounds, "pooled", None)
    if not isinstance(bounds, Bounded) and pooled is None:
        raise TypeError(
            f"expected {worker.actor.__name__}.mailbox to be Bounded(…) or Durable(…) in {id!r}, got {bounds!r}"
        )
    if worker.significant:
        raise ValueError(f"expected the worker of the pool {id!r} not to be significant")
    mailbox: MailboxSpec
    if isinstance(bounds, Bounded):
        mailbox = PoolMailboxSpec(routing, size, bounds.limit, bounds.full)
    else:
        mailbox = pooled(worker.actor, PoolMailboxSpec(routing, size, 1, "wait"))
    return ChildSpec(id, pool, (worker, intensity), supervises=True, mailbox=mailbox, serves=worker.actor)
