"""What a process of the demo has to do with the one that started it: it reports by lines of JSON on its standard
output, and it ends when its standard input does, for then nobody is there any more.
"""

import asyncio
import os
import signal
import sys

import msgspec


def report(**fields: object) -> None:
    """Tell whoever started this process. Nobody there is no error: standard input has ended too then."""
    line = msgspec.json.encode(fields) + b"\n"
    try:
        os.write(sys.stdout.fileno(), line)
    except BrokenPipeError:
        return


async def left_alone() -> None:
    """Return when standard input has ended."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while await reader.read(1024):
            pass
    finally:
        transport.close()


async def told_to_end() -> None:
    """Return at SIGTERM, SIGINT, or the end of standard input."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, over.set)
    alone, told = asyncio.create_task(left_alone()), asyncio.create_task(over.wait())
    try:
        await asyncio.wait((alone, told), return_when=asyncio.FIRST_COMPLETED)
    finally:
        alone.cancel()
        told.cancel()
