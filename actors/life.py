"""The steps of an incarnation's life, in order: begin, serve (attend, handle, settle), and then `Ending.finish`.

`serve` is the path of every message. It is one loop without inner calls on purpose; its budget, and the clock that it
reads now and then, keep a flooded actor from holding up the others.
"""

import asyncio
import math
from collections.abc import Coroutine
from contextvars import Context as Variables
from sys import getrefcount
from typing import Any

from .context import Context
from .durable import Delivered
from .ending import Ending, outcome_of, was_called
from .envelope import DONE, IN_HAND, QUEUED, Envelope, Notice, Own, Question
from .events import ActorPaused, ActorResumed
from .exits import Crashed
from .fatal import is_fatal
from .incarnation import RUNNING, STARTED, STARTING, UNUSED
from .passage import admitted, permitted
from .seat import COUNTS_TELL

BUDGET = 1_000
"""Messages per activation, at most: what most mailboxes hold, so that who waits for room does so once for many."""
FIRST_LOOK = 4
"""Messages before the clock is first read: short drains never read it, and slow handlers are noticed soon."""


class Life(Ending):
    """An incarnation that can be carried by a dispatcher."""

    __slots__ = ()

    def activate(self) -> Coroutine[Any, Any, bool]:
        """The next steps, to be run inside `context` until they have nothing more to do."""
        if self.stack is not None:
            return self.resumed(self.stack)
        if self.context is UNUSED:
            self.context = Variables()
        return self.begin() if self.phase == STARTING else self.serve()

    def make(self) -> None:
        """Construct the instance; its context is there before `__init__` runs."""
        blueprint = self.cell.blueprint
        actor, args, kwargs = blueprint.actor, blueprint.args, blueprint.kwargs
        make: Any = actor.__new__
        instance: Any = make(actor)
        instance.ctx = Context(self)
        instance.__init__(*args, **kwargs) if args or kwargs else instance.__init__()
        self.instance = instance

    async def begin(self) -> bool:
        """Make the instance and have it start."""
        turn = Question(STARTED, (), None, None, phase=IN_HAND, caller=self.starter)
        seat, shared, seated = self.take_seat(turn), -1, -1
        if COUNTS_TELL:
            shared, seated = getrefcount(self.variables), getrefcount(seat)
        limit, timer = self.cell.blueprint.start_timeout, None
        if limit != math.inf:
            timer = self.runtime.loop.call_later(limit, self.start_too_long, limit, context=self.runtime.plain)
        try:
            if self.killed:
                raise asyncio.CancelledError("killed before it started")
            self.make()
            if self.cell.mailbox.restores:
                await self.cell.mailbox.restore(self.instance)
            await self.instance.started()
        except BaseException as error:
            if is_fatal(error, self.carrier):
                self.killed, self.phase = True, RUNNING  # as one that was killed: no `stopping()` follows
                self.struck(error)
                raise
            if not self.detached:
                await self.finish(self.death() if self.killed else Crashed(error), started=False)
            return False
        finally:
            turn.phase = max(turn.phase, DONE)
            if timer is not None:
                timer.cancel()
        if self.detached:
            return False
        if getrefcount(self.variables) == shared and getrefcount(seat) == seated:
            seat.over()
        else:
            self.seat = None
        self.up()
        if len(self.context) > 1:
            self.context = Variables()
            self.lane.push(self)
            return False
        mailbox = self.cell.mailbox
        self.pauses()
        if mailbox.queue or self.attention:
            return await self.serve()
        mailbox.asleep = True
        self.runtime.activity.add(-1)
        return False

    def start_too_long(self, limit: float) -> None:
        """`started()` has used up its time."""
        error = TimeoutError(f"expected started() to return within {limit:g} s")
        self.leaving = Crashed(error)
        self.cell.cancel(str(error), children=False)  # those that are up end as in any failed start

    def made(self) -> None:
        """The instance is there and has no `started()` to run.

        This runs in the spawner's context, so it sets no variable.
        """
        self.phase, self.starter, cell = RUNNING, None, self.cell  # `up`, without the call
        if self.number > 1 or self.runtime.bus.heard:
            cell.up()
        mailbox = cell.mailbox
        if mailbox.waiting:  # `pauses`, without the call
            mailbox.release()
        if mailbox.queue or self.leaving is not None:
            self.runtime.activity.add(1)
            self.lane.push(self)
        else:
            mailbox.asleep = True

    def up(self) -> None:
        """`started()` has returned."""
        self.phase, self.starter = RUNNING, None
        self.cell.up()

    async def serve(self) -> bool:
        """Handle what waits, until nothing does, the budget is used up, or life is over.

        True: the budget was used up.
        """
        mailbox, instance, runtime = self.cell.mailbox, self.instance, self.runtime
        queue, observed, at_once = mailbox.unfold(), runtime.bus.every_message, mailbox.at_once
        seat = self.seat if self.seat is not None else self.take_seat()
        now = runtime.deadlines.now
        variables, shared, seated = self.variables, -1, -1  # never the counts, where these tell nothing
        if COUNTS_TELL:
            shared, seated = getrefcount(variables), getrefcount(seat)
        done, look, began = 0, FIRST_LOOK, 0.0
        while True:
            if self.attention:
                seat.turn = None
                if not await self.attend():
                    return False
            if not queue:
                self.pauses()
                if queue:
                    continue  # what came in may have to wait for what overlaps
                break
            if done == look:
                if done >= BUDGET or now() > self.lane.until:
                    break
                look = min(look * 2, BUDGET)
            done += 1
            envelope = queue.popleft()
            if at_once and mailbox.waiting:
                mailbox.release()
            handler, reply, args = envelope.handler, envelope.reply, envelope.args
            if envelope.phase != QUEUED or (
                reply is not None
                and (reply.done() or now() >= envelope.deadline)  # type: ignore[attr-defined]  # it is a Question
                and self.expired(envelope, reply)
            ):
                continue
            envelope.phase = IN_HAND
            if handler.limit:
                self.overlap(envelope)
                continue
            seat.turn = envelope
            if observed:
                began = runtime.loop.time()
            try:
                if envelope.kwargs is not None:
                    result = await handler.function(instance, *args, **envelope.kwargs)
                elif len(args) == 1:  # most have one argument, and a call without a star is much cheaper
                    result = await handler.function(instance, args[0])
                else:
                    result = await handler.function(instance, *args)
            except BaseException as error:
                end = self.settle_error(envelope, error, was_called(error))
                if observed:
                    self.tell_processed(envelope, began, outcome_of(end))
                if end is not None:
                    if not self.detached:
                        await self.finish(end)
                    end = None  # the error's traceback holds this frame: each crash would leave a circle behind
                    return False
            else:
                if reply is not None and envelope.phase == IN_HAND:
                    try:
                        self.lane.waker.answer(reply, result)
                    except asyncio.InvalidStateError:
                        pass  # whoever asked has stopped waiting
                if observed:
                    self.tell_processed(envelope, began, "ok")
            if seat.link is not None:
                seat.over()
            if getrefcount(variables) != shared or getrefcount(seat) != seated:
                # A copy of the context is left, in a task say, or a variable was set: see `seat`.
                fresh = self.reseat()
                if fresh is None:
                    break
                seat = fresh
                variables = self.variables
                if COUNTS_TELL:
                    shared, seated = getrefcount(variables), getrefcount(seat)
        seat.turn = None
        self.pauses()
        if queue or self.control or self.leaving is not None or self.detached:
            self.lane.push(self)
            return done > 1 and bool(queue)
        mailbox.asleep = True
        runtime.activity.add(-1)
        return False

    async def attend(self) -> bool:
        """Look after everything but messages; False when there is nothing more to serve now."""
        if self.paused:
            self.paused = False
            self.runtime.activity.add(-1)  # whoever woke it has counted it again
        if self.detached:
            return False
        queue, control = self.cell.mailbox.queue, self.control
        if self.leaving is not None:
            await self.finish(self.leaving)
            return False
        gated = self.overlapping and (control or (queue and self.must_wait(queue[0])))
        if self.passage is not None and (gated or control):
            self.passage.forget(self)  # it would not come if it were called now: others need not wait for it
        if gated:
            self.gated = True
            self.pauses()
            return False
        # Of what comes while the last notice of all that were there is handled, none passes a message that waits: or a
        # child that crashes as soon as it is up would keep everybody else from being served.
        if control and not (self.notices < 0 and queue and self.passage is None):
            # In front of everything, one at a time; in the mailbox only for the instant until it is taken below, or
            # until the next drain, where the time of this one is up. It is its turn still, then.
            if not (queue and type(queue[0]) is Notice):
                self.notices = (self.notices if self.notices > 0 else len(control)) - 1 or -bool(queue)
                queue.appendleft(control.popleft())
        else:
            self.notices = 0
            if self.passage is not None and not self.admit():
                return False
        self.attention = bool(control or self.notices or self.overlapping or self.passage is not None)
        return True

    def admit(self) -> bool:
        """Whether the message in front may be taken: it has a permit of the policies that the class uses, or none is
        there. If not, the mailbox pauses, and is woken when it may try again.
        """
        mailbox, passage = self.cell.mailbox, self.passage
        assert passage is not None
        queue = mailbox.queue
        passage.reclaim()
        while queue:
            envelope = queue[0]
            if envelope.phase != QUEUED or (envelope.reply is not None and self.expired(envelope, envelope.reply)):
                queue.popleft()
                continue
            if isinstance(envelope, Own) and envelope.sender is None:
                return True  # the runtime's own, and no handler of the class
            permit = passage.take(self)
            if permit is None:
                self.pause(passage.refused_by())
                return False
            if isinstance(envelope, Delivered):
                envelope.work.permit = permit
                envelope.handler = permitted(envelope.handler, permit)
            else:
                envelope.handler = admitted(envelope.handler, permit)
            passage.offered = envelope
            break
        else:
            passage.forget(self)
        if self.paused_at is not None:
            paused_s, self.paused_at = self.runtime.loop.time() - self.paused_at, None
            self.cell.tell(ActorResumed, self.cell.kind, paused_s)
        return True

    def pause(self, guard: str) -> None:
        """Take no message for now. It sleeps, but is not idle, for it has something to do."""
        self.paused = self.cell.mailbox.asleep = True
        self.pauses()
        if self.paused_at is None:
            self.paused_at = self.runtime.loop.time()
            self.cell.tell(ActorPaused, self.cell.kind, guard)

    def called(self) -> None:
        """A gate has room."""
        self.cell.wake()

    def must_wait(self, envelope: Envelope) -> bool:
        """Whether a message has to wait for the overlapping handlers:
        an ordinary one always, a concurrent one at its limit.
        """
        limit = envelope.handler.limit
        return not limit or self.tasks.count(envelope.handler.name) >= limit

    def overlap(self, envelope: Envelope) -> None:
        """Begin a concurrent handler in a task of its own."""
        self.overlapping += 1
        self.attention = True
        self.runtime.activity.add(1)
        _ = self.tasks.start(self.handle_beside(envelope), envelope, f"{self.path} {envelope.handler.name}")

    async def handle_beside(self, envelope: Envelope) -> None:
        """Handle one message beside others."""
        began = self.runtime.loop.time()
        try:
            result = await envelope.handler.function(self.instance, *envelope.args, **(envelope.kwargs or {}))
        except BaseException as error:
            end = self.settle_error(envelope, error, was_called(error))
            if self.runtime.bus.every_message:
                self.tell_processed(envelope, began, outcome_of(end))
            if end is not None and not self.detached:
                self.leave(end)
        else:
            if envelope.phase == IN_HAND:
                envelope.phase = DONE
                if envelope.reply is not None and not envelope.reply.done():
                    envelope.reply.set_result(result)
            if self.runtime.bus.every_message:
                self.tell_processed(envelope, began, "ok")
