"""The laws of the three strategies: whom a restart touches, and in which order."""

from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Systems, crash, rest, sleep
from tests.supervision.trees import Book, awaited, end_of, fell, fell_together, grown, member, states, top, tree
from upright.actors import Down, Shutdown
from upright.actors.errors import Ignore
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import Supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


NAMES = ("a", "b", "c", "d")


async def decline(_: Any) -> None:
    raise Ignore("not now")


@pytest.mark.parametrize(
    ("strategy", "failed", "turns"),
    [
        ("one_for_one", "b", ["b stopped", "b starting"]),
        (
            "one_for_all",
            "b",
            [
                "b stopped",
                "d stopped",
                "c stopped",
                "a stopped",
                "a starting",
                "b starting",
                "c starting",
                "d starting",
            ],
        ),
        ("rest_for_one", "b", ["b stopped", "d stopped", "c stopped", "b starting", "c starting", "d starting"]),
        ("rest_for_one", "d", ["d stopped", "d starting"]),
        (
            "rest_for_one",
            "a",
            [
                "a stopped",
                "d stopped",
                "c stopped",
                "b stopped",
                "a starting",
                "b starting",
                "c starting",
                "d starting",
            ],
        ),
    ],
)
async def test_whom_a_restart_stops_in_reverse_and_starts_in_order(
    system: Systems, strategy: str, failed: str, turns: list[str]
) -> None:
    book = Book()
    async with grown(system, *book.children(*NAMES), strategy=strategy) as s:
        book.words.clear()
        await fell(s, member(s, failed), "crash")
        assert book.turns() == turns
        assert list(await states(s)) == [*NAMES]
        assert set((await states(s)).values()) == {"up"}


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_each_restart_in_a_group_waits_until_the_one_before_is_up(system: Systems, strategy: str) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", started=[rest, sleep(2.0)]), strategy=strategy) as s:
        book.words.clear()
        await fell(s, member(s, "a"), "kill")
        await advance(10.0)
        expected = ["a starting", "a started", "b starting", "b started"]
        assert book.acts("starting", "started") == (expected[:2] if strategy == "one_for_one" else expected)


