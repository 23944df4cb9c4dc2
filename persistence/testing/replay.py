"""Replay of one quarantined message against new code: what would happen now, tried out beside the service.

It stands apart because it reads a store as anybody may, and then works on another one, in memory, that is thrown away.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from upright.actors.context import as_class
from upright.actors.envelope import Question
from upright.actors.errors import ActorFailed, Refuse
from upright.actors.events import DeadLettered
from upright.actors.handlers import Handler
from upright.actors.mailbox import Mailbox
from upright.actors.message import told
from upright.actors.options import Blueprint
from upright.actors.system import ActorSystem
from upright.supervision.checks import more_than

from ..codec import Undecodable
from ..durable import Durable
from ..memory import Memory
from ..records import Outgoing, StateRecord
from ..reports import Filter, Letter
from ..store import Store

PLACE = "replayed"
Beside = Callable[[ActorSystem], Awaitable[object]]


class Told(msgspec.Struct, frozen=True):
    """A message that was told in a replay, and went to nobody.

    `to`: the address of a durable actor, or the path of one in memory. `handler`: its name. `args`, `kwargs`: of what
    would be stored, plain values by name. `durable`: whether it would be stored.
    """

    to: str
    handler: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    durable: bool = True


class Replayed(msgspec.Struct, frozen=True):
    """What came of a replay.

    `outcome`: `done`; `refused`, by a `Refuse`; `failed`, with an error; `undecodable`, for the class has no such
    handler, or one that cannot read the arguments. `result`: what the handler returned. `error`: type and text, "" for
    none. `traceback`: of the error, without local variables. `told`: what it told others; what is durable only where it
    is `done`, as it would be stored with the ack. `before`, `after`: the durable state; None where there is none.
    """

    outcome: Literal["done", "refused", "failed", "undecodable"]
    result: Any = None
    error: str = ""
    traceback: str = ""
    told: tuple[Told, ...] = ()
    before: Any = None
    after: Any = None


async def replay(
    letter: Letter | int, actor: Callable[..., Any], *args: Any, store: Store | None = None, within: float = 30.0,
    beside: Beside | None = None,
) -> Replayed:  # fmt: skip
    """Run the handler of this class on a letter of the quarantine, in a system of its own with a store in memory.

    `letter`: one, or the id of one in `store`. `args`: of the actor's constructor. `store`: where the state of the
    letter's address is read; nothing is written there, and a service that has it open notices nothing. Without one the
    actor begins with new state. `within`: seconds that the handler may take. `beside`: called with the system before
    the actor starts, to spawn those whom it asks; whom it tells need not be there.

    The constructor, `started()` and the handler really run: what they do to the world outside is done.

    Raises `ValueError` for an id that is not in quarantine, and for a class without a durable mailbox.
    """
    more_than("within", within, 0, " seconds")
    kind: Any = as_class(actor)
    if not isinstance(kind.mailbox, Durable):
        raise ValueError(f"expected a class with a durable mailbox, got {kind.__name__}")
    found = letter if isinstance(letter, Letter) else await find(letter, store)
    record = await state_of(store, found, kind) if store is not None else None
    return await Replay(found, kind, args, record).run(within, beside)


async def find(id: int, store: Store | None) -> Letter:
    """The letter of that id. Raises `ValueError` if there is none."""
    if store is None:
        raise ValueError(f"expected a store, in which to look for letter {id}, or the letter itself")
    letters = [letter async for letter in store._desk.letters(Filter(only=id))]
    if not letters:
        raise ValueError(f"expected the id of a message in quarantine, got {id}")
    return letters[0]


async def state_of(store: Store, letter: Letter, kind: Any) -> StateRecord | None:
    """The state of the actor that it is for; read from the file where there is one, for nobody here needs to have it
    open.
    """
    of_many = kind.mailbox.order == "keyed" and kind.__state__ is not None
    name, address = (letter.key, letter.address) if of_many else (letter.address, "")
    return await store.read(name, address)


class OfOne(msgspec.Struct, frozen=True):
    """The mailbox of an actor that takes the place of an entity, or of any other."""

    durable: Durable
    entity: str

    def open(self, owner: Any) -> Mailbox:
        """The mailbox of one actor."""
        mailbox: Any = self.durable.open(owner)
        mailbox.entity = self.entity
        opened: Mailbox = mailbox
        return opened


class Replay:
    """One replay: of that letter, with an actor of that class, which finds that state."""

    def __init__(self, letter: Letter, kind: Any, args: tuple[Any, ...], record: StateRecord | None) -> None:
        self._letter, self._kind, self._args, self._record = letter, kind, args, record
        self._store = Memory()
        self._system = ActorSystem(store=self._store, log=None)
        self._sent: list[Told] = []

    async def run(self, within: float, beside: Beside | None) -> Replayed:
        """Do it."""
        letter, tables = self._letter, self._store._tables
        if self._record is not None:
            tables.states[letter.address] = self._record
        self._system.subscribe(self._note, DeadLettered)
        once = msgspec.structs.replace(self._kind.mailbox.retry, max_attempts=1, attempt_timeout=within, classify=None)
        mailbox = OfOne(Durable(letter.address, retry=once), letter.key)
        async with self._system as system:
            if beside is not None:
                await beside(system)
            ref = await system.spawn_from(Blueprint(PLACE, self._kind, self._args, mailbox=mailbox))
            try:
                self._store.check(letter.address, letter.handler, letter.body)
            except Undecodable as error:
                return Replayed("undecodable", error=told(error), before=self._state(), after=self._state())
            before, recipient = self._state(), ref.recipient
            assert recipient is not None
            return await self._handle(recipient.mailbox.keeper, before)

    async def _handle(self, front: Any, before: Any) -> Replayed:
        """Have the message handled as if somebody had asked, for whoever asks hears how it ended."""
        letter = self._letter
        method = self._kind.__codec__.handlers[letter.handler].method
        reply = front.runtime.loop.create_future()
        question = Question(Handler(method, front.ask), (), None, None, reply)
        message = Outgoing(
            letter.address, letter.handler, letter.body, key=letter.key, once=letter.once, asked=True,
            sender=letter.sender, trace=letter.trace,
        )  # fmt: skip
        (receipt,) = await self._store.put([message], functools.partial(self._store.expect, question, front))
        await self._store.answer(receipt, question, front)
        try:
            result = await reply
        except Refuse as error:
            return Replayed("refused", error=told(error), told=self._told(receipt.id), before=before, after=before)
        except (ActorFailed, Undecodable) as error:
            failure = await self._failure(receipt.id)
            said, trace = (failure.error, failure.traceback) if failure is not None else (told(error), "")
            return Replayed("failed", None, said, trace, self._told(receipt.id), before, before)
        return Replayed("done", result, told=self._told(receipt.id), before=before, after=self._state())

    async def _failure(self, id: int) -> Any:
        letters = [one async for one in self._store.quarantine.letters() if one.id == id]
        return letters[0].attempts[-1] if letters and letters[0].attempts else None

    def _state(self) -> Any:
        codec, record = self._kind.__state__, self._store._tables.states.get(self._letter.address)
        if codec is None:
            return None
        locate = self._system._running("state").locate
        return codec.decode(record.body, locate) if record is not None else self._kind.__state_kind__()

    def _note(self, event: DeadLettered) -> None:
        letter = event.letter
        if letter.reason == "no_actor":
            said = letter.message
            self._sent.append(Told(letter.recipient, said.handler, said.args, dict(said.kwargs), durable=False))

    def _told(self, id: int) -> tuple[Told, ...]:
        stored = [row.message for row in self._store._tables.rows.values() if row.id != id]
        named = [Told(one.address, one.handler, (), msgspec.msgpack.decode(one.body)) for one in stored]
        return (*named, *self._sent)
