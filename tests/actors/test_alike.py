"""The laws of actors that are made one like the other: each is its own, and the class as it is now counts.

The accelerator makes the second child of a class, and those after it, by copying one that never lived.
"""

import gc
import weakref
from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, crash, quiet, sleep
from tests.actors.ways import way
from upright.actors import Actor, Blueprint, Bounded, MailboxFull, NameTaken, Ref, StartFailed
from upright.actors.events import ActorSpawned, ActorStarted
from upright.actors.testing import Recorder
from upright.supervision import CircuitBreaker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]
MANY = 4


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Plain(Actor):
    """Has nothing that it does not say itself."""

    def __init__(self, first: int = 0) -> None:
        self.seen = [first]
        self.path = self.ctx.path

    async def add(self, number: int) -> list[int]:
        self.seen.append(number)
        return self.seen

    async def where(self) -> tuple[str, str, str]:
        return self.path, self.ctx.path, self.ctx.self_ref.path


class Parent(Actor):
    """Has children."""

    async def bear(self, name: str, first: int) -> Ref[Plain]:
        return await self.ctx.spawn(name, Plain, first)

    async def bear_plain(self, name: str) -> Ref[Plain]:
        return await self.ctx.spawn(name, Plain)


async def test_each_has_its_own_path_mailbox_state_and_life(system: Systems) -> None:
    async with quiet(system) as s:
        refs = [await s.spawn(f"p{number}", Plain) for number in range(MANY)]
        for number, ref in enumerate(refs):
            await ref.tell(Plain.add, number)
        assert [await ref.ask(Plain.add, 9) for ref in refs] == [[0, number, 9] for number in range(MANY)]
        assert [await ref.ask(Plain.where) for ref in refs] == [(f"/p{number}",) * 3 for number in range(MANY)]
        cells: list[Any] = [ref.recipient for ref in refs]
        for parts in zip(*((cell.mailbox, cell.life, cell.life.instance) for cell in cells), strict=True):
            assert len({id(part) for part in parts}) == MANY
        assert [(cell.mailbox.owner, cell.life.cell, cell.life.number) for cell in cells] == [
            (cell, cell, 1) for cell in cells
        ]


async def test_those_of_a_handler_have_their_parents_path_and_their_own_arguments(system: Systems) -> None:
    async with quiet(system) as s:
        parent = await s.spawn("parent", Parent)
        refs = [await parent.ask(Parent.bear, f"p{number}", number) for number in range(MANY)]
        refs += [await parent.ask(Parent.bear_plain, f"q{number}") for number in range(MANY)]
        assert [(await ref.ask(Plain.add, 9))[0] for ref in refs] == [*range(MANY), *[0] * MANY]
        paths = [f"/parent/{kind}{number}" for kind in "pq" for number in range(MANY)]
        assert [ref.path for ref in refs] == paths
        assert [child.path for child in s.tree().children if child.path == "/parent"] == ["/parent"]
        assert sorted(path for path, _ in s.find(lambda kind: kind is Plain)) == sorted(paths)


async def test_a_name_is_taken_by_one_of_many_too_and_nothing_is_lost(system: Systems) -> None:
    async with quiet(system) as s:
        refs = [await s.spawn(f"p{number}", Plain) for number in range(MANY)]
        for ref in refs:
            await ref.tell(Plain.add, 1)
            with pytest.raises(NameTaken):
                await s.spawn(ref.path[1:], Plain)
            assert await ref.ask(Plain.add, 2) == [0, 1, 2]
        await s.end(refs[1])
        again = await s.spawn("p1", Plain)
        assert await again.ask(Plain.add, 3) == [0, 3]


@pytest.mark.parametrize("name", ["", "a/b", "\udcff"])
async def test_a_bad_name_is_refused_after_many_good_ones(system: Systems, name: str) -> None:
    async with quiet(system) as s:
        for number in range(MANY):
            await s.spawn(f"p{number}", Plain)
        with pytest.raises(ValueError, match="expected name to be a string"):
            await s.spawn(name, Plain)


async def test_an_instance_is_no_class(system: Systems) -> None:
    class Bare(Actor):
        """Can be made by hand."""

    async with quiet(system) as s:
        wrong: Any = Bare()
        with pytest.raises(TypeError, match="expected a subclass of Actor"):
            await s.spawn("a", wrong)


async def test_what_is_set_in_a_class_or_above_it_counts_from_then_on(system: Systems) -> None:
    class Above(Actor):
        """What the others are."""

    class Below(Above):
        """One of many."""

        async def note(self) -> str:
            return "noted"

    started: list[str] = []
    async with quiet(system) as s:

        async def spawn(name: str) -> list[Ref[Below]]:
            return [await s.spawn(f"{name}{number}", Below) for number in range(MANY)]

        await spawn("a")

        async def has_started(self: Actor) -> None:
            started.append(self.ctx.path)

        above: Any = Above
        above.started = has_started
        await spawn("b")
        assert started == [f"/b{number}" for number in range(MANY)]
        del above.started
        await spawn("c")
        assert len(started) == MANY
        above.mailbox = Bounded(1, full="reject")
        for ref in await spawn("d"):
            assert ref.try_tell(Below.note)
            with pytest.raises(MailboxFull):
                await ref.tell(Below.note)
        Below.uses = (CircuitBreaker("x"),)
        assert [ref.recipient.passage is not None for ref in await spawn("e")] == [True] * MANY  # type: ignore[union-attr]


