"""Which of the claimed deliveries may be handled now, where several workers share a mailbox.

`free`: all of them. `strict`: one at a time. `keyed`: one at a time of each key; those without a key are free.
"""

from bisect import insort

from .hand import Handed
from .records import Delivery, Order


class Lanes:
    """Holds back what has to wait for another one to end."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._behind: dict[str, list[Handed]] = {}

    def lane_of(self, delivery: Delivery) -> str | None:
        """What it shares its order with; None if nothing."""
        if self._order == "free" or (self._order == "keyed" and not delivery.key):
            return None
        return delivery.key if self._order == "keyed" else ""

    def enter(self, envelope: Handed) -> bool:
        """Whether it may be handled now; if not, it is held back here."""
        lane = self.lane_of(envelope.work.record)
        if lane is None:
            return True
        behind = self._behind.get(lane)
        if behind is None:
            self._behind[lane] = []
            return True
        insort(behind, envelope, key=_rank)
        return False

    def leave(self, delivery: Delivery) -> Handed | None:
        """One that was let in has ended; the next one in its lane may be handled now."""
        lane = self.lane_of(delivery)
        behind = self._behind.get(lane) if lane is not None else None
        if lane is None or behind is None:
            return None
        if behind:
            return behind.pop(0)
        del self._behind[lane]
        return None

    def clear(self, lane: str | None) -> list[Handed]:
        """Those that are held back in that lane, or, with None, in all; they are held back no more."""
        held: list[Handed] = []
        for name in [lane] if lane is not None else list(self._behind):
            behind = self._behind.get(name)
            if behind:
                held += behind
                behind.clear()
        return held


def _rank(envelope: Handed) -> tuple[bool, tuple[int, float, int]]:
    """A retry goes before all others, whatever came since; these go by their places."""
    record: Delivery = envelope.work.record
    return not record.delay, record.place
