"""What becomes of an order: charge, reserve, ship, notify; and the policies that stand before each service."""

import enum
import os
import signal
from typing import Protocol

import msgspec

from upright.persistence.state_machine import StateMachine
from upright.persistence.steps import Reject, step
from upright.supervision.backoff import Backoff
from upright.supervision.circuit_breaker import CircuitBreaker
from upright.supervision.retry import Retry
from upright.supervision.timeout import Timeout

from .order import Order
from .trouble import SERVICES

RETRY = Retry(max_attempts=8, base=0.2, cap=2.0)
BREAKERS = {
    name: CircuitBreaker(
        name, consecutive=5, window=10.0, wait=Backoff(0.8, 2.0, jitter="none"), permits=2, half_open_max_wait=5.0
    )
    for name in SERVICES
}
TIMEOUTS = {name: Timeout(name, 1.0) for name in SERVICES}


class Placed(msgspec.Struct):
    """An order under way, and the numbers that the services gave to what they did."""

    order: Order
    charge: str = ""
    reservation: str = ""
    shipment: str = ""


class Services(Protocol):
    """The services as the steps see them."""

    async def call(self, service: str, verb: str, key: str, order: Order) -> str:
        """The number of what was done. Raises `No` if the business says no, `RetryAfter`, or whatever went wrong."""
        ...


class No(Exception):
    """The business says no: the card is declined, say."""


class ProcessOrder(StateMachine[Placed]):
    """One thing outside in each step, with the key of the step, so that a second time does no harm."""

    class State(enum.StrEnum):
        NEW = "new"
        CHARGED = "charged"
        RESERVED = "reserved"
        SHIPPED = "shipped"
        DONE = "done"
        CALLED_OFF = "called off"

    initial = State.NEW
    cancelled = State.CALLED_OFF

    def __init__(self, services: Services) -> None:
        self._services = services

    async def refund(self, placed: Placed) -> None:
        await self._do("payments", "refund", placed)
        placed.charge = ""

    async def release(self, placed: Placed) -> None:
        await self._do("warehouse", "release", placed)
        placed.reservation = ""

    @step(State.NEW, to=State.CHARGED, undo=refund, on_reject=State.CALLED_OFF, retry=RETRY, timeout=5.0)
    async def charge(self, placed: Placed) -> None:
        placed.charge = await self._do("payments", "charge", placed)

    @step(State.CHARGED, to=State.RESERVED, undo=release, on_reject=State.CALLED_OFF, retry=RETRY, timeout=5.0)
    async def reserve(self, placed: Placed) -> None:
        placed.reservation = await self._do("warehouse", "reserve", placed)

    @step(State.RESERVED, to=State.SHIPPED, on_reject=State.CALLED_OFF, retry=RETRY, timeout=5.0)
    async def ship(self, placed: Placed) -> None:
        if placed.order.is_killer:
            os.kill(os.getpid(), signal.SIGKILL)
        check_freight(placed.order)
        placed.shipment = await self._do("carrier", "ship", placed)

    @step(State.SHIPPED, to=State.DONE, retry=RETRY, timeout=5.0)
    async def notify(self, placed: Placed) -> None:
        await self._do("mail", "notify", placed)

    async def _do(self, service: str, verb: str, placed: Placed) -> str:
        try:
            async with self.ctx.guard(BREAKERS[service], TIMEOUTS[service]):
                return await self._services.call(service, verb, self.ctx.idempotency_key, placed.order)
        except No as error:
            raise Reject(str(error)) from error


def check_freight(order: Order) -> None:
    """What a kilogram costs to bring. The mistake is here on purpose: an order of no weight divides by zero."""
    per_kilogram = order.cents / order.kilograms
    if per_kilogram < 0:
        raise Reject("it is not worth bringing")
