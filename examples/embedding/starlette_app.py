"""A supervision tree in a Starlette application: `uvicorn --app-dir examples/embedding starlette_app:app`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
from shop import DRAIN, ORDERS, STOCK, Orders, Stock, answer_to, events_of, new_system
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from upright.actors import ActorError
from upright.operations import HealthApp, Service
from upright.persistence import Store

service = Service(new_system(), drain=DRAIN)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    async with service:
        yield


class Order(msgspec.Struct):
    item: str
    seconds: float = 0.0


async def place(request: Request) -> Response:
    """Accepted is stored: whoever gets a 202 need not ask again. With the same key, it is one order."""
    try:
        order = msgspec.json.decode(await request.body(), type=Order)
    except msgspec.DecodeError as error:
        raise HTTPException(422, str(error)) from error
    orders, key = service.system.ref(ORDERS, Orders), request.headers.get("Idempotency-Key")
    receipt = await (orders.once(key) if key else orders).tell(Orders.ship, order.item, order.seconds)
    assert receipt is not None
    body = {"id": receipt.id, "duplicate": receipt.duplicate}
    return JSONResponse(body, 202, {"Location": f"/orders/{receipt.id}"})


async def story(request: Request) -> Response:
    store = service.system.store
    assert isinstance(store, Store)
    found = await store.story(request.path_params["id"])
    if not found:
        raise HTTPException(404, "expected the id of an order")
    return JSONResponse({"story": [event.name for event in found]})


async def stock(request: Request) -> Response:
    item, within = request.path_params["item"], float(request.query_params.get("within", "2"))
    left = await service.system.ref(STOCK, Stock).within(within).ask(Stock.left, item)
    return JSONResponse({"item": item, "left": left})


async def events(request: Request) -> Response:
    """A stream without an end: `until_draining` ends it, or it would hold up the end of the process."""
    stream = service.until_draining(events_of(service.system))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ActorError)
    status, headers = answer_to(error)
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/orders", place, methods=["POST"]),
        Route("/orders/{id:int}", story),
        Route("/stock/{item}", stock),
        Route("/events", events),
        Mount("/health", HealthApp(service.health)),
    ],
    exception_handlers={ActorError: refused},
)
