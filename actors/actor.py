"""The class that users subclass."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from .context import Context
from .exits import Exit
from .handlers import HandlerTable
from .message import DeadLetter
from .options import Blueprint, Bounded
from .policies import Policy, is_policy

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # the checkers know it; nobody needs it installed

    S = TypeVar("S", default=None)
else:
    from typing import TypeVar

    S = TypeVar("S")


class _Unset:
    """Says why an attribute is not there. Not a `__getattr__`, which would make every attribute of every actor slow."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, actor: object, owner: type) -> "_Unset":
        if actor is None:
            return self
        kind = type(actor).__name__
        raise AttributeError(f"{kind}.{self._name} is set when a system starts the actor; spawn it to use it")


class Actor(Generic[S]):
    """An object with a mailbox, whose handlers run one message at a time.

    A handler is an `async` method; senders name it: `await ref.ask(Counter.add, 2)`. An error that escapes from a
    handler crashes the actor: whoever supervises it starts a fresh instance behind the same ref. Raise `Refuse` to
    answer no and stay.

    `mailbox` sets the bounds of the mailbox; the default holds 1,000 messages and makes senders wait.

    >>> import asyncio
    >>> from upright.actors import Actor, ActorSystem
    >>> class Counter(Actor):
    ...     def __init__(self, start: int) -> None:
    ...         self.total = start
    ...
    ...     async def add(self, amount: int) -> int:
    ...         self.total += amount
    ...         return self.total
    >>> async def main() -> int:
    ...     async with ActorSystem() as system:
    ...         counter = await system.spawn("counter", Counter, 40)
    ...         return await counter.ask(Counter.add, 2)
    >>> asyncio.run(main())
    42
    """

    mailbox: ClassVar[Any] = Bounded()
    uses: ClassVar[tuple[Policy, ...]] = ()
    """The policies that every message must pass before it is taken: while one of them lets nobody through, the mailbox
    pauses.
    """
    __handlers__: ClassVar[HandlerTable]
    __blueprint__: ClassVar[Blueprint]
    """The one that all share which are made without arguments and options, whatever their names."""
    ctx: Context
    """What the runtime offers; set before `__init__` runs."""
    state: S
    """The durable state, for an actor that declares one: `class Account(Actor[Balance])`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        uses: object = cls.uses
        if not isinstance(uses, tuple) or not all(is_policy(one) for one in uses):
            raise TypeError(
                f'expected {cls.__name__}.uses to be a tuple of policies, as in (CircuitBreaker("smtp"),), got {uses!r}'
            )
        cls.__handlers__ = HandlerTable(cls)
        cls.__blueprint__ = Blueprint("actor", cls)
        prepare = getattr(cls.mailbox, "prepare", None)
        if prepare is not None:
            prepare(cls)

    async def started(self) -> None:
        """Called before the first message of every incarnation.

        Nothing is handled until it returns. An error fails the start.
        """

    async def stopping(self, reason: Exit) -> None:
        """Called after the last message of every incarnation, crashes included, when its children and tasks have ended.

        Not called when `started()` failed or the incarnation was killed. An actor that overrides it runs all of an
        incarnation in one task, so that what `started()` enters (a task group, a cancel scope) can be left here.
        """

    async def undelivered(self, letters: Sequence[DeadLetter]) -> Iterable[DeadLetter] | None:
        """Called when the actor has ended for good with messages still waiting, before they go to the dead-letter
        actor.

        Return those that should still go there; None (as a method without `return` does) sends them all.
        """
        return letters


Actor.__handlers__ = HandlerTable(Actor)
Actor.__blueprint__ = Blueprint("actor", Actor)
Actor.ctx = _Unset("ctx")  # type: ignore[assignment]  # until there is one
