"""The mailbox of a pool: it hands messages to its workers at once, and loses nothing when it cannot.

Whoever finds no room waits in line: for one worker, or for anybody, and whichever worker has room first takes the
first of them. The lines outlive the workers: what one leaves behind when it ends for good goes to the others; while
the pool itself is restarted, it waits for the new worker of the same number. While keys move to other workers,
everything is held here until no worker has a message in hand, so that messages of one key never overlap.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import Any

import msgspec

from upright.actors.durable import PLAINLY, Delivered, Keeper
from upright.actors.envelope import Envelope, Question
from upright.actors.line import Line, Place
from upright.actors.mailbox import Mailbox
from upright.actors.message import Message

from .errors import Unroutable
from .fan_out import copies, line_up_at_all, route_to_all
from .routing import ByKey, Routing, least_loaded, nearest, slot
from .worker_mailbox import NEVER, WorkerMailbox

ROOM = 1_000
"""Messages for the pool itself, its administration, that may wait."""


class PoolMailboxSpec(msgspec.Struct, frozen=True):
    """How to open the mailbox of a pool of `size` workers; the bounds are those of each worker."""

    routing: Routing
    size: int
    limit: int
    full: str

    def open(self, owner: Any) -> "PoolMailbox":
        """The mailbox of one pool."""
        return PoolMailbox(owner, self)


class PoolMailbox(Mailbox):
    """One pool's; its own queue is for its administration. `size`: how many workers there are to be."""

    __slots__ = (
        "_held", "_last", "_lines", "_members", "_moving", "_open", "_orders", "_unrested", "anybodys", "keeper",
        "restores", "routing", "size", "spec", "workers",
    )  # fmt: skip

    def __init__(self, owner: Any, spec: PoolMailboxSpec) -> None:
        super().__init__(owner, spec.limit * spec.size, spec.full, plain=False)
        self.spec, self.routing, self.size = spec, spec.routing, spec.size
        self.keeper: Keeper | None = None
        self.restores = False
        self.workers: list[WorkerMailbox] = []
        self._members: set[WorkerMailbox] = set()  # the same, to be asked for each message that waits
        self._orders = count(1)
        self.anybodys = Line(self._orders)
        self._lines: dict[str, Line] = {}
        self._held = Line(self._orders)
        self._last = -1
        self._open = self._moving = False
        self._unrested: set[WorkerMailbox] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether messages are held for now: the pool is down, or keys move."""
        return not self._open or self._moving or self._phase not in ("running", "starting")

    @property
    def _phase(self) -> str:
        owner: Any = self.owner
        return owner.life.phase if owner.life is not None else ""

    def line_of(self, name: str) -> Line:
        """The line of those who wait for the worker of that number."""
        return self._lines.setdefault(name, Line(self._orders))

    def takes_part(self, worker: WorkerMailbox) -> bool:
        """Whether what is for anybody is for that worker too."""
        return worker in self._members and not self.is_closed

    def put_nowait(self, envelope: Envelope) -> bool:
        """Hand a message to a worker, or hold it; False when there is no room."""
        if not envelope.handler.routed:
            return self._put_own(envelope)
        if self.keeper is not None and not isinstance(envelope, Delivered):
            return False
        if not self.is_closed:
            return self._route(envelope)
        self._key_of(envelope)  # whoever sends what cannot be routed is told so now
        if len(self._held) >= self.limit:
            oldest = self._held.first() if self.full == "drop_old" else None
            if oldest is None:
                return False
            self._held.remove(oldest)
            self.owner.dropped(oldest.enter(), "dropped_old")
        self._held.hold(envelope)
        return True

    async def restore(self, instance: Any) -> None:
        """Let come what a store has for the workers."""
        if self.keeper is not None:
            await self.keeper.restore(instance)

    def _put_own(self, envelope: Envelope) -> bool:
        if len(self.queue) >= ROOM:
            return False
        self.post(envelope)
        return True

    def line_up(self, envelope: Envelope, timeout: float | None) -> asyncio.Future[Any]:
        """Wait for room at the worker that is to get it, or at any."""
        path = self.owner.path
        if not envelope.handler.routed:
            return super().line_up(envelope, timeout)
        if self.keeper is not None and not isinstance(envelope, Delivered):
            return asyncio.ensure_future(self.keeper.tell(envelope, PLAINLY))
        if self.is_closed:
            return self._held.join(path, envelope, timeout)
        if self.routing == "broadcast":
            return line_up_at_all(self.workers, envelope, timeout)
        return self._line_for(envelope).join(path, envelope, timeout)

    def join(self, worker: WorkerMailbox) -> None:
        """A worker is up, and gets what is sent from now on."""
        if worker not in self._members:
            self._members.add(worker)
            self.workers.append(worker)
            self.workers.sort(key=lambda one: int(one.name))
            if self.keeper is not None and len(self.workers) == 1:
                self.keeper.refresh()
        if not self.is_closed:
            worker.release()

    def leave(self, worker: WorkerMailbox, left: list[Envelope]) -> None:
        """A worker has ended for good, or is about to. Its mail goes to the others; when the pool itself is ending, it
        waits for the next worker of that number.
        """
        if worker in self._members:
            self._members.discard(worker)
            self.workers.remove(worker)
        worker.line.hold_in_front(left)
        if self._open and self._phase == "running":
            self._give_away(worker.name, worker.owner)
            if not self.workers:
                self._hand_out_places(self.anybodys.clear())
                if self.keeper is not None:
                    self.keeper.refresh()
        else:
            self._open = False
        self.rested(worker)

    def open(self) -> None:
        """The workers are up: hand out what was held meanwhile."""
        self._open, self._moving, self._unrested = True, False, None
        keyed = isinstance(self.routing, ByKey)
        # A worker may be back whose keys another one had taken over. First of all, for to hand out is to let in.
        back = [place for line in self._lines.values() for place in line.split(_is_routed)] if keyed else []
        for name in set(self._lines) - {worker.name for worker in self.workers}:
            self._give_away(name, self.owner)
        self._hand_out_places(back)
        self._hand_out_places(self._held.clear())
        self._let_in()

    def move(self) -> None:
        """Keys are about to move: take back what waits, and hand out nothing until `settle`."""
        if not isinstance(self.routing, ByKey):
            return
        self._moving, self._unrested = True, None
        for worker in self.workers:
            for envelope in worker.take_routed():
                self._held.hold(envelope)
            self._held.extend(worker.line.split(_is_routed))

    def resized(self, size: int) -> None:
        """There are to be that many workers from now on."""
        self.size, self.limit = size, self.spec.limit * size

    def settle(self) -> None:
        """The workers are those that are to be: go on as soon as nothing is in hand any more."""
        if self._moving:
            self._unrested = {worker for worker in self.workers if not worker.rest()}
            self._go_on()

    def rested(self, worker: WorkerMailbox) -> None:
        """That worker has nothing in hand, or has ended."""
        if self._unrested is not None and worker in self._unrested:
            self._unrested.discard(worker)
            self._go_on()

    def _go_on(self) -> None:
        if not self._unrested:
            if self._moving:  # what was taken in hand and came back unbegun was there before all that is held
                self._held.hold_in_front([one for worker in self.workers for one in worker.take_routed()])
            self._moving, self._unrested = False, None
            self._hand_out_places(self._held.clear())
            self._let_in()

    def worker_of(self, key: object) -> WorkerMailbox | None:
        """The worker that gets the messages with that key; None if none is up."""
        number = str(slot(key, self.size))
        found = next((worker for worker in self.workers if worker.name == number), None)
        if found is None and self.workers:  # that one declined to start, or has ended for good: the others share
            name = nearest(key, [worker.name for worker in self.workers])
            return next(worker for worker in self.workers if worker.name == name)
        return found

    def _route(self, envelope: Envelope) -> bool:
        """Choose a worker and give it the message, if it has room; False if not."""
        if not self.workers:
            self._key_of(envelope)
            self.owner.dropped(envelope, "no_worker")
            return True
        if self.routing == "broadcast":
            return route_to_all(self.workers, envelope, self.full)
        worker = self._choose(envelope)
        if worker.turns_away(envelope):
            return True
        if not worker.has_room:
            return worker.put_nowait(envelope)  # by its policy
        worker.take(envelope)
        return True

    def _choose(self, envelope: Envelope) -> WorkerMailbox:
        if isinstance(self.routing, ByKey):
            found = self.worker_of(self._key_of(envelope))
            assert found is not None
            return found
        by_turns = self.routing == "round_robin"

        def load(worker: WorkerMailbox) -> float:
            much = worker.turn() if by_turns else worker.load()
            return much if asker is None or not worker.refuses(envelope) else much + NEVER

        asker = envelope.caller if isinstance(envelope, Question) else None  # perhaps one that these workers wait for
        self._last = least_loaded(self.workers, self._last, load)
        return self.workers[self._last]

    def _line_for(self, envelope: Envelope) -> Line:
        if not isinstance(self.routing, ByKey):
            return self.anybodys
        worker = self.worker_of(self._key_of(envelope))
        return self._held if worker is None else worker.line

    def _give_away(self, name: str, owner: Any) -> None:
        """Nobody of that number is there any more: hand what waits for it to the others, if it is not for it alone."""
        places = self.line_of(name).clear()
        mine = [place for place in places if not place.envelope.handler.routed or self.routing == "broadcast"]
        for place in mine:
            owner.dropped(place.enter(), "stopped")
        self._hand_out_places([place for place in places if place not in mine])

    def _hand_out_places(self, places: list[Place]) -> None:
        """Find a line for each, in order; if anybody waits, let in whom there is room for."""
        if self.is_closed:
            self._held.extend_in_front(places)  # they came before all that is held
            return
        for place in places:
            try:
                self._find_line(place)
            except Unroutable as error:
                self.owner.dropped(place.enter(), "no_worker", error)
        if places or self.anybodys:
            self._let_in()

    def _let_in(self) -> None:
        """Let in whom there is room for."""
        workers = self.workers
        for place in self.anybodys.split(lambda ask: bool(workers) and all(worker.refuses(ask) for worker in workers)):
            workers[0].turns_away(place.enter())  # it would wait for itself for ever
        for worker in workers:
            worker.release()

    def sort_out(self, worker: WorkerMailbox, envelopes: list[Envelope]) -> list[Envelope]:
        """Those that were set aside and are for that worker still; keys may have moved meanwhile. While they move, what
        waits at the workers is taken back anyway.
        """
        if not isinstance(self.routing, ByKey) or self.is_closed or worker not in self._members:
            return envelopes
        whose: dict[WorkerMailbox, list[Envelope]] = {}
        for envelope in envelopes:
            try:
                found = self.worker_of(self._key_of(envelope)) if envelope.handler.routed else None
            except Unroutable:  # its handler has changed what the key is made of
                found = None
            whose.setdefault(worker if found is None else found, []).append(envelope)
        own = whose.pop(worker, [])
        for other, moved in whose.items():
            other.put_in_front(moved)
        return own

    def _find_line(self, place: Place) -> None:
        if not self.workers:
            self.owner.dropped(place.enter(), "no_worker")
        elif self.routing == "broadcast":
            for worker, copy in zip(self.workers, copies(place.enter(), len(self.workers)), strict=True):
                worker.line.hold(copy)
        else:
            self._line_for(place.envelope).extend((place,))

    def _key_of(self, envelope: Envelope) -> object:
        if not isinstance(self.routing, ByKey):
            return None
        try:
            key: object = self.routing.key(envelope.message())
            slot(key, 1)
        except Exception as error:
            raise Unroutable(self.owner.path, envelope.message(), error) from error
        return key

    def _all_lines(self) -> tuple[Line, ...]:
        return (*self._lines.values(), self.anybodys, self._held)

    def take_out(self, chosen: Callable[[Envelope], bool]) -> list[Envelope]:
        """Take out what matches, also from what is held and from the lines."""
        return super().take_out(chosen) + list(chain.from_iterable(line.take_out(chosen) for line in self._all_lines()))

    def drain(self) -> list[Envelope]:
        """The pool has ended for good: everything that was still to be handled."""
        if self.keeper is not None:
            self.keeper.leave()
        return super().drain() + [place.enter() for line in self._all_lines() for place in line.clear()]

    def holds(self, envelope: Envelope) -> bool:
        """Whether that envelope is in: with the pool, or with a worker."""
        return any(envelope in queue for queue in self._queues())

    @property
    def in_line(self) -> int:
        """How many senders wait for room."""
        return sum(place.room is not None for line in self._all_lines() for place in line)

    def _queues(self) -> Iterator[list[Envelope]]:
        yield from (list(mailbox.queue) for mailbox in (self, *self.workers))
        yield [place.envelope for line in self._all_lines() for place in line if place.room is None]

    def peek(self, most: int) -> Iterator[Message]:
        """The first `most` messages that wait, for inspection: the pool's own, the workers', those that are held."""
        for _, envelope in zip(range(most), chain.from_iterable(self._queues()), strict=False):
            yield envelope.message()

    def __len__(self) -> int:
        return sum(map(len, self._queues()))


def _is_routed(envelope: Envelope) -> bool:
    return envelope.handler.routed
