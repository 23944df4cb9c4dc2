"""How a service that runs is asked, over its admin socket."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec

from upright.actors.errors import ActorError
from upright.actors.message import told

from .answers import Progress
from .errors import Failed, NotFound, Unreachable, Wrong

LONGEST = 2**28
"""Bytes of a line of an answer, at most."""
KINDS: Mapping[str, type[ActorError]] = {"not_found": NotFound, "wrong": Wrong, "failed": Failed}


async def calling(
    path: str | os.PathLike[str], name: str, given: Mapping[str, Any] | None = None
) -> AsyncGenerator[dict[str, Any]]:
    """Ask the service at that socket to do the operation of that name: its `Progress`, and last the result.

    Whoever stops listening stops the operation. There is no limit of time but the caller's own: `asyncio.timeout`.
    Raises `Unreachable`, `NotFound`, `Wrong`, `Failed`.
    """
    async with _connected(path) as (reader, writer):
        try:
            writer.write(_encoded({"do": name, "with": dict(given or {})}) + b"\n")
            await writer.drain()
            while True:
                answer: Any = msgspec.json.decode(await reader.readuntil(b"\n"))
                if "progress" in answer:
                    yield Progress(answer["progress"])
                elif "result" in answer:
                    yield answer["result"]
                    return
                else:
                    raise KINDS.get(answer["kind"], Failed)(answer["error"])
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Unreachable(f"the service at {path} went away before it had answered") from error
        except (asyncio.LimitOverrunError, msgspec.MsgspecError, KeyError, TypeError) as error:
            raise Unreachable(f"expected a service at {path}, got an answer that is none of its words") from error


async def call(path: str | os.PathLike[str], name: str, /, **given: Any) -> dict[str, Any]:
    """Ask the service at that socket to do that, and return the result: `await call("upright.sock", "story", id=17)`.

    Raises what `calling` does.
    """
    result: dict[str, Any] = {}
    async for answer in calling(path, name, given):
        result = answer
    return result


def _encoded(asked: object) -> bytes:
    try:
        return msgspec.json.encode(asked)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Wrong(f"expected what can be sent as JSON: {told(error)}") from error


@contextlib.asynccontextmanager
async def _connected(
    path: str | os.PathLike[str],
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST)
    except OSError as error:
        raise Unreachable(_why(path, error)) from error
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _why(path: str | os.PathLike[str], error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no service has its admin socket at {path}: is it running, and is --admin the same for both?"
    if isinstance(error, ConnectionRefusedError):
        return f"nobody listens at {path}: the service that had it has ended, or starts anew just now"
    if isinstance(error, PermissionError):
        return f"{path} is for the user of the service alone: call as that user"
    return f"{path} cannot be reached: {error.strerror or error}"
