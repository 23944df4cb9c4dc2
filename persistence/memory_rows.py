"""The messages of a store in memory, and the mailboxes that keep them in order.

They stand apart from `MemoryTables`, which decides what becomes of a message: here it only changes its place.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Literal

from .records import Delivery, Failure, Outgoing, Want
from .reports import StoryEvent

State = Literal["waiting", "delayed", "claimed", "quarantined", "finished"]
Place = tuple[int, float, int]
"""Where a message stands in its mailbox: by priority, then by due time, then by the order of coming."""


@dataclass(slots=True, eq=False)
class Row:
    """One message, with all that happened to it.

    `due`: its place. `next`: not to be claimed before. `owner`: the number of the session that has claimed it, and
    `token` that of the claim. `claimed`, `finished`: when. The rest is named as in `Delivery`.
    """

    id: int
    message: Outgoing
    stored: float
    due: float
    next: float = 0.0
    state: State = "waiting"
    owner: int = 0
    token: int = 0
    attempt: int = 0
    crashes: int = 0
    interrupts: int = 0
    delay: float = 0.0
    claimed: float = 0.0
    finished: float = 0.0
    expires: float = 0.0
    reason: str = ""
    progress: bytes | None = None
    reply: bytes | None = None
    body: bytes = b""
    failures: list[Failure] = field(default_factory=list[Failure])
    events: list[StoryEvent] = field(default_factory=list[StoryEvent])

    @property
    def place(self) -> Place:
        """Where it stands in its mailbox."""
        return (-self.message.priority, self.due, self.id)

    @property
    def key(self) -> str:
        """What it must keep its order with, in a keyed mailbox."""
        return self.message.key

    def delivery(self) -> Delivery:
        """What whoever claimed it gets."""
        message = self.message
        return Delivery(
            self.id, message.address, message.handler, self.body, self.token, self.attempt + 1, self.stored, self.due,
            message.priority, message.key, self.expires, message.asked, self.crashes, self.interrupts, self.delay,
            self.progress, message.sender, message.trace, message.once,
        )  # fmt: skip

    def tell(self, name: str, at: float, attempt: int = 0, owner: str = "", note: str = "") -> None:
        """Add a line to its story."""
        self.events.append(StoryEvent(name, at, attempt, owner, note, self.message.trace))

    def beat(self, at: float, owner: str) -> None:
        """Add a heartbeat to its story, which keeps the last one of each attempt."""
        attempt = self.attempt + 1
        self.events = [one for one in self.events if (one.name, one.attempt) != ("heartbeat", attempt)]
        self.tell("heartbeat", at, attempt, owner)


class Box:
    """One mailbox: what waits in it, in order, and what is in somebody's hands.

    `depth`: how many unfinished messages it has. `owner`: the session that alone may claim of it in strict order.
    `once`: the messages that bear an idempotency key. `tail`: the latest time at which something came. `rows`: the
    messages of the whole store.
    """

    __slots__ = ("_delayed", "_held", "_waiting", "claimed", "depth", "once", "owner", "rows", "tail")

    def __init__(self, rows: dict[int, Row]) -> None:
        self.rows = rows
        self._waiting: list[Place] = []
        self._delayed: list[tuple[float, int]] = []
        self._held: dict[int, Row] = {}
        self.claimed: dict[int, Row] = {}
        self.once: dict[str, int] = {}
        self.depth = self.owner = 0
        self.tail = 0.0

    def at_tail(self, now: float) -> float:
        """A place by time behind all that came before, though the clock may have been set back since."""
        self.tail = max(self.tail, now)
        return self.tail

    def wait(self, row: Row, at: float = 0.0, delayed: bool = False) -> None:
        """It waits here from now on, until `at`; a `delayed` one holds up nobody meanwhile."""
        row.next, row.owner, row.token = at, 0, 0
        if delayed:
            row.state = "delayed"
            insort(self._delayed, (at, row.id))
            return
        row.state = "waiting"
        insort(self._waiting, row.place)
        if at:
            self._held[row.id] = row

    def leave(self, row: Row, state: State) -> None:
        """It waits here no more, nor is it in anybody's hands."""
        if row.state == "claimed":
            del self.claimed[row.id]
        elif row.state == "delayed":
            del self._delayed[bisect_left(self._delayed, (row.next, row.id))]
        elif row.state == "waiting":
            del self._waiting[bisect_left(self._waiting, row.place)]
            self._held.pop(row.id, None)
        row.state = state

    def ripen(self, now: float) -> None:
        """Those that were delayed until now take their places among the waiting."""
        while self._delayed and self._delayed[0][0] <= now:
            _, id = self._delayed.pop(0)
            self.wait(self.rows[id])

    def pick(self, want: Want, me: int, now: float) -> list[Row]:
        """What that session may claim now, in order; it is taken out of the waiting ones."""
        if want.order == "strict" and self._held:
            if want.above is not None or any(row.next > now for row in self._held.values()):
                return []  # one that waits for its retry holds up all others, of every priority
            self._waiting.sort(key=lambda place: (place[2] not in self._held, place))  # and goes before them then
        picked = self._pass(want, want.room, me, now, frozenset(want.last)) if want.last else []
        picked += self._pass(want, want.room - len(picked), me, now)
        if want.order == "strict":
            self._waiting.sort()
        if want.order == "keyed" and any(row.next for row in picked):
            # Those retries are out of the way: now what came since with their keys, of whatever priority.
            picked += self._pass(want, want.room - len(picked), me, now)
        return picked

    def _pass(self, want: Want, room: int, me: int, now: float, without: frozenset[str] = frozenset()) -> list[Row]:
        busy, held = self._busy(me, now) if want.order == "keyed" else (set[str](), set[str]())
        busy |= without
        picked: list[Row] = []
        passed: list[Place] = []
        seen = 0
        for place in self._waiting:
            if len(picked) == room:
                break
            row = self.rows[place[2]]
            if want.above is not None and row.message.priority <= want.above:
                break
            seen += 1
            if row.next > now or (row.key and (row.key in busy or (row.key in held and not row.next))):
                passed.append(place)
            else:
                picked.append(row)
        self._waiting[:seen] = passed
        for row in picked:
            self._held.pop(row.id, None)
            row.state, row.owner = "claimed", me
            self.claimed[row.id] = row
        return picked

    def _busy(self, me: int, now: float) -> tuple[set[str], set[str]]:
        """The keys of those that wait for their retries, or are in hand elsewhere, behind which all have to wait; and
        those of retries that are due, which go first.
        """
        busy = {row.key for row in self.claimed.values() if row.owner != me}
        busy |= {row.key for row in self._held.values() if row.next > now}
        return busy, {row.key for row in self._held.values()}

    def next_due(self, now: float) -> float | None:
        """When the next message comes due that is not due now."""
        times = [row.next for row in self._held.values() if row.next > now]
        if self._delayed:
            times.append(self._delayed[0][0])
        return min(times, default=None)
