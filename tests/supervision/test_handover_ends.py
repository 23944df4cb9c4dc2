"""The laws of how a supervisor ends that is set aside while a child comes up again: in time, and nothing is left."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.lives import Doer, Starter, Systems, a_gate, crash, hang, no_trace, rest, swallow
from tests.supervision.trees import Book, fell, grown, is_aside, member, now, slow, states, top, up_again
from upright.actors import ActorSystem, Exit, Killed, Shutdown
from upright.actors.errors import Ignore
from upright.actors.testing import advance, kill, settle
from upright.supervision import Backoff, Supervisor, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ALL: Any = "one_for_all"
INNER = "/top/in"


async def kill_it(s: ActorSystem) -> None:
    await kill(s, s.ref(INNER, Supervisor))


async def kill_its_parent(s: ActorSystem) -> None:
    await kill(s, top(s))


async def terminate_it(s: ActorSystem) -> None:
    await top(s).ask(Supervisor.terminate_child, "in")


async def crash_its_sibling(s: ActorSystem) -> None:
    await member(s, "z").tell(Doer.do, crash)
    await top(s).ask(Supervisor.which_children)


ENDS: list[tuple[Callable[[ActorSystem], Any], float, type[Exit], int]] = [
    (kill_it, 0.0, Killed, 3),
    (kill_its_parent, 0.0, Killed, 3),
    (terminate_it, 2.0, Shutdown, 2),
    (crash_its_sibling, 2.0, Shutdown, 3),
    (ActorSystem.stop, 2.0, Shutdown, 2),
]


@pytest.mark.parametrize(("end", "seconds", "exit", "lives"), ENDS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_supervisor_that_ends_while_it_is_set_aside_ends_in_time_and_ends_the_child_that_was_coming_up(
    system: Systems, end: Callable[[ActorSystem], Any], seconds: float, exit: type[Exit], lives: int
) -> None:
    """A kill ends both at once; else the child has its two seconds, for it has not come up yet."""
    book, left = Book(), list[float]()

    async def hang_and_tell(me: Doer) -> None:
        try:
            await hang(me)
        finally:
            left.append(now())

    bad = slow(book, "a", hang_and_tell, rest).options(shutdown=2.0)
    async with grown(system, supervisor("in", bad), book.child("z", Starter), strategy=ALL) as s:
        assert member(s, "a", INNER).try_tell(Doer.do, crash)
        await settle()
        assert is_aside(s, INNER)
        found: Any = s.ref(INNER, Supervisor).recipient
        await end(s)
        assert (now(), left) == (seconds, [seconds])
        assert type(found.exit) is exit
        if s.running:
            await advance(10.0)
            assert book.lives["a"] == lives
            assert list(await states(s)) == ["in", "z"]
    assert s.zombies == 0
    assert book.lives["a"] == lives
    assert no_trace()


async def test_one_that_was_set_aside_for_a_start_that_failed_is_killed_at_once_all_the_same(system: Systems) -> None:
    book = Book()
    bad = slow(book, "a", crash, rest).options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, supervisor("in", bad)) as s:
        await fell(s, member(s, "a", INNER), "crash")
        await advance(10.0)
        assert book.lives == {"a": 2}
        async with asyncio.timeout(5.0):
            await kill_it(s)
        assert (now(), s.zombies) == (10.0, 0)
        await up_again(s, "a")
        assert book.lives == {"a": 3}


async def test_a_child_that_swallows_its_end_is_left_behind_and_its_supervisor_is_not(system: Systems) -> None:
    book = Book()
    async with a_gate() as gate, grown(system, supervisor("in", slow(book, "a", swallow(gate), rest))) as s:
        assert member(s, "a", INNER).try_tell(Doer.do, crash)
        await settle()
        await kill_it(s)
        assert (now(), s.zombies) == (1.0, 1)
        await up_again(s, "a")
        assert book.lives == {"a": 3}


async def test_one_that_had_declined_is_started_anew_while_the_supervisor_is_set_aside_and_ends_with_it(
    system: Systems,
) -> None:
    async def decline(_: Doer) -> None:
        raise Ignore("not now")

    book = Book()
    shy = book.child("b", Starter, started=[decline, hang, rest])
    held = book.child("a", Starter).options(backoff=Backoff(1.0, 1.0, jitter="none"))
    async with grown(system, supervisor("in", held, shy, strategy=ALL)) as s:
        await fell(s, member(s, "a", INNER), "crash")
        await advance(1.0)
        assert is_aside(s, INNER)
        await kill_it(s)
        await up_again(s, "a", "b")
        assert (now(), book.lives) == (1.0, {"a": 3, "b": 3})
    assert s.zombies == 0
    assert no_trace()
