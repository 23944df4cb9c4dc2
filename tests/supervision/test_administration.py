"""The laws of administration: every call and every refusal, and that none of them harms the supervisor."""

from typing import Any

import pytest

from tests.actors.lives import Deed, Diary, Doer, Starter, Systems, crash, rest, sleep
from tests.supervision.trees import Book, awaited, counts, fell, grown, member, states, top
from upright.actors import AskCycle, Ref, Refuse, StartFailed
from upright.actors.errors import Ignore
from upright.actors.testing import settle
from upright.supervision import (
    AlreadyPresent,
    AlreadyStarted,
    Backoff,
    Counts,
    NotFound,
    NotStarted,
    Restarting,
    Running,
    Supervisor,
    child,
    supervisor,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


HELD = Backoff(1_000.0, 1_000.0, jitter="none")


async def decline(_: Any) -> None:
    raise Ignore("not today")


async def one_of_each(system: Systems, book: Book, s: Any) -> Ref[Supervisor]:
    """`up` runs, `down` was terminated, `held` is restarting."""
    sup = top(s)
    await sup.ask(Supervisor.terminate_child, "down")
    await fell(s, member(s, "held"), "crash")
    assert await states(s) == {"up": "up", "down": "down", "held": "restarting"}
    return sup


def each(system: Systems, book: Book, **options: Any) -> Any:
    held = book.child("held").options(backoff=HELD)
    return grown(system, book.child("up"), book.child("down"), held, **options)


async def test_start_child_answers_the_ref_of_one_that_is_up_and_stands_last(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a")) as s:
        ref = await top(s).ask(Supervisor.start_child, book.child("late", started=sleep(1.0)))
        assert book.words[-1] == "late started 1"
        assert ref == member(s, "late")
        assert await ref.ask(Doer.note, "here") == "here"
        assert list(await states(s)) == ["a", "late"]
        await fell(s, ref, "crash")
        assert book.lives == {"a": 1, "late": 2}


@pytest.mark.parametrize(("id", "error"), [("up", AlreadyStarted), ("down", AlreadyPresent), ("held", AlreadyPresent)])
async def test_start_child_refuses_an_id_that_is_known(system: Systems, id: str, error: type[Refuse]) -> None:
    book = Book()
    async with each(system, book) as s:
        sup = await one_of_each(system, book, s)
        with pytest.raises(error) as caught:
            await sup.ask(Supervisor.start_child, book.child(id))
        if isinstance(caught.value, AlreadyStarted):
            assert caught.value.ref == member(s, "up")
        assert await states(s) == {"up": "up", "down": "down", "held": "restarting"}
        assert book.lives == {"up": 1, "down": 1, "held": 1}


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_start_error_of_start_child_is_raised_and_the_spec_is_not_kept(system: Systems, restart: Any) -> None:
    book = Book()
    async with grown(system, book.child("a"), max_restarts=0) as s:
        with pytest.raises(NotStarted, match="/top/bad") as caught:
            await top(s).ask(Supervisor.start_child, book.child("bad", started=crash).options(restart=restart))
        assert isinstance(caught.value, StartFailed)
        assert await states(s) == {"a": "up"}
        assert book.lives == {"a": 1, "bad": 1}
        assert member(s, "bad").recipient is None
        await top(s).ask(Supervisor.start_child, book.child("bad"))


@pytest.mark.parametrize(("restart", "left"), [("permanent", True), ("transient", True), ("temporary", False)])
async def test_one_that_declines_in_start_child_keeps_its_spec_unless_temporary(
    system: Systems, restart: Any, left: bool
) -> None:
    book = Book()
    async with grown(system, book.child("a")) as s:
        with pytest.raises(Refuse):
            await top(s).ask(Supervisor.start_child, book.child("shy", started=decline).options(restart=restart))
        assert await states(s) == ({"a": "up", "shy": "down"} if left else {"a": "up"})


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_terminate_child_ends_one_keeps_its_spec_and_touches_nobody_else(system: Systems, strategy: Any) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b", "c"), strategy=strategy, max_restarts=0) as s:
        await top(s).ask(Supervisor.terminate_child, "b")
        assert book.turns()[3:] == ["b stopped"]
        assert member(s, "b").recipient is None
        await top(s).ask(Supervisor.terminate_child, "b")
        assert await states(s) == {"a": "up", "b": "down", "c": "up"}
        await settle()
        assert book.lives == {"a": 1, "b": 1, "c": 1}


async def test_terminate_child_forgets_a_temporary_one(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("t").options(restart="temporary")) as s:
        await top(s).ask(Supervisor.terminate_child, "t")
        assert await states(s) == {"a": "up"}
        with pytest.raises(NotFound):
            await top(s).ask(Supervisor.terminate_child, "t")


async def test_terminate_child_gives_the_child_its_own_time(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a", stopping=sleep(10.0)).options(shutdown=20.0)) as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        assert book.acts("stopped") == ["a stopped"]


async def test_restart_child_starts_one_that_is_down_in_its_place_without_using_the_budget(system: Systems) -> None:
    book = Book()
    async with grown(system, *book.children("a", "b"), max_restarts=1) as s:
        for _ in range(5):
            await top(s).ask(Supervisor.terminate_child, "a")
            ref = await top(s).ask(Supervisor.restart_child, "a")
            assert ref == member(s, "a")
        assert list(await states(s)) == ["a", "b"]
        assert book.lives == {"a": 6, "b": 1}
        await fell(s, member(s, "b"), "crash")
        assert await states(s) == {"a": "up", "b": "up"}


async def test_a_start_error_of_restart_child_is_raised_keeps_the_spec_and_uses_no_budget(system: Systems) -> None:
    book = Book()
    plan: list[Deed] = [rest, crash, crash, rest]
    async with grown(system, book.child("a", started=plan), max_restarts=0) as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        for _ in range(2):
            with pytest.raises(NotStarted, match="/top/a"):
                await top(s).ask(Supervisor.restart_child, "a")
            await settle()
            assert await states(s) == {"a": "down"}
        assert await top(s).ask(Supervisor.restart_child, "a") == member(s, "a")
        assert await states(s) == {"a": "up"}


async def test_restart_child_of_one_that_declines_answers_none(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a", started=[rest, decline])) as s:
        await top(s).ask(Supervisor.terminate_child, "a")
        assert await top(s).ask(Supervisor.restart_child, "a") is None
        assert await states(s) == {"a": "down"}


@pytest.mark.parametrize(("id", "error"), [("up", Running), ("held", Restarting), ("nobody", NotFound)])
@pytest.mark.parametrize("call", ["restart_child", "delete_child"])
async def test_restart_and_delete_are_only_for_those_that_are_down(
    system: Systems, call: str, id: str, error: type[Refuse]
) -> None:
    book = Book()
    async with each(system, book) as s:
        sup = await one_of_each(system, book, s)
        with pytest.raises(error):
            await sup.ask(getattr(Supervisor, call), id)
        assert await states(s) == {"up": "up", "down": "down", "held": "restarting"}
        assert book.lives == {"up": 1, "down": 1, "held": 1}


async def test_delete_child_forgets_one_that_is_down_and_its_id_is_free(system: Systems) -> None:
    book = Book()
    async with each(system, book) as s:
        sup = await one_of_each(system, book, s)
        await sup.ask(Supervisor.delete_child, "down")
        assert await states(s) == {"up": "up", "held": "restarting"}
        with pytest.raises(NotFound):
            await sup.ask(Supervisor.delete_child, "down")
        await sup.ask(Supervisor.start_child, book.child("down"))
        assert list(await states(s)) == ["up", "held", "down"]


async def test_which_children_tells_the_newest_first_with_ref_kind_and_spec(system: Systems) -> None:
    book = Book()
    async with each(system, book) as s:
        sup = await one_of_each(system, book, s)
        inner = supervisor("inner", book.child("x"))
        await sup.ask(Supervisor.start_child, inner)
        told = [(info.id, info.ref, info.kind) for info in await sup.ask(Supervisor.which_children)]
        assert told == [
            ("inner", s.ref("/top/inner", Supervisor), "supervisor"),
            ("held", "restarting", "worker"),
            ("down", None, "worker"),
            ("up", member(s, "up"), "worker"),
        ]
        assert (await sup.ask(Supervisor.which_children))[0].spec == inner


async def test_count_children_counts_specs_active_ones_supervisors_and_workers(system: Systems) -> None:
    book = Book()
    async with each(system, book) as s:
        sup = await one_of_each(system, book, s)
        await sup.ask(Supervisor.start_child, supervisor("inner", book.child("x"), book.child("y")))
        assert await counts(s) == Counts(specs=4, active=2, supervisors=1, workers=3)


@pytest.mark.parametrize("call", ["not a spec", "significant", "unfit"])
async def test_a_spec_that_cannot_stand_there_is_refused_and_the_supervisor_goes_on(system: Systems, call: str) -> None:
    book = Book()
    wrong: dict[str, Any] = {
        "not a spec": "late",
        "significant": book.child("late").options(restart="temporary", significant=True),
        "unfit": child("late", Unfit),
    }
    async with grown(system, book.child("a"), max_restarts=0) as s:
        incarnation = s.ref("/top", Supervisor).recipient
        with pytest.raises(Refuse):
            await top(s).ask(Supervisor.start_child, wrong[call])
        await settle()
        assert incarnation is not None
        assert book.lives["a"] == 1
        assert await states(s) == {"a": "up"}


class Generous(Supervisor):
    """May have a child that is none of those that it keeps up."""

    async def occupy(self, name: str, diary: Diary) -> None:
        await self.ctx.spawn(name, Doer, diary)


@pytest.mark.parametrize("call", ["start_child", "restart_child"])
async def test_a_name_that_is_taken_below_it_is_refused_and_the_supervisor_goes_on(system: Systems, call: str) -> None:
    book, diary = Book(), Diary()
    async with grown(system, child("sup", Generous), max_restarts=0) as s:
        sup, taken = s.ref("/top/sup", Generous), s.ref("/top/sup/x", Doer)
        wanted: Any = book.child("x")
        if call == "restart_child":
            await sup.ask(Supervisor.start_child, wanted)
            await sup.ask(Supervisor.terminate_child, "x")
            wanted = "x"
        await sup.ask(Generous.occupy, "x", diary)
        for _ in range(2):
            with pytest.raises(NotStarted, match="/top/sup/x did not start: NameTaken"):
                await sup.ask(getattr(Supervisor, call), wanted)
            await settle()
        assert await taken.ask(Doer.note, "here") == "here"
        assert diary.words == ["here 1"]
        assert await states(s, "/top/sup") == ({} if call == "start_child" else {"x": "down"})
        assert await sup.ask(Supervisor.start_child, book.child("y")) == s.ref("/top/sup/y", Doer)
        assert await states(s) == {"sup": "up"}


class Unfit(Doer):
    mailbox = 5  # on purpose: it is no mailbox


@pytest.mark.parametrize("again", [False, True])
async def test_asking_ones_own_supervisor_in_started_fails_at_once_as_a_cycle(system: Systems, again: bool) -> None:
    book, errors = Book(), list[BaseException]()

    async def ask_up(me: Doer) -> None:
        try:
            await me.ctx.ref("/top", Supervisor).ask(Supervisor.which_children)
        except AskCycle as error:
            errors.append(error)

    curious = book.child("a", started=[rest, ask_up] if again else ask_up)
    async with grown(system, curious) as s:
        if again:
            await fell(s, member(s, "a"), "crash")
        assert len(errors) == 1
        await top(s).ask(Supervisor.start_child, child("late", Starter, Diary(), None, started=ask_up))
        assert len(errors) == 2
        assert await states(s) == {"a": "up", "late": "up"}


async def test_a_handler_of_a_child_may_ask_its_supervisor(system: Systems) -> None:
    book = Book()

    async def ask_up(me: Doer) -> int:
        return (await me.ctx.ref("/top", Supervisor).ask(Supervisor.count_children)).active

    async with grown(system, *book.children("a", "b")) as s:
        assert await member(s, "a").ask(Doer.do, ask_up) == 2


async def test_the_end_of_a_terminated_child_reaches_its_watchers_when_the_name_is_free(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a")) as s:
        ended = awaited(member(s, "a").ended())
        await settle()
        await top(s).ask(Supervisor.terminate_child, "a")
        assert type(await ended).__name__ == "Shutdown"
