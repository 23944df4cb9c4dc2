"""An actor's context, `self.ctx`: all that a handler may ask of the runtime, and nothing else of it."""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from .block import Block
from .bus import EventBus
from .durable import Delivered, Work, WorkSeat
from .envelope import IN_HAND, MOVED, Envelope, deadline_of
from .errors import NotInHand, StashFull
from .exits import Exit, Normal, Shutdown
from .forwarding import pass_on
from .guards import Guards
from .handlers import Handler, HandlerTable
from .options import NO_KWARGS, Blueprint, check_name, seconds
from .policies import Policy
from .refs import Ref
from .seat import TURN, Seat
from .tasks import deliver
from .timer_key import TimerKey, period_of
from .timers import Timer, Timers
from .topics import Group, Post, Topic
from .watching import Down, Watches

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Surroundings(Post, Protocol):
    """A system, as far as a context shows it."""

    @property
    def bus(self) -> EventBus: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def guards(self) -> Guards: ...
    def classes(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]: ...


class Host(Protocol):
    """What a context needs of the incarnation that it belongs to."""

    @property
    def path(self) -> str: ...
    @property
    def around(self) -> str: ...
    @property
    def cell(self) -> object: ...
    @property
    def self_ref(self) -> Ref[Any]: ...
    @property
    def handlers(self) -> HandlerTable: ...
    @property
    def timers(self) -> Timers: ...
    @property
    def watches(self) -> Watches: ...
    @property
    def stash(self) -> list[Envelope]: ...
    @property
    def room(self) -> int: ...
    @property
    def entity(self) -> str: ...

    def must_live(self) -> None: ...
    def locate(self, path: str, actor: type[A]) -> Ref[A]: ...
    async def spawn(self, name: str, blueprint: Blueprint) -> Ref[Any]: ...
    @property
    def runtime(self) -> Surroundings: ...
    @property
    def leaving(self) -> Exit | None: ...
    def leave(self, exit: Exit) -> None: ...
    def unstash(self) -> None: ...
    def run_beside(self, work: Coroutine[Any, Any, Any], name: str, inner: object) -> asyncio.Task[Any]: ...
    def post_to_self(self, handler: Handler, args: tuple[Any, ...]) -> None: ...


