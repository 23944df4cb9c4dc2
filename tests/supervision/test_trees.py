"""The laws of trees: what one supervisor cannot heal is handed up level by level, and a failed start unwinds them."""

from typing import Any

import pytest

from tests.actors.deeds import raised_by
from tests.actors.lives import Closer, Diary, Doer, Oops, Starter, Systems, crash, quiet, rest, stop
from tests.supervision.trees import Book, end_of, fell, grown, member, states, top, tree
from upright.actors import ActorGone, ActorSystem, Down, Ref, Shutdown, StartFailed
from upright.actors.errors import SystemFailed
from upright.actors.testing import kill, settle
from upright.supervision import ChildSpec, Supervisor, supervisor
from upright.supervision.decision import RESTARTS, Restart

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def frail(id: str, *children: ChildSpec[Any], **options: Any) -> ChildSpec[Supervisor]:
    """A supervisor that gives up at the first restart, where the test says nothing else."""
    settings: dict[str, Any] = {"max_restarts": 0} | options
    return supervisor(id, *children, **settings)


async def crashed(system: ActorSystem, parent: str, name: str = "a") -> None:
    await fell(system, member(system, name, parent), "crash")


# Escalation


@pytest.mark.parametrize("restart", RESTARTS)
async def test_a_sub_supervisor_over_its_limit_ends_cleanly_so_only_a_permanent_one_is_restarted(
    system: Systems, restart: Restart
) -> None:
    book = Book()
    async with grown(system, frail("sub", *book.children("a", "b")).options(restart=restart), book.child("z")) as s:
        await crashed(s, "/top/sub")
        again = 2 if restart == "permanent" else 1
        assert book.lives == {"a": again, "b": again, "z": 1}
        left = {
            "permanent": {"sub": "up", "z": "up"},
            "transient": {"sub": "down", "z": "up"},
            "temporary": {"z": "up"},
        }
        assert await states(s) == left[restart]


async def test_a_supervisor_that_gives_up_stops_its_children_in_reverse_order_before_it_starts_again(
    system: Systems,
) -> None:
    book = Book()
    async with grown(system, frail("sub", *book.children("a", "b", "c", "d"))) as s:
        book.words.clear()
        await crashed(s, "/top/sub", "b")
        assert book.turns()[-7:] == [
            "d stopped", "c stopped", "a stopped", "a starting", "b starting", "c starting", "d starting",
        ]  # fmt: skip


async def test_a_restarted_sub_supervisor_has_its_whole_budget_again(system: Systems) -> None:
    book = Book()
    async with grown(system, frail("sub", book.child("a"), max_restarts=2), max_restarts=1) as s:
        for _ in range(5):
            await crashed(s, "/top/sub")
        assert book.lives == {"a": 6}
        assert await states(s, "/top/sub") == {"a": "up"}


async def test_restarts_of_one_level_do_not_count_on_another(system: Systems) -> None:
    book = Book()
    inner = frail("inner", book.child("a"), max_restarts=50)
    async with grown(system, frail("outer", inner), max_restarts=0) as s:
        for _ in range(50):
            await crashed(s, "/top/outer/inner")
        assert book.lives == {"a": 51}


@pytest.mark.parametrize(("low", "middle", "high"), [(0, 0, 0), (1, 0, 0), (0, 2, 0), (2, 1, 1), (3, 2, 1)])
async def test_a_child_that_never_stops_crashing_uses_up_the_budget_of_each_level_above_it(
    system: Systems, low: int, middle: int, high: int
) -> None:
    book = Book()
    tree = frail("mid", frail("low", book.child("a"), max_restarts=low), max_restarts=middle)
    enough = (low + 1) * (middle + 1) * (high + 1)
    with pytest.raises(SystemFailed):
        async with grown(system, tree, max_restarts=high) as s:
            for number in range(enough):
                assert s.running, f"it gave up after {number} of {enough} crashes"
                await crashed(s, "/top/mid/low")
            assert not s.running
    assert book.lives == {"a": enough}


async def test_when_all_levels_gave_up_the_error_says_which_child_how_often_and_the_last_error(
    system: Systems,
) -> None:
    book = Book()
    with pytest.raises(SystemFailed) as raised:
        async with grown(system, frail("sub", book.child("ledger"), max_restarts=1), max_restarts=0) as s:
            await crashed(s, "/top/sub", "ledger")
            await crashed(s, "/top/sub", "ledger")
    words = str(raised.value)
    assert "sub" in words
    assert "ledger" in words
    assert "1 restart" in words
    assert "on purpose" in words


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_escalation_ends_at_the_first_level_that_is_not_to_be_restarted(
    system: Systems, restart: Restart
) -> None:
    book = Book()
    inner = frail("mid", frail("low", book.child("a")).options(restart=restart), book.child("m"))
    async with grown(system, inner, book.child("z"), max_restarts=0) as s:
        await crashed(s, "/top/mid/low")
        assert book.lives == {"a": 1, "m": 1, "z": 1}
        assert await states(s, "/top") == {"mid": "up", "z": "up"}


