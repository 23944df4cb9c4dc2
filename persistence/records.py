"""What passes between the mailboxes and a store: small frozen values, the same for every engine.

Times are seconds since the epoch on the store's clock. A message keeps its `id` from the moment it is stored until its
story is forgotten, through retries, quarantine and redrive.
"""

import asyncio
import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from upright.actors.durable import Receipt

Order = Literal["strict", "free", "keyed"]
ORDERS: tuple[Order, ...] = ("strict", "free", "keyed")
Outcome = Literal["ack", "retry", "release", "quarantine", "discard", "save"]
Verdict = Literal["ok", "lost", "conflict"]


class Outgoing(msgspec.Struct, frozen=True):
    """A message that is to be stored.

    `address`: the mailbox. `handler`: its name on the wire. `body`: its encoded arguments. `due`: not to be handled
    before; 0 means at once. `priority`: higher first. `key`: what it must keep its order with, in a keyed mailbox.
    `once`: its idempotency key, "" for none. `expires`: not to be handled after. `asked`: whether somebody waits for
    the reply. `sender`: the path of the actor that sent it. `trace`: the trace that it belongs to.
    """

    address: str
    handler: str
    body: bytes
    due: float = 0.0
    priority: int = 0
    key: str = ""
    once: str = ""
    expires: float = math.inf
    asked: bool = False
    sender: str = ""
    trace: str = ""


class Delivery(msgspec.Struct, frozen=True):
    """A stored message that was claimed: nobody else has it until its claim ends.

    `token`: what shows that the claim still holds. `attempt`: the number of the attempt that comes now, from 1.
    `crashes`: how many attempts in a row a process died in. `interrupts`: how many were cut off by a shutdown.
    `delay`: how long the last retry was held back. `stored`: when it was accepted. `progress`: what the last attempt
    told of how far it got.
    """

    id: int
    address: str
    handler: str
    body: bytes
    token: int
    attempt: int
    stored: float
    due: float
    priority: int = 0
    key: str = ""
    expires: float = math.inf
    asked: bool = False
    crashes: int = 0
    interrupts: int = 0
    delay: float = 0.0
    progress: bytes | None = None
    sender: str = ""
    trace: str = ""
    once: str = ""

    @property
    def accepted(self) -> float:
        """Since when its total deadline counts: since it was stored, or could have been handled first."""
        return max(self.stored, self.due)

    @property
    def place(self) -> tuple[int, float, int]:
        """Where it stands in its mailbox: by priority, then by due time, then by the order of coming."""
        return (-self.priority, self.due, self.id)


NOBODYS = Delivery(0, "", "", b"", 0, 0, 0.0, 0.0)
"""In a step that is about no delivery."""


class Failure(msgspec.Struct, frozen=True):
    """How an attempt went wrong.

    `attempt`: which. `started`, `ended`: when. `error`: type and text. `traceback`: without local variables. `owner`:
    the session that it ran in.
    """

    attempt: int
    started: float
    ended: float
    error: str
    traceback: str = ""
    owner: str = ""
    trace: str = ""


class StateWrite(msgspec.Struct, frozen=True):
    """The durable state of one address, to be written if the stored version is the one `expected`; 0 is none yet.

    `owned`: only if no other session has that address in strict order; if none has it, this one has it from then on.
    """

    address: str
    expected: int
    body: bytes
    owned: bool = False


class RecordWrite(msgspec.Struct, frozen=True):
    """What is kept of one of many of a `kind`, by its `name`: of a run of a state machine, of an entity. It is to be
    written if the stored version is the one `expected`; 0 is none yet.

    `body`: None deletes it, whatever its version is; with no `name`, all of that kind. `status`, `position`: words to
    find it by, such as `running` and the state it is in. `lasts`: whether somebody gets to know of it, so that it must
    be on disk before.
    """

    kind: str
    name: str
    expected: int
    body: bytes | None
    status: str = ""
    position: str = ""
    lasts: bool = True


