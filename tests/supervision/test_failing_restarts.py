"""The laws of restarts that do not succeed at once: they fail, or are held back. The supervisor answers meanwhile."""

from typing import Any

import pytest

from tests.actors.lives import Deed, Doer, Systems, crash, hang, rest
from tests.supervision.trees import Book, awaited, counts, fell, fell_together, grown, member, now, states, top
from upright.actors.errors import Ignore
from upright.actors.testing import advance, settle
from upright.supervision import Backoff, Restarting, Supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ALL: Any = "one_for_all"
REST: Any = "rest_for_one"


def steady(seconds: float, quiet: float | None = None) -> Backoff:
    """Always the same delay."""
    return Backoff(seconds, seconds, factor=1.0, jitter="none", quiet=quiet)


def fails(times: int) -> list[Deed]:
    """Starts, then fails to start so often, then starts again."""
    return [rest, *[crash] * times, rest]


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_a_restart_that_fails_is_tried_again_until_it_succeeds(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b", started=fails(5)), strategy=strategy) as s:
        await fell(s, member(s, "b"), "crash")
        assert await states(s) == {"a": "up", "b": "up"}
        assert book.lives["b"] == 7


async def test_calls_that_wait_are_served_between_two_attempts(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b", started=[rest, crash]), max_restarts=1_000_000) as s:
        assert member(s, "b").try_tell(Doer.do, crash)
        for _ in range(5):
            assert await states(s) in ({"a": "up", "b": "up"}, {"a": "up", "b": "restarting"})
        assert await states(s) == {"a": "up", "b": "restarting"}
        assert (await counts(s)).active == 1
        await top(s).ask(Supervisor.terminate_child, "b")
        tried = book.lives["b"]
        await settle()
        assert await states(s) == {"a": "up", "b": "down"}
        assert book.lives["b"] == tried > 1


async def test_a_stop_is_served_between_two_attempts(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b", started=[rest, crash]), max_restarts=1_000_000) as s:
        assert member(s, "b").try_tell(Doer.do, crash)
        assert await states(s) in ({"a": "up", "b": "up"}, {"a": "up", "b": "restarting"})
    assert book.turns()[-1] == "a stopped"
    assert now() == 0.0


async def test_one_for_all_stops_the_siblings_that_did_start_and_does_the_group_again(system: Systems) -> None:
    book = Book()
    children = (book.child("a"), book.child("b", started=fails(1)), book.child("c"))
    async with grown(system, *children, strategy=ALL) as s:
        book.words.clear()
        await fell(s, member(s, "c"), "crash")
        assert book.turns() == [
            "c stopped", "b stopped", "a stopped", "a starting", "b starting",
            "a stopped", "a starting", "b starting", "c starting",
        ]  # fmt: skip
        assert await states(s) == dict.fromkeys("abc", "up")


async def test_rest_for_one_touches_only_the_one_that_failed_and_those_after_it(system: Systems) -> None:
    book = Book()
    children = (book.child("a"), book.child("b"), book.child("c", started=fails(2)), book.child("d"))
    async with grown(system, *children, strategy=REST) as s:
        book.words.clear()
        await fell(s, member(s, "b"), "crash")
        assert book.turns() == [
            "b stopped", "d stopped", "c stopped", "b starting",
            "c starting", "c starting", "c starting", "d starting",
        ]  # fmt: skip
        assert book.lives == {"a": 1, "b": 2, "c": 4, "d": 2}


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_when_the_one_that_failed_is_terminated_nobody_stays_restarting_without_anybody_to_restart_it(
    system: Systems, strategy: Any
) -> None:
    book = Book()
    bad = book.child("b", started=[rest, crash]).options(backoff=steady(10.0))
    async with grown(system, book.child("a"), bad, book.child("c"), strategy=strategy) as s:
        await fell(s, member(s, "a"), "crash")
        assert (await states(s))["b"] == "restarting"
        await top(s).ask(Supervisor.terminate_child, "b")
        await advance(1_000.0)
        said = await states(s)
        assert said["b"] == "down"
        assert "restarting" not in said.values()


async def test_who_waited_for_one_that_is_terminated_is_started_although_a_later_one_waits_alone(
    system: Systems,
) -> None:
    book = Book()
    held = book.child("b").options(backoff=steady(10.0))
    async with grown(system, book.child("a"), held, book.child("c"), strategy=REST) as s:
        await fell(s, member(s, "b"), "crash")
        await top(s).ask(Supervisor.start_child, book.child("e").options(backoff=steady(20.0)))
        await top(s).ask(Supervisor.start_child, book.child("f"))
        await fell(s, member(s, "e"), "crash")
        waiting = dict.fromkeys("bcef", "restarting")
        assert await states(s) == {"a": "up", **waiting}
        await top(s).ask(Supervisor.terminate_child, "b")
        assert await states(s) == {"a": "up", **waiting, "b": "down", "c": "up"}
        assert book.lives == {"a": 1, "b": 1, "c": 2, "e": 1, "f": 1}
        await advance(19.9)
        assert await states(s) == {"a": "up", **waiting, "b": "down", "c": "up"}
        await advance(0.2)
        assert await states(s) == {**dict.fromkeys("abcef", "up"), "b": "down"}
        assert book.lives == {"a": 1, "b": 1, "c": 2, "e": 2, "f": 2}


async def test_who_waits_for_an_earlier_one_too_is_not_started_when_a_later_one_is_terminated(system: Systems) -> None:
    book = Book()
    held = book.child("b").options(backoff=steady(10.0))
    async with grown(system, book.child("a"), held, book.child("c"), strategy=REST) as s:
        await fell(s, member(s, "b"), "crash")
        await top(s).ask(Supervisor.start_child, book.child("e").options(backoff=steady(20.0)))
        await top(s).ask(Supervisor.start_child, book.child("f"))
        await fell(s, member(s, "e"), "crash")
        await top(s).ask(Supervisor.terminate_child, "e")
        assert await states(s) == {"a": "up", **dict.fromkeys("bcef", "restarting"), "e": "down"}
        await advance(10.1)
        assert {name: (await states(s))[name] for name in "abcf"} == dict.fromkeys("abcf", "up")
        assert {name: book.lives[name] for name in "abcf"} == {"a": 1, "b": 2, "c": 2, "f": 2}


async def test_all_who_waited_for_the_last_one_with_an_attempt_are_started_when_it_is_terminated(
    system: Systems,
) -> None:
    book = Book()
    held = book.child("b").options(backoff=steady(10.0))
    async with grown(system, book.child("a"), held, book.child("c"), strategy=ALL) as s:
        await fell(s, member(s, "b"), "crash")
        await top(s).ask(Supervisor.start_child, book.child("e").options(backoff=steady(20.0)))
        await fell(s, member(s, "e"), "crash")
        await top(s).ask(Supervisor.terminate_child, "b")
        assert await states(s) == {**dict.fromkeys("abce", "restarting"), "b": "down"}, "the attempt of e will come"
        await top(s).ask(Supervisor.terminate_child, "e")
        assert await states(s) == {"a": "up", "b": "down", "c": "up", "e": "down"}
        await advance(100.0)
        assert book.lives == {"a": 2, "b": 1, "c": 2, "e": 1}


@pytest.mark.parametrize("strategy", ["one_for_one", ALL, REST])
async def test_a_delay_holds_back_the_restart_and_nothing_else(system: Systems, strategy: Any) -> None:
    book = Book()
    slow = book.child("b").options(backoff=steady(10.0))
    async with grown(system, book.child("a"), slow, book.child("c"), strategy=strategy) as s:
        await fell(s, member(s, "b"), "crash")
        assert now() == 0.0
        assert (await states(s))["b"] == "restarting"
        assert await top(s).ask(Supervisor.start_child, book.child("new")) == member(s, "new")
        with pytest.raises(Restarting):
            await top(s).ask(Supervisor.restart_child, "b")
        await advance(9.9)
        assert book.lives["b"] == 1
        await advance(0.2)
        await settle()
        assert await states(s) == dict.fromkeys(["a", "b", "c", "new"], "up")


async def test_delays_grow_with_each_failure_and_begin_anew_after_a_quiet_time(system: Systems) -> None:
    book, times = Book(), list[float]()

    async def note_time(_: Doer) -> None:
        times.append(now())

    backoff = Backoff(1.0, 4.0, jitter="none", quiet=60.0)
    async with grown(system, book.child("a", started=note_time).options(backoff=backoff)) as s:
        for _ in range(4):
            await fell(s, member(s, "a"), "crash")
            await advance(10.0)
        assert times == [0.0, 1.0, 12.0, 24.0, 34.0]
        await advance(60.0)
        fallen = now()
        await fell(s, member(s, "a"), "crash")
        await advance(10.0)
        assert times[-1] == fallen + 1.0


async def test_a_restart_that_fails_is_held_back_by_the_back_off_too(system: Systems) -> None:
    book, times = Book(), list[float]()

    async def note_time_and_crash(me: Doer) -> None:
        times.append(now())
        await crash(me)

    plan = [rest, *[note_time_and_crash] * 3, rest]
    backoff = Backoff(1.0, 100.0, jitter="none")
    async with grown(system, book.child("a", started=plan).options(backoff=backoff)) as s:
        await fell(s, member(s, "a"), "crash")
        await advance(100.0)
        assert times == [1.0, 3.0, 7.0]
        assert await states(s) == {"a": "up"}


async def test_a_delay_ends_with_terminate_child(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a").options(backoff=steady(10.0))) as s:
        await fell(s, member(s, "a"), "crash")
        await top(s).ask(Supervisor.terminate_child, "a")
        await advance(100.0)
        assert book.lives == {"a": 1}
        await top(s).ask(Supervisor.restart_child, "a")
        assert book.lives == {"a": 2}


async def test_the_delay_of_a_restart_that_was_overtaken_does_not_shorten_the_next_one(system: Systems) -> None:
    book = Book()
    held = book.child("c").options(backoff=steady(10.0))
    async with grown(system, book.child("a"), book.child("b"), held, strategy=REST) as s:
        await fell(s, member(s, "c"), "crash")
        await advance(5.0)
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == dict.fromkeys("abc", "up")
        await advance(1.0)
        await fell(s, member(s, "c"), "crash")
        await advance(9.0)
        assert (now(), await states(s)) == (15.0, {"a": "up", "b": "up", "c": "restarting"})
        await advance(2.0)
        assert await states(s) == dict.fromkeys("abc", "up")


async def test_a_second_group_restart_does_not_double_the_attempts(system: Systems) -> None:
    book, times = Book(), list[float]()

    async def note_time_and_crash(me: Doer) -> None:
        times.append(now())
        await crash(me)

    bad = book.child("b", started=[rest, note_time_and_crash]).options(backoff=steady(10.0))
    async with grown(system, book.child("a"), bad, strategy=ALL) as s:
        await fell(s, member(s, "a"), "crash")
        await advance(5.0)
        await fell(s, member(s, "a"), "crash")
        await advance(30.0)
        assert times == [0.0, 5.0, 15.0, 25.0, 35.0]


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_a_sibling_that_crashed_in_the_same_instant_waits_for_the_delay_of_the_group(
    system: Systems, strategy: Any
) -> None:
    book = Book()
    async with grown(
        system, book.child("a").options(backoff=steady(10.0)), book.child("b"), strategy=strategy, max_restarts=1
    ) as s:
        await fell_together(member(s, "a"), member(s, "b"))
        assert await states(s) == {"a": "restarting", "b": "restarting"}
        await advance(10.0)
        assert await states(s) == {"a": "up", "b": "up"}
        assert book.lives == {"a": 2, "b": 2}


async def test_one_that_declines_when_it_is_tried_again_is_down(system: Systems) -> None:
    async def decline(_: Any) -> None:
        raise Ignore("enough")

    book = Book()
    async with grown(system, book.child("a", started=[rest, crash, crash, decline])) as s:
        await fell(s, member(s, "a"), "crash")
        assert await states(s) == {"a": "down"}
        assert book.lives == {"a": 4}


async def test_asks_that_wait_for_one_that_is_tried_again_are_answered_when_it_is_up(system: Systems) -> None:
    book = Book()
    bad = book.child("a", started=fails(3)).options(backoff=steady(1.0))
    async with grown(system, bad) as s:
        await fell(s, member(s, "a"), "crash")
        asked = awaited(member(s, "a").within(60.0).ask(Doer.note, "patient"))
        await advance(3.5)
        assert not asked.done()
        assert await asked == "patient"
        assert book.pages["a"].words[-1] == "patient 5"


async def test_a_start_that_hangs_in_a_restart_is_tried_again_when_its_time_is_up(system: Systems) -> None:
    book = Book()
    slow = book.child("a", started=[rest, hang, rest]).options(start_timeout=2.0)
    async with grown(system, slow) as s:
        await fell(s, member(s, "a"), "crash")
        await advance(2.0)
        assert (now(), await states(s), book.lives) == (2.0, {"a": "up"}, {"a": 3})
