"""How an incarnation ends: what an error in a handler means, and the steps from the last message to the burial."""

import asyncio
from contextvars import Context as Variables
from typing import Any

import anyio

from .durable import Renew
from .envelope import DETACHED, DONE, IN_HAND, MOVED, Envelope, Question, deadline_of
from .errors import ActorRestarting, Refuse, WrongArguments
from .events import ActorCrashed, AskExpired, HookFailed, MessageProcessed
from .exits import Crashed, Exit, Failed, Killed, is_clean
from .fatal import is_fatal
from .incarnation import OVER, RUNNING, STARTED, STOPPED, STOPPING, Incarnation
from .passage import unpermitted
from .seat import TURN, Seat, variables_of


class Ending(Incarnation):
    """An incarnation, and how it ends. `Life`, in the next room, begins and serves."""

    __slots__ = ()

    def take_seat(self, turn: Envelope | None = None) -> Seat:
        """A seat of its own for what comes next; called inside its context."""
        self.seat = seat = self.cell.mailbox.seat(self, turn)
        TURN.set(seat)
        self.variables = variables_of(self.context)
        return seat

    def reseat(self) -> Seat | None:
        """Another seat, since the one that served so far belongs to a message for good; None where its context does as
        well.
        """
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.turn = None
        if len(self.context) > 1:
            self.context = Variables()
            return None
        return self.take_seat()

    @property
    def is_at_rest(self) -> bool:
        """Whether it has nothing in hand, and no timer, task or notice that will bring something."""
        busy = self.turn is not None or self.control or self.leaving is not None or self.stack is not None
        return self.phase == RUNNING and not (busy or self._timers or (self._tasks is not None and self._tasks.all()))

    def settle_error(self, envelope: Envelope, error: BaseException, called: bool) -> Exit | None:
        """A handler raised, or could not be `called`: answer the asker; the exit that follows, or None where the actor
        goes on.
        """
        if is_fatal(error, self.carrier):
            self.struck(error)
            raise error
        moved, envelope.phase = envelope.phase == MOVED, max(envelope.phase, DONE)
        if isinstance(error, Renew):
            if self.killed:
                return self.death()
            return Failed(error.error) if self.leaving is None else None
        if not called:  # no line of it has run: the sender's mistake, not the actor's
            error = WrongArguments(str(error)).with_traceback(error.__traceback__)
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

    async def fail_turn(self, envelope: Envelope, error: BaseException, began: float, called: bool) -> bool:
        """A handler raised, in the accelerator's drain, which leaves all that follows to this. `began`: when it did, or
        negative where nobody wants to know. Whether the drain goes on.
        """
        traceback = error.__traceback__
        try:
            raise error  # so that whoever follows, hooks and subscribers, finds it in hand, as in an `except`
        except BaseException:
            error.__traceback__ = traceback
            end = self.settle_error(envelope, error, called)
            if began >= 0:
                self.tell_processed(envelope, began, outcome_of(end))
            if end is not None and not self.detached:
                await self.finish(end)
        return end is None

    async def finish(self, exit: Exit, started: bool = True) -> None:
        """End tasks, children and instance, in this order, and report how it went."""
        if self._tasks is None and self.lane is self.runtime.dispatcher and not self.cell.children:
            await self.be_over(exit, started)  # it has nothing to end, and no `stopping()` of its own
            return
        self.phase = STOPPING
        turn = Envelope(STOPPED, (), None, None, phase=IN_HAND)
        self.take_seat(turn)
        failed = isinstance(exit, Failed)  # one delivery: the others that overlap with it are left to their ends
        if not failed:
            self.cell.arm()
        self.cancel_tasks(background_only=(failed or is_clean(exit)) and not self.killed)
        try:
            with anyio.CancelScope(shield=True):  # a cancel scope that `stopping()` is to leave may be cancelled
                await self.end_dependants()
            if started and not self.killed:
                await self.instance.stopping(exit)
        except BaseException as error:
            if is_fatal(error, self.carrier):
                raise
            if not self.killed:
                self.hook_failed("stopping", error)
                exit = outcome(exit, error)
            self.cancel_tasks()
            await self.end_dependants()  # again: the wait for them may be what was cancelled
        if self.detached:
            return
        turn.phase = DONE
        await self.be_over(exit, started)

    async def be_over(self, exit: Exit, started: bool) -> None:
        """Nothing of it is left but itself."""
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
            self.lane.push(self)  # type: ignore[arg-type]  # a Life, which can be activated

    def clear(self) -> None:
        """Cancel timers and watches, forget notices, put the stash back in front."""
        if self._timers is not None:
            self._timers.clear()
        if self._watches is not None:
            self._watches.clear()
        if self.passage is not None:
            self.passage.forget(self)  # type: ignore[arg-type]  # a Life, which can be called
        self.control = None
        self.put_back_stash()
        if len(self.cell.mailbox):
            self.cell.mailbox.purge()

    def detach(self) -> None:
        """Leave it behind as a zombie: nothing that it sends or returns counts any more."""
        self.detached, self.phase = True, OVER
        if self.lane is not self.runtime.dispatcher:
            self.lane.close()
        tasks = self._tasks.turns() if self._tasks is not None else []
        self.runtime.activity.add(-len(tasks))
        turns = [self.turn, self.beside, *tasks]
        for turn in turns:
            if turn is not None:
                if turn.phase == IN_HAND and turn.handler not in (STARTED, STOPPED):
                    self.runtime.undeliverable(self.path, turn, "killed")
                turn.phase = DETACHED
                turn.handler = unpermitted(turn.handler)
        self.attention = True

    def cancel_tasks(self, background_only: bool = False) -> None:
        """Ask the tasks to end; handlers that overlap may finish where the end is a clean one."""
        if self._tasks is not None and not (background_only and self.beside is None):
            self._tasks.cancel(self.beside if background_only else None)

    async def end_dependants(self) -> None:
        """Wait until the tasks and the children have ended."""
        if self._tasks is not None:
            await self._tasks.join()
        await self.cell.end_children()

    def expired(self, envelope: Envelope, reply: asyncio.Future[Any]) -> bool:
        """Whether nobody waits for this ask any more."""
        late = self.runtime.deadlines.now() - deadline_of(envelope)
        if late < 0 and not reply.done():
            return False
        envelope.phase = DONE
        if self.runtime.bus.wants(AskExpired):
            self.runtime.bus.emit(AskExpired(self.path, envelope.handler.name, max(late, 0.0)))
        return True

    def refuse_impatient(self) -> None:
        """End the asks that wait here but chose not to wait through a restart."""
        mailbox = self.cell.mailbox
        if not (len(mailbox) or mailbox.waiting):
            return
        for envelope in mailbox.take_out(lambda waits: isinstance(waits, Question) and waits.fail_fast):
            envelope.fail(ActorRestarting(f"{self.path} is restarting", self.path, handled=False))

    def hook_failed(self, hook: str, error: BaseException) -> None:
        """Tell that `stopping()` or `undelivered()` raised."""
        if self.runtime.bus.wants(HookFailed):
            self.runtime.bus.emit(HookFailed(self.path, self.cell.blueprint.actor.__name__, hook, error))

    def tell_processed(self, envelope: Envelope, began: float, result: str) -> None:
        """Tell that a message was handled."""
        took = self.runtime.loop.time() - began
        self.runtime.bus.emit(MessageProcessed(self.path, envelope.handler.name, result, took))


def was_called(error: BaseException) -> bool:
    """Whether a line of the handler has run before it raised, and not the call itself, in the line that awaits it."""
    traceback = error.__traceback__
    return not (isinstance(error, TypeError) and traceback is not None and traceback.tb_next is None)


def outcome_of(end: Exit | None) -> str:
    """How a handler that raised ended, for the event."""
    return "refused" if end is None else "killed" if isinstance(end, Killed) else "crashed"


def outcome(exit: Exit, error: BaseException) -> Exit:
    """The exit of an incarnation whose clean end was spoiled by an error."""
    return Crashed(error) if is_clean(exit) else exit
