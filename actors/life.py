"""The steps of an incarnation's life, in order: begin, serve (attend, handle, settle), finish.

`serve` is the path of every message. It is one loop without inner calls on purpose; its budget, and the clock that it
reads now and then, keep a flooded actor from holding up the others.
"""

import asyncio
import math
from collections.abc import Coroutine
from contextvars import Context as Variables
from typing import Any

import anyio

from .context import Context
from .envelope import DONE, IN_HAND, MOVED, QUEUED, TURN, Envelope
from .errors import Refuse
from .events import ActorCrashed, AskExpired, HookFailed, MessageProcessed
from .exits import Crashed, Exit, Killed, is_clean
from .incarnation import OVER, RUNNING, STARTED, STARTING, STOPPED, STOPPING, Incarnation, outcome

BUDGET = 256
"""Messages per activation, at most."""
FIRST_LOOK = 4
"""Messages before the clock is first read: short drains never read it, and slow handlers are noticed soon."""
FATAL = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""Not an actor's to judge: they end the loop itself."""


class Life(Incarnation):
    """An incarnation that can be carried by a dispatcher."""

    __slots__ = ()

    def activate(self) -> Coroutine[Any, Any, bool]:
        """The next steps, to be run inside `context` until they have nothing more to do."""
        return self.begin() if self.phase == STARTING else self.serve()

    def make(self) -> None:
        """Construct the instance; its context is there before `__init__` runs."""
        blueprint = self.cell.blueprint
        make: Any = blueprint.actor.__new__
        instance: Any = make(blueprint.actor)
        instance.ctx = Context(self)
        instance.__init__(*blueprint.args, **blueprint.kwargs)
        self.instance = instance

    async def begin(self) -> bool:
        """Make the instance and have it start."""
        self.turn = turn = Envelope(STARTED, (), None, None, caller=self.starter, host=self, phase=IN_HAND)
        TURN.set(turn)
        limit, timer = self.cell.blueprint.start_timeout, None
        if limit != math.inf:
            timer = self.runtime.loop.call_later(limit, self.start_too_long, limit, context=self.runtime.plain)
        try:
            if self.killed:
                raise asyncio.CancelledError("killed before it started")
            self.make()
            await self.instance.started()
        except FATAL:
            raise
        except BaseException as error:
            if not self.detached:
                await self.finish(self.death() if self.killed else Crashed(error), started=False)
            return False
        finally:
            turn.phase = max(turn.phase, DONE)
            if timer is not None:
                timer.cancel()
        if self.detached:
            return False
        self.up()
        if len(self.context) > 1:
            self.context = Variables()
            self.lane.push(self)
            return False
        return await self.serve()

    def start_too_long(self, limit: float) -> None:
        """`started()` has used up its time."""
        error = TimeoutError(f"expected started() to return within {limit:g} s")
        self.leaving = Crashed(error)
        self.cell.cancel(str(error), children=False)  # those that are up end as in any failed start

    def made(self) -> None:
        """The instance is there and has no `started()` to run.

        This runs in the spawner's context, so it sets no variable.
        """
        self.context = Variables()
        self.up()
        mailbox = self.cell.mailbox
        if mailbox.queue or self.leaving is not None:
            self.lane.push(self)
        else:
            mailbox.asleep = True
            self.runtime.activity.add(-1)

    def up(self) -> None:
        """`started()` has returned."""
        self.phase, self.starter = RUNNING, None
        self.cell.up()

    async def serve(self) -> bool:
        """Handle what waits, until nothing does, the budget is used up, or life is over.

        True: the budget was used up.
        """
        mailbox, instance, variables, clock = self.cell.mailbox, self.instance, self.context, self.runtime.loop.time
        queue, take, observed = mailbox.queue, mailbox.queue.popleft, self.runtime.bus.every_message
        done, look, began = 0, FIRST_LOOK, 0.0
        while True:
            if self.attention and not await self.attend():
                return False
            if not queue:
                break
            if done == look:
                if done >= BUDGET or clock() > self.lane.until:
                    break
                look *= 2
            done += 1
            envelope = take()
            if mailbox.waiting:
                mailbox.release()  # at once: the one who waits may be the very actor that this handler is about to ask
            handler, reply = envelope.handler, envelope.reply
            if envelope.phase != QUEUED or (reply is not None and self.expired(envelope)):
                continue
            envelope.host, envelope.phase = self, IN_HAND
            if handler.limit:
                self.overlap(envelope)
                continue
            self.turn = envelope
            TURN.set(envelope)
            if observed:
                began = clock()
            try:
                if envelope.kwargs is None:
                    result = await handler.function(instance, *envelope.args)
                else:
                    result = await handler.function(instance, *envelope.args, **envelope.kwargs)
            except BaseException as error:
                end = self.settle_error(envelope, error)
                if observed:
                    self.tell_processed(envelope, began, outcome_of(end))
                if end is not None:
                    if not self.detached:
                        await self.finish(end)
                    return False
            else:
                if envelope.phase == IN_HAND:
                    envelope.phase = DONE
                    if reply is not None and not reply.done():
                        reply.set_result(result)
                if observed:
                    self.tell_processed(envelope, began, "ok")
            if len(variables) > 1:  # the handler set a context variable; the next message must not see it
                self.context = Variables()
                break
        return self.rest(done > 1 and bool(queue))

    def rest(self, exhausted: bool) -> bool:
        """The drain is over for now: sleep, or queue for another activation."""
        self.turn = None
        TURN.set(None)  # or the last message would stay in memory with its arguments
        mailbox = self.cell.mailbox
        if mailbox.queue or self.control or self.leaving is not None or self.detached:
            self.lane.push(self)
            return exhausted
        mailbox.asleep = True
        self.runtime.activity.add(-1)
        return False

    async def attend(self) -> bool:
        """Look after everything but messages; False when there is nothing more to serve now."""
        if self.detached:
            return False
        queue, control = self.cell.mailbox.queue, self.control
        if self.leaving is not None:
            await self.finish(self.leaving)
            return False
        if self.overlapping and (control or (queue and self.must_wait(queue[0]))):
            self.gated = True
            self.turn = None
            TURN.set(None)
            return False
        if control:
            # In front of everything, one at a time; in the mailbox only for the instant until it is taken below.
            queue.appendleft(control.popleft()[0])
        self.attention = bool(control or self.overlapping)
        return True

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
            end = self.settle_error(envelope, error)
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

    def settle_error(self, envelope: Envelope, error: BaseException) -> Exit | None:
        """A handler raised: answer the asker; the exit that follows, or None where the actor goes on."""
        if isinstance(error, FATAL):
            self.struck(error)
            raise error
        moved, envelope.phase = envelope.phase == MOVED, max(envelope.phase, DONE)
        runtime, path = self.runtime, self.path
        if self._stash is not None and envelope in self._stash and not isinstance(error, Refuse):
            # Set aside and then crashed on: it must not come back to crash the next incarnation for ever.
            self._stash.remove(envelope)
            moved = False
        if isinstance(error, Refuse):
            if envelope.reply is not None and not moved:
                envelope.fail(error)
            elif not moved:
                runtime.undeliverable(path, envelope, "rejected", error)
            return None
        if self.detached:
            return self.death()
        reason = "killed" if self.killed and isinstance(error, asyncio.CancelledError) else "crashed"
        if isinstance(self.leaving, Crashed) and isinstance(error, asyncio.CancelledError):
            error = self.leaving.error  # cut off by the crash of another handler that overlaps
        if not moved:
            runtime.undeliverable(path, envelope, reason, error if reason == "crashed" else None)
        if reason == "killed":
            return self.death()
        if isinstance(self.leaving, Crashed) and self.leaving.error is error:
            return self.leaving
        if runtime.bus.wants(ActorCrashed):
            kind = self.cell.blueprint.actor.__name__
            runtime.bus.emit(ActorCrashed(path, kind, self.number, envelope.handler.name, error))
        return Crashed(error)

    async def finish(self, exit: Exit, started: bool = True) -> None:
        """End tasks, children and instance, in this order, and report how it went."""
        self.phase = STOPPING
        self.turn = turn = Envelope(STOPPED, (), None, None, host=self, phase=IN_HAND)
        TURN.set(turn)
        self.cell.arm()
        self.cancel_tasks(background_only=is_clean(exit) and not self.killed)
        try:
            with anyio.CancelScope(shield=True):  # a cancel scope that `stopping()` is to leave may be cancelled
                await self.end_dependants()
            if started and not self.killed:
                await self.instance.stopping(exit)
        except FATAL:
            raise
        except BaseException as error:
            if not self.killed:
                self.hook_failed("stopping", error)
                exit = outcome(exit, error)
            self.cancel_tasks()
            await self.end_dependants()  # again: the wait for them may be what was cancelled
        if self.detached:
            return
        turn.phase = DONE
        if self.killed and is_clean(exit):
            exit = self.death()
        self.phase = OVER
        self.clear()
        if self.lane is not self.runtime.dispatcher:
            self.lane.close()
        await self.cell.over(exit, started)

    def struck(self, error: BaseException) -> None:
        """The program is ending and the carrier dies of it: have another one end this life."""
        if not isinstance(error, GeneratorExit) and not self.detached:
            self.leaving, self.attention = Crashed(error), True
            self.lane.push(self)

    def cancel_tasks(self, background_only: bool = False) -> None:
        """Ask the tasks to end; handlers that overlap may finish where the end is a clean one."""
        if self._tasks is not None and not (background_only and self.beside is None):
            self._tasks.cancel(self.beside if background_only else None)

    async def end_dependants(self) -> None:
        """Wait until the tasks and the children have ended."""
        if self._tasks is not None:
            await self._tasks.join()
        await self.cell.end_children()

    def expired(self, envelope: Envelope) -> bool:
        """Whether nobody waits for this ask any more."""
        reply = envelope.reply
        late = self.runtime.loop.time() - envelope.deadline
        if late < 0 and reply is not None and not reply.done():
            return False
        envelope.phase = DONE
        if self.runtime.bus.wants(AskExpired):
            self.runtime.bus.emit(AskExpired(self.path, envelope.handler.name, max(late, 0.0)))
        return True

    def hook_failed(self, hook: str, error: BaseException) -> None:
        """Tell that `stopping()` or `undelivered()` raised."""
        if self.runtime.bus.wants(HookFailed):
            self.runtime.bus.emit(HookFailed(self.path, self.cell.blueprint.actor.__name__, hook, error))

    def tell_processed(self, envelope: Envelope, began: float, result: str) -> None:
        """Tell that a message was handled."""
        took = self.runtime.loop.time() - began
        self.runtime.bus.emit(MessageProcessed(self.path, envelope.handler.name, result, took))


def outcome_of(end: Exit | None) -> str:
    """How a handler that raised ended, for the event."""
    return "refused" if end is None else "killed" if isinstance(end, Killed) else "crashed"