async def test_the_ref_of_a_sub_supervisor_survives_its_restart_and_a_watcher_of_it_hears_nothing(
    system: Systems,
) -> None:
    book, diary = Book(), Diary()
    async with grown(system, frail("sub", book.child("a"))) as s:
        watcher = await s.spawn("watcher", Doer, diary)
        sub, leaf = top(s, "/top/sub"), member(s, "a", "/top/sub")
        await watcher.ask(Doer.do, watching(sub, leaf))
        await crashed(s, "/top/sub")
        assert await states(s, "/top/sub") == {"a": "up"}
        assert [down.ref.path for down in diary.downs] == ["/top/sub/a"]
        assert (await sub.ask(Supervisor.count_children)).active == 1


def watching(*refs: Ref[Any]) -> Any:
    async def deed(me: Doer) -> None:
        for ref in refs:
            me.ctx.watch(ref, Doer.down)

    return deed


async def test_watchers_of_a_transient_sub_supervisor_that_gave_up_hear_of_a_clean_end(system: Systems) -> None:
    book, diary = Book(), Diary()
    async with grown(system, frail("sub", book.child("a")).options(restart="transient")) as s:
        watcher = await s.spawn("watcher", Doer, diary)
        await watcher.ask(Doer.do, watching(top(s, "/top/sub")))
        await crashed(s, "/top/sub")
        (down,) = diary.downs
        assert isinstance(down, Down)
        assert isinstance(down.reason, Shutdown)
        assert down.reason.gave_up


async def test_children_that_were_added_while_it_ran_are_forgotten_when_their_supervisor_starts_again(
    system: Systems,
) -> None:
    book = Book()
    async with grown(system, frail("sub", book.child("a"))) as s:
        await top(s, "/top/sub").ask(Supervisor.start_child, book.child("late"))
        assert list(await states(s, "/top/sub")) == ["a", "late"]
        await crashed(s, "/top/sub", "a")
        assert await states(s, "/top/sub") == {"a": "up"}
        assert book.lives == {"a": 2, "late": 1}


async def test_a_sub_supervisor_that_is_killed_takes_its_children_along_and_all_come_back(system: Systems) -> None:
    book = Book()
    inner = frail("sub", *book.children("a", "b"))
    async with grown(system, inner, book.child("z")) as s:
        await kill(s, top(s, "/top/sub"))
        await settle()
        assert book.lives == {"a": 2, "b": 2, "z": 1}
        assert await states(s, "/top/sub") == {"a": "up", "b": "up"}


@pytest.mark.parametrize(
    ("strategy", "lives"),
    [
        ("one_for_one", {"a": 1, "s": 2, "b": 1, "t": 1}),
        ("one_for_all", {"a": 2, "s": 2, "b": 2, "t": 2}),
        ("rest_for_one", {"a": 1, "s": 2, "b": 2, "t": 2}),
    ],
)
async def test_a_strategy_touches_whole_sub_trees(system: Systems, strategy: Any, lives: dict[str, int]) -> None:
    book = Book()
    children = (book.child("a"), frail("sub", book.child("s")), book.child("b"), frail("tub", book.child("t")))
    async with grown(system, *children, strategy=strategy) as s:
        await crashed(s, "/top/sub", "s")
        assert book.lives == lives
        assert await states(s) == {"a": "up", "sub": "up", "b": "up", "tub": "up"}


# A start that fails


def three_levels(book: Book, **plans: Any) -> ChildSpec[Supervisor]:
    """/top with 1, mid (2, low (3, bad, 4), 5), 6; what is after `bad` is never to be made."""
    low = supervisor("low", book.child("3"), book.child("bad", **plans), book.child("4"))
    return tree(book.child("1"), supervisor("mid", book.child("2"), low, book.child("5")), book.child("6"))


async def failed_start(system: Systems, spec: ChildSpec[Supervisor]) -> BaseException:
    whole = quiet(system, tree=spec)
    failure = await raised_by(whole.start())
    assert not whole.running
    return failure


async def test_a_failed_start_unwinds_three_levels_and_names_the_path_of_the_child_and_its_cause(
    system: Systems,
) -> None:
    failure = await failed_start(system, three_levels(Book(), started=crash))
    assert isinstance(failure, StartFailed)
    assert "/top/mid/low/bad" in str(failure)
    assert "on purpose" in str(failure)
    causes: list[BaseException] = [failure]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    assert isinstance(causes[-1], Oops)


