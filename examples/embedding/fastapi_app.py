"""A supervision tree in a FastAPI application: `uvicorn --app-dir examples/embedding fastapi_app:app`."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from shop import DRAIN, ORDERS, STOCK, Orders, Stock, answer_to, events_of, new_system

from upright.actors import ActorError
from upright.operations import HealthApp, Service
from upright.persistence import Store

service = Service(new_system(), drain=DRAIN)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with service:
        yield


app = FastAPI(title="shop", lifespan=lifespan)
app.mount("/health", HealthApp(service.health))


class Order(BaseModel):
    item: str
    seconds: float = 0.0


@app.post("/orders", status_code=202)
async def place(
    order: Order, response: Response, idempotency_key: Annotated[str | None, Header()] = None
) -> dict[str, int | bool]:
    """Accepted is stored: whoever gets a 202 need not ask again. With the same key, it is one order."""
    orders = service.system.ref(ORDERS, Orders)
    if idempotency_key:
        orders = orders.once(idempotency_key)
    receipt = await orders.tell(Orders.ship, order.item, order.seconds)
    assert receipt is not None
    response.headers["Location"] = f"/orders/{receipt.id}"
    return {"id": receipt.id, "duplicate": receipt.duplicate}


@app.get("/orders/{id}")
async def story(id: int) -> dict[str, list[str]]:
    store = service.system.store
    assert isinstance(store, Store)
    found = await store.story(id)
    if not found:
        raise HTTPException(404, "expected the id of an order")
    return {"story": [event.name for event in found]}


@app.get("/stock/{item}")
async def stock(item: str, within: float = 2.0) -> dict[str, str | int]:
    left = await service.system.ref(STOCK, Stock).within(within).ask(Stock.left, item)
    return {"item": item, "left": left}


@app.get("/events")
async def events() -> StreamingResponse:
    """A stream without an end: `until_draining` ends it, or it would hold up the end of the process."""
    stream = service.until_draining(events_of(service.system))
    return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.exception_handler(ActorError)
async def refused(request: Request, error: ActorError) -> JSONResponse:
    status, headers = answer_to(error)
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status, headers)
