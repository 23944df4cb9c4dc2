"""Thespian's actors on its fastest system: `simpleSystemBase` runs all of them in the caller's thread."""

# pyright: basic
# Thespian has no types.

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from thespian.actors import Actor, ActorAddress, ActorExitRequest, ActorSystem, ChildActorExited


@contextmanager
def thespian_system() -> Generator[Any, None, None]:
    """A system of its own."""
    system = ActorSystem("simpleSystemBase")
    try:
        yield system
    finally:
        system.shutdown()


class Counter(Actor):  # type: ignore[misc]
    """Counts what it is told. A number is told; a number in a tuple is asked and answered with the total."""

    def __init__(self) -> None:
        self.total = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if type(message) is int:
            self.total += message
        elif type(message) is tuple:
            self.total += message[0]
            self.send(sender, self.total)


class Hopper(Actor):  # type: ignore[misc]
    """Sends a message on to the next in the ring; where it ends, the one who made the ring is told the number."""

    number: int
    follower: ActorAddress
    owner: ActorAddress

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if type(message) is int:
            if message:
                self.send(self.follower, message - 1)
            else:
                self.send(self.owner, ("arrived", self.number))
        elif type(message) is tuple:
            self.number, self.follower = message
            self.owner = sender


class Keeper(Actor):  # type: ignore[misc]
    """Restarts by hand: thespian has no supervisors, but tells a parent of its child's end."""

    child: ActorAddress
    asker: ActorAddress

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802
        if message == "crash":
            self.asker = sender
            self.send(self.child, ActorExitRequest())
        elif message == "start" or isinstance(message, ChildActorExited):
            self.child = self.createActor(Counter)
            self.send(sender if message == "start" else self.asker, self.child)
