"""A probe stands in for an actor: it is a ref to hand out, takes every message of that class, and tells what it got."""

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from ..actor import Actor
from ..errors import WrongArguments
from ..handlers import Handler, HandlerTable
from ..message import Message
from ..recipients import Directory, Recipient
from ..refs import Ref
from ..system import ActorSystem

A = TypeVar("A")


class Received:
    """What a probe got and has not been asked for yet, and what it is to reply."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.replies: dict[str, Any] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def add(self, message: Message) -> None:
        """Note a message and wake whoever expects one."""
        self.messages.append(message)
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    async def next(self) -> Message:
        """The oldest message not yet taken; waits for one."""
        while not self.messages:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
        return self.messages.popleft()


class ProbeTable(HandlerTable):
    """Takes every handler that the real class has, and runs none of them."""

    def __init__(self, owner: type, received: Received) -> None:
        super().__init__(owner)
        self.received = received

    def _resolve(self, function: Any) -> Handler:
        real, received = super()._resolve(function), self.received
        signature = inspect.signature(real.function)

        async def note(stand_in: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                signature.bind(stand_in, *args, **kwargs)
            except TypeError as error:  # as the real one would say
                raise WrongArguments(f"{real.name}(): {error}") from None
            received.add(Message(real.name, args, kwargs))
            reply = received.replies.get(real.name)
            if isinstance(reply, BaseException):
                raise reply
            return reply

        return Handler(real.name, note)


class Probe(Ref[A], Generic[A]):
    """A ref whose messages you read yourself. Make one with `probe(system, Ledger)`.

    `received`: the messages that no `expect` has taken yet, oldest first.
    """

    __slots__ = ("_received",)

    def __init__(
        self, directory: Directory, path: str, actor: type[A], found: Recipient | None, received: Received
    ) -> None:
        super().__init__(directory, path, actor, found)
        self._received = received

    @property
    def received(self) -> tuple[Message, ...]:
        """The messages that were not expected yet."""
        return tuple(self._received.messages)

    def reply(self, handler: Callable[..., Awaitable[Any]], value: Any) -> None:
        """Answer messages to this handler with `value` from now on; an exception instance is raised instead."""
        self._received.replies[handler.__name__] = value

    async def expect(self, handler: Callable[..., Awaitable[Any]] | None = None, within: float = 3.0) -> Message:
        """The next message; raises `AssertionError` if none comes `within` seconds or it is for another handler."""
        wanted = handler.__name__ if handler is not None else "a message"
        try:
            async with asyncio.timeout(within):
                message = await self._received.next()
        except TimeoutError:
            raise AssertionError(f"expected {wanted} at {self.path} within {within:g} s, got nothing") from None
        if handler is not None and message.handler != wanted:
            raise AssertionError(f"expected {wanted} at {self.path}, got {message!r}")
        return message

    async def expect_nothing(self, within: float = 0.1) -> None:
        """Raise `AssertionError` if a message comes within that many seconds."""
        try:
            message = await self.expect(within=within)
        except AssertionError:
            return
        raise AssertionError(f"expected nothing at {self.path}, got {message!r}")


def _no_constructor(_: Any) -> None:
    """The stand-in needs none of the real class's arguments."""


async def probe(system: ActorSystem, actor: type[A], name: str = "probe") -> Probe[A]:
    """Start a probe at `/name` that stands in for an actor of that class; its constructor and hooks are not run."""
    received = Received()
    namespace: dict[str, Any] = {
        "__init__": _no_constructor,
        "started": Actor.started,
        "stopping": Actor.stopping,
        "undelivered": Actor.undelivered,
    }
    stand_in: Any = type(f"Probe{actor.__name__}", (actor,), namespace)
    stand_in.__handlers__ = ProbeTable(stand_in, received)
    ref: Any = await system.spawn(name, stand_in)
    return Probe(ref._directory, ref.path, actor, ref.recipient, received)
