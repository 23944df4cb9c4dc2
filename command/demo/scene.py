"""`Scene`: what is known of a run at this moment, for those who show it. It is filled by all, and shown by two."""

import collections
import time
from typing import Any, NamedTuple

from .trouble import SERVICES

EVENTS = 200
SECONDS = 40
KEPT = 1_000
"""Lines that are told one by one; of those behind them only the number is known, however large a file of rubbish is."""


class Turned(NamedTuple):
    """A line that was turned away. `line`: its number; 0 for one that came by HTTP."""

    line: int
    why: str


class TurnedAway:
    """Lines that were turned away: how many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Turned] = []

    def add(self, line: int, why: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(Turned(line, why))


class Service:
    """What a service told of itself."""

    __slots__ = ("calls", "effects", "restarts", "trouble")

    def __init__(self) -> None:
        self.trouble: str | None = None
        self.calls = self.effects = self.restarts = 0


class Scene:
    """`read`: lines that were not empty. `runs`: how many orders are in which status. `depths`: messages by address, as
    (unfinished, in quarantine). `done`: orders that came to an end in each of the last seconds.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.read = self.empty = self.accepted = self.posted = self.posts_refused = self.kills = 0
        self.input_ended = False
        self.url = ""
        self.refused, self.duplicates = TurnedAway(), TurnedAway()
        self.runs: dict[str, int] = {}
        self.depths: dict[str, tuple[int, int]] = {}
        self.services = {name: Service() for name in SERVICES}
        self.circuits: dict[str, str] = {}
        self.worker_tree: dict[str, Any] = {}
        self.worker_pid = self.worker_starts = 0
        self.is_up = False
        self.events: collections.deque[tuple[float, str]] = collections.deque(maxlen=EVENTS)
        self.told = 0
        self.done: collections.deque[int] = collections.deque([0] * SECONDS, maxlen=SECONDS)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def completed(self) -> int:
        """Orders that were done."""
        return self.runs.get("completed", 0)

    @property
    def called_off(self) -> int:
        """Orders that were taken back."""
        return self.runs.get("rejected", 0) + self.runs.get("cancelled", 0)

    @property
    def quarantined(self) -> int:
        """Messages that wait for somebody."""
        return sum(kept for _, kept in self.depths.values())

    @property
    def ended(self) -> int:
        """Orders of which nothing more is to be done by itself."""
        return self.completed + self.called_off + self.quarantined

    @property
    def unfinished(self) -> int:
        """Messages that wait or are in hand."""
        return sum(open for open, _ in self.depths.values())

    def tell(self, what: str) -> None:
        """Something that somebody may want to know of."""
        self.events.append((self.elapsed, what))
        self.told += 1

    def heard(self, name: str, report: dict[str, Any]) -> None:
        """A process told something of itself, or of its start and end."""
        if name in self.services:
            self._of_service(name, report)
        else:
            self._of_worker(report)

    def _of_service(self, name: str, report: dict[str, Any]) -> None:
        service = self.services[name]
        if "ended" in report:
            service.restarts += 1
            self.tell(f"{name} ended with status {report['ended']}")
        if "trouble" in report:
            if report["trouble"] != service.trouble:
                self.tell(f"{name} is {report['trouble'] or 'well again'}")
            service.trouble, service.calls, service.effects = report["trouble"], report["calls"], report["effects"]

    def _of_worker(self, report: dict[str, Any]) -> None:
        match report:
            case {"started": pid}:
                self.worker_pid = pid
                self.worker_starts += 1
                if self.worker_starts > 1:
                    self.tell(f"worker started again as process {pid}")
            case {"up": _}:
                self.is_up = True
            case {"ended": code}:
                self.is_up, self.worker_tree = False, {}
                self.tell(f"worker {self.worker_pid} died{' of SIGKILL' if code == -9 else f' with status {code}'}")
            case {"event": what}:
                self.tell(str(what))
            case {"tree": tree, "circuits": circuits}:
                self.worker_tree, self.circuits = tree, circuits
            case _:
                pass
