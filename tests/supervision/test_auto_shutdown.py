"""The laws of auto_shutdown: a supervisor that ends because its significant children have done their work."""

from typing import Any

import pytest

from tests.actors.lives import Systems, rest
from tests.supervision.trees import Book, awaited, end_of, fell, grown, member, states, top
from upright.actors import Shutdown
from upright.actors.errors import Ignore
from upright.actors.testing import advance, settle
from upright.supervision import Backoff, Supervisor, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ANY: Any = "any_significant"
ALL: Any = "all_significant"


def inner(*children: Any, **options: Any) -> Any:
    chosen: dict[str, Any] = {"max_restarts": 100, **options}
    return supervisor("inner", *children, **chosen).options(restart="transient")


def vital(book: Book, name: str, restart: Any = "transient", **plans: Any) -> Any:
    return book.child(name, **plans).options(restart=restart, significant=True)


def of(s: Any, name: str) -> Any:
    return member(s, name, "/top/inner")


@pytest.mark.parametrize(
    ("restart", "how", "ends"),
    [
        ("transient", "normal", True),
        ("transient", "shutdown", True),
        ("transient", "crash", False),
        ("transient", "kill", False),
        ("temporary", "normal", True),
        ("temporary", "shutdown", True),
        ("temporary", "crash", True),
        ("temporary", "kill", True),
    ],
)
async def test_the_first_significant_child_that_ends_for_good_ends_the_supervisor(
    system: Systems, restart: Any, how: str, ends: bool
) -> None:
    book = Book()
    children = (book.child("a"), vital(book, "v", restart), vital(book, "w"))
    async with grown(system, inner(*children, auto_shutdown=ANY)) as s:
        ref = top(s, "/top/inner")
        await fell(s, of(s, "v"), how)
        assert await states(s) == {"inner": "down" if ends else "up"}
        assert (ref.recipient is None) == ends
        if ends:
            assert book.turns()[-2:] == ["w stopped", "a stopped"]


async def test_the_supervisor_ends_with_shutdown(system: Systems) -> None:
    book = Book()
    async with grown(system, inner(vital(book, "v"), auto_shutdown=ANY)) as s:
        ended = awaited(end_of(top(s, "/top/inner")))
        await settle()
        await fell(s, of(s, "v"), "normal")
        assert isinstance(await ended, Shutdown)


@pytest.mark.parametrize("policy", [ANY, ALL])
async def test_children_that_are_not_significant_never_end_it(system: Systems, policy: Any) -> None:
    book = Book()
    plain = [book.child("a").options(restart="transient"), book.child("b").options(restart="temporary")]
    async with grown(system, inner(*plain, vital(book, "v"), auto_shutdown=policy)) as s:
        for name in "ab":
            await fell(s, of(s, name), "normal")
        assert await states(s, "/top/inner") == {"a": "down", "v": "up"}


async def test_all_significant_waits_for_the_last_one(system: Systems) -> None:
    book = Book()
    children = (vital(book, "u"), vital(book, "v", "temporary"), vital(book, "w"), book.child("a"))
    async with grown(system, inner(*children, auto_shutdown=ALL)) as s:
        for name in "uv":
            await fell(s, of(s, name), "normal")
            assert await states(s) == {"inner": "up"}
        await fell(s, of(s, "w"), "normal")
        assert await states(s) == {"inner": "down"}


async def test_one_that_is_restarting_counts_as_running(system: Systems) -> None:
    book = Book()
    held = vital(book, "v").options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, inner(vital(book, "u"), held, auto_shutdown=ALL)) as s:
        await fell(s, of(s, "v"), "crash")
        await fell(s, of(s, "u"), "normal")
        assert await states(s, "/top/inner") == {"u": "down", "v": "restarting"}
        await advance(11.0)
        await fell(s, of(s, "v"), "normal")
        assert await states(s) == {"inner": "down"}


@pytest.mark.parametrize("policy", [ANY, ALL])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_terminate_child_never_ends_the_supervisor(system: Systems, policy: Any, restart: Any) -> None:
    book = Book()
    async with grown(system, inner(book.child("a"), vital(book, "v", restart), auto_shutdown=policy)) as s:
        await top(s, "/top/inner").ask(Supervisor.terminate_child, "v")
        await settle()
        left = {"a": "up", "v": "down"} if restart == "transient" else {"a": "up"}
        assert await states(s, "/top/inner") == left


@pytest.mark.parametrize("policy", [ANY, ALL])
@pytest.mark.parametrize("restart", ["transient", "temporary"])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_the_group_restart_of_a_sibling_never_ends_the_supervisor(
    system: Systems, policy: Any, restart: Any, strategy: Any
) -> None:
    book = Book()
    children = (book.child("a"), vital(book, "v", restart))
    async with grown(system, inner(*children, auto_shutdown=policy, strategy=strategy)) as s:
        await fell(s, of(s, "a"), "crash")
        left = {"a": "up", "v": "up"} if restart == "transient" else {"a": "up"}
        assert await states(s, "/top/inner") == left


async def test_never_means_never(system: Systems) -> None:
    book = Book()
    async with grown(system, inner(book.child("a").options(restart="transient"))) as s:
        await fell(s, of(s, "a"), "normal")
        assert await states(s, "/top/inner") == {"a": "down"}


async def test_one_that_declines_to_start_has_not_ended_by_itself(system: Systems) -> None:
    async def decline(_: Any) -> None:
        raise Ignore("not today")

    book = Book()
    async with grown(system, inner(book.child("a"), vital(book, "v", started=[decline, rest]), auto_shutdown=ANY)) as s:
        await settle()
        assert await states(s, "/top/inner") == {"a": "up", "v": "down"}


async def test_a_significant_sub_supervisor_that_shuts_itself_down_ends_its_parent_in_turn(system: Systems) -> None:
    book = Book()
    deep = supervisor("deep", vital(book, "v"), auto_shutdown=ANY).options(restart="transient", significant=True)
    async with grown(system, inner(book.child("a"), deep, auto_shutdown=ANY), book.child("z")) as s:
        await fell(s, member(s, "v", "/top/inner/deep"), "normal")
        assert await states(s) == {"inner": "down", "z": "up"}
        assert book.turns()[-2:] == ["v stopped", "a stopped"]


async def test_at_the_top_it_ends_the_system_and_that_is_no_failure(system: Systems) -> None:
    book = Book()
    async with grown(system, vital(book, "v"), auto_shutdown=ANY) as s:
        ended = s.wait()
        await fell(s, member(s, "v"), "normal")
        assert isinstance(await ended, Shutdown)
        assert not s.running
