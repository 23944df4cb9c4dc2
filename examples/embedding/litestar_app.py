"""A supervision tree in a Litestar application: `uvicorn --app-dir examples/embedding litestar_app:app`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, asgi, get, post
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from shop import DRAIN, ORDERS, STOCK, Orders, Stock, answer_to, events_of, new_system

from upright.actors import ActorError
from upright.operations import HealthApp, Service
from upright.persistence import Store

service = Service(new_system(), drain=DRAIN)


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
    async with service:
        yield


class Order(msgspec.Struct):
    item: str
    seconds: float = 0.0


@post("/orders", status_code=202)
async def place(data: JSONBody[Order], request: Request[Any, Any, Any]) -> Response[dict[str, int | bool]]:
    """Accepted is stored: whoever gets a 202 need not ask again. With the same key, it is one order."""
    orders, key = service.system.ref(ORDERS, Orders), request.headers.get("Idempotency-Key")
    receipt = await (orders.once(key) if key else orders).tell(Orders.ship, data.item, data.seconds)
    assert receipt is not None
    body: dict[str, int | bool] = {"id": receipt.id, "duplicate": receipt.duplicate}
    return Response(body, headers={"Location": f"/orders/{receipt.id}"})


@get("/orders/{id:int}")
async def story(id: FromPath[int]) -> dict[str, list[str]]:
    store = service.system.store
    assert isinstance(store, Store)
    found = await store.story(id)
    if not found:
        raise NotFoundException("expected the id of an order")
    return {"story": [event.name for event in found]}


@get("/stock/{item:str}")
async def stock(item: FromPath[str], within: FromQuery[float] = 2.0) -> dict[str, str | int]:
    left = await service.system.ref(STOCK, Stock).within(within).ask(Stock.left, item)
    return {"item": item, "left": left}


@get("/events", media_type="text/event-stream")
async def events() -> Stream:
    """A stream without an end: `until_draining` ends it, or it would hold up the end of the process."""
    stream = service.until_draining(events_of(service.system))
    return Stream(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def refused(request: Request[Any, Any, Any], error: ActorError) -> Response[dict[str, str]]:
    status, headers = answer_to(error)
    body = {"error": type(error).__name__, "detail": str(error)}
    return Response(body, status_code=status, headers=headers)


app = Litestar(
    [place, story, stock, events, asgi("/health", is_mount=True, copy_scope=True)(HealthApp(service.health))],
    lifespan=[lifespan],
    exception_handlers={ActorError: refused},
)
