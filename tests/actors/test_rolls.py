"""The laws of rolls: an entry lives as long as its actor, and nothing grows however many come and go."""

import gc
from typing import Any

import pytest

from tests.actors.deeds import Deeds
from tests.actors.lives import Systems, no_trace, quiet
from upright.actors import Actor, ActorSystem, DeadLetter, Ref
from upright.actors.rolls import Entry, Roll, Rolls
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Forgetful(Actor):
    """A dead-letter actor that keeps nothing."""

    async def letter(self, letter: DeadLetter) -> None: ...


def rolls(system: ActorSystem) -> Rolls:
    return system.topic("any", object)._post.rolls


def watchers(ref: Ref[Any]) -> int:
    recipient: Any = ref.recipient
    return len(recipient.watchers)


async def test_an_actor_has_one_entry_in_each_roll_whatever_it_asks_for_and_how_often(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Deeds)
        for _ in range(3):
            for name in ("one", "two"):
                s.topic(name, str).subscribe(ref, Deeds.note)
                s.topic(name, str).subscribe(ref, Deeds.reply)
                s.group(name, Deeds).join(ref)
        assert {key: len(roll.entries) for key, roll in rolls(s).items()} == {
            ("topic", "one"): 1, ("group", "one"): 1, ("topic", "two"): 1, ("group", "two"): 1,
        }  # fmt: skip
        assert watchers(ref) == 4
        await s.end(ref)
        assert rolls(s) == {}


async def test_what_is_undone_by_hand_leaves_nothing_at_the_actor_nor_on_the_roll(system: Systems) -> None:
    async with quiet(system) as s:
        one, two = await s.spawn("one", Deeds), await s.spawn("two", Deeds)
        for ref in (one, two):
            s.topic("news", str).subscribe(ref, Deeds.note)
        s.topic("news", str).unsubscribe(one)
        assert (watchers(one), watchers(two), s.topic("news", str).subscribers) == (0, 1, (two,))
        s.topic("news", str).unsubscribe(two)
        assert (watchers(two), rolls(s)) == (0, {})
        await s.end(one)
        assert await s.topic("news", str).publish("x") == 0


async def test_the_end_of_one_takes_only_its_own_entries(system: Systems) -> None:
    async with quiet(system) as s:
        one, two = await s.spawn("one", Deeds), await s.spawn("two", Deeds)
        for ref in (one, two):
            s.group("crew", Deeds).join(ref)
        s.group("pair", Deeds).join(one)
        await s.end(one)
        assert list(rolls(s)) == [("group", "crew")]
        assert s.group("crew", Deeds).members == (two,)


async def test_a_new_actor_of_the_same_name_is_not_on_the_roll(system: Systems) -> None:
    async with quiet(system) as s:
        s.group("crew", Deeds).join(await s.spawn("a", Deeds))
        await s.end(s.ref("/a", Deeds))
        await s.spawn("a", Deeds)
        assert s.group("crew", Deeds).members == ()


async def test_rolls_are_empty_when_the_system_has_stopped(system: Systems) -> None:
    async with quiet(system) as s:
        kept = rolls(s)
        for name in ("a", "b"):
            s.topic("news", str).subscribe(await s.spawn(name, Deeds), Deeds.note)
    assert kept == {}
    assert no_trace()


async def live_once(s: ActorSystem) -> None:
    ref = await s.spawn("a", Deeds)
    s.topic("news", str).subscribe(ref, Deeds.note)
    s.group("crew", Deeds).join(ref)
    await s.end(ref)


async def come_and_go(s: ActorSystem) -> None:
    ref = s.ref("/stays", Deeds)
    s.topic("news", str).subscribe(ref, Deeds.note)
    s.group("crew", Deeds).join(ref)
    s.topic("news", str).unsubscribe(ref)
    s.group("crew", Deeds).leave(ref)


async def publish_in_vain(s: ActorSystem) -> None:
    """Names that are only spoken of must not stay either."""
    await s.topic(f"topic-{id(object())}", str).publish("x")
    await s.group("nobody", Deeds).tell(Deeds.note, "x")


@pytest.mark.parametrize("cycle", [live_once, come_and_go, publish_in_vain])
async def test_ten_thousand_who_come_and_go_leave_nothing_behind(cycle: Any) -> None:
    async with ActorSystem(log=None, blocked_after=None, dead_letters=Forgetful) as s:
        await s.spawn("stays", Deeds)
        for _ in range(100):
            await cycle(s)
        await settle()
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(10_000):
            await cycle(s)
        await settle()
        gc.collect()
        assert len(gc.get_objects()) - before < 1_000
        assert (rolls(s), watchers(s.ref("/stays", Deeds))) == ({}, 0)
        assert [one for one in gc.get_objects() if isinstance(one, Roll | Entry)] == []
    assert no_trace()


async def test_a_thousand_members_are_listed_and_told(system: Systems) -> None:
    heard: list[Any] = []
    async with ActorSystem(log=None, blocked_after=None) as s:
        group = s.group("crew", Deeds)
        for number in range(1_000):
            group.join(await s.spawn(f"a{number}", Deeds, heard))
        assert await group.tell(Deeds.note, "hi") == len(group.members) == 1_000
        await s.idle()
        assert heard == ["hi"] * 1_000
