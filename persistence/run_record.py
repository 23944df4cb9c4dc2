"""What is kept of one run of a state machine: where it is, with which data, and how it came there."""

from typing import Literal

import msgspec

Status = Literal["running", "retrying", "waiting", "compensating", "failed", "completed", "rejected", "cancelled"]
ENDED: frozenset[Status] = frozenset({"completed", "rejected", "cancelled"})
"""In which a run is over. A failed one is not: it waits for somebody who redrives it."""
HISTORY = 500
"""Lines of its history that a run keeps, the newest; a machine that goes in circles has no end of them."""


class HistoryEvent(msgspec.Struct, frozen=True):
    """A line of a run's history.

    `name`: `started`, `entered`, `completed`, `failed` (an attempt), `rejected`, `signalled`, `compensated`,
    `cancelled`, `timed_out`, `joined`, `redriven`, `upgraded` or `finished`. `at`: seconds since the epoch. `step`:
    which, by its method's name. `state`: in which it is, or was. `attempt`: of that step, from 1. `began`: when it did.
    `owner`: the session that it ran in. `error`: type and text. `trace`: the trace that it belongs to.
    """

    name: str
    at: float
    step: str = ""
    state: str = ""
    attempt: int = 0
    began: float = 0.0
    owner: str = ""
    error: str = ""
    trace: str = ""


class Done(msgspec.Struct):
    """A step that was done, and may have to be taken back. `visit`: how often it had been done before."""

    step: str
    visit: int
    undone: bool = False


class Joining(msgspec.Struct):
    """Branches that run beside each other. `size`: how many there are. `begun`: how many were begun. `results`: of each
    that is done, its encoded result. `rejected`: why the first was refused, of so many that were `refused`. `failed`:
    of each that waits in quarantine, its error; `letters`: its message. `names`: of the branches of `parallel`, in the
    order of their numbers here; `items`: for `each`, what it is over, encoded. `child`: the kind and the id of the run
    that is waited for; `version`: of its data.
    """

    step: str
    size: int
    begun: int = 0
    results: dict[int, bytes] = {}
    rejected: str = ""
    refused: int = 0
    failed: dict[int, str] = {}
    letters: dict[int, int] = {}
    child: tuple[str, str] | None = None
    version: int = 0
    names: list[str] = []
    items: list[bytes] | None = None


class Parent(msgspec.Struct, frozen=True):
    """The run that waits for this one: of the machine of that `kind`, in its `entry`-th state, for its `step`."""

    kind: str
    id: str
    entry: int
    step: str


class RunRecord(msgspec.Struct):
    """`birth`: the id of the message that began it, which tells it from a forgotten run of the same id. `version`: of
    the definition. `state`: by its value. `entry`: how many states it has entered, counted on from a number that no
    other run begins with; `timed`: the last one whose timers were set. `seq`: how many times it has moved on. `data`:
    encoded. `done`: what may have to be taken back, in order. `visits`: how often each step was done. `inbox`: signals
    that came early. `goal`: where compensation leads, and `outcome` how it ends there. `cancel`: why it is to be
    cancelled. `letter`: the message in quarantine, if it has failed.
    """

    version: int
    state: str
    data: bytes
    status: Status = "running"
    birth: int = 0
    entry: int = 0
    timed: int = 0
    seq: int = 0
    done: list[Done] = []
    visits: dict[str, int] = {}
    inbox: list[tuple[str, bytes]] = []
    joining: Joining | None = None
    goal: str = ""
    outcome: Status = "rejected"
    cancel: str | None = None
    letter: int = 0
    error: str = ""
    parent: Parent | None = None
    started: float = 0.0
    finished: float = 0.0
    history: list[HistoryEvent] = []

    def tell(self, event: HistoryEvent) -> None:
        """Add a line to its history."""
        self.history.append(event)
        if len(self.history) > HISTORY:
            del self.history[1 : len(self.history) - HISTORY + 1]  # how it began is worth its place

    @property
    def letters(self) -> list[int]:
        """The messages in quarantine that it waits for: its own, or those of its branches."""
        if self.letter:
            return [self.letter]
        return list(self.joining.letters.values()) if self.joining is not None else []

    @property
    def to_undo(self) -> Done | None:
        """The step that is to be taken back next: the latest one."""
        return next((one for one in reversed(self.done) if not one.undone), None)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunRecord)


def encoded(record: RunRecord) -> bytes:
    """The bytes of a record."""
    return _encoder.encode(record)


def decoded(body: bytes) -> RunRecord:
    """The record of these bytes. Raises `msgspec.MsgspecError`."""
    return _decoder.decode(body)
