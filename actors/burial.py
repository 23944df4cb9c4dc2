"""The end of an actor for good: first its mail, then its name, then its watchers."""

import asyncio
import math
from typing import Any, Protocol

from .actor import Actor
from .dead_letter_office import letter
from .durable import Delivered
from .envelope import DETACHED, IN_HAND, Envelope
from .events import ActorStopped, HookFailed, ZombieDetached
from .exits import Exit, Killed
from .frames import frames_of, stack_text
from .handlers import Handler, HandlerTable
from .incarnation import Incarnation
from .mailbox import Mailbox
from .message import DeadLetter
from .options import Blueprint
from .runtime import Runtime
from .seat import TURN, Seat


class Mortal(Protocol):
    """What a burial needs of an actor."""

    burying: bool
    exit: Exit
    hook: asyncio.Task[Any] | None

    @property
    def path(self) -> str: ...
    @property
    def blueprint(self) -> Blueprint: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def handlers(self) -> HandlerTable: ...
    @property
    def gone(self) -> bool: ...
    @property
    def life(self) -> Incarnation | None: ...

    def leave_registry(self) -> None: ...


async def bury(actor: Mortal, exit: Exit) -> None:
    """End an actor whose incarnation is over:
    give its mail to `undelivered()`, then to the dead-letter actor; free its name.
    """
    if actor.gone or actor.burying:
        return
    actor.burying = True
    runtime, life = actor.runtime, actor.life
    actor.exit = exit
    waiting = open_mail(actor)
    letters = [letter(actor.path, envelope, "stopped") for envelope in waiting]
    if letters and has_hook(actor) and life is not None and life.instance is not None and not isinstance(exit, Killed):
        letters = await ask_hook(actor, life, letters)
    late = open_mail(actor)  # what came while the hook ran; from here on nothing is awaited until the name is free
    letters += [letter(actor.path, envelope, "stopped") for envelope in late]
    for dead in letters:
        runtime.office.send(dead)
    number, kind = life.number if life is not None else 0, actor.blueprint.actor.__name__
    actor.leave_registry()
    if runtime.bus.wants(ActorStopped):
        runtime.bus.emit(ActorStopped(actor.path, kind, number, exit, len(waiting) + len(late)))


def has_hook(actor: Mortal) -> bool:
    """Whether its class has an `undelivered()` of its own; without one a burial waits for nothing."""
    return actor.blueprint.actor.undelivered is not Actor.undelivered


def open_mail(actor: Mortal) -> list[Envelope]:
    """Take all that waits, and end the asks among it."""
    waiting = stored_apart(actor.mailbox.drain())
    for envelope in waiting:
        actor.runtime.office.refuse(actor.path, envelope, "stopped")
    return waiting


def stored_apart(envelopes: list[Envelope]) -> list[Envelope]:
    """Those that are nowhere but here; what a store had handed out goes back to it."""
    for envelope in envelopes:
        if isinstance(envelope, Delivered):
            envelope.work.give_back()
    return [envelope for envelope in envelopes if not isinstance(envelope, Delivered)]


async def ask_hook(actor: Mortal, life: Incarnation, letters: list[DeadLetter]) -> list[DeadLetter]:
    """Show the letters to `undelivered()`, which has the `shutdown` time for them; what it returns goes on."""
    turn = Envelope(Handler("undelivered", life.instance.undelivered), (), None, None, phase=IN_HAND)
    limit = actor.blueprint.shutdown
    task = actor.runtime.keep(_show(Seat(life, turn), life.instance, letters), f"{actor.path} undelivered")
    actor.hook = task
    await asyncio.wait({task}, timeout=None if limit == "brutal" or limit == math.inf else limit)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=actor.runtime.grace)
    actor.hook = None
    if not task.done():
        turn.phase = DETACHED
        actor.runtime.zombies += 1
        if actor.runtime.bus.wants(ZombieDetached):
            kind, stack = actor.blueprint.actor.__name__, stack_text(frames_of(task.get_coro()))
            actor.runtime.bus.emit(ZombieDetached(actor.path, kind, life.number, stack))
    failure: BaseException = TimeoutError("it did not return within the actor's shutdown time")
    if task.done() and not task.cancelled():
        error = task.exception()
        if error is None:
            kept: list[DeadLetter] = task.result()
            return kept
        failure = error
    if actor.runtime.bus.wants(HookFailed):
        actor.runtime.bus.emit(HookFailed(actor.path, actor.blueprint.actor.__name__, "undelivered", failure))
    return letters


async def _show(seat: Seat, instance: Any, letters: list[DeadLetter]) -> list[DeadLetter]:
    TURN.set(seat)
    kept = await instance.undelivered(tuple(letters))
    if kept is None:
        return letters
    kept = list(kept)
    strangers = [type(item).__name__ for item in kept if not isinstance(item, DeadLetter)]
    if strangers:
        raise TypeError(f"expected undelivered to return dead letters or None, got {', '.join(strangers)} among them")
    return kept


def post_mortem(life: Incarnation) -> str:
    """Where an incarnation's code stands: the handler first, then its tasks, each innermost last."""
    frames = frames_of(life.stack)
    for task in life.tasks.all():
        frames += frames_of(task.get_coro())
    return stack_text(frames)
