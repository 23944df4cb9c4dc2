"""A store as simple as its law: a list of messages, searched from end to end. The real ones are held against it.

Each order has one mailbox here, which bears its name.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from upright.persistence.records import Delivery, Order, Outcome, Outgoing
from upright.persistence.reports import Counts

Where = Literal["waiting", "claimed", "done", "quarantined", "dropped"]


class Said(NamedTuple):
    """What is put; due after that `wait`."""

    order: Order
    body: str
    priority: int
    wait: float
    key: str
    once: str

    def outgoing(self, now: float) -> Outgoing:
        due = now + self.wait if self.wait else 0.0
        return Outgoing(self.order, "handle", self.body.encode(), due, self.priority, self.key, self.once)


@dataclass
class Told:
    """One message. `at`: not to be claimed before; `holds`: nor those behind it. `owner`: who has it in hand."""

    id: int
    order: Order
    body: str
    key: str
    priority: int
    due: float
    at: float
    holds: bool = False
    where: Where = "waiting"
    owner: int = 0
    used: int = 0
    crashes: int = 0
    running: bool = False
    progress: bytes | None = None
    reason: str = ""

    @property
    def goes_first(self) -> bool:
        """A retry: in strict order nothing else is handled before it, in keyed order nothing else of its key."""
        return self.order != "free" and self.holds and self.at > 0.0

    @property
    def place(self) -> tuple[int, float, int]:
        return (-self.priority, self.due, self.id)


@dataclass
class Model:
    """What a store should hold."""

    messages: dict[int, Told] = field(default_factory=dict[int, Told])
    once: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    strict_owner: int = 0
    tail: dict[str, float] = field(default_factory=dict[str, float])
    versions: dict[str, int] = field(default_factory=dict[str, int])

    def put(self, id: int, duplicate: bool, said: Outgoing, now: float) -> None:
        """The store says that it has stored this under that id, or has it already."""
        order = cast(Order, said.address)
        known = self.once.get((order, said.once)) if said.once else None
        assert duplicate == (known is not None)
        if known is not None:
            assert id == known
            return
        assert id not in self.messages
        if said.once:
            self.once[order, said.once] = id
        tail = self.tail[order] = max(now, self.tail.get(order, 0.0))  # the clock may have been set back
        at = said.due if said.due > now else 0.0
        self.messages[id] = Told(id, order, said.body.decode(), said.key, said.priority, said.due or tail, at)

    def claimable(self, order: Order, room: int, owner: int, now: float) -> list[int]:
        """What that session should get now, in order."""
        for one in self.of(order, "waiting"):
            if one.at <= now and not one.holds:
                one.at = 0.0  # it has come due, and stays so though the clock is set back
        if order == "strict" and self.strict_owner not in (0, owner):
            return []
        found = self._found(order, [], owner, now)[:room]
        if order == "keyed" and any(self.messages[id].goes_first for id in found):  # they let others of their keys go
            found += self._found(order, found, owner, now)
        return found[:room]

    def _found(self, order: Order, taken: list[int], owner: int, now: float) -> list[int]:
        waiting = [one for one in self.of(order, "waiting") if one.id not in taken]
        waiting.sort(key=lambda one: (order != "strict" or not one.goes_first, one.place))
        return [one.id for one in waiting if one.at <= now and not self._is_held_up(one, waiting, owner, now)]

    def _is_held_up(self, one: Told, waiting: list[Told], owner: int, now: float) -> bool:
        holding = [other for other in waiting if other.holds and other.at > now]
        match one.order:
            case "strict":
                return bool(holding)
            case "free":
                return False
            case "keyed":
                elsewhere = [other for other in self.of("keyed", "claimed") if other.owner != owner]
                first = [] if one.goes_first else [other for other in waiting if other.goes_first]
                return bool(one.key) and any(other.key == one.key for other in holding + elsewhere + first)

    def claimed(self, deliveries: list[Delivery], owner: int) -> None:
        for delivery in deliveries:
            one = self.messages[delivery.id]
            assert one.where == "waiting", f"{one} is in two hands"
            told = (one.body, one.used + 1, one.crashes, one.place, one.progress)
            got = (delivery.body.decode(), delivery.attempt, delivery.crashes, delivery.place, delivery.progress)
            assert got == told
            one.where, one.owner = "claimed", owner

    def settled(self, id: int, outcome: Outcome, used: int, at: float, reason: str) -> None:
        one = self.messages[id]
        one.used, one.owner, one.running, one.reason = used, 0, False, reason
        one.crashes = one.crashes if outcome == "release" else 0
        if outcome != "release":
            one.at, one.holds = at, outcome == "retry" and one.order != "free"
        ends: dict[Outcome, Where] = {"ack": "done", "quarantine": "quarantined", "discard": "dropped"}
        one.where = ends.get(outcome, "waiting")

    def pardoned(self, id: int) -> None:
        """It gets one attempt back; one that was set aside for want of it waits again, in its place."""
        one = self.messages[id]
        last = one.where == "quarantined" and one.reason == "attempts"
        if last or one.where == "waiting":
            one.used = max(one.used - 1, 0)
        if last:
            one.where, one.at, one.holds, one.reason = "waiting", 0.0, False, ""

    def gone(self, owner: int, died: bool) -> None:
        """That session has ended."""
        if self.strict_owner == owner:
            self.strict_owner = 0
        for one in self.messages.values():
            if one.where == "claimed" and one.owner == owner:
                if died and one.running:
                    one.used, one.crashes = one.used + 1, one.crashes + 1
                one.where, one.owner, one.running = "waiting", 0, False

    def redriven(self, id: int, due: float) -> None:
        one = self.messages[id]
        one.where, one.due, one.at, one.holds, one.used, one.crashes = "waiting", due, 0.0, False, 0, 0
        self.tail[one.order] = due

    def next_due(self, order: Order, now: float) -> float | None:
        return min((one.at for one in self.of(order, "waiting") if one.at > now), default=None)

    def depth(self, order: str) -> int:
        return len(self.of(order, "waiting")) + len(self.of(order, "claimed"))

    def counts(self) -> dict[str, Counts]:
        found = {
            order: Counts(*(len(self.of(order, where)) for where in ("waiting", "claimed", "quarantined")))
            for order in ("strict", "free", "keyed")
        }
        return {order: counts for order, counts in found.items() if counts != Counts()}

    def of(self, order: str, where: Where) -> list[Told]:
        return [one for one in self.messages.values() if one.order == order and one.where == where]

    def all(self, where: Where) -> list[int]:
        return sorted(one.id for one in self.messages.values() if one.where == where)
