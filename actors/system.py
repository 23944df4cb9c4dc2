"""The actor system: what an application starts, asks for refs, and stops."""

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from .accelerator import accelerate
from .bus import EventBus, Subscriber
from .cell import Cell
from .clock import clock_of
from .completion import to_its_end
from .context import as_class, blueprint_of
from .dead_letter_office import PATH
from .dead_letters import DeadLetters
from .envelope import BESIDE, IN_HAND, Host
from .errors import ActorError, SystemFailed, SystemNotRunning
from .event_log import EventLog
from .events import Event
from .exits import Exit, NoActor, Shutdown
from .guards import Guards
from .handlers import HandlerTable
from .message import Message
from .options import Blueprint, seconds
from .ports import Observer, Startable, Store, TakesLetters
from .refs import Ref
from .root import Root
from .runtime import Runtime
from .seat import TURN
from .topics import Group, Topic
from .tree import Node, draw, look
from .watchdog import Watchdog

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")
LONGEST = 1e9
"""Seconds that a timer of a loop can be set for, at most."""

accelerate()  # from here on, whatever refs and actors there will be


class ActorSystem:
    """Actors that live and end together. Use it with `async with`, or `await start()` and `await stop()`, from any
    task.

    `tree`: what to start, such as `supervisor("bank", …)`; the system can also do without and `spawn`.
    `dead_letters`: the class of the actor at `/dead-letters`. `log`: who is told of events from the beginning; None
    for nobody. `grace`: seconds that a cancelled actor has before it is left behind as a zombie. `blocked_after`:
    seconds that a handler may hold the event loop before that is reported; None for no watching. `allows_chaos`:
    whether the test kit may make trouble in it, with a `Chaos`.

    Used with `async with`, a system whose tree gave up raises `SystemFailed` at the end of the block; `wait()`
    returns as soon as it has.

    Several systems in one process, or on one loop, never see each other.
    """

    def __init__(
        self,
        tree: Startable | None = None,
        *,
        store: Store | None = None,
        only: tuple[()] | None = None,
        dead_letters: Callable[[], TakesLetters] = DeadLetters,
        log: Observer | None = EventLog(),  # noqa: B008  # it holds no state but its level
        grace: float = 1.0,
        blocked_after: float | None = 1.0,
        allows_chaos: bool = False,
    ) -> None:
        if store is not None and not callable(getattr(store, "open", None)):
            raise TypeError(f'expected a store, such as Sqlite("jobs.db"), got {store!r}')
        self._tree, self._runs = tree, only is None
        self.store = store
        """The store that it was given."""
        if only is not None and len(only):
            raise ValueError(f"expected only to be (), for a system that runs none of the actors, got {only!r}")
        self._letters = as_class(dead_letters)
        if not hasattr(self._letters, "letter"):
            raise TypeError(f"expected {self._letters.__name__} to have an async method letter(self, letter)")
        self.allows_chaos = allows_chaos
        """Whether the test kit may make trouble in it."""
        self.bus = EventBus()
        """Events of this system; see `upright.actors.events`."""
        if log is not None:
            log.subscribe(self.bus)
        self.guards = Guards(self._told, allows_chaos=allows_chaos)
        """What the policies of this system remember: breakers, limits."""
        self._grace = seconds("grace", grace)
        if blocked_after is not None and not blocked_after > 0:
            raise ValueError(f"expected blocked_after to be more than 0 seconds or None, got {blocked_after!r}")
        self._blocked_after = blocked_after
        self._runtime: Runtime | None = None
        self._root: Cell | None = None
        self._watchdog: Watchdog | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._over: asyncio.Future[Exit] | None = None
        self._exit: Exit | None = None
        self._zombies = self._lost = 0

    async def start(self) -> Self:
        """Start the root, the dead-letter actor and the tree. Raises `StartFailed` if one of them does not come up.

        A system can be started again after it was stopped; refs of the first run do not reach the second.
        """
        if self._runtime is not None:
            raise SystemNotRunning("expected a system that is stopped: this one is running already")
        loop = asyncio.get_running_loop()
        self._exit, self._over = None, loop.create_future()
        top = f"/{self._tree.blueprint().name}" if self._tree is not None else None
        self.guards.now = clock_of(loop)
        self._runtime = runtime = Runtime(loop, self.bus, self._grace, self.guards)
        self._root = root = Cell(runtime, None, "", Blueprint("root", Root, (top,), shutdown=float("inf")))
        root.enter()
        if self._blocked_after is not None and not hasattr(loop, "hold"):  # virtual time does not lag
            self._watchdog = Watchdog(runtime, self._blocked_after)
            self._watchdog.start()
        self._following = runtime.keep(self._follow(runtime, root), "upright system root")
        try:
            await root.start()
            if self.store is not None:
                await self.store.open(runtime)
                if self._root is not root:  # whoever has stopped it meanwhile knows of no store
                    await self.store.close()
                    raise SystemNotRunning("expected a system that is not stopped while it starts")
                runtime.store = self.store
            name = PATH.strip("/")
            await root.spawn(name, Blueprint(name, self._letters, drains=True))
            handlers: HandlerTable = self._letters.__handlers__
            runtime.office.open(runtime.find(PATH), handlers[self._letters.letter])
            if self._tree is not None and self._runs:
                tree = self._tree.blueprint()
                await root.spawn(tree.name, tree)
            elif self._tree is not None:
                runtime.know(self._tree.members())
        except BaseException:
            await self.stop()
            raise
        return self

    async def stop(self, within: float | None = None) -> None:
        """End all actors, the youngest first, each in its own time; return when nothing of the system is left.

        `within`: after so many seconds all that still run are cancelled at once, and after `grace` more left behind;
        None for each actor's own time. A second call may shorten that, with 0 to nothing.

        It is never half done: if the caller is cancelled meanwhile, the system still ends, and the cancellation is
        raised afterwards. Called in a handler or a task of the system's own, it begins the stop and returns at once.
        """
        if self._runtime is None:
            return
        if within is not None:
            limit = min(seconds("within", within), LONGEST)
            self._runtime.loop.call_later(limit, _cancel_all, self._runtime, limit, context=self._runtime.plain)
        if self._stopping is None:
            self._stopping = self._runtime.keep(self._stop(self._runtime), "upright system stop")
        seat = TURN.get()
        turn = seat.turn if seat is not None else None
        if seat is not None and turn is not None and turn.phase in (IN_HAND, BESIDE) and self._houses(seat.host):
            return
        await to_its_end(self._stopping)

    def _houses(self, host: Host) -> bool:
        return self._runtime is not None and self._runtime.find(host.path) is host.cell

    async def _follow(self, runtime: Runtime, root: Cell) -> None:
        """Wait for the root's end; if nobody asked for it, clean up after it."""
        await asyncio.wait({root.ended})
        self._exit = root.exit
        if self._stopping is None:
            self._stopping = runtime.keep(self._stop(runtime), "upright system stop")

    async def _stop(self, runtime: Runtime) -> None:
        root, self._root = self._root, None
        try:
            if root is not None:
                await root.end("the system stops")
            runtime.running = False  # nobody is left to send to; and the store ends when it is told nothing new
            if self._following is not None:
                await asyncio.wait({self._following})
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
                self._watchdog = None
            if runtime.store is not None:
                await runtime.store.close()
            runtime.close()
            await runtime.dispatcher.closed()
            self._zombies, self._lost = runtime.zombies, runtime.office.lost
            self._runtime = self._stopping = self._following = None
            if self._over is not None and not self._over.done():
                self._over.set_result(self._exit if self._exit is not None else NoActor())

    async def wait(self) -> Exit:
        """Wait until the system has ended, by `stop()` or because its tree gave up, and return how its root ended."""
        if self._over is None:
            return NoActor()
        await asyncio.wait({self._over})
        return self._over.result()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        match self._exit:
            case Shutdown(why, gave_up=True) if error is None or isinstance(error, ActorError):
                raise SystemFailed(why) from error
            case _:
                pass

    async def spawn(self, name: str, actor: Callable[P, A], /, *args: P.args, **kwargs: P.kwargs) -> Ref[A]:
        """Start an actor at `/name` and return when its `started()` has; the root restarts it when it crashes.

        Raises `NameTaken`, `StartFailed`.
        """
        return await self._top().spawn(name, blueprint_of(name, actor, args, kwargs))

    async def spawn_from(self, blueprint: Blueprint) -> Ref[Any]:
        """Like `spawn`, with all options of a `Blueprint`."""
        return await self._top().spawn(blueprint.name, blueprint)

    def _top(self) -> Cell:
        if self._root is None:
            raise SystemNotRunning(
                "expected a running system: enter it with `async with`, or start() it, before spawning"
            )
        return self._root

    def ref(self, path: str, actor: type[A]) -> Ref[A]:
        """The ref of the actor at an absolute path.

        It need not live there yet. Raises `WrongClass` if another kind does.
        """
        if not path.startswith("/"):
            raise ValueError(f"expected an absolute path such as /bank/ledger, got {path!r}")
        return self._running("refs").locate(path, actor)

    def find(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]:
        """The paths and classes of the actors whose class is wanted. Raises `SystemNotRunning`."""
        return self._running("actors").classes(wanted)

    def topic(self, name: str, kind: type[T]) -> Topic[T]:
        """The topic of that name, whose messages are of that type. Raises `SystemNotRunning`."""
        return Topic(self._running("topics"), name, kind)

    def group(self, name: str, actor: type[A]) -> Group[A]:
        """The group of that name, of actors of that class. Raises `SystemNotRunning`."""
        return Group(self._running("groups"), name, actor)

    def _running(self, wanted: str) -> Runtime:
        if self._root is None or self._runtime is None:
            if isinstance(self._exit, Shutdown) and self._exit.gave_up:
                raise SystemNotRunning(f"expected a running system, but it has ended: {self._exit.why}")
            raise SystemNotRunning(
                f"expected a running system: enter it with `async with`, or start() it, before asking for {wanted}"
            )
        return self._runtime

    async def idle(self) -> None:
        """Wait until no actor has anything to do: nothing waits or runs, no background task, no one-shot timer."""
        if self._runtime is not None:
            await self._runtime.activity.idle()

    async def end(self, ref: Ref[Any]) -> Exit:
        """Ask one actor to stop, in the time that its blueprint gives it; return its exit when it has ended.

        One that a supervisor keeps up is judged by it then: a permanent one comes back. To end it for good, ask the
        supervisor to `terminate_child` it.
        """
        actor = ref.recipient
        if actor is self._root:
            raise ValueError("expected an actor below the root, got /: to end the whole system, stop it")
        if not isinstance(actor, Cell):
            return NoActor()
        if actor.judged and actor.parent is not self._root:
            await actor.halt("ended by hand", by_hand=True)
            return actor.exit
        return await actor.end("ended by hand")

    async def kill(self, ref: Ref[Any]) -> None:
        """Cancel an actor at once, whatever it does, and wait until that incarnation has ended."""
        actor = ref.recipient
        if actor is self._root:
            raise ValueError("expected an actor below the root, got /: to end the whole system, stop it")
        if isinstance(actor, Cell):
            await actor.kill("killed by hand")

    def tree(self) -> Node:
        """All actors as they are now: states, depths, restarts. Raises `SystemNotRunning`."""
        if self._root is None:
            raise SystemNotRunning("expected a running system: there is no tree to look at")
        return look(self._root)

    def draw(self) -> str:
        """The live tree as text, an actor a line."""
        return draw(self.tree())

    def peek(self, ref: Ref[Any], most: int = 10) -> Iterator[Message]:
        """What waits in an actor's mailbox, the next one first."""
        actor = ref.recipient
        return iter(()) if actor is None else actor.mailbox.peek(most)

    def _told(self, event: Event) -> None:
        if self.bus.wants(type(event)):
            self.bus.emit(event)

    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        """Call a function with each event of these classes; without classes, with every event."""
        self.bus.subscribe(subscriber, *kinds)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        self.bus.unsubscribe(subscriber)

    @property
    def running(self) -> bool:
        """Whether it was started and has not been asked to stop."""
        return self._root is not None

    @property
    def zombies(self) -> int:
        """How many incarnations of this run, or the last one, swallowed their cancellation and were left behind."""
        return self._runtime.zombies if self._runtime is not None else self._zombies

    @property
    def dead_letters_lost(self) -> int:
        """How many dead letters of this run, or the last one, the dead-letter actor could not take."""
        return self._runtime.office.lost if self._runtime is not None else self._lost

    def __repr__(self) -> str:
        count = len(self._runtime.actors) if self._runtime is not None else 0
        return f"<ActorSystem {'running' if self.running else 'stopped'}, {count} actors>"


def _cancel_all(runtime: Runtime, within: float) -> None:
    """The time to stop is over: cancel what still runs, the youngest first, but whoever takes the dead letters."""
    root: Cell | None = runtime.find("/")
    for child in reversed(tuple(root.children.values() if root is not None else ())):
        if child.path != PATH:
            child.cancel(f"the system did not stop within {within:g} s")
