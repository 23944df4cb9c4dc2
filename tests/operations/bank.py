"""The service that tests look into: a bank in memory and one in a store, its tills and its orders."""

import asyncio
import enum
from collections.abc import AsyncIterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from upright.actors import Actor, ActorSystem, DeadLetter, Ref, Refuse
from upright.operations.controls import Controls
from upright.persistence import Durable, Retry, Sqlite, StateMachine, Store, entities, machine, step
from upright.supervision import ChildSpec, CircuitBreaker, child, pool, supervisor

SMTP = CircuitBreaker("smtp")
SECRET = "4929-0000-1111-2222"


class Entry(msgspec.Struct):
    cents: int
    day: date


class Ledger(Actor):
    """In memory; each handler has parameters of another kind."""

    uses = (SMTP,)

    def __init__(self, said: list[Any] | None = None) -> None:
        self.said: list[Any] = [] if said is None else said

    async def append(self, entry: Entry, note: str = "none", *, tags: set[str] = frozenset()) -> int:  # type: ignore[assignment]
        self.said.append((entry, note, tags))
        return entry.cents

    async def many(self, first: int, /, *rest: int, **named: float) -> list[Any]:
        return [first, rest, named]

    async def meet(self, other: Ref["Ledger"]) -> str:
        return other.path

    async def anything(self, what) -> Any:  # type: ignore[no-untyped-def]
        return what  # pyright: ignore[reportUnknownVariableType]  # that is what the test is about

    async def no(self) -> None:
        raise Refuse("not today")

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def odd(self) -> Any:
        return {1: b"x", "me": self.ctx.self_ref, "what": object(), "at": date(2024, 5, 3)}

    async def _secret(self) -> None: ...

    def plain(self) -> None: ...


class Clerk(Actor):
    """In a store; pays, but not to mallory."""

    mailbox = Durable("clerk", retry=Retry(max_attempts=1), order="free")

    async def pay(self, account: str, cents: int, note: str = "") -> int:
        if account == "mallory":
            raise LookupError("no account 'mallory'")
        return cents

    async def lose(self, cents: int) -> None:
        raise Refuse(f"{cents} are gone")


class Sum(msgspec.Struct):
    total: int = 0


class Till(Actor[Sum]):
    mailbox = Durable("tills", order="keyed")

    async def add(self, cents: int) -> int:
        self.state.total += cents
        return self.state.total


class Order(msgspec.Struct):
    cents: int
    card: str = SECRET
    blob: bytes = b"\0"


class Orders(StateMachine[Order]):
    class State(enum.StrEnum):
        NEW = "new"
        PAID = "paid"

    initial = State.NEW

    @step(State.NEW, to=State.PAID, retry=Retry(max_attempts=1))
    async def charge(self, order: Order) -> None:
        if order.cents < 0:
            raise ValueError("less than nothing")


class Quiet(Actor):
    async def letter(self, letter: DeadLetter) -> None: ...


def tree() -> ChildSpec[Any]:
    return supervisor(
        "bank",
        child("ledger", Ledger),
        pool("ledgers", Ledger, size=2),
        child("clerk", Clerk),
        entities("tills", Till),
        machine("orders", Orders),
    )


def system_on(store: Store | None, what: Any = None) -> ActorSystem:
    """A system of the bank, or of something else."""
    return ActorSystem(tree() if what is None else what, store=store, log=None, dead_letters=Quiet)


async def fill(store: Store) -> None:
    """Messages that are done, two letters of one kind, a run that is over and one that has failed."""
    async with system_on(store) as system:
        clerk = system.ref("/bank/clerk", Clerk)
        await clerk.tell(Clerk.pay, "ada", 5)
        await clerk.tell(Clerk.pay, "mallory", 7, SECRET)
        await clerk.tell(Clerk.pay, "mallory", 9, SECRET)
        await system.ref("/bank/tills", Till).entity("a/b").tell(Till.add, 3)
        await Orders.start(system, Order(5), id="o-1")
        await Orders.start(system, Order(-5), id="o-2")
        await system.idle()


async def filled(folder: Path) -> Sqlite:
    """Such a store, closed."""
    store = Sqlite(folder / "jobs.db")
    await fill(store)
    return store


def controls(system: ActorSystem, store: Store | None) -> Controls:
    return Controls(system, store)


async def said(answers: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """All that is answered; it is JSON."""
    found = [answer async for answer in answers]
    for answer in found:
        assert msgspec.json.decode(msgspec.json.encode(answer)) == answer
    return found


async def result(asked: Any, name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What comes last."""
    return (await said(asked.do(name, given)))[-1]
