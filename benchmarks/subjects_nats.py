"""NATS JetStream on this machine: a stream in files, published to without waiting for each answer, one pulling reader.

Not comparable in one thing: the server answers when it has written a message, not when the disk has it. It is left
out where there is no server.
"""

# pyright: basic
# nats-py has types for some of what it takes.

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import nats
from durable import BODY, Tally
from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from support import Absent, check

AT_ONCE = 1_000


@asynccontextmanager
async def stream() -> AsyncGenerator[tuple[Client, str], None]:
    """A client and the name of a new stream. Raises `Absent` where there is no server."""
    name = f"upright-bench-{os.getpid()}"
    try:
        client = await nats.connect("nats://127.0.0.1:4222", connect_timeout=3, allow_reconnect=False)
    except (OSError, TimeoutError, Error) as error:
        raise Absent(f"no NATS server at 127.0.0.1:4222: {error}") from error
    try:
        js = client.jetstream()
        config = StreamConfig(name, subjects=[name], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE)
        await js.add_stream(config)
        try:
            yield client, name
        finally:
            await js.delete_stream(name)
    finally:
        await client.close()


async def cycle(client: Client, name: str, count: int) -> Tally:
    """Publish so many messages, then pull and ack them all."""
    tally, js = Tally(), client.jetstream(publish_async_max_pending=AT_ONCE)
    answers: list[Any] = [
        await js.publish_async(name, number.to_bytes(4, "big") + BODY, wait_stall=60) for number in range(count)
    ]
    await js.publish_async_completed()
    check(sorted(answer.result().seq for answer in answers), list(range(1, count + 1)))
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_ack_pending=10 * AT_ONCE)
    reader = await js.pull_subscribe(name, durable="reader", stream=name, config=config)
    while tally.count < count:
        for message in await reader.fetch(min(AT_ONCE, count - tally.count), timeout=10):
            tally.add(int.from_bytes(message.data[:4], "big"))
            await message.ack()
    await client.flush()
    while (await js.stream_info(name)).state.messages:  # acks are not answered, but an acked message leaves
        pass
    return tally
