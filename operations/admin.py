"""The admin socket: whoever may open it, and that is the user of the service alone, may look into the service and act.

A request is one line, `{"do": "tree", "with": {}}`. The answer is any number of lines `{"progress": {…}}`, and then one
`{"result": {…}}` or `{"error": "…", "kind": "not_found"}`. A connection may send several, one after the other. Whatever
comes over it, the service goes on.
"""

import asyncio
import contextlib
import os
import traceback
from collections.abc import AsyncGenerator, Mapping
from contextvars import Context as Variables
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
import structlog

from upright.actors.errors import ActorError
from upright.actors.message import said, told

from .admin_socket import AdminSocket
from .answers import Progress
from .errors import Failed, NotFound, Wrong
from .plain_json import as_json

LONGEST = 2**20
"""Bytes of a request, at most."""
NESTED = (msgspec.MsgspecError, UnicodeError, RecursionError)


class Gone(Exception):
    """Whoever asked has gone."""


class Request(msgspec.Struct, forbid_unknown_fields=True, rename={"given": "with"}):
    """A line that comes over the socket."""

    do: str
    given: dict[str, Any] = {}


class Operations(Protocol):
    """Who does what is asked: `Controls`, or `StoreControls`."""

    def do(self, name: str, given: Mapping[str, Any] | None = None) -> Any: ...


class Admin:
    """Serves `controls` at the unix socket `path`, whose mode is 0600: `async with Admin("upright.sock", controls):`.

    A socket that a dead process left behind is removed. `start` raises `SocketRefused` if a service that lives has it,
    if something else is there, or if the path is too long for a socket.
    """

    def __init__(self, path: str | os.PathLike[str], controls: Operations) -> None:
        self._socket, self._controls = AdminSocket(path), controls
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def path(self) -> str:
        """Where the socket is, as an absolute path."""
        return str(self._socket.path)

    async def start(self) -> Self:
        """Open the socket, and answer from now on. Raises `SocketRefused`."""
        made = await self._socket.open()
        try:
            self._server = await asyncio.start_unix_server(self._connected, sock=made, limit=LONGEST)
        except BaseException:
            made.close()
            self._socket.close()
            raise
        return self

    async def stop(self) -> None:
        """Answer nobody any more: cut off those who are connected, and remove the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        self._socket.close()  # while it is still ours: the path may be given to another from then on
        server.close()
        serving = dict(self._serving)
        for task, writer in serving.items():
            task.cancel()
            writer.transport.abort()
        if serving:
            await asyncio.wait(serving)
        await server.wait_closed()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more who asks. A task of our own, so that nobody reports its cancellation as an error."""
        if self._server is None:
            writer.transport.abort()
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._serve(reader, writer), name="upright admin", context=Variables())
        self._serving[task] = writer
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[None]) -> None:
        writer = self._serving.pop(task)
        writer.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error  # a bug of ours: the loop's exception handler tells it

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after the other, until the other side goes."""
        with contextlib.suppress(ConnectionError, Gone):
            async for line in lines(reader):
                await asyncio.sleep(0)  # a thousand requests in one packet are not all answered in one turn of the loop
                if line is None:
                    await _say(writer, _refusal(Wrong(f"expected a line of {LONGEST} bytes at most, got a longer one")))
                elif line.strip():
                    await self._answer(line, writer)

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = _read(line)
            answers: AsyncGenerator[dict[str, Any]] = self._controls.do(request.do, request.given)
            is_done = False
            async with contextlib.aclosing(answers):
                async for answer in answers:
                    is_done = not isinstance(answer, Progress)
                    await _say(writer, {"result" if is_done else "progress": answer})
            if not is_done:
                raise Failed(f"{request.do} ended without a result")
        except Gone:
            raise
        except (ActorError, OSError) as error:
            await _say(writer, _refusal(error))
        except Exception as error:
            # As text: a logger that shows local variables would show payloads.
            trace = "".join(traceback.format_exception(error))
            structlog.get_logger("upright").error("admin.failed", operation=_operation(line), traceback=trace)
            await _say(writer, _refusal(error))


async def lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes | None]:
    """The lines that come, the last one also without its end; None for one that was too long, which is passed over."""
    too_long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)
            too_long = True
            continue
        except asyncio.IncompleteReadError as error:
            if error.partial or too_long:
                yield None if too_long else error.partial
            return
        yield None if too_long else line
        too_long = False


def _read(line: bytes) -> Request:
    """The request of a line. Raises `Wrong`."""
    try:
        return msgspec.json.decode(line, type=Request)
    except NESTED as error:
        why = str(error) if isinstance(error, msgspec.ValidationError) else "this is no JSON, or nested too deep"
        raise Wrong(f'expected a line such as {{"do": "tree", "with": {{}}}}: {why}') from error


def _operation(line: bytes) -> str:
    """What was asked for, for the log, which shows no arguments."""
    return _read(line).do[:100]


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, NotFound | Wrong):
        return {"error": said(error), "kind": "not_found" if isinstance(error, NotFound) else "wrong"}
    text = said(error) if isinstance(error, Failed) else told(error)
    return {"error": text, "kind": "failed"}


def _unknown(value: object) -> Any:
    """Whoever answers makes plain values; what is none may be a payload."""
    raise TypeError(f"expected an answer of plain values, got a {type(value).__name__}")


async def _say(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    line = as_json(answer, _unknown) + b"\n"
    try:
        writer.write(line)
        await writer.drain()
    except ConnectionError as error:
        raise Gone from error