async def test_a_constructor_that_fails_unwinds_as_started_does(system: Systems) -> None:
    def fail(_: Any) -> None:
        raise Oops("no disk")

    book = Book()
    spec = book.child("bad", Starter)
    page = book.pages["bad"]
    bad: ChildSpec[Doer] = ChildSpec("bad", spec.actor, (page, fail))
    failure = await failed_start(system, tree(supervisor("mid", book.child("a"), bad)))
    assert isinstance(failure, StartFailed)
    assert "/top/mid/bad" in str(failure)
    assert "no disk" in str(failure)
    assert book.acts("stopped") == ["a stopped"]


async def test_a_child_that_fails_while_the_tree_starts_is_not_retried_and_nobody_after_it_is_made(
    system: Systems,
) -> None:
    book = Book()
    await failed_start(system, three_levels(book, started=(crash, rest)))
    assert book.lives == {"1": 1, "2": 1, "3": 1, "bad": 1, "4": 0, "5": 0, "6": 0}


async def test_those_that_had_started_are_stopped_in_reverse_level_by_level(system: Systems) -> None:
    book = Book()
    await failed_start(system, three_levels(book, started=crash))
    assert book.acts("started", "stopped") == [
        "1 started", "2 started", "3 started", "3 stopped", "2 stopped", "1 stopped",
    ]  # fmt: skip


async def test_a_start_that_hangs_deep_below_is_bounded_where_it_hangs(system: Systems) -> None:
    async def hang(me: Doer) -> None:
        await me.ctx.self_ref.ended()

    book = Book()
    slow = book.child("slow", started=hang).options(start_timeout=2.0)
    failure = await failed_start(system, tree(supervisor("mid", book.child("a"), slow)))
    assert isinstance(failure, StartFailed)
    assert "/top/mid/slow" in str(failure)
    assert book.acts("stopped") == ["a stopped"]


async def test_a_restart_of_a_sub_tree_whose_child_cannot_start_is_retried_by_its_parent_and_each_try_counts(
    system: Systems,
) -> None:
    book = Book()
    plans = [rest, crash, crash, rest]
    async with grown(system, frail("sub", book.child("a"), book.child("b", started=plans)), max_restarts=3) as s:
        await crashed(s, "/top/sub")
        assert book.lives == {"a": 4, "b": 4}
        assert await states(s) == {"sub": "up"}
    book = Book()
    with pytest.raises(SystemFailed):
        async with grown(system, frail("sub", book.child("a"), book.child("b", started=plans)), max_restarts=2) as s:
            await crashed(s, "/top/sub")
            assert not s.running
    assert book.lives == {"a": 3, "b": 3}


# The end of a tree


async def test_a_tree_is_stopped_strictly_in_reverse_and_each_supervisor_after_all_below_it(system: Systems) -> None:
    book = Book()
    inner = supervisor("mid", book.child("b"), supervisor("low", *book.children("c", "d")), book.child("e"))
    async with grown(system, book.child("a"), inner, book.child("f")):
        assert book.acts("started") == [f"{name} started" for name in "abcdef"]
    assert book.acts("stopping", "stopped") == [
        f"{name} {verb}" for name in "fedcba" for verb in ("stopping", "stopped")
    ]
    assert set(book.lives.values()) == {1}


async def test_a_significant_sub_supervisor_that_shuts_itself_down_triggers_its_parent_in_turn(
    system: Systems,
) -> None:
    book = Book()

    def vip(spec: ChildSpec[Any]) -> ChildSpec[Any]:
        return spec.options(restart="transient", significant=True)

    low = vip(supervisor("low", vip(book.child("a")), book.child("b"), auto_shutdown="any_significant"))
    mid = supervisor("mid", low, book.child("c"), auto_shutdown="all_significant").options(restart="transient")
    async with grown(system, mid, book.child("z")) as s:
        await member(s, "a", "/top/mid/low").tell(Doer.do, stop)
        await settle()
        assert book.acts("stopped") == ["a stopped", "b stopped", "c stopped"]
        assert await states(s) == {"mid": "down", "z": "up"}
        assert book.lives == {"a": 1, "b": 1, "c": 1, "z": 1}


async def test_asks_to_a_child_of_a_supervisor_that_gave_up_for_good_end_at_once(system: Systems) -> None:
    book = Book()
    async with grown(system, frail("sub", *book.children("a", "b")).options(restart="transient")) as s:
        other = member(s, "b", "/top/sub")
        await crashed(s, "/top/sub")
        assert isinstance(await raised_by(other.ask(Doer.note, "hello")), ActorGone)
        assert isinstance(await end_of(other), Shutdown)


async def test_a_kind_with_no_hooks_is_escalated_like_one_with_all(system: Systems) -> None:
    for kind in (Doer, Starter, Closer):
        book = Book()
        async with grown(system, frail("sub", book.child("a", kind), book.child("b", kind))) as s:
            await crashed(s, "/top/sub")
            assert book.lives == {"a": 2, "b": 2}
