"""Programs that make it hard to end them: for the tests of the end of a service inside something else.

Run as a script, with the name of a loop, it is a server that never ends by itself, whatever signal it gets.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from upright.actors import Actor, ActorSystem
from upright.operations import Service
from upright.persistence import Durable, Sqlite, Store
from upright.supervision import child, supervisor


class Jobs(Actor):
    mailbox = Durable("jobs", order="free")

    async def started(self) -> None:
        if os.environ.get("JOBS_WANT"):
            raise FileNotFoundError(f"expected a file {os.environ['JOBS_WANT']}")

    async def do(self, seconds: float) -> None:
        print("a job begins", flush=True)
        await asyncio.sleep(seconds)


system = ActorSystem(supervisor("works", child("jobs", Jobs)), store=Sqlite(os.environ["SHOP_DB"]))
service = Service(system, drain=float(os.environ["SHOP_DRAIN"]))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    async with service:
        yield


async def place(request: Request) -> Response:
    seconds = float((await request.json())["seconds"])
    receipt = await system.ref("/works/jobs", Jobs).tell(Jobs.do, seconds)
    assert receipt is not None
    return JSONResponse({"id": receipt.id}, 202, {"Location": f"/orders/{receipt.id}"})


async def story(request: Request) -> Response:
    assert isinstance(system.store, Store)
    found = await system.store.story(request.path_params["id"])
    return JSONResponse({"story": [event.name for event in found]})


async def for_ever() -> AsyncIterator[str]:
    yield ": connected\n\n"
    await asyncio.Event().wait()


async def events(request: Request) -> Response:
    return StreamingResponse(for_ever(), media_type="text/event-stream")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/orders", place, methods=["POST"]),
        Route("/orders/{id:int}", story),
        Route("/events", events),
    ],
)


async def serve() -> None:
    async with service:
        await system.ref("/works/jobs", Jobs).tell(Jobs.do, 3_600.0)
        await asyncio.Event().wait()


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: print("a signal is ignored", flush=True))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "uvloop" else None) as runner:
        runner.run(serve())
