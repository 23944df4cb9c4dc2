"""Trees to be tested: children that write into one book, so that a test reads what all of them did, in order.

A page of the book is the diary of one child; see `tests.actors.lives` for deeds, plans and the classes of children.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.actors.lives import Closer, Deed, Diary, Doer, Plan, Starter, Systems, crash, quiet, rest, stop
from upright.actors import ActorSystem, Exit, Ref
from upright.actors.handover import Handover
from upright.actors.parent import Parent
from upright.actors.testing import kill, settle
from upright.supervision import ChildSpec, Counts, Supervisor, child, supervisor


class Page(Diary):
    """The diary of one child; what it says stands in the book too, with the child's name."""

    def __init__(self, book: "Book", name: str) -> None:
        super().__init__()
        self.book, self.name = book, name

    def add(self, word: str) -> None:
        super().add(word)
        self.book.words.append(f"{self.name} {word}")


class Book:
    """What all children of a test did, in order."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.pages: dict[str, Page] = {}

    def child(self, name: str, kind: type[Doer] = Closer, **plans: Plan) -> ChildSpec[Doer]:
        """A child with a page in this book; the page outlives the child."""
        page = self.pages.setdefault(name, Page(self, name))
        return child(name, kind, page, None, **plans)

    def children(self, *names: str, **plans: Plan) -> tuple[ChildSpec[Doer], ...]:
        return tuple(self.child(name, Closer, **plans) for name in names)

    @property
    def lives(self) -> dict[str, int]:
        """How often each child was made."""
        return {name: page.lives for name, page in self.pages.items()}

    def acts(self, *verbs: str) -> list[str]:
        """What happened, such as `a starting`, only these verbs, without the numbers of lives."""
        parted = [word.split(" ") for word in self.words]
        return [f"{name} {verb}" for name, verb, *_ in parted if verb in verbs]

    def turns(self) -> list[str]:
        """The ends and beginnings: `stopped` and `starting`, in order."""
        return self.acts("stopped", "starting")


def tree(*children: ChildSpec[Any], **options: Any) -> ChildSpec[Supervisor]:
    """A supervisor at `/top` with room for many restarts, where the test says nothing else."""
    chosen: dict[str, Any] = {"max_restarts": 100, **options}
    return supervisor("top", *children, **chosen)


def grown(system: Systems, *children: ChildSpec[Any], **options: Any) -> ActorSystem:
    """A system with such a tree, without a log."""
    return quiet(system, tree=tree(*children, **options))


def top(system: ActorSystem, path: str = "/top") -> Ref[Supervisor]:
    """The ref of a supervisor, patient enough for every stop here."""
    return system.ref(path, Supervisor).within(1_000)


def member(system: ActorSystem, name: str, parent: str = "/top") -> Ref[Doer]:
    """The ref of a child."""
    return system.ref(f"{parent}/{name}", Doer)


async def states(system: ActorSystem, path: str = "/top") -> dict[str, str]:
    """Each child's id in start order, and whether it is `up`, `down` or `restarting`."""
    children = await top(system, path).ask(Supervisor.which_children)
    words = {None: "down", "restarting": "restarting"}
    return {
        info.id: words[info.ref] if info.ref is None or isinstance(info.ref, str) else "up"
        for info in reversed(children)
    }


async def counts(system: ActorSystem, path: str = "/top") -> Counts:
    return await top(system, path).ask(Supervisor.count_children)


async def shut_down(me: Doer) -> None:
    """End with `Shutdown`."""
    me.ctx.shut_down("on purpose")


def unless(closed: Callable[[], bool], deed: Deed) -> Deed:
    """Do a deed only while `closed` says no."""

    async def perhaps(me: Doer) -> None:
        if not closed():
            await deed(me)

    return perhaps


async def fell(system: ActorSystem, ref: Ref[Doer], how: str) -> None:
    """End a child by itself: `normal`, `shutdown`, `crash` or `kill`; returns when all has been done about it."""
    match how:
        case "normal":
            await ref.tell(Doer.do, stop)
        case "shutdown":
            await ref.tell(Doer.do, shut_down)
        case "crash":
            await ref.tell(Doer.do, crash)
        case _:
            await kill(system, ref)
    await settle()


async def fell_together(*refs: Ref[Doer]) -> None:
    """Crash several children in the same instant."""
    for ref in refs:
        assert ref.try_tell(Doer.do, crash)
    await settle()


def awaited(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """Begin to wait for something that takes a while."""
    return asyncio.create_task(work)


async def end_of(ref: Ref[Any]) -> Exit:
    """How an actor ended, within a day of virtual time."""
    async with asyncio.timeout(86_400):
        return await ref.ended()


def now() -> float:
    return asyncio.get_running_loop().time()


def slow(book: Book, name: str, *starts: Deed) -> ChildSpec[Doer]:
    """A child that starts at once the first time, and then as it is told; without a task of its own."""
    return book.child(name, Starter, started=[rest, *starts])


def carriers() -> set[str]:
    """The paths of the actors that hold a task, by its name."""
    return {task.get_name().partition(" ")[0] for task in asyncio.all_tasks()}


def is_aside(s: ActorSystem, path: str) -> bool:
    """Whether it is set aside."""
    found: Any = s.ref(path, Parent).recipient
    return type(found.life.carrier) is Handover and path not in carriers()


async def up_again(s: ActorSystem, *names: str, path: str = "/top/in") -> None:
    """Wait until these have been restarted; they are up, and so are their supervisors."""
    for name in names:
        assert await member(s, name, path).within(1_000).ask(Doer.note, "up") == "up"
    assert set((await states(s, path)).values()) == {"up"}
