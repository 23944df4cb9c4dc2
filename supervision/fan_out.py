"""One message for many workers: a copy each, and the first reply answers the asker."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from upright.actors.envelope import Envelope, Question, deadline_of
from upright.actors.mailbox import Mailbox

from .worker_mailbox import WorkerMailbox


def copies(envelope: Envelope, count: int) -> list[Envelope]:
    """That many copies of a message. Of an ask, the first reply goes to the asker; an error only if all have failed.

    An asker who is answered does not keep the other workers from handling theirs; one who has given up does.
    """
    if not isinstance(envelope, Question) or envelope.reply is None:
        return [msgspec.structs.replace(envelope) for _ in range(count)]
    loop = asyncio.get_running_loop()
    made = [msgspec.structs.replace(envelope, reply=loop.create_future()) for _ in range(count)]
    envelope.forwarded = tuple(made)
    _Replies(envelope.reply, [copy.reply for copy in made if copy.reply is not None])
    return list(made)


class _Replies:
    """Waits for the replies to all copies of one ask."""

    def __init__(self, asked: asyncio.Future[Any], replies: list[asyncio.Future[Any]]) -> None:
        self._asked, self._left = asked, set(replies)
        self._error: BaseException | None = None
        for reply in replies:
            reply.add_done_callback(self._answered)
        asked.add_done_callback(self._ended)

    def _answered(self, reply: asyncio.Future[Any]) -> None:
        self._left.discard(reply)
        error = None if reply.cancelled() else reply.exception()
        if self._asked.done() or reply.cancelled():
            return
        if error is None:
            self._asked.set_result(reply.result())
            return
        if self._error is None or getattr(error, "handled", True):  # what may have had effects is the news
            self._error = error
        if not self._left:
            self._asked.set_exception(self._error if self._error is not None else error)
            self._asked.exception()  # marks it as seen: whoever asked may be gone

    def _ended(self, asked: asyncio.Future[Any]) -> None:
        if asked.cancelled() or asked.exception() is not None:
            for reply in tuple(self._left):
                reply.cancel()


def line_up_an_ask(mailbox: Mailbox, copy: Envelope) -> None:
    """Have the copy of an ask wait for room as long as its asker waits; nobody else waits for that."""
    now = asyncio.get_running_loop().time()
    left = deadline_of(copy) - now
    room = mailbox.line_up(copy, None if left == math.inf else max(left, 0.0))
    if copy.reply is not None:
        copy.reply.add_done_callback(lambda _: room.cancel())


def route_to_all(workers: Sequence[WorkerMailbox], envelope: Envelope, full: str) -> bool:
    """Give each a copy; False where not all have room, and whoever sends is to know that, or waits for all."""
    whole = full == "reject" or (full == "wait" and not isinstance(envelope, Question))
    if whole and not all(len(worker.queue) < worker.limit for worker in workers):
        return False
    for worker, copy in zip(workers, copies(envelope, len(workers)), strict=True):
        if worker.turns_away(copy) or worker.put_nowait(copy):
            continue
        if full == "wait":  # whoever asks waits for the first reply, not for room at the last worker
            line_up_an_ask(worker, copy)
        else:
            worker.owner.dropped(copy, "dropped_new")
    return True


def line_up_at_all(
    workers: Sequence[WorkerMailbox], envelope: Envelope, timeout: float | None
) -> asyncio.Future[Any]:  # fmt: skip
    """To those that have room at once; in line for the others, for all at the same time."""
    each = zip(workers, copies(envelope, len(workers)), strict=True)
    late = [
        worker.line_up(copy, timeout)
        for worker, copy in each
        if not (worker.turns_away(copy) or worker.put_nowait(copy))
    ]
    both: asyncio.Future[Any] = asyncio.gather(*late)
    return both