async def test_all_are_stopped_before_the_first_is_started(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c", stopping=sleep(1.0)), strategy="one_for_all") as s:
        book.words.clear()
        await fell(s, member(s, "b"), "kill")
        await advance(10.0)
        assert book.acts("stopping", "stopped", "starting") == [
            "c stopping", "c stopped", "a stopping", "a stopped", "a starting", "b starting", "c starting",
        ]  # fmt: skip


@pytest.mark.parametrize(("strategy", "left"), [("one_for_all", "bd"), ("rest_for_one", "abd")])
async def test_temporary_siblings_in_the_group_are_stopped_and_forgotten(
    system: Systems, recorders: list[Recorder], strategy: str, left: str
) -> None:
    book = Book()
    temporary = {name: book.child(name).options(restart="temporary") for name in "ac"}
    async with grown(system, temporary["a"], book.child("b"), temporary["c"], book.child("d"), strategy=strategy) as s:
        await fell(s, member(s, "b"), "crash")
        assert await states(s) == dict.fromkeys(left, "up")
        assert book.lives == {"a": 1, "b": 2, "c": 1, "d": 2}
        gone = [event.path for event in recorders[0].of(ActorStopped)]
        assert gone == [f"/top/{name}" for name in "ca" if name not in left]


@pytest.mark.parametrize(("strategy", "up"), [("one_for_one", "bc"), ("one_for_all", "abcd"), ("rest_for_one", "bcd")])
async def test_a_group_starts_also_those_of_it_that_were_down(system: Systems, strategy: str, up: str) -> None:
    book = Book()
    async with grown(system, *book.children(*NAMES), strategy=strategy) as s:
        for name in "ad":
            await top(s).ask(Supervisor.terminate_child, name)
        await fell(s, member(s, "b"), "crash")
        assert await states(s) == {name: "up" if name in up else "down" for name in NAMES}


async def test_a_group_starts_a_transient_child_that_had_ended_and_one_that_had_declined(system: Systems) -> None:
    book = Book()
    shy = book.child("shy", started=[decline, rest])
    done = book.child("done").options(restart="transient")
    async with grown(system, shy, book.child("b"), done, strategy="one_for_all") as s:
        await fell(s, member(s, "done"), "normal")
        assert await states(s) == {"shy": "down", "b": "up", "done": "down"}
        await fell(s, member(s, "b"), "crash")
        assert await states(s) == {"shy": "up", "b": "up", "done": "up"}


@pytest.mark.parametrize(("restart", "left"), [("permanent", "down"), ("transient", "down")])
async def test_one_that_declines_in_a_restart_keeps_its_spec_and_the_group_goes_on(
    system: Systems, restart: Any, left: str
) -> None:
    book = Book()
    shy = book.child("b", started=[rest, decline]).options(restart=restart)
    async with grown(system, book.child("a"), shy, book.child("c"), strategy="one_for_all", max_restarts=1) as s:
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == {"a": "up", "b": left, "c": "up"}


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
@pytest.mark.parametrize("fallen", ["b", "a"])
async def test_watchers_hear_of_one_that_declines_in_a_restart_as_of_a_clean_end(
    system: Systems, recorders: list[Recorder], restart: Any, fallen: str
) -> None:
    book, diary = Book(), Diary()
    shy = book.child("b", started=[rest, decline]).options(restart=restart)
    async with grown(system, book.child("a"), shy, strategy="rest_for_one", max_restarts=1) as s:
        watched = member(s, "b")

        async def watch(me: Doer) -> None:
            me.ctx.watch(watched, Doer.down)

        await (await s.spawn("w", Doer, diary)).ask(Doer.do, watch)
        ended = awaited(end_of(watched))
        await fell(s, member(s, fallen), "crash")
        exit = await ended
        assert diary.downs == [Down(watched, exit)]
        if restart != "temporary":  # that is not started again
            assert exit == Shutdown("it declined to start: not now")
            assert [event.exit for event in recorders[0].of(ActorStopped, "/top/b")] == [exit]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_group_counts_as_one_restart(system: Systems, strategy: Any) -> None:
    book = Book()
    inner = tree(*book.children(*NAMES), strategy=strategy, max_restarts=2)
    async with grown(system, inner) as s:
        for _ in range(2):
            await fell(s, member(s, "a", "/top/top"), "crash")
        assert book.lives == dict.fromkeys(NAMES, 3)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_siblings_that_crash_in_the_same_instant_are_one_group_restart(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, *book.children(*NAMES), strategy=strategy, max_restarts=1) as s:
        await fell_together(*(member(s, name) for name in NAMES))
        assert await states(s) == dict.fromkeys(NAMES, "up")
        assert book.lives == dict.fromkeys(NAMES, 2)


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_child_started_later_stands_at_the_end_of_the_order(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b"), strategy=strategy) as s:
        await top(s).ask(Supervisor.start_child, book.child("late"))
        book.words.clear()
        await fell(s, member(s, "b"), "crash")
        expected = ["b stopped", "late stopped", "a stopped", "a starting", "b starting", "late starting"]
        if strategy == "rest_for_one":
            expected = ["b stopped", "late stopped", "b starting", "late starting"]
        assert book.turns() == expected


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_child_that_was_terminated_and_restarted_keeps_its_place(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c"), strategy=strategy) as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        await top(s).ask(Supervisor.restart_child, "a")
        assert list(await states(s)) == ["a", "b", "c"]
        book.words.clear()
        await fell(s, member(s, "a"), "crash")
        assert book.turns() == [
            "a stopped", "c stopped", "b stopped", "a starting", "b starting", "c starting",
        ]  # fmt: skip


async def test_a_sibling_that_stops_slowly_in_a_group_has_its_own_time_and_is_restarted_then(system: Systems) -> None:
    book = Book()
    slow = book.child("slow", stopping=sleep(100.0)).options(shutdown=3.0)
    async with grown(system, book.child("a"), slow, strategy="one_for_all") as s:
        assert member(s, "a").try_tell(Doer.do, crash)
        await advance(2.9)
        assert book.lives == {"a": 1, "slow": 1}
        await advance(0.2)
        await settle()
        assert book.lives == {"a": 2, "slow": 2}


async def test_siblings_before_in_rest_for_one_go_on_with_what_they_have_in_hand(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c"), strategy="rest_for_one") as s:
        await member(s, "a").tell(Doer.do, remember)
        await fell(s, member(s, "b"), "crash")
        assert await member(s, "a").ask(Doer.do, recall) == "kept"
        assert book.lives == {"a": 1, "b": 2, "c": 2}


async def remember(me: Doer) -> None:
    me.memory["of"] = "kept"


async def recall(me: Doer) -> Any:
    return me.memory.get("of")
