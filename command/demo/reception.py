"""`Reception`: orders by HTTP. POST /orders, one order as JSON."""

from typing import Any

from aiohttp import web

from upright.persistence.errors import StoreError

from .desk import Desk
from .lines import LONGEST
from .order import Refused, read_order
from .scene import Scene


class Reception:
    """Answers 202 with the id when an order is stored, 200 if it was before, 400 with the reason for what is no order,
    413 for what is too long, 503 when nothing is accepted any more.
    """

    def __init__(self, desk: Desk, scene: Scene, port: int) -> None:
        self._desk, self._scene, self._port = desk, scene, port
        self._runner: web.AppRunner | None = None
        self._open = True

    async def start(self) -> None:
        """Listen on 127.0.0.1. Raises `OSError` if the port is taken."""
        app = web.Application(client_max_size=LONGEST)
        app.router.add_post("/orders", self.post)
        app.router.add_get("/", self.look)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        host, port = self._runner.addresses[0][:2]
        self._scene.url = f"http://{host}:{port}"
        self._scene.tell(f"POST {self._scene.url}/orders takes orders too")

    async def stop(self) -> None:
        """Accept no more; those in hand are answered."""
        self._open = False
        if self._runner is not None:
            await self._runner.cleanup()

    async def look(self, _: web.Request) -> web.Response:
        """How it stands, in figures."""
        scene = self._scene
        return answer(
            200, accepted=scene.accepted, completed=scene.completed, called_off=scene.called_off,
            quarantined=scene.quarantined, circuits=scene.circuits,
        )  # fmt: skip

    async def post(self, request: web.Request) -> web.Response:
        """Take one order."""
        scene = self._scene
        if not self._open:
            return answer(503, error="nothing is accepted any more: the demo ends")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, f"longer than {LONGEST} bytes")
        try:
            order = read_order(body)
        except Refused as refused:
            return self._refuse(400, str(refused))
        scene.posted += 1
        try:
            accepted = await self._desk.accept(order)
        except (StoreError, OSError) as error:
            scene.posted -= 1
            return answer(503, error=f"it could not be stored: {error}")
        if not accepted:
            scene.duplicates.add(0, f"order {order.id} was accepted before")
            return answer(200, id=order.id, duplicate=True)
        scene.accepted += 1
        return answer(202, id=order.id)

    def _refuse(self, status: int, why: str) -> web.Response:
        self._scene.posts_refused += 1
        return answer(status, error=why)


def answer(status: int, **fields: Any) -> web.Response:
    """A response of JSON."""
    return web.json_response(fields, status=status)
