"""The mailboxes that take from a store, and where there may be something for them to claim."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from .errors import AddressTaken
from .records import Batch, Delivery, Order, Want, Written

BOTTOM, TOP = -(1 << 62), 1 << 62
"""Below and above all priorities."""
URGENT = 32
"""Messages of a higher priority that a full mailbox is given at a time."""
LONGEST = 60.0
"""Seconds for which a timer goes by the loop's clock alone."""


class Consumer(Protocol):
    """A mailbox that takes what the store has for its address."""

    @property
    def address(self) -> str: ...
    @property
    def order(self) -> Order: ...
    def room(self) -> int:
        """How many more deliveries it would take now."""
        ...

    @property
    def suspects(self) -> tuple[str, ...]:
        """The keys whose messages it would rather not take now; see `Want.last`."""
        ...

    def lowest(self) -> int | None:
        """The lowest priority of what it has not begun, if it would take more of a higher one, though it is full."""
        ...

    def check(self, handler: str, body: bytes) -> None:
        """Raise `Undecodable` for what its actor could not read."""
        ...

    def take(self, deliveries: list[Delivery]) -> None:
        """They are claimed for it, in order."""
        ...

    def let_go(self) -> None:
        """What was claimed for it and is not begun goes back."""
        ...

    def gained(self) -> None:
        """It has the address from now on; another session may have written the state until now."""
        ...

    def depth_is(self, depth: int) -> None:
        """How many unfinished messages the store has for it."""
        ...

    @property
    def depth(self) -> int:
        """What it was told last of that."""
        ...


