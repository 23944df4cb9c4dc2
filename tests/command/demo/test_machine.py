"""What becomes of an order, on virtual time and with services that are made up."""

import asyncio
from collections import Counter

import pytest

from tests.command.demo.orders import order
from upright.actors import ActorSystem
from upright.actors.testing import VirtualTimeLoop
from upright.command.demo.intake import PATH, Intake, shop
from upright.command.demo.machine import No, ProcessOrder
from upright.command.demo.order import Order
from upright.persistence import Memory, RetryAfter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class MadeUp:
    """`no`: the verb that the business refuses. `away`: for so many seconds each service fails, from its first call."""

    def __init__(self, no: str = "", away: float = 0.0) -> None:
        self.no, self.away = no, away
        self.since: dict[str, float] = {}
        self.calls: Counter[str] = Counter()
        self.done: dict[str, str] = {}

    async def call(self, service: str, verb: str, key: str, order: Order) -> str:
        self.calls[service] += 1
        now = asyncio.get_running_loop().time()
        if now < self.since.setdefault(service, now) + self.away:
            raise RetryAfter(1.0) if self.calls[service] % 2 else ConnectionError("away")
        if verb == self.no:
            raise No(f"no {verb}")
        self.done[key] = verb
        return f"{verb}-{len(self.done)}"


async def ended(services: MadeUp, given: Order) -> tuple[str, str, list[str], list[str]]:
    """State and status of its run, what was done, and the reasons of the letters."""
    store = Memory()
    async with ActorSystem(shop(services), store=store, log=None) as system:
        await system.ref(PATH, Intake).once(given.id).tell(Intake.accept, given)
        await system.idle()
        run = ProcessOrder.run(system, given.id)
        letters = [letter.reason async for letter in store.quarantine.letters()]
        return await run.state(), await run.status(), list(services.done.values()), letters


async def test_a_good_order_is_charged_reserved_shipped_and_notified() -> None:
    assert await ended(MadeUp(), order()) == ("done", "completed", ["charge", "reserve", "ship", "notify"], [])


@pytest.mark.parametrize(
    ("no", "done"),
    [
        ("charge", []),
        ("reserve", ["charge", "refund"]),
        ("ship", ["charge", "reserve", "release", "refund"]),
    ],
)
async def test_one_that_the_business_refuses_is_taken_back(no: str, done: list[str]) -> None:
    assert await ended(MadeUp(no), order()) == ("called off", "rejected", done, [])


async def test_outages_of_all_services_cost_nobody_his_order() -> None:
    services = MadeUp(away=3.0)
    assert (await ended(services, order()))[:2] == ("done", "completed")
    assert min(services.calls.values()) > 2


async def test_poison_goes_to_quarantine_after_its_attempts() -> None:
    state, status, done, letters = await ended(MadeUp(), order(kilograms=0))
    assert (state, status, done, letters) == ("reserved", "failed", ["charge", "reserve"], ["attempts"])
