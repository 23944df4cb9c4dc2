"""The laws of the end of a tree: strict reverse order, each child with its own time, nothing restarted."""

from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, a_gate, crash, hang, quiet, rest, sleep, swallow
from tests.supervision.trees import Book, awaited, end_of, fell, grown, member, now, top, tree
from upright.actors import ActorGone, Killed, Shutdown
from upright.actors.events import ActorStopped
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import Backoff, Supervisor, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


INF = float("inf")


def exits(recorder: Recorder) -> dict[str, str]:
    """How each child ended."""
    return {event.path.rpartition("/")[2]: type(event.exit).__name__ for event in recorder.of(ActorStopped)}


async def test_children_end_one_after_the_other_from_the_last_to_the_first(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c", stopping=sleep(1.0))):
        book.words.clear()
    assert book.words == [
        f"{name} {verb} 1" for name in "cba" for verb in ("stopping", "stopped")
    ]  # fmt: skip
    assert now() == 3.0


async def test_a_tree_ends_in_strict_reverse_order_of_its_start_through_all_levels(system: Systems) -> None:
    book = Book()
    inner = supervisor("inner", *book.children("b", "c", stopping=sleep(1.0)))
    async with grown(system, book.child("a"), inner, book.child("d")):
        pass
    assert book.acts("stopped") == ["d stopped", "c stopped", "b stopped", "a stopped"]


async def test_the_order_holds_after_restarts(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c")) as s:
        await fell(s, member(s, "a"), "crash")
        await fell(s, member(s, "b"), "kill")
        book.words.clear()
    assert book.turns() == ["c stopped", "b stopped", "a stopped"]


async def test_the_order_holds_after_a_child_was_terminated_and_restarted(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c")) as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        await top(s).ask(Supervisor.restart_child, "a")
        book.words.clear()
    assert book.turns() == ["c stopped", "b stopped", "a stopped"]


async def test_the_order_holds_after_a_group_has_started_one_that_was_down(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c"), strategy="one_for_all") as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        book.words.clear()
        await fell(s, member(s, "b"), "crash")
        assert book.acts("starting") == ["a starting", "b starting", "c starting"]
        book.words.clear()
    assert book.turns() == ["c stopped", "b stopped", "a stopped"]


async def test_each_child_has_its_own_time_and_is_then_cancelled(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    async with grown(
        system,
        book.child("quick"),
        book.child("late", stopping=hang).options(shutdown=2.0),
        book.child("slow", stopping=sleep(7.0)).options(shutdown=8.0),
        book.child("usual", stopping=hang),
    ):
        pass
    assert now() == 5.0 + 7.0 + 2.0
    ends = exits(recorders[0])
    assert [ends[name] for name in ("quick", "late", "slow", "usual")] == ["Shutdown", "Killed", "Shutdown", "Killed"]


async def test_brutal_is_at_once_and_without_stopping(system: Systems, recorders: list[Recorder]) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b").options(shutdown="brutal")) as s:
        await member(s, "b").tell(Doer.do, hang)
        await settle()
    assert now() == 0.0
    assert exits(recorders[0])["b"] == "Killed"
    assert book.acts("stopping") == ["a stopping"]


async def test_inf_waits_as_long_as_it_takes_and_a_child_finishes_the_message_in_hand(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    async with grown(system, book.child("a").options(shutdown=INF)) as s:
        await member(s, "a").tell(Doer.do, sleep(10_000.0))
        await settle()
    assert now() == 10_000.0
    assert exits(recorders[0])["a"] == "Shutdown"


async def test_a_supervisor_has_all_the_time_that_its_children_need(system: Systems) -> None:
    book = Book()
    inner = supervisor("inner", book.child("a", stopping=sleep(100.0)).options(shutdown=INF))
    async with grown(system, inner):
        pass
    assert now() == 100.0
    assert book.acts("stopped") == ["a stopped"]


async def test_exits_during_a_shutdown_cause_no_restart(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b"), book.child("c", stopping=sleep(2.0))) as s:
        ref = member(s, "a")
        stopping = awaited(s.stop())
        await advance(1.0)
        await ref.tell(Doer.do, crash)
        await stopping
    assert book.lives == {"a": 1, "b": 1, "c": 1}


async def test_a_child_that_crashes_while_its_elder_sibling_still_stops_is_not_restarted(system: Systems) -> None:
    book = Book()
    doomed = book.child("a", started=lambda me: _crash_in(me, 1.0))
    async with grown(system, doomed, book.child("b", stopping=sleep(3.0))):
        pass
    assert book.lives == {"a": 1, "b": 1}


async def _crash_in(me: Doer, seconds: float) -> None:
    me.ctx.after(seconds, Doer.do, crash)


async def test_restarts_that_are_held_back_do_not_happen_once_shutdown_has_begun(system: Systems) -> None:
    book = Book()
    held = book.child("a").options(backoff=Backoff(1.0, 1.0, jitter="none"))
    async with grown(system, held, book.child("b", stopping=sleep(4.0))) as s:
        await fell(s, member(s, "a"), "crash")
    assert (now(), book.lives) == (4.0, {"a": 1, "b": 1})


async def test_asks_that_come_during_a_shutdown_are_refused_and_start_nothing(system: Systems) -> None:
    book = Book()
    inner = supervisor("inner", book.child("a", stopping=sleep(3.0)))
    async with grown(system, inner) as s:
        sup = top(s, "/top/inner")
        ending = awaited(top(s).ask(Supervisor.terminate_child, "inner"))
        await advance(1.0)
        asked = awaited(sup.ask(Supervisor.start_child, book.child("late")))
        await ending
        with pytest.raises(ActorGone):
            await asked
    assert book.lives == {"a": 1, "late": 0}


@pytest.mark.parametrize(("shutdown", "expected"), [(2.0, 2.0), ("brutal", 0.0), (0.0, 0.0)])
async def test_a_first_start_in_progress_holds_up_the_stop_no_longer_than_the_childs_own_time(
    system: Systems, shutdown: Any, expected: float
) -> None:
    book = Book()
    s = quiet(system, tree=tree(book.child("a"), book.child("b", started=hang).options(shutdown=shutdown)))
    starting = awaited(s.start())
    await settle()
    await s.stop()
    assert isinstance((await _outcome(starting)), Exception)
    assert now() == expected
    assert book.turns() == ["a starting", "b starting", "a stopped"]


async def _outcome(task: Any) -> Any:
    try:
        return await task
    except Exception as error:
        return error


@pytest.mark.parametrize(("shutdown", "expected"), [(2.0, 2.0), ("brutal", 0.0)])
@pytest.mark.parametrize("how", ["restart", "start_child"])
async def test_a_later_start_in_progress_holds_up_the_stop_no_longer_than_the_childs_own_time(
    system: Systems, how: str, shutdown: Any, expected: float
) -> None:
    book = Book()
    slow = book.child("b", started=[rest, hang] if how == "restart" else hang).options(shutdown=shutdown)
    async with grown(system, book.child("a"), *([slow] if how == "restart" else [])) as s:
        if how == "restart":
            await fell(s, member(s, "b"), "crash")
        else:
            assert top(s).try_tell(Supervisor.start_child, slow)
            await settle()
        assert book.turns()[-1] == "b starting"
        book.words.clear()
    assert now() == expected
    assert book.turns() == ["a stopped"]


async def test_a_stop_in_the_middle_of_a_group_restart_starts_nobody_any_more(system: Systems) -> None:
    book = Book()
    slow = book.child("c", stopping=sleep(3.0))
    async with grown(system, book.child("a"), book.child("b"), slow, strategy="one_for_all") as s:
        assert member(s, "a").try_tell(Doer.do, crash)
        await advance(1.0)
    assert book.lives == {"a": 1, "b": 1, "c": 1}
    assert now() == 3.0


async def test_a_stop_while_a_group_starts_ends_those_that_are_up_again_in_reverse(system: Systems) -> None:
    book = Book()
    slow = book.child("b", started=[rest, sleep(2.0)])
    async with grown(system, book.child("a"), slow, book.child("c"), strategy="one_for_all") as s:
        assert member(s, "a").try_tell(Doer.do, crash)
        await advance(1.0)
        book.words.clear()
    assert book.turns() == ["b stopped", "a stopped"]
    assert book.lives == {"a": 2, "b": 2, "c": 1}


async def test_one_that_swallows_its_cancellation_is_left_behind_and_the_shutdown_goes_on(system: Systems) -> None:
    book = Book()
    async with a_gate() as gate:
        async with grown(system, book.child("a"), book.child("z", stopping=swallow(gate)).options(shutdown=2.0)) as s:
            pass
        assert now() == 3.0
        assert book.acts("stopped") == ["a stopped"]
        assert not s.running


async def test_what_watchers_and_hooks_hear_of_an_end(system: Systems) -> None:
    book = Book()
    slow = book.child("slow", stopping=hang).options(shutdown=1.0)
    async with grown(system, book.child("a"), slow) as s:
        refs = [member(s, "a"), member(s, "slow"), top(s)]
        ends = [awaited(end_of(ref)) for ref in refs]
        await settle()
    assert [type(await end) for end in ends] == [Shutdown, Killed, Shutdown]
    assert [type(reason) for reason in book.pages["a"].reasons] == [Shutdown]
