"""The laws of partitioned supervisors: one address, each key's children in one partition, partitions apart."""

from typing import Any

import pytest

from tests.actors.deeds import raised_by
from tests.actors.lives import Diary, Doer, Systems, no_trace, quiet
from tests.supervision.pools import Hand, keys_of, spec
from tests.supervision.trees import Book, fell
from upright.actors import ActorSystem, Message, Ref, UnknownHandler
from upright.actors.testing import kill, settle
from upright.supervision import (
    AlreadyStarted,
    ChildSpec,
    Counts,
    DynamicSupervisor,
    InvalidSpec,
    NotFound,
    Partitioned,
    Pool,
    Supervisor,
    TooManyChildren,
    Unroutable,
    by_key,
    child,
    dynamic,
    partitioned,
    supervisor,
)
from upright.supervision.routing import slot

pytestmark = pytest.mark.anyio
SIZE = 4


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def grown(system: Systems, partition: Any = None, **options: Any) -> ActorSystem:
    """A system with partitions at `/top/many`."""
    chosen: dict[str, Any] = {"partitions": SIZE, **options}
    found = dynamic("part", max_restarts=0) if partition is None else partition
    return quiet(system, tree=supervisor("top", partitioned("many", found, **chosen), max_restarts=100))


def many(system: ActorSystem) -> Ref[DynamicSupervisor]:
    return system.ref("/top/many", DynamicSupervisor).within(1_000)


def admin(system: ActorSystem) -> Ref[Partitioned]:
    return system.ref("/top/many", Partitioned).within(1_000)


def part(system: ActorSystem, number: int) -> Ref[DynamicSupervisor]:
    return system.ref(f"/top/many/{number}", DynamicSupervisor)


async def start(system: ActorSystem, one: ChildSpec[Doer]) -> Ref[Doer]:
    return await many(system).ask(DynamicSupervisor.start_child, one)


IDS = [id for number in range(SIZE) for id in keys_of(number, SIZE, 3)]


