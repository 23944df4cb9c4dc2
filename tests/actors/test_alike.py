"""The laws of actors that are made one like the other: each is its own, and the class as it is now counts.

The accelerator makes the second child of a class, and those after it, by copying one that never lived.
"""

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
