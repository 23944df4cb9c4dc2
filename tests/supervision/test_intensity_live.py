"""The laws of restart intensity, live: one count per supervisor, and what happens when it is used up."""

from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, crash, rest
from tests.supervision.trees import Book, end_of, fell, fell_together, grown, member, now, states, top
from upright.actors import Shutdown
from upright.actors.errors import SystemFailed
from upright.actors.testing import advance
from upright.supervision import Supervisor, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


STRATEGIES: Any = ["one_for_one", "one_for_all", "rest_for_one"]


def inner(*children: Any, **options: Any) -> Any:
    """A supervisor that is forgotten when it gives up, so that the system lives on."""
    return supervisor("inner", *children, **options).options(restart="temporary")


def of(s: Any, name: str) -> Any:
    return member(s, name, "/top/inner")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("how", ["normal", "crash", "kill"])
async def test_none_allowed_forbids_every_restart(system: Systems, strategy: Any, how: str) -> None:
    book = Book()
    async with grown(system, inner(*book.children("a", "b", "c"), strategy=strategy, max_restarts=0)) as s:
        await fell(s, of(s, "b"), how)
        assert await states(s) == {}
        assert book.lives == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_one_too_many_stops_the_children_in_reverse_and_ends_the_supervisor_with_shutdown(
    system: Systems, strategy: Any
) -> None:
    book = Book()
    async with grown(system, inner(*book.children("a", "b", "c"), strategy=strategy, max_restarts=2)) as s:
        for _ in range(2):
            await fell(s, of(s, "b"), "crash")
        assert await states(s, "/top/inner") == {"a": "up", "b": "up", "c": "up"}
        ref = top(s, "/top/inner")
        book.words.clear()
        assert of(s, "b").try_tell(Doer.do, crash)
        exit = await end_of(ref)
        assert isinstance(exit, Shutdown)
        assert book.turns() == ["b stopped", "c stopped", "a stopped"]


async def test_the_reason_says_which_child_how_often_and_the_last_error(system: Systems) -> None:
    book = Book()
    async with grown(system, inner(*book.children("a", "b"), max_restarts=2, within=7.0)) as s:
        ref = top(s, "/top/inner")
        for name in ("a", "b"):
            await fell(s, of(s, name), "crash")
        assert of(s, "b").try_tell(Doer.do, crash)
        exit = await end_of(ref)
        assert isinstance(exit, Shutdown)
        for part in ("b", "2 restarts", "7 s", "Oops: on purpose"):
            assert part in exit.why


async def test_at_the_top_the_system_ends_and_the_reason_says_which_child_how_often_and_the_last_error(
    system: Systems,
) -> None:
    book = Book()
    with pytest.raises(SystemFailed, match=r"/top.*b .*1 restart within.*Oops: on purpose"):
        async with grown(system, *book.children("a", "b"), max_restarts=1) as s:
            for _ in range(2):
                await fell(s, member(s, "b"), "crash")
            await s.wait()
            assert not s.running
    assert book.turns()[-2:] == ["b stopped", "a stopped"]


async def test_the_count_is_of_all_children_together(system: Systems) -> None:
    book = Book()
    async with grown(system, inner(*book.children("a", "b", "c"), max_restarts=2)) as s:
        await fell_together(*(of(s, name) for name in "abc"))
        assert await states(s) == {}
        assert sorted(book.lives.values()) == [1, 2, 2]


async def test_the_window_slides(system: Systems) -> None:
    book = Book()
    async with grown(system, inner(book.child("a"), max_restarts=2, within=5.0)) as s:
        for wait in (3.0, 3.0, 3.0, 3.0, 3.0):
            await fell(s, of(s, "a"), "crash")
            await advance(wait)
        assert book.lives == {"a": 6}
        await fell(s, of(s, "a"), "crash")
        await fell(s, of(s, "a"), "crash")
        assert await states(s) == {}


@pytest.mark.parametrize(("wait", "left"), [(5.0, {}), (5.01, {"inner": "up"})])
async def test_a_restart_counts_for_the_whole_of_within_its_end_included(
    system: Systems, wait: float, left: dict[str, str]
) -> None:
    book = Book()
    async with grown(system, inner(book.child("a"), max_restarts=1, within=5.0)) as s:
        await fell(s, of(s, "a"), "crash")
        await advance(wait)
        assert now() == wait
        await fell(s, of(s, "a"), "crash")
        assert await states(s) == left


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_each_retry_of_a_restart_that_failed_counts_again(system: Systems, strategy: Any) -> None:
    book = Book()
    children = (book.child("a"), book.child("b", started=[rest, crash]))
    async with grown(system, inner(*children, strategy=strategy, max_restarts=3)) as s:
        ref = top(s, "/top/inner")
        assert of(s, "b").try_tell(Doer.do, crash)
        exit = await end_of(ref)
        assert isinstance(exit, Shutdown)
        assert "Oops: on purpose" in exit.why
        assert book.lives["b"] == 1 + 3


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_restart_that_succeeds_at_the_last_allowed_attempt_is_a_restart(system: Systems, strategy: Any) -> None:
    book = Book()
    children = (book.child("a"), book.child("b", started=[rest, crash, crash, rest]))
    async with grown(system, inner(*children, strategy=strategy, max_restarts=3)) as s:
        await fell(s, of(s, "b"), "crash")
        assert await states(s, "/top/inner") == {"a": "up", "b": "up"}


async def test_a_permanent_sub_supervisor_that_gave_up_begins_with_a_new_count(system: Systems) -> None:
    book = Book()
    sub = supervisor("inner", book.child("a"), max_restarts=1)
    async with grown(system, sub, max_restarts=1) as s:
        for _ in range(3):
            await fell(s, of(s, "a"), "crash")
        assert book.lives == {"a": 4}
        assert await states(s) == {"inner": "up"}


async def test_giving_up_climbs_level_by_level(system: Systems) -> None:
    book = Book()
    deep = supervisor("deep", book.child("a"), max_restarts=1)
    async with grown(system, inner(deep, max_restarts=1), book.child("z")) as s:
        for _ in range(4):
            assert await states(s) == {"inner": "up", "z": "up"}
            await fell(s, member(s, "a", "/top/inner/deep"), "crash")
        assert await states(s) == {"z": "up"}
        assert book.lives == {"a": 4, "z": 1}
        assert s.ref("/top/inner", Supervisor).recipient is None