class Consumers:
    """Knows who takes, who may get something, and when to look again.

    `now`: the time on the store's clock. `rouse`: called when there is something to look for. `shuts_out`: whether
    nothing of an address is to begin any more, and so nothing to be claimed.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, now: Callable[[], float], rouse: Callable[[], None],
        shuts_out: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._loop, self._now, self._rouse, self._shuts_out = loop, now, rouse, shuts_out
        self._known: dict[str, Consumer] = {}
        self._hungry: dict[str, None] = {}
        self._more: set[str] = set()  # addresses for which the store may have more than there was room for
        self._left: dict[str, None] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._closing = False

    @property
    def has_work(self) -> bool:
        """Whether there is somewhere to look, or an address to give up."""
        return bool(self._hungry or self._left)

    @property
    def backlog(self) -> int:
        """How many unfinished messages there are for all of them."""
        return sum(consumer.depth for consumer in self._known.values())

    def close(self) -> None:
        """Look nowhere at a later time."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()

    def let_go(self) -> None:
        """What was claimed and is not begun goes back."""
        for consumer in tuple(self._known.values()):
            consumer.let_go()

    def attach(self, consumer: Consumer) -> None:
        """From now on this mailbox gets what comes for its address. Raises `AddressTaken`."""
        if self._known.get(consumer.address, consumer) is not consumer:
            raise AddressTaken(f"{consumer.address!r} is the address of another actor of this system")
        self._known[consumer.address] = consumer
        self._left.pop(consumer.address, None)
        self.stir(consumer.address)

    def detach(self, consumer: Consumer) -> None:
        """It takes nothing more."""
        if self._known.get(consumer.address) is consumer:
            del self._known[consumer.address]
            self._hungry.pop(consumer.address, None)
            if consumer.order == "strict":  # which other sessions cannot have as long as this one has it
                self._left[consumer.address] = None
                self._rouse()
            for key in [key for key in self._timers if key[0] == consumer.address]:
                self._timers.pop(key).cancel()

    def check(self, address: str, handler: str, body: bytes) -> None:
        """Raise `Undecodable` if the mailbox of that address could not read this; nothing is known of others."""
        if address in self._known:
            self._known[address].check(handler, body)

    def stir(self, address: str | None) -> None:
        """There may be something to claim for that address; None: for any."""
        for name in self._known if address is None else (address,):
            if name in self._known:
                self._hungry[name] = None
        if self._hungry:
            self._rouse()

    def stir_at(self, address: str, due: float, why: str = "due") -> None:
        """From then on, on the store's clock, there may be something to claim for that address."""
        timer = self._timers.pop((address, why), None)
        if timer is not None:
            timer.cancel()
        if address in self._known and not self._closing:
            wait = max(due - self._now(), 0.0)
            if wait <= LONGEST:
                self._timers[address, why] = self._loop.call_later(wait, self.stir, address)
            else:  # the clock of the store may be set, the loop's is not: ask again every now and then how long it is
                self._timers[address, why] = self._loop.call_later(LONGEST, self.stir_at, address, due, why)

    def has_room(self, address: str) -> None:
        """That mailbox has room again: look there, if something may be left."""
        if address in self._more:
            self._more.discard(address)
            self.stir(address)

    def join(self, batch: Batch) -> None:
        """Claim with this batch what may be claimed: where something may wait, or comes with it, and there is room."""
        hungry, self._hungry = self._hungry, {}
        wants: dict[str, Want] = {}
        for address in hungry:
            self._want(address, wants, batch, TOP)
        coming = dict.fromkeys([message.address for message in batch.puts])
        for step in batch.steps:
            if step.outgoing:
                coming |= dict.fromkeys([message.address for message in step.outgoing])
            if step.outcome in ("retry", "release"):
                self._want(step.delivery.address, wants, batch, step.delivery.priority)
        for address in coming:
            self._want(address, wants, batch)
        batch.wants = list(wants.values())

    def leave(self, batch: Batch) -> None:
        """Give up with this batch what nobody takes here any more."""
        batch.left, self._left = list(self._left), {}

    def undo(self, batch: Batch) -> None:
        """Nothing of that batch was written."""
        self._hungry = {want.address: None for want in batch.wants} | self._hungry
        self._left = {name: None for name in batch.left if name not in self._known} | self._left

    def _want(self, address: str, wants: dict[str, Want], batch: Batch, priority: int = BOTTOM) -> None:
        """Claim for that mailbox, for which there may be something up to that priority, and what the batch brings."""
        consumer = self._known.get(address)
        if consumer is None or address in wants or self._shuts_out(address):
            return
        room = consumer.room()
        if room > 0:
            wants[address] = Want(address, consumer.order, room, last=consumer.suspects)
            return
        self._more.add(address)
        lowest = consumer.lowest()
        if lowest is None:
            if priority == TOP:
                wants[address] = Want(address, consumer.order, 0)  # it claims nothing, and sees how much there is
            return
        coming = (message.priority for message in batch.messages() if message.address == address)
        if max(coming, default=BOTTOM) > lowest or priority > lowest:
            wants[address] = Want(address, consumer.order, URGENT, lowest)

    def take(self, batch: Batch, written: Written) -> list[Delivery]:
        """Hand out what was claimed; what was claimed for one that was detached meanwhile is the result."""
        known = self._known
        for address, depth in written.depths.items():
            if address in known:
                known[address].depth_is(depth)
        for address, due in written.next_due.items():
            self.stir_at(address, due)
        for address in written.gained:
            if address in known:
                known[address].gained()
        claimed: dict[str, list[Delivery]] = {}
        for delivery in written.deliveries:
            claimed.setdefault(delivery.address, []).append(delivery)
        for want in batch.wants:
            if len(claimed.get(want.address, ())) >= want.room:
                self._more.add(want.address)
        nobodys: list[Delivery] = []
        for address, deliveries in claimed.items():
            consumer = None if self._shuts_out(address) else known.get(address)
            if consumer is None:
                nobodys += deliveries
                continue
            try:
                consumer.take(deliveries)
            except Exception as error:  # what one mailbox cannot take must not end the work of all others
                context = {"message": f"messages for {address!r} were claimed, but not taken", "exception": error}
                self._loop.call_exception_handler(context)
        return nobodys