async def test_options_are_heeded_after_many_without(system: Systems) -> None:
    async with quiet(system) as s:
        for number in range(MANY):
            await s.spawn(f"p{number}", Plain)
        ref = await s.spawn_from(Blueprint("narrow", Plain, (7,), mailbox=Bounded(1, full="reject")))
        assert ref.try_tell(Plain.add, 1)
        assert not ref.try_tell(Plain.add, 2)
        await s.idle()
        assert await ref.ask(Plain.add, 3) == [7, 1, 3]


async def test_one_of_many_that_cannot_be_made_leaves_no_trace(system: Systems) -> None:
    class Picky(Actor):
        """Takes no odd number."""

        def __init__(self, number: int) -> None:
            if number % 2:
                raise ValueError(f"odd: {number}")

    async with quiet(system) as s:
        for number in range(2 * MANY):
            if number % 2:
                with pytest.raises(StartFailed, match=f"odd: {number}"):
                    await s.spawn(f"p{number}", Picky, number)
            else:
                await s.spawn(f"p{number}", Picky, number)
        assert len(s.find(lambda kind: kind is Picky)) == MANY


async def test_each_of_many_is_told_of(system: Systems) -> None:
    async with quiet(system) as s:
        with Recorder(s) as recorder:
            for number in range(MANY):
                await s.spawn(f"p{number}", Plain)
        spawned = [(event.path, event.kind) for event in recorder.of(ActorSpawned)]
        started = [(event.path, event.kind) for event in recorder.of(ActorStarted)]
        assert spawned == started == [(f"/p{number}", "Plain") for number in range(MANY)]


async def test_one_of_many_crashes_and_comes_back_alone(system: Systems) -> None:
    async with quiet(system) as s:
        refs = [await s.spawn(f"d{number}", Doer) for number in range(MANY)]
        await refs[2].tell(Doer.do, crash)
        await s.idle()
        assert [ref.recipient.incarnation for ref in refs] == [1, 1, 2, 1]  # type: ignore[union-attr]
        await refs[2].ask(Doer.do, sleep(0.0))


class Thing:
    """Something that a constructor may be given."""


class Holder(Plain):
    """Is given something."""

    def __init__(self, thing: Thing | None = None) -> None:
        super().__init__()
        self.thing = thing


async def test_neither_the_class_nor_what_the_first_was_given_is_kept(system: Systems) -> None:
    async with quiet(system) as s:
        thing = Thing()
        given = weakref.ref(thing)
        await s.end(await s.spawn("first", Holder, thing))
        del thing
        classes: list[weakref.ref[type]] = []
        for _ in range(MANY):
            await s.end(await s.spawn("next", Holder))
            kind = type("Local", (Plain,), {})
            classes.append(weakref.ref(kind))
            for _ in range(MANY):
                await s.end(await s.spawn("local", kind))
            del kind
        gc.collect()
        assert given() is None
        assert [kind() for kind in classes] == [None] * MANY


async def test_a_mailbox_that_is_worked_out_at_each_look_is(system: Systems) -> None:
    class Growing:
        limit = 0

        def __get__(self, actor: object, owner: type) -> Bounded:
            type(self).limit += 1
            return Bounded(self.limit)

    kind = type("Grown", (Plain,), {"mailbox": Growing()})
    async with quiet(system) as s:
        refs: list[Ref[Any]] = [await s.spawn(f"g{number}", kind) for number in range(MANY)]
        limits = [ref.recipient.mailbox.limit for ref in refs]  # type: ignore[union-attr]
        assert limits == sorted(set(limits))


async def test_a_class_may_be_of_any_kind_and_name(system: Systems) -> None:
    class Unhashable(type):
        def __eq__(cls, other: object) -> bool:
            return cls is other

    kinds: list[Any] = [Unhashable("Odd", (Plain,), {}), type("a/b", (Plain,), {}), type("", (Plain,), {})]
    async with quiet(system) as s:
        for kind in kinds:
            for number in range(MANY):
                ref: Ref[Any] = await s.spawn(f"n{number}", kind)
                assert await ref.ask(Plain.add, 1) == [0, 1]
                await s.end(ref)


async def test_a_class_that_changes_at_each_spawn_is_like_any_other(system: Systems) -> None:
    class Counted(Plain):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            Counted.made += 1

    async with quiet(system) as s:
        for number in range(100):
            ref = await s.spawn(f"c{number}", Counted)
            assert await ref.ask(Plain.where) == (f"/c{number}",) * 3
        assert Counted.made == 100


async def test_one_that_is_told_of_has_not_begun(system: Systems) -> None:
    async with quiet(system) as s:
        seen: list[tuple[str, int]] = []

        def look(event: ActorSpawned) -> None:
            actor: Any = s.ref(event.path, Plain).recipient
            seen.append((actor.state, actor.incarnation))

        s.subscribe(look, ActorSpawned)
        for number in range(MANY):
            await s.spawn(f"p{number}", Plain)
        assert seen == [("starting", 0)] * MANY
