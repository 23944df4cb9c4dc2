"""The entities that the tests follow: tills, each with its own balance, that do the deeds of a book."""

from functools import partial
from typing import Any

import msgspec

from tests.persistence.jobs import QUICK, Book
from upright.actors import Actor, ActorSystem, Exit, Ref
from upright.persistence import Durable, entities
from upright.supervision import ChildSpec


class Balance(msgspec.Struct):
    cents: int = 0
    ticks: int = 0


class Till(Actor[Balance]):
    mailbox = Durable("tills", order="keyed", retry=QUICK)

    def __init__(self, book: Book) -> None:
        self.book = book
        self.memory: dict[str, Any] = {}
        book.made.append(self)

    async def started(self) -> None:
        self.book.begun[f"started {self.ctx.entity}"] += 1
        await self.book.at_start(self)

    async def deposit(self, cents: int) -> int:
        self.state.cents += cents
        return self.state.cents

    async def do(self, deed: str) -> Any:
        return await self.book.deeds[deed](self)

    async def note(self, word: str) -> None:
        self.book.add(f"{self.ctx.entity} {word}")

    async def tick(self) -> None:
        self.state.ticks += 1
        self.book.add(f"{self.ctx.entity} ticked")


class Stopping(Till):
    """One that has something to do at its end."""

    async def stopping(self, reason: Exit) -> None:
        self.book.add(f"{self.ctx.entity} stopping")


def tills(book: Book, kind: type[Till] = Till, **options: Any) -> ChildSpec[Till]:
    """A child at `/top/tills`."""
    return entities("tills", partial(kind, book), **options)


def till(system: ActorSystem, id: str) -> Ref[Till]:
    return system.ref("/top/tills", Till).entity(id)