class Context:
    """What an actor sees of its surroundings. One per incarnation; of no use once that has ended."""

    __slots__ = ("_host",)

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def path(self) -> str:
        """Where this actor lives, such as `/bank/ledger`."""
        return self._host.path

    @property
    def self_ref(self) -> Ref[Any]:
        """The ref of this actor, to hand to others; it survives restarts."""
        return self._host.self_ref

    def ref(self, path: str, actor: type[A]) -> Ref[A]:
        """The ref of a sibling by its name, or of any actor by its absolute path.

        Raises `WrongClass` if another kind lives there.
        """
        return self._host.locate(posixpath.join(self._host.around, path), actor)

    def find(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]:
        """The paths and classes of the system's actors whose class is wanted."""
        return self._host.runtime.classes(wanted)

    async def spawn(self, name: str, actor: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Ref[A]:
        """Start a child at `<this path>/name`, which dies with this incarnation; return when its `started()` has.

        A child that crashes stays down; watch it to hear of that. Raises `NameTaken`, `StartFailed`.
        """
        return await self._host.spawn(name, blueprint_of(name, actor, args, kwargs))

    async def spawn_from(self, blueprint: Blueprint) -> Ref[Any]:
        """Like `spawn`, with all options of a `Blueprint`."""
        return await self._host.spawn(blueprint.name, blueprint)

    def child(self, name: str, actor: type[A]) -> Ref[A]:
        """The ref of this actor's own child of that name."""
        return self._host.locate(posixpath.join(self.path, name), actor)

    def watch(self, ref: Ref[Any], handler: Callable[[Any, Down], Awaitable[Any]]) -> None:
        """Have `handler` called with one `Down` when that actor has ended for good; at once if nobody lives there."""
        self._host.watches.add(ref, self._host.handlers[handler])

    def unwatch(self, ref: Ref[Any]) -> None:
        """Undo every watch of that ref; a `Down` that already waits is withdrawn."""
        self._host.watches.remove(ref)

    def topic(self, name: str, kind: type[T]) -> Topic[T]:
        """The topic of that name, whose messages are of that type."""
        return Topic(self._host.runtime, name, kind)

    def subscribe(self, topic: Topic[T], handler: Callable[[Any, T], Awaitable[Any]]) -> None:
        """Have `handler` called with everything that is published, also after a restart of this actor."""
        self._host.must_live()
        topic.subscribe(self.self_ref, handler)

    def unsubscribe(self, topic: Topic[Any]) -> None:
        """Undo every `subscribe` to that topic."""
        self._host.must_live()
        topic.unsubscribe(self.self_ref)

    def group(self, name: str, actor: type[A]) -> Group[A]:
        """The group of that name, of actors of that class."""
        return Group(self._host.runtime, name, actor)

    def join(self, group: Group[Any]) -> None:
        """Become a member, and stay one over restarts."""
        self._host.must_live()
        group.join(self.self_ref)

    def leave(self, group: Group[Any]) -> None:
        """Be a member no longer."""
        self._host.must_live()
        group.leave(self.self_ref)

    def stop(self) -> None:
        """End this actor after the message in hand, with reason `Normal`. What still waits becomes dead letters."""
        self._host.leave(Normal())

    def shut_down(self, why: str, gave_up: bool = False) -> None:
        """End this actor after the message in hand, cleanly, with reason `Shutdown(why, gave_up)`."""
        self._host.leave(Shutdown(why, gave_up))

    @property
    def bus(self) -> EventBus:
        """The system's event bus."""
        return self._host.runtime.bus

    @property
    def ending(self) -> bool:
        """Whether this actor was asked to end, or is ending: work in hand had better come to an end too."""
        return self._host.leaving is not None

    def after(
        self, delay: float, handler: Callable[Concatenate[Any, P], Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Timer:
        """Send this actor a message in `delay` seconds, also when its mailbox is full."""
        return self._timer(None, seconds("delay", delay), None, handler, args, kwargs)

    def every(
        self,
        period: float,
        handler: Callable[Concatenate[Any, P], Awaitable[Any]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Timer:
        """Send this actor a message every `period` seconds, at a fixed rate, first in one period.

        One tick waits at most.
        """
        return self._timer(None, period_of(period), period_of(period), handler, args, kwargs)

    def timer(self, key: object) -> TimerKey:
        """A name for one timer: starting another under the same key replaces the first."""
        return TimerKey(self._host, key)

    def pipe(
        self,
        awaitable: Awaitable[T],
        handler: Callable[[Any, T], Awaitable[Any]],
        failed: Callable[[Any, Exception], Awaitable[Any]] | None = None,
    ) -> asyncio.Task[Any]:
        """Wait for something slow without holding up the mailbox; its result comes as a message to `handler`.

        An error goes to `failed`, or crashes the actor where there is none. Cancelled with the incarnation.
        """
        host = self._host
        succeeded, broken = host.handlers[handler], host.handlers[failed] if failed is not None else None
        work = deliver(
            awaitable,
            lambda result: host.post_to_self(succeeded, (result,)),
            None if broken is None else lambda error: host.post_to_self(broken, (error,)),
        )
        return host.run_beside(work, f"{host.path} pipe to {succeeded.name}", awaitable)

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside the mailbox. It ends with the incarnation; an error in it crashes the actor."""
        return self._host.run_beside(work, f"{self.path} background", None)

    def stash(self) -> None:
        """Set the message in hand aside, unanswered, until `unstash_all`. Raises `StashFull` at the mailbox's limit."""
        (_, turn), stash = self._in_hand("stash"), self._host.stash
        if len(stash) >= self._host.room:
            raise StashFull(f"expected at most {self._host.room} stashed messages at {self.path}; unstash some first")
        turn.phase = MOVED
        stash.append(turn)

    def unstash_all(self) -> None:
        """Put all stashed messages back in front of the mailbox, in their order. A restart does the same."""
        self._host.unstash()

    async def forward(
        self, ref: Ref[A], handler: Callable[Concatenate[A, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Hand the ask in hand to another actor, which will answer the asker within the asker's deadline.

        `return await self.ctx.forward(...)`: what it returns here is ignored. Waits for room as `tell` does.
        """
        seat, turn = self._in_hand("forward")
        await pass_on(ref, seat, turn, handler, args, kwargs or None)
        ignored: Any = None
        return ignored  # type: ignore[no-any-return]  # never read: the turn is marked as moved

    @property
    def entity(self) -> str:
        """The id by which this actor is known, of those that `entities(…)` runs. Raises `NotInHand` in others."""
        if not self._host.entity:
            raise NotInHand(f"expected one of entities(…), got {self.path}: only these have an id")
        return self._host.entity

    @property
    def delivery(self) -> Any:
        """What is known of the durable message in hand. Raises `NotInHand` if there is none."""
        return self._work("delivery").delivery

    async def heartbeat(self, progress: object = None) -> None:
        """Tell how far the handler of the durable message in hand got: its next attempt, if there is one, sees that.

        Raises `Detached` if the message is somebody else's by now. Raises `NotInHand`.
        """
        await self._work("heartbeat").heartbeat(progress)

    async def step(self, name: str, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function(*args)` once for the durable message in hand, and return its result: `number = await
        self.ctx.step("charge", charge, card, 500)`. Another attempt at the same message gets the result that is stored.

        When this returns, the result is on disk, encoded as the function's return annotation says. A step that a crash
        cuts off runs again, so hand `self.ctx.delivery.key_for(name)` on as its idempotency key. A name is for one step
        of the message; their order may change. What the function tells is stored with its result; what it does to
        `self.state` is not. Raises `NotInHand`, `TypeError` for a result that cannot be stored, `ValueError` for a name
        that is used twice, and `Detached` if the message is somebody else's by now.
        """
        result: T = await self._work("step").step(name, function, args, kwargs)
        return result

    def guard(self, *policies: Policy) -> Block:
        """Guard a call: `async with self.ctx.guard(SMTP): …`; of several policies, each in its place.

        Raises `GuardRefused` if one of them does not let it through: `CircuitOpen`, say. One that the actor `uses`
        has let the message through already.
        """
        return self._host.runtime.guards.guard(*policies)

    @property
    def guards(self) -> Guards:
        """What the policies of the system remember; `await self.ctx.guards.call(HEDGE, function, …)`."""
        return self._host.runtime.guards

    def _work(self, verb: str) -> Work:
        seat = TURN.get()
        work = seat.work if isinstance(seat, WorkSeat) and seat.host is self._host else None
        if work is None:
            raise NotInHand(f"{verb} needs a durable message in hand: use it inside its handler")
        return work

    def now(self) -> float:
        """The time on the loop's clock, in seconds: monotonic, and virtual under a loop of virtual time."""
        self._host.must_live()
        return self._host.runtime.loop.time()

    def time_left(self) -> float:
        """Seconds until the asker of the message in hand stops waiting; `inf` if nobody does."""
        seat = TURN.get()
        return deadline_of(seat.turn if seat is not None else None) - asyncio.get_running_loop().time()

    def _in_hand(self, verb: str) -> tuple[Seat, Envelope]:
        seat = TURN.get()
        turn = seat.turn if seat is not None and seat.host is self._host else None
        if seat is None or turn is None or turn.phase != IN_HAND or turn.handler.limit:
            raise NotInHand(
                f"{verb} needs an ordinary message in hand: call it inside a handler that is not concurrent"
            )
        if isinstance(turn, Delivered):
            raise NotInHand(f"{verb} needs a message in memory: a durable one is answered, or told to somebody else")
        return seat, turn

    def _timer(self, key: object, delay: float, period: float | None, handler: Any, args: Any, kwargs: Any) -> Timer:
        return self._host.timers.start(key, delay, period, self._host.handlers[handler], (args, kwargs or None))


def blueprint_of(name: str, actor: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Blueprint:
    """What is needed to make such an actor; without arguments it is the same for all of its class."""
    plain: Blueprint | None = None if args or kwargs else getattr(actor, "__blueprint__", None)
    if plain is None or plain.actor is not actor:
        return Blueprint(name, as_class(actor), args, kwargs or NO_KWARGS)
    check_name(name)
    return plain


def as_class(actor: Callable[..., Any]) -> type[Any]:
    """The class that a typed constructor argument is; `TypeError` for anything else."""
    if not isinstance(actor, type) or not hasattr(actor, "__handlers__"):
        raise TypeError(f"expected a subclass of Actor, got {actor!r}")
    return actor
