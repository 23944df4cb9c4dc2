"""A small town: the tree, the store and the service that the command line is tried on.

As a program it is a service: `python -m tests.command.town STORE SOCKET`. It prints a line when it is up.
"""

import asyncio
import enum
import sys
from pathlib import Path

import msgspec

from upright.actors import Actor, ActorSystem
from upright.operations.service import Service
from upright.persistence import Durable, Retry, Sqlite, StateMachine, machine, step
from upright.supervision import CircuitBreaker, child, supervisor

ERROR = "no account \x1b[2J\u202e"
"""What would clear a terminal, and turn the rest of its line round."""


class Bank(Actor):
    mailbox = Durable("bank/till", retry=Retry(max_attempts=2, base=0.01, jitter="none"), order="free")

    async def pay(self, account: str, cents: int = 0) -> str:
        if account != "ada":
            raise LookupError(f"{ERROR} {account!r}")
        return f"{cents} paid"


class Echo(Actor):
    uses = (CircuitBreaker("smtp", consecutive=3),)

    async def say(self, word: str) -> str:
        return word


class Order(msgspec.Struct):
    id: str


class Import(StateMachine[Order]):
    class State(enum.StrEnum):
        NEW = "new"
        READ = "read"
        DONE = "done"

    initial = State.NEW

    @step(State.NEW, to=State.READ)
    async def read(self, order: Order) -> None: ...

    @step(State.READ, to=State.DONE, retry=Retry(max_attempts=1))
    async def book(self, order: Order) -> None:
        if order.id == "bad":
            raise ValueError("it does not add up")


class Quiet(Actor):
    async def letter(self, letter: object) -> None: ...


TREE = supervisor("town", child("bank", Bank), child("echo", Echo), machine("imports", Import))


def system(path: Path) -> ActorSystem:
    return ActorSystem(TREE, store=Sqlite(path), log=None, dead_letters=Quiet)


async def fill(path: Path) -> None:
    """Messages 1 to 3, of which the last two end in quarantine; one that waits for an hour; and two runs."""
    async with system(path) as running:
        bank = running.ref("/town/bank", Bank)
        for account in ("ada", "bob", "eve"):
            await bank.tell(Bank.pay, account, 5)
        await running.idle()
        for id in ("good", "bad"):
            await Import.start(running, Order(id), id=id)
        await running.idle()
        await bank.later(3600.0).tell(Bank.pay, "ada", 7)


async def serve(store: Path, socket: Path) -> None:
    async with Service(system(store), admin=socket) as service:
        print("up", flush=True)
        await service.wait_draining()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
