"""A store as a system has it: an engine, the journal in front of it, and the asks that wait for a reply."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from upright.actors.durable import Receipt
from upright.actors.envelope import Envelope, Question
from upright.actors.errors import ActorGone
from upright.actors.events import Event
from upright.actors.runtime import Runtime

from .arrivals import Arrivals
from .checkpoints import StepForms
from .clock import Clock
from .comebacks import Comebacks
from .consumers import Consumer
from .errors import StoreError, StoreUnavailable
from .events import StoreFailing
from .flights import Heard, Settled, pass_on
from .forms import Locate
from .guard_records import GuardRecords, StoredBreaker, breakers_in
from .journal import Journal
from .limits import Limits
from .port import Desk, Engine
from .quarantine import Quarantine
from .records import NOBODYS, Outgoing, RecordWrite, StateRecord, Step
from .replies import cancelled, failed, read_reply
from .reports import Counts, Opened, StoryEvent, may_be
from .schedule_records import StoredSchedule, schedules_in
from .solitude import Solitude

PROBE = "upright/probe"
"""The kind of the record that is written to see whether a store takes it."""
CLOSES_IN = 5.0
"""Seconds for which a store that closes waits for what others hold, the lock of a file say: a service has to end in
time, and what was not acknowledged by then is handled once more.
"""


class Store:
    """Where durable actors keep their messages and their state. Use `Sqlite` or `Memory`, which are such.

    One system has it open at a time: `ActorSystem(tree, store=store)`.
    """

    def __init__(self, engine: Engine, desk: Desk) -> None:
        self._engine, self._desk = engine, desk
        self.begin, self.end = engine.begin, engine.end  # without a call between: they are on the path of each message
        self.lasts, self.hurry = engine.lasts, engine.hurry
        self.now: Clock = engine.now
        """The time on the store's clock, seconds since the epoch."""
        self._journal: Journal | None = None
        self._runtime: Runtime | None = None
        self._comebacks: Comebacks | None = None
        self._asked: dict[int, list[tuple[Envelope, Any]]] = {}
        self._looking: asyncio.Future[None] | None = None
        self.solitude = Solitude(self._asked_inside)
        self.arrivals = Arrivals()
        """Who waits here for the end of a run of a state machine."""
        self.timetable: dict[str, Any] = {}  # the actors that fire the schedules here, by their names
        self.forms = StepForms()
        """How the results of the steps of handlers are encoded."""
        self.quarantine = Quarantine(desk, self)
        """The messages that were set aside: look, redrive, discard."""

    async def open(self, runtime: Runtime) -> None:
        """Open it for a system. Raises `StoreError`s, and `StoreUnavailable` if another system has it open."""
        if self._runtime is not None:
            raise StoreUnavailable("expected a store of its own for each system: this one is open in another")
        self._runtime = runtime
        self.solitude = Solitude(self._asked_inside)  # nobody of a system before is waited for
        self.timetable = {}
        try:
            await self._engine.open(self.stir)
        except BaseException:
            self._runtime = None
            raise
        self.now = self._engine.now
        waker = runtime.dispatcher.waker
        self._journal = Journal(self._engine, runtime.loop, waker, self._failed, self.stir, self.solitude.shuts_out)
        self._journal.start()
        runtime.guards.lender = Limits(self, runtime)
        try:
            await GuardRecords(self, runtime).load()
        except BaseException:
            await self.close()
            raise
        self._comebacks = Comebacks(self.quarantine, runtime, self._failed)
        self._comebacks.start()

    async def close(self) -> None:
        """Write what is left, and close it."""
        self.hurry(CLOSES_IN)
        try:
            if self._runtime is not None:
                self._runtime.guards.keep = self._runtime.guards.lender = None
            if self._comebacks is not None:
                comebacks, self._comebacks = self._comebacks, None
                await comebacks.stop()
            if self._journal is not None:
                await self._journal.stop()
            await self._engine.close()
            self._journal = self._runtime = None
        finally:
            asked, self._asked = self._asked, {}
            for id, waiting in asked.items():
                for question, front in waiting:
                    question.fail(stopped(id, front.path))

    async def story(self, id: int) -> list[StoryEvent]:
        """The life of a message so far, from `stored` on; empty if nothing is known of it."""
        return await self._desk.story(id) if may_be(id) else []

    async def cancel(self, id: int) -> bool:
        """Take back a message that is not handled yet; False if it is too late. Its idempotency key is free again, and
        whoever asked gets `ActorFailed`.
        """
        done = may_be(id) and await self._desk.cancel(id, cancelled(begun=False), cancelled(begun=True))
        if done and id in self._asked:
            await self._look_for_replies()
            self.replied(id, cancelled(begun=True))  # where the store has forgotten it at once
        await self.look(None)
        return done

    async def counts(self) -> dict[str, Counts]:
        """How many messages there are, by address."""
        return await self._desk.counts()

    async def addresses(self) -> list[str]:
        """The addresses that anybody has ever had, or sent to, in order."""
        return sorted(await self._desk.counts())

    async def sessions(self) -> list[Opened]:
        """Who has it open, in any process; nobody is known of a store that dies with its process."""
        return []

    async def schedules(self) -> list[StoredSchedule]:
        """All schedules that were ever fired, or waited, on this store; see `StoredSchedule`."""
        return await schedules_in(self)

    async def breakers(self) -> list[StoredBreaker]:
        """What is remembered of circuit breakers; see `StoredBreaker`."""
        return await breakers_in(self)

    @property
    def is_open(self) -> bool:
        """Whether a system of this process has it open."""
        return self._journal is not None

    def _asked_inside(self) -> Iterable[str]:
        """Whom some actor waits for."""
        for waiting in self._asked.values():
            for question, front in waiting:
                if isinstance(question, Question) and question.caller is not None:
                    yield front.address

    async def _look_for_replies(self) -> None:
        asked = list(self._asked)
        with contextlib.suppress(StoreError):  # it is looked for again
            for id, reply in (await self._engine.replies(asked)).items():
                if reply is not None:
                    self.replied(id, reply)

    def put(self, messages: list[Outgoing], heard: Heard | None = None) -> "asyncio.Future[list[Receipt]]":
        """Store messages; the result comes when they are on disk, see `Journal.put`. Raises `StoreUnavailable`,
        `OutcomeUnknown`.
        """
        journal = self._journal
        return (journal if journal is not None else self._open_journal).put(messages, heard)

    def settle(self, step: Step, settled: Settled) -> None:
        """Have the outcome of a delivery written."""
        if self._journal is not None:
            self._journal.settle(step, settled)
        else:
            settled("lost")

    def attach(self, consumer: Consumer) -> None:
        """Have what comes for an address handed to this mailbox. Raises `StoreUnavailable`."""
        self._open_journal.consumers.attach(consumer)

    def detach(self, consumer: Consumer) -> None:
        """It takes nothing more."""
        if self._journal is not None:
            self._journal.consumers.detach(consumer)

    def stir(self, address: str | None) -> None:
        """Somebody else wrote something: there may be messages to claim, or replies to those asked there."""
        if self._journal is not None:
            self._journal.consumers.stir(address)
            if self._asked and (self._looking is None or self._looking.done()):
                self._looking = asyncio.ensure_future(self._look_for_replies())

    async def look(self, address: str | None) -> None:
        """Something was changed by hand: claim what may be claimed, and see how much there is; None: everywhere."""
        if self._journal is not None:
            self._journal.consumers.stir(address)
            await self._journal.looked()

    def invite(self, address: str) -> None:
        """Somebody inside a delivery asks that mailbox: it is served, whatever else has to wait."""
        self.solitude.invite(address)
        if self.solitude.is_closed and self._journal is not None:
            self._journal.consumers.stir(address)

    def stop_intake(self) -> None:
        """Claim and begin nothing more in this system, but what is asked by a delivery that runs; what was claimed and
        is not begun goes back. What is told is still stored, here and elsewhere. It takes again when it is opened anew.
        """
        self.solitude.close()
        if self._journal is not None:
            self._journal.consumers.let_go()

    async def quiet(self) -> None:
        """Wait until no delivery runs in this system, and what became of them is written; see `stop_intake`."""
        await self.solitude.quiet()
        await self.flushed()

    @property
    def backlog(self) -> int:
        """How many messages wait or run for the mailboxes that are served here, as far as is known."""
        return self._journal.consumers.backlog if self._journal is not None else 0

    @property
    def trouble(self) -> StoreError | None:
        """Why the last write failed; None if it did not."""
        return self._journal.trouble if self._journal is not None else None

    async def probe(self) -> None:
        """See whether it can be written, and how long that takes. Raises `StoreError`s.

        A store that did not take the last thing it was given is given something small: it has recovered when it takes
        that. Else nothing is written; a transaction is begun, ended and synced.
        """
        if self._open_journal.trouble is None:
            await self._desk.forget(PROBE, ())
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kept = await self._engine.read("last", PROBE)
        record = RecordWrite(PROBE, "last", kept.version if kept is not None else 0, b" ")
        self.settle(Step(NOBODYS, "save", records=(record,)), lambda _: pass_on((told,)))
        await told

    def check(self, address: str, handler: str, body: bytes) -> None:
        """Raise `Undecodable` if the actor of that address runs here and could not read this."""
        if self._journal is not None:
            self._journal.consumers.check(address, handler, body)

    async def flushed(self) -> None:
        """Wait until all outcomes that were given before are written, or refused."""
        if self._journal is not None:
            await self._journal.flushed()

    def has_room(self, address: str) -> None:
        """That mailbox would take more, if there is more."""
        if self._journal is not None:
            self._journal.consumers.has_room(address)

    async def read(self, address: str, kind: str = "") -> StateRecord | None:
        """The state of an address, or what is recorded of one of a kind."""
        return await self._engine.read(address, kind)

    @property
    def desk(self) -> Desk:
        """What can be looked at and done by hand."""
        return self._desk

    async def extend(self, id: int, token: int, progress: bytes) -> bool:
        """Tell how far a delivery got; empty: as far as it was told before. False: its claim has ended."""
        return await self._engine.extend(id, token, progress or None)

    @property
    def name(self) -> str:
        """The name that the store was given when it was made, unlike any other's."""
        return self._engine.name

    @property
    def locate(self) -> Locate:
        """What finds the ref of a path in the system that has it open."""
        assert self._runtime is not None, "who asks has a message in hand"
        return self._runtime.locate

    def key_of(self, id: int) -> str:
        """The idempotency key that a message has for the world outside."""
        return f"{self._engine.name}-{id}"

    def pardon(self, ids: list[int]) -> None:
        """Give these messages one attempt back: the fault was not theirs."""
        if ids and self._journal is not None:
            self._journal.pardon(ids)

    def stir_at(self, address: str, due: float) -> None:
        """From then on there may be something to claim."""
        if self._journal is not None:
            self._journal.consumers.stir_at(address, due, "parked")

    def expect(self, question: Envelope, front: Any, receipts: list[Receipt]) -> None:
        """Answer this question when that message has been handled. To be called before it can have been."""
        id = receipts[0].id
        self._asked.setdefault(id, []).append((question, front))
        if question.reply is not None:
            question.reply.add_done_callback(lambda _: self._forget(id, question))

    async def answer(self, receipt: Receipt, question: Envelope, front: Any) -> None:
        """Answer a question that is expected; if its message has ended without a reply, say so."""
        if self._journal is None:  # it was closed while the message was stored
            question.fail(stopped(receipt.id, front.path))
        elif receipt.duplicate:
            for id, reply in (await self._engine.replies([receipt.id])).items():
                self.replied(id, reply if reply is not None else failed("it has ended without a reply"))

    def replied(self, id: int, reply: bytes) -> None:
        """A message was handled, and its reply is on disk."""
        for question, front in self._asked.pop(id, ()):
            future = question.reply
            if future is None or future.done():
                continue
            codec = front.codec_of(question)
            try:
                future.set_result(read_reply(codec, reply, front.path, front.runtime.locate))
            except Exception as error:
                question.fail(error)

    def _forget(self, id: int, question: Envelope) -> None:
        waiting = self._asked.get(id)
        if waiting is not None:
            self._asked[id] = [one for one in waiting if one[0] is not question]
            if not self._asked[id]:
                del self._asked[id]

    def _failed(self, error: StoreError) -> None:
        self._tell(StoreFailing("/", str(error)))

    def _tell(self, event: Event) -> None:
        runtime = self._runtime
        if runtime is not None and runtime.bus.wants(type(event)):
            runtime.bus.emit(event)

    @property
    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise StoreUnavailable("expected an open store: its system is not running")
        return self._journal


def stopped(id: int, path: str) -> ActorGone:
    """What those hear who still wait when the system ends. Whether an attempt was begun is not known."""
    return ActorGone(f"no reply from {path}: the system has stopped; message {id} is stored", path, handled=True)