async def test_a_child_is_started_in_the_partition_of_its_id_and_partition_of_says_which(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        for id in IDS:
            ref = await start(s, book.child(id))
            assert ref.path == f"/top/many/{slot(id, SIZE)}/{id}"
            for key in (id, ref, book.child(id)):
                assert await admin(s).ask(Partitioned.partition_of, key) == part(s, slot(id, SIZE))
        for number in range(SIZE):
            infos = await part(s, number).ask(DynamicSupervisor.which_children)
            assert {info.id for info in infos} == set(keys_of(number, SIZE, 3))
        assert await admin(s).ask(Partitioned.partitions) == [part(s, number) for number in range(SIZE)]
    assert no_trace()


async def test_the_whole_spec_may_be_given_by_its_name(system: Systems) -> None:
    async with grown(system) as s:
        ref = await many(s).ask(DynamicSupervisor.start_child, spec=child("s-1", Doer))
        assert ref.path == f"/top/many/{slot('s-1', SIZE)}/s-1"


async def test_an_id_is_unique_over_all_partitions_and_a_child_is_ended_by_its_ref(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        refs = {id: await start(s, book.child(id)) for id in IDS}
        for id in IDS:
            error = await raised_by(start(s, book.child(id)))
            assert isinstance(error, AlreadyStarted)
            assert error.ref == refs[id]
        for ref in refs.values():
            await many(s).ask(DynamicSupervisor.terminate_child, ref)
            assert ref.recipient is None
            assert isinstance(await raised_by(many(s).ask(DynamicSupervisor.terminate_child, ref)), NotFound)


async def test_a_partition_that_gives_up_loses_its_children_and_leaves_the_others_alone(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        refs = {id: await start(s, book.child(id)) for id in IDS}
        lost, victim = keys_of(0, SIZE, 3), part(s, 0)
        found: Any = victim.recipient
        await fell(s, refs[lost[0]], "crash")
        assert found.incarnation == 2
        assert found.exit.gave_up
        for id, ref in refs.items():
            assert (ref.recipient is None) == (id in lost)
            assert book.lives[id] == 1
        assert await admin(s).ask(Partitioned.partition_of, lost[0]) == victim
        again = await start(s, book.child(lost[0]))
        assert again.path == refs[lost[0]].path


async def test_start_requests_wait_for_a_partition_that_is_killed_and_the_others_answer(system: Systems) -> None:
    book = Book()
    async with grown(system) as s:
        await kill(s, part(s, 1))
        for id in IDS:
            await start(s, book.child(id))
        assert await admin(s).ask(Pool.count_children) == Counts(SIZE, SIZE, SIZE, 0)


async def test_the_limit_of_children_is_that_of_each_partition(system: Systems) -> None:
    book = Book()
    async with grown(system, dynamic("part", max_children=1)) as s:
        one, two = keys_of(2, SIZE, 2)
        await start(s, book.child(one))
        assert isinstance(await raised_by(start(s, book.child(two))), TooManyChildren)
        await start(s, book.child(keys_of(3, SIZE)[0]))


async def test_children_find_their_partition_around_them_and_partitions_their_siblings(system: Systems) -> None:
    """A child's `ctx.ref` looks beside it, in its partition; only partitions stand beside the pool."""
    book = Book()
    one, two = keys_of(1, SIZE, 2)

    async def tell_sibling(me: Doer) -> None:
        await me.ctx.ref(two, Doer).tell(Doer.note, "hello")

    async with grown(system) as s:
        ref = await start(s, book.child(one))
        await start(s, book.child(two))
        await ref.ask(Doer.do, tell_sibling)
        await settle()
    assert "hello 1" in book.pages[two].words


async def test_calls_without_a_key_are_refused_or_are_those_of_the_partitions_keeper(system: Systems) -> None:
    async with grown(system) as s:
        infos = await many(s).ask(DynamicSupervisor.which_children)
        assert [info.ref for info in infos] == [part(s, number) for number in reversed(range(SIZE))]
        ref: Any = admin(s)
        error = await raised_by(ref.ask(Supervisor.delete_child, "0"))
        assert isinstance(error, UnknownHandler)


async def test_partitions_may_be_plain_actors_with_the_key_first(system: Systems) -> None:
    diary = Diary()
    hand = spec(diary).args[0]
    async with grown(system, hand) as s:
        for id in IDS:
            assert await s.ref("/top/many", Hand).ask(Hand.touch, id) == f"{id}@{slot(id, SIZE)}"
        error = await raised_by(s.ref("/top/many", Hand).ask(Hand.stopping))  # type: ignore[call-arg]  # refused anyway
        assert "only the runtime calls" in str(error)
        await fell(s, s.ref("/top/many/0", Hand), "crash")
        assert (await s.ref("/top/many", Hand).ask(Hand.touch, IDS[0])).endswith("@0")


class Bare(Doer):
    """Has a message without an argument."""

    async def bare(self) -> None: ...


async def test_a_message_without_a_key_is_refused_at_its_sender(system: Systems) -> None:
    async with grown(system, Bare) as s:
        ref = s.ref("/top/many", Bare)
        for sending in (ref.tell(Bare.bare), ref.ask(Bare.bare)):
            error = await raised_by(sending)
            assert isinstance(error, Unroutable)
            assert (error.path, error.message.handler) == ("/top/many", "bare")


async def test_a_key_function_of_ones_own_says_which_partition(system: Systems) -> None:
    def family(message: Message) -> str:
        return str(message.args[0].id).split("-")[0]

    book = Book()
    async with grown(system, key=by_key(family)) as s:
        for id in ("ann-1", "ann-2", "ben-1", "ann-3"):
            ref = await start(s, book.child(id))
            name = id.split("-")[0]
            assert ref.path == f"/top/many/{slot(name, SIZE)}/{id}"
            assert await admin(s).ask(Partitioned.partition_of, name) == part(s, slot(name, SIZE))


async def test_partitions_may_be_supervisors_that_all_have_the_same_children(system: Systems) -> None:
    book = Book()
    async with grown(system, supervisor("part", *book.children("a", "b"), strategy="one_for_all")) as s:
        assert book.lives == {"a": SIZE, "b": SIZE}
        await fell(s, s.ref("/top/many/2/a", Doer), "crash")
        assert book.lives == {"a": SIZE + 1, "b": SIZE + 1}
        restarted = [s.ref(f"/top/many/{number}/b", Doer).recipient for number in range(SIZE)]
        found: list[Any] = restarted
        assert [one.incarnation for one in found] == [1, 1, 2, 1]


async def test_calls_to_partitions_that_are_supervisors_go_to_the_partition_of_the_id(system: Systems) -> None:
    book = Book()
    async with grown(system, supervisor("part")) as s:
        many = s.ref("/top/many", Supervisor)
        for id in IDS:
            ref: Any = await many.ask(Supervisor.start_child, book.child(id))
            assert ref.path == f"/top/many/{slot(id, SIZE)}/{id}"
            await many.ask(Supervisor.terminate_child, id)
            assert ref.recipient is None


async def test_the_number_of_partitions_stays_or_children_would_be_looked_for_elsewhere(
    system: Systems,
) -> None:
    async with grown(system) as s:
        error = await raised_by(admin(s).ask(Pool.resize, 1))
        assert isinstance(error, InvalidSpec)
        assert "got 1" in str(error)
        assert len(await s.ref("/top/many", Partitioned).ask(Partitioned.partitions)) == SIZE


async def test_a_restart_of_the_whole_brings_back_empty_partitions(system: Systems) -> None:
    book = Book()
    async with grown(system, max_restarts=0) as s:
        for id in IDS:
            await start(s, book.child(id))
        await fell(s, s.ref(f"/top/many/0/{keys_of(0, SIZE)[0]}", Doer), "crash")
        found: Any = admin(s).recipient
        assert found.incarnation == 2
        for number in range(SIZE):
            assert await part(s, number).ask(DynamicSupervisor.which_children) == []
        assert (await start(s, book.child("new"))).path == f"/top/many/{slot('new', SIZE)}/new"
