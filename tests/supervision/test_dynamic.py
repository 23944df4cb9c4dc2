"""The laws of the dynamic supervisor."""

from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, crash, quiet, rest, sleep
from tests.supervision.trees import Book, fell, now
from upright.actors import ActorSystem, Ref, StartFailed
from upright.actors.testing import advance, settle
from upright.supervision import (
    AlreadyStarted,
    Backoff,
    ChildSpec,
    Counts,
    DynamicSupervisor,
    InvalidSpec,
    NotFound,
    NotStarted,
    TooManyChildren,
    dynamic,
    supervisor,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def grown(system: Systems, max_children: int | None = None, **options: Any) -> ActorSystem:
    chosen: dict[str, Any] = {"max_restarts": 100, **options}
    return quiet(system, tree=supervisor("top", dynamic("many", max_children=max_children, **chosen)))


def many(system: ActorSystem) -> Ref[DynamicSupervisor]:
    return system.ref("/top/many", DynamicSupervisor).within(1_000)


async def start(system: ActorSystem, spec: ChildSpec[Doer]) -> Ref[Doer]:
    return await many(system).ask(DynamicSupervisor.start_child, spec)


async def test_a_child_is_started_on_demand_and_addressed_by_its_ref(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        ref = await start(s, book.child("a"))
        assert ref.path == "/top/many/a"
        assert await ref.ask(Doer.note, "here") == "here"
        await many(s).ask(DynamicSupervisor.terminate_child, ref)
        assert ref.recipient is None
        assert await many(s).ask(DynamicSupervisor.count_children) == Counts(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("restart", "how", "lives"),
    [
        ("permanent", "crash", 2),
        ("permanent", "normal", 2),
        ("transient", "crash", 2),
        ("transient", "normal", 1),
        ("temporary", "crash", 1),
        ("temporary", "kill", 1),
    ],
)
async def test_a_child_that_ends_by_itself_is_judged_by_the_table_and_forgotten_for_good(
    system: Systems, restart: Any, how: str, lives: int
) -> None:
    book = Book()
    async with grown(system) as s:
        ref = await start(s, book.child("a").options(restart=restart))
        await fell(s, ref, how)
        assert book.lives == {"a": lives}
        counted = await many(s).ask(DynamicSupervisor.count_children)
        assert counted.specs == counted.active == lives - 1


async def test_only_the_child_that_failed_is_restarted(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        refs = [await start(s, spec) for spec in book.children("a", "b", "c")]
        await fell(s, refs[1], "crash")
        assert book.lives == {"a": 1, "b": 2, "c": 1}


async def test_no_more_children_than_allowed_and_one_that_restarts_counts(system: Systems) -> None:
    book = Book()
    held = book.child("a").options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, max_children=1) as s:
        ref = await start(s, held)
        await ref.tell(Doer.do, crash)
        await settle()
        assert await many(s).ask(DynamicSupervisor.count_children) == Counts(1, 0, 0, 1)
        with pytest.raises(TooManyChildren):
            await start(s, book.child("b"))
        await advance(10.0)
        assert await ref.ask(Doer.note, "back") == "back"


@pytest.mark.parametrize("restarting", [False, True])
async def test_an_id_that_is_there_is_told_so_also_by_one_that_is_full(system: Systems, restarting: bool) -> None:
    """Whoever wants that child learns that it has it, and its ref; only what is new is too many."""
    book = Book()
    held = book.child("a").options(backoff=Backoff(10.0, 10.0, jitter="none"))
    async with grown(system, max_children=1) as s:
        ref = await start(s, held)
        if restarting:
            await fell(s, ref, "crash")
        with pytest.raises(AlreadyStarted) as known:
            await start(s, held)
        assert (known.value.id, known.value.ref) == ("a", ref)
        with pytest.raises(TooManyChildren) as full:
            await start(s, book.child("b"))
        assert full.value.id == "b"
        await advance(10.0)
        assert book.lives == {"a": 2 if restarting else 1, "b": 0}
        await many(s).ask(DynamicSupervisor.terminate_child, ref)
        assert (await start(s, book.child("b"))).path == "/top/many/b"


async def test_what_cannot_be_started_is_refused_and_nothing_is_kept(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        first = await start(s, book.child("a"))
        with pytest.raises(AlreadyStarted) as again:
            await start(s, book.child("a"))
        assert again.value.ref == first
        with pytest.raises(NotStarted) as failed:
            await start(s, book.child("b", started=crash))
        assert isinstance(failed.value, StartFailed)
        assert failed.value.path == "/top/many/b"
        nonsense: Any = "a spec"
        with pytest.raises(InvalidSpec, match="expected a child spec"):
            await start(s, nonsense)
        with pytest.raises(NotFound):
            await many(s).ask(DynamicSupervisor.terminate_child, s.ref("/top/other", Doer))
        assert [info.id for info in await many(s).ask(DynamicSupervisor.which_children)] == ["a"]
        assert s.tree().children[1].children[0].restarts == 0, "none of it crashed the supervisor"


async def test_a_restart_that_fails_is_tried_again_and_holds_up_nobody(system: Systems) -> None:
    book = Book()
    spec = book.child("a", started=[rest, crash, crash, rest]).options(backoff=Backoff(1.0, 1.0, jitter="none"))
    async with grown(system) as s:
        ref = await start(s, spec)
        await ref.tell(Doer.do, crash)
        await settle()
        other = await start(s, book.child("b"))
        assert await other.ask(Doer.note, "served") == "served"
        await advance(10.0)
        assert await ref.ask(Doer.note, "back") == "back"
        assert book.lives["a"] == 4


async def test_terminating_a_child_ends_its_attempts_to_come_back(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        ref = await start(s, book.child("a").options(backoff=Backoff(5.0, 5.0, jitter="none")))
        await ref.tell(Doer.do, crash)
        await settle()
        await many(s).ask(DynamicSupervisor.terminate_child, ref)
        await advance(60.0)
        assert book.lives == {"a": 1}
        assert ref.recipient is None


async def test_over_the_limit_it_ends_cleanly_and_comes_back_without_children(system: Systems) -> None:
    book = Book()
    async with grown(system, max_restarts=1) as s:
        ref = await start(s, book.child("a"))
        await fell(s, ref, "crash")
        await ref.tell(Doer.do, crash)
        await settle()
        assert await many(s).ask(DynamicSupervisor.which_children) == []
        assert s.running


async def test_its_children_end_all_at_once_each_in_its_own_time(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        for name in "abc":
            await start(s, book.child(name, stopping=sleep(2.0)))
        began = now()
    assert now() == began + 2.0
    assert sorted(book.acts("stopped")) == ["a stopped", "b stopped", "c stopped"]


async def test_ten_thousand_children_come_and_go(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        refs = [await start(s, book.child(f"c{number}", Doer)) for number in range(10_000)]
        for ref in refs[::2]:
            await many(s).ask(DynamicSupervisor.terminate_child, ref)
        counted = await many(s).ask(DynamicSupervisor.count_children)
        assert counted == Counts(5_000, 5_000, 0, 5_000)
