"""An actor that another process runs, or that is asleep: here is only the way into its durable mailbox."""

import asyncio
from typing import Any

from .durable import Keeper
from .envelope import Envelope, Link
from .exits import Exit
from .handlers import HandlerTable
from .mailbox import Mailbox


class StoredOnly(Mailbox):
    """The mailbox of an actor that does not run here: everything goes into the store."""

    __slots__ = ("keeper",)

    def __init__(self, owner: Any) -> None:
        super().__init__(owner, 1, "wait", plain=False)
        self.keeper: Keeper | None = None

    def put_nowait(self, envelope: Envelope) -> bool:
        """False: it has to be stored first."""
        return False


class Absent:
    """What a ref finds at the path of an actor that does not run here."""

    gone = False
    link: Link | None = None
    passage: object | None = None

    def __init__(
        self, path: str, actor: type[Any], loop: asyncio.AbstractEventLoop, state: str = "elsewhere"
    ) -> None:  # fmt: skip
        self.path, self.actor, self.state = path, actor, state
        self.mailbox = StoredOnly(self)
        self.handlers: HandlerTable = actor.__handlers__
        self.interfaces: tuple[type[Any], ...] = (actor,)
        self.ended: asyncio.Future[Exit] = loop.create_future()

    @property
    def kind(self) -> str:
        """The name of its class."""
        return self.actor.__name__

    def wake(self) -> None:
        """Nobody sleeps here."""

    def running(self, handler: str) -> int:
        """Nothing is in hand here."""
        return 0

    def dropped(self, envelope: Envelope, reason: str, error: BaseException | None = None) -> None:
        """Nothing is dropped here."""
