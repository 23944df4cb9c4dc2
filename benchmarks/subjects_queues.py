"""Two queues in SQLite without actors: litequeue and persist-queue. One thread puts all, then gets and acks all."""

# pyright: basic
# litequeue has no types.

from pathlib import Path

from durable import BODY, Tally


def litequeue(path: Path, count: int) -> Tally:
    """`synchronous=NORMAL`, its own setting. It keeps text."""
    from litequeue import LiteQueue

    queue, tally, body = LiteQueue(str(path)), Tally(), BODY.decode("latin-1")
    for number in range(count):
        queue.put(f"{number} {body}")
    while (message := queue.pop()) is not None:
        tally.add(int(message.data.split(" ", 1)[0]))
        queue.done(message.message_id)
    if queue.qsize():
        raise AssertionError("expected an empty queue")
    queue.close()
    return tally


def persist_queue(path: Path, count: int) -> Tally:
    """`SQLiteAckQueue`; its connections are as SQLite makes them in WAL mode, so `synchronous=FULL`."""
    from persistqueue import Empty, SQLiteAckQueue

    queue, tally = SQLiteAckQueue(str(path)), Tally()
    for number in range(count):
        queue.put((number, BODY))
    while True:
        try:
            item = queue.get(block=False)
        except Empty:
            break
        tally.add(item[0])
        queue.ack(item)
    if queue.acked_count() != count:
        raise AssertionError(f"expected {count} acked, got {queue.acked_count()}")
    queue.close()
    return tally