def steps_of(id: int) -> str:
    """The kind of the records of what the handler of that message has done step by step; it ends with the message."""
    return f"steps/{id}"


class StateRecord(msgspec.Struct, frozen=True):
    """A stored state; `version` counts its writes, from 1."""

    version: int
    body: bytes


class Step(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a delivery. All of it happens, or none.

    `ack`: it is done, with its `reply` if it was asked, its new `state`, and what it sent. `retry`: again, not before
    `at`, with `delay` remembered; `holds`: those behind it wait for it. `release`: back as it was, without the attempt.
    `quarantine`: set aside, for the `reason`. `discard`: dropped, as the policy says.
    `save`: only the state, the `records` and what it sent are written; the delivery is `NOBODYS`, or one whose claim
    must hold and goes on.

    `attempt`: how many attempts are used up afterwards. `started`: when this one began.
    """

    delivery: Delivery
    outcome: Outcome
    attempt: int = 0
    at: float = 0.0
    delay: float = 0.0
    holds: bool = False
    started: float = 0.0
    reason: str = ""
    failure: Failure | None = None
    reply: bytes | None = None
    state: StateWrite | None = None
    outgoing: tuple[Outgoing, ...] = ()
    interrupts: int = 0
    records: tuple[RecordWrite, ...] = ()

    @property
    def lasts(self) -> bool:
        """Whether somebody gets to know of it, so that it must be on disk before."""
        if self.outgoing or self.reply is not None:
            return True
        return bool(self.records) and any(one.lasts for one in self.records)


class Want(msgspec.Struct, frozen=True):
    """That a mailbox would take up to `room` more messages, in that order.

    `above`: only those of a higher priority than that, for it is full of others that are not begun; None: any.
    `last`: keys whose messages it takes only where there are too few others; in keyed order.
    """

    address: str
    order: Order
    room: int
    above: int | None = None
    last: tuple[str, ...] = ()


class Batch(msgspec.Struct):
    """What is to be written in one go: first the steps, then the new messages, then the claims.

    `pardons`: messages that get one attempt back, after the steps; one in quarantine for want of it waits again.
    `left`: strict addresses that this session has no more, after the steps: any other may have them.
    """

    steps: list[Step] = []
    puts: list[Outgoing] = []
    wants: list[Want] = []
    pardons: list[int] = []
    left: list[str] = []

    def messages(self) -> Iterator[Outgoing]:
        """All that are new: of the steps, and others."""
        for step in self.steps:
            yield from step.outgoing
        yield from self.puts

    @property
    def lasts(self) -> bool:
        """Whether somebody gets to know of it, so that it must be on disk before."""
        return bool(self.puts) or any(step.lasts for step in self.steps)

    @property
    def addresses(self) -> set[str]:
        """For which there may be something to claim afterwards."""
        found = {message.address for message in self.puts}
        found.update(self.left)
        for step in self.steps:
            found.update(message.address for message in step.outgoing)
            if step.outcome in ("retry", "release"):
                found.add(step.delivery.address)
        return found


class Written(msgspec.Struct):
    """What became of a batch.

    `verdicts`: one for each step: `ok`, `lost` (the claim had ended, or another session has the address) or `conflict`
    (another state was there); only the first had an effect. `receipts`: one for each new message. `deliveries`: what
    was claimed. `next_due`: when the next message of an address that was wanted comes due. `depths`: how many
    unfinished messages the addresses have that were touched. `gained`: the strict addresses that this session has from
    now on; another may have written their states until now. `lasting`: done when what of it `Batch.lasts` is on disk,
    or fails where nobody can tell; None if it is.
    """

    verdicts: list[Verdict]
    receipts: list[Receipt]
    deliveries: list[Delivery]
    next_due: dict[str, float]
    depths: dict[str, int]
    gained: list[str] = []
    lasting: "asyncio.Future[None] | None" = None
