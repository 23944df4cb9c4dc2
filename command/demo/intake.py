"""Where orders come in: a durable mailbox, and the tree that works on what is in it."""

import functools
from typing import Any

from upright.actors.actor import Actor
from upright.actors.handlers import concurrent
from upright.persistence.durable import Durable
from upright.persistence.runner import machine
from upright.supervision.build import child, supervisor
from upright.supervision.retry import Retry
from upright.supervision.spec import ChildSpec

from .machine import Placed, ProcessOrder, Services
from .order import Order

AT_ONCE = 24
"""Steps that run beside each other. After a kill all of them are suspects, and run one after another: not too many."""
MOST = 500
"""Orders that may wait to be taken in; then whoever brings more waits, and a large file is read no faster than that."""
PATH = "/shop/intake"


class Intake(Actor):
    """Takes orders in. An order's run begins with the end of its message, or never."""

    mailbox = Durable("intake", order="free", retry=Retry(max_attempts=5, base=0.2), max_depth=MOST)

    @concurrent(AT_ONCE)
    async def accept(self, order: Order) -> None:
        """Have it processed."""
        await ProcessOrder.start(self.ctx, Placed(order), id=order.id)


class Nobody:
    """In the place of the services where nothing is processed."""

    async def call(self, service: str, verb: str, key: str, order: Order) -> str:
        raise NotImplementedError(f"expected no step to run here, got {verb} of {order.id}")


def shop(services: Services) -> ChildSpec[Any]:
    """The tree: the intake, and the machines of the orders."""
    return supervisor(
        "shop",
        child("intake", Intake),
        machine("orders", functools.partial(ProcessOrder, services), at_once=AT_ONCE),
    )
