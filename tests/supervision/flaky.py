"""A flaky HTTP server on loopback, and a client of it: real sockets, and no library that would retry by itself."""

import asyncio
import contextlib
from typing import Literal, Self

from upright.supervision.retry import RetryAfter

Mood = Literal["healthy", "slow", "failing", "hanging", "busy"]
ANSWERS: dict[str, bytes] = {
    "healthy": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "slow": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow",
    "failing": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    "busy": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
}


class ServerError(Exception):
    """It answered with a status from 500 on."""


class Flaky:
    """A server of a `mood`. `came`: how many requests have reached it. `release`: lets those go that are slow."""

    def __init__(self) -> None:
        self.mood: Mood = "healthy"
        self.came = self.port = 0
        self.release, self._came = asyncio.Event(), asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._handling = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def listen(self) -> None:
        """Accept connections, on the port that it had before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Accept none any more, and drop those that there are."""
        if self._server is not None:
            self._server.close()
            for task in self._handling:
                task.cancel()
            await asyncio.gather(*self._handling, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    async def seen(self, requests: int) -> None:
        """Wait until so many have come."""
        async with self._came:
            await self._came.wait_for(lambda: self.came >= requests)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._handle(reader, writer))
        self._handling.add(task)
        task.add_done_callback(self._handling.discard)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            async with self._came:
                self.came += 1
                self._came.notify_all()
            mood = self.mood
            if mood == "hanging":
                await reader.read()  # until the client has had enough
                return
            if mood == "slow":
                await self.release.wait()
            writer.write(ANSWERS[mood])
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):  # the client has gone
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def get(self) -> str:
        """One request. Raises `ServerError`, `RetryAfter` if the server names a time, `OSError`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            status = int(head[0].split()[1])
            body = await reader.readexactly(int(fields["content-length"]))
            if "retry-after" in fields:
                raise RetryAfter(float(fields["retry-after"]))
            if status >= 500:
                raise ServerError(status)
            return body.decode("ascii")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
