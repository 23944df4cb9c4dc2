"""The laws of starting a tree: one child at a time, in order, all or none."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    Deed,
    Doer,
    Oops,
    Systems,
    a_gate,
    crash,
    hang,
    no_trace,
    note,
    quiet,
    sleep,
    swallow,
    wait_for,
)
from tests.supervision.trees import Book, awaited, counts, fell, grown, member, now, states, tree
from upright.actors import Shutdown, StartFailed
from upright.actors.errors import Ignore
from upright.actors.events import ActorStarted, ActorStopped
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def decline(_: Any) -> None:
    raise Ignore("not today")


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and its causes."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found


async def test_children_start_in_order_and_each_waits_until_the_one_before_is_up(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c", started=sleep(1.0))) as s:
        assert book.words == [
            "a starting 1",
            "a started 1",
            "b starting 1",
            "b started 1",
            "c starting 1",
            "c started 1",
        ]
        assert await states(s) == {"a": "up", "b": "up", "c": "up"}
        assert now() == 3.0


async def test_a_supervisor_is_up_only_when_all_its_children_are(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    inner = supervisor("inner", *book.children("a", "b", started=sleep(1.0)))
    async with grown(system, inner, book.child("after")):
        paths = [event.path for event in recorders[0].of(ActorStarted) if event.path.startswith("/top")]
        assert paths == ["/top/inner/a", "/top/inner/b", "/top/inner", "/top/after", "/top"]


async def test_a_child_that_fails_at_the_start_is_tried_once_and_its_elders_are_stopped_in_reverse(
    system: Systems,
) -> None:
    book = Book()
    with pytest.raises(StartFailed):
        async with grown(system, *book.children("a", "b"), book.child("c", started=crash), book.child("d")):
            pass
    assert book.turns() == ["a starting", "b starting", "c starting", "b stopped", "a stopped"]
    assert book.lives == {"a": 1, "b": 1, "c": 1, "d": 0}


async def test_what_reaches_the_top_names_the_path_of_the_child_and_carries_its_cause(system: Systems) -> None:
    book = Book()
    inner = supervisor("inner", book.child("good"), book.child("bad", started=crash))
    with pytest.raises(StartFailed, match="/top/middle/inner/bad") as caught:
        async with grown(system, book.child("first"), supervisor("middle", inner)):
            pass
    assert isinstance(chain(caught.value)[-1], Oops)
    assert book.turns() == ["first starting", "good starting", "bad starting", "good stopped", "first stopped"]


async def test_a_failure_in_the_constructor_is_a_failed_start_too(system: Systems) -> None:
    book = Book()
    broken = book.child("bad", kind=Broken)
    with pytest.raises(StartFailed, match="/top/bad") as caught:
        async with grown(system, book.child("a"), broken):
            pass
    assert isinstance(chain(caught.value)[-1], Oops)
    assert book.turns() == ["a starting", "a stopped"]


class Broken(Doer):
    """Cannot be made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise Oops("in the constructor")


