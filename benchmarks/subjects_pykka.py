"""Pykka's actors: a thread each, an unbounded queue, no supervision."""

from concurrent.futures import Future

import pykka


class Counter(pykka.ThreadingActor):
    """Counts what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def on_receive(self, message: int) -> int:
        self.total += message
        return self.total


class Hopper(pykka.ThreadingActor):
    """Sends a message on to the next in the ring; where it ends, the number is told."""

    def __init__(self, number: int, ring: "list[pykka.ActorRef[Hopper]]", arrived: Future[int]) -> None:
        super().__init__()
        self.number, self.ring, self.arrived = number, ring, arrived

    def on_receive(self, message: int) -> None:
        if message:
            self.ring[(self.number + 1) % len(self.ring)].tell(message - 1)
        else:
            self.arrived.set_result(self.number)
