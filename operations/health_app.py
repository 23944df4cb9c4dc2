"""The health endpoints as an ASGI application: mount it in any framework, at any path, or serve it by itself."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .endpoints import TEXT, Answer, Metrics, Probed, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class HealthApp:
    """Answers `/startupz`, `/livez`, `/readyz`, `/healthz` and `/metrics`, below whatever path it is mounted at.

    `app.mount("/health", HealthApp(service.health))` in Starlette and FastAPI. It needs no lifespan of its own. It is
    asked on the event loop, so it cannot answer while that is held up; `HealthServer` can.
    """

    def __init__(self, health: Probed, metrics: Metrics | None = None) -> None:
        self._health, self._metrics = health, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":  # a websocket: refused, as the specification has it
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        method = scope["method"]
        if method in ("GET", "HEAD"):
            query = scope.get("query_string", b"").decode("latin-1")
            found = answer(self._health, scope["path"], query, self._metrics)
        else:
            found = Answer(405, TEXT, f"expected GET, got {method}\n".encode())
        headers = [
            (b"content-type", found.kind.encode()),
            (b"content-length", str(len(found.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if found.status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": found.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else found.body})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