async def test_elders_are_stopped_by_their_own_rule_when_a_start_fails(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    with pytest.raises(StartFailed):
        async with grown(
            system,
            book.child("slow", stopping=sleep(3.0)).options(shutdown=4.0),
            book.child("late", stopping=hang).options(shutdown=2.0),
            book.child("bad", started=crash),
        ):
            pass
    ends = {event.path: type(event.exit).__name__ for event in recorders[0].of(ActorStopped)}
    assert (ends["/top/late"], ends["/top/slow"]) == ("Killed", "Shutdown")
    assert now() == 5.0


@pytest.mark.parametrize(("restart", "left"), [("permanent", "down"), ("transient", "down"), ("temporary", None)])
async def test_one_that_declines_leaves_its_spec_unless_temporary_and_the_start_goes_on(
    system: Systems, restart: Any, left: str | None
) -> None:
    book = Book()
    shy = book.child("shy", started=decline).options(restart=restart)
    async with grown(system, book.child("a"), shy, book.child("b")) as s:
        expected = {"a": "up", **({} if left is None else {"shy": left}), "b": "up"}
        assert await states(s) == expected
        assert (await counts(s)).active == 2
        assert member(s, "shy").recipient is None
        assert book.lives["shy"] == 1


async def test_a_start_failure_in_a_subtree_during_a_restart_is_no_failure_of_the_tree(system: Systems) -> None:
    book = Book()
    rest: list[Deed] = [sleep(0.0), crash, sleep(0.0)]
    inner = supervisor("inner", book.child("a"), book.child("b", started=rest), max_restarts=0)
    async with grown(system, inner) as s:
        await fell(s, member(s, "a", "/top/inner"), "crash")
        await advance(1.0)
        assert book.lives == {"a": 3, "b": 3}
        assert await states(s) == {"inner": "up"}


async def test_a_start_that_hangs_is_a_failed_start_when_its_time_is_up(system: Systems) -> None:
    book = Book()
    with pytest.raises(StartFailed, match="/top/b") as caught:
        async with grown(system, book.child("a"), book.child("b", started=hang).options(start_timeout=7.0)):
            pass
    assert now() == 7.0
    assert isinstance(chain(caught.value)[-1], TimeoutError)
    assert book.acts("stopped") == ["a stopped"]


async def test_the_start_timeout_of_a_supervisor_bounds_the_start_of_its_children(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    inner = supervisor("inner", book.child("a"), book.child("b", started=hang))
    with pytest.raises(StartFailed, match="/top/inner"):
        async with grown(system, inner.options(start_timeout=2.0)):
            pass
    assert now() == 2.0
    assert {"/top/inner/a", "/top/inner"} <= {event.path for event in recorders[0].of(ActorStopped)}
    assert book.acts("stopped") == ["a stopped"]


async def test_a_start_that_swallows_its_cancellation_is_left_behind_and_fails(system: Systems) -> None:
    book = Book()
    async with a_gate() as gate:
        with pytest.raises(StartFailed, match="/top/b"):
            async with grown(
                system, book.child("a"), book.child("b", started=swallow(gate)).options(start_timeout=1.0)
            ):
                pass
        assert now() <= 5.0
        assert book.acts("stopped") == ["a stopped"]


async def test_a_child_that_ends_while_its_siblings_start_is_judged_once_the_tree_is_up(system: Systems) -> None:
    book, gate = Book(), asyncio.Event()

    async def crash_soon(me: Doer) -> None:
        me.ctx.after(1.0, Doer.do, crash)

    async def nothing(_: Doer) -> None: ...

    begun = quiet(
        system, tree=tree(book.child("a", started=[crash_soon, nothing]), book.child("b", started=wait_for(gate)))
    )
    starting = awaited(begun.start())
    await advance(5.0)
    assert book.lives == {"a": 1, "b": 1}
    gate.set()
    s = await starting
    await settle()
    assert book.lives == {"a": 2, "b": 1}
    assert await states(s) == {"a": "up", "b": "up"}
    await s.stop()


async def test_a_start_calls_the_constructor_with_the_arguments_of_the_spec_each_time(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a", told=note(book.pages.setdefault("a", _page(book)), "told"))) as s:
        ref = member(s, "a")
        await ref.ask(Doer.do, remember)
        await fell(s, ref, "crash")
        assert await ref.ask(Doer.do, recall) == {}
        assert await ref.ask(Doer.do, plans) == ["told"]


def _page(book: Book) -> Any:
    _ = book.child("a")
    return book.pages["a"]


async def remember(me: Doer) -> None:
    me.memory["of"] = "old times"


async def recall(me: Doer) -> Any:
    return dict(me.memory)


async def plans(me: Doer) -> Any:
    return list(me.plans)


@pytest.mark.parametrize("depth", ["the tree", "a branch", "a spawn"])
async def test_a_start_that_is_cancelled_ends_the_children_that_are_up_in_reverse_and_gracefully(
    system: Systems, depth: str
) -> None:
    """As when somebody presses Ctrl-C while a service starts."""
    book = Book()
    children = (*book.children("a", "b"), book.child("c", started=hang), book.child("d"))
    if depth == "a branch":
        s = grown(system, supervisor("in", *children), max_restarts=0)
    else:
        s = quiet(system, tree=tree(*children) if depth == "the tree" else None)
    if depth == "a spawn":
        await s.start()
        starting: asyncio.Task[Any] = awaited(s.spawn_from(tree(*children).blueprint()))
    else:
        starting = awaited(s.start())
    await settle()
    assert book.words[-1] == "c starting 1"
    starting.cancel()
    await asyncio.wait({starting})
    await advance(1.0)
    assert starting.cancelled()
    assert s.running is (depth == "a spawn")
    await s.stop()
    assert book.turns() == ["a starting", "b starting", "c starting", "b stopped", "a stopped"]
    assert {type(reason) for name in "ab" for reason in book.pages[name].reasons} == {Shutdown}
    assert s.zombies == 0
    assert no_trace()
