"""The laws of publishing to subscribers that are full, or that cannot take a message: they hold nobody else up."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, bounded, later, stuffed
from tests.actors.lives import Systems, quiet
from upright.actors import ActorSystem, Bounded, Ref, Topic
from upright.actors.events import MessageDropped
from upright.actors.options import Full
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import by_key, pool

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def news(system: ActorSystem) -> Topic[str]:
    return system.topic("news", str)


def told(letters: Any) -> list[tuple[str, str, str]]:
    """Whom each letter was for, its word, and why it was not delivered."""
    return [(letter.recipient, letter.message.args[0], letter.reason) for letter in letters.all]


class Slow(Deeds):
    mailbox = Bounded(1)


async def stuck(system: ActorSystem, name: str, gate: asyncio.Event) -> list[Any]:
    """A subscriber that holds at the gate, its mailbox full; its journal."""
    journal: list[Any] = []
    ref = await system.spawn(name, Slow, journal)
    await ref.tell(Deeds.hold, gate)
    await settle()
    assert ref.try_tell(Deeds.note, "first")
    news(system).subscribe(ref, Deeds.note)
    return journal


@pytest.mark.parametrize(
    ("full", "taken", "journal", "letter"),
    [
        ("wait", 0, ["first"], ("/actor", "new", "no_room")),
        ("reject", 0, ["first"], ("/actor", "new", "no_room")),
        ("drop_new", 0, ["first"], ("/actor", "new", "dropped_new")),
        ("drop_old", 1, ["new"], ("/actor", "first", "dropped_old")),
    ],
)
async def test_what_has_no_room_becomes_one_dead_letter_by_the_policy_of_the_subscriber(
    system: Systems, dead_letters: Any, full: Full, taken: int, journal: list[str], letter: tuple[str, str, str]
) -> None:
    async with quiet(system) as s:
        actor, heard, gate = await stuffed(s, bounded(1, full), "first")
        news(s).subscribe(actor, Deeds.note)
        assert await news(s).publish("new") == taken
        assert now() == (5.0 if full == "wait" else 0.0)
        gate.set()
        await s.idle()
        assert (heard, told(dead_letters)) == (journal, [letter])


async def test_a_policy_that_drops_is_told_as_an_event_too(system: Systems, recorders: list[Recorder]) -> None:
    async with quiet(system) as s:
        actor, _, gate = await stuffed(s, bounded(1, "drop_new"), "first")
        news(s).subscribe(actor, Deeds.note)
        await news(s).publish("new")
        gate.set()
    assert recorders[0].of(MessageDropped) == [MessageDropped("/actor", "note", "dropped_new")]


async def test_all_full_subscribers_are_waited_for_at_the_same_time_and_the_others_are_served_at_once(
    system: Systems, dead_letters: Any
) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        for name in ("a", "b"):
            await stuck(s, name, gate)
        free: list[Any] = []
        news(s).subscribe(await s.spawn("free", Deeds, free), Deeds.note)
        (publishing,) = await later(news(s).within(2.0).publish("new"))
        assert (free, publishing.done()) == (["new"], False)
        assert await publishing == 1
        assert now() == 2.0
        assert told(dead_letters) == [("/a", "new", "no_room"), ("/b", "new", "no_room")]
        gate.set()


async def test_one_that_has_room_again_gets_its_message_although_another_stays_stuck(
    system: Systems, dead_letters: Any
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    async with quiet(system) as s:
        soon, never = await stuck(s, "soon", gates[0]), await stuck(s, "never", gates[1])
        (publishing,) = await later(news(s).publish("new"))
        gates[0].set()
        await settle()
        assert (soon, publishing.done()) == (["held", "first", "new"], False)
        assert await publishing == 1
        assert told(dead_letters) == [("/never", "new", "no_room")]
        gates[1].set()
        await s.idle()
        assert never == ["held", "first"]


@pytest.mark.parametrize("limit", [0.0, 0.5, 60.0])
async def test_within_says_how_long_a_publish_waits_and_belongs_to_that_copy_of_the_topic_alone(
    system: Systems, limit: float
) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        await stuck(s, "a", gate)
        topic = news(s)
        assert await topic.within(limit).publish("new") == 0
        assert now() == limit
        assert await topic.publish("new") == 0
        assert now() == limit + 5.0
        gate.set()


async def test_a_publish_without_a_limit_waits_until_there_is_room(system: Systems) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        journal = await stuck(s, "a", gate)
        (publishing,) = await later(news(s).within(float("inf")).publish("new"))
        await advance(86_400)
        gate.set()
        assert await publishing == 1
        await s.idle()
        assert journal == ["held", "first", "new"]


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
async def test_a_wrong_limit_is_refused(system: Systems, limit: float) -> None:
    async with quiet(system) as s:
        with pytest.raises(ValueError, match="within"):
            news(s).within(limit)


async def test_one_that_publishes_to_itself_with_a_full_mailbox_gets_a_dead_letter_at_once(
    system: Systems, dead_letters: Any
) -> None:
    async def publish(me: Deeds) -> int:
        return await me.ctx.topic("news", str).within(float("inf")).publish("new")

    journal: list[Any] = []
    async with quiet(system) as s:
        ref = await s.spawn("a", Slow, journal)
        news(s).subscribe(ref, Deeds.note)
        asked = asyncio.create_task(ref.ask(Deeds.do, publish))
        await settle()
        assert await asked == 1
        held, gate = asyncio.Event(), asyncio.Event()

        async def publish_when_full(me: Deeds) -> int:
            held.set()
            await gate.wait()
            return await publish(me)

        asked = asyncio.create_task(ref.ask(Deeds.do, publish_when_full))
        await held.wait()
        await ref.tell(Deeds.note, "first")
        gate.set()
        assert await asked == 0
        assert now() == 0.0
        await s.idle()
        assert (journal, told(dead_letters)) == (["new", "first"], [("/a", "new", "no_room")])


@pytest.mark.parametrize("inside", [False, True])
async def test_a_publish_that_is_cancelled_while_it_waits_leaves_nothing_behind(system: Systems, inside: bool) -> None:
    gate, tasks = asyncio.Event(), asyncio.all_tasks()

    async def publish(me: Deeds) -> None:
        await me.ctx.topic("news", str).publish("new")

    async with quiet(system) as s:
        journals = [await stuck(s, name, gate) for name in ("a", "b")]
        ref = await s.spawn("publisher", Deeds)
        if inside:
            await ref.tell(Deeds.do, publish)
            await settle()
            await s.kill(ref)
        else:
            (publishing,) = await later(news(s).publish("new"))
            publishing.cancel()
        await settle()
        for name in ("a", "b"):
            recipient: Any = s.ref(f"/{name}", Deeds).recipient
            assert not recipient.mailbox.waiting
        gate.set()
        await s.idle()
        assert journals == [["held", "first"]] * 2
    assert asyncio.all_tasks() == tasks


async def test_a_subscriber_that_ends_while_a_publish_waits_for_it_ends_that_wait_with_one_dead_letter(
    system: Systems, dead_letters: Any
) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        await stuck(s, "a", gate)
        (publishing,) = await later(news(s).publish("new"))
        ending = asyncio.create_task(s.end(s.ref("/a", Deeds)))
        gate.set()
        await ending
        await publishing
        assert now() == 0.0
        assert told(dead_letters) == [("/a", "first", "stopped"), ("/a", "new", "stopped")]


async def test_a_subscriber_that_ends_in_the_instant_after_it_was_found_full_still_makes_one_dead_letter(
    system: Systems, dead_letters: Any
) -> None:
    gate = asyncio.Event()

    async def spawn(me: Deeds) -> Ref[Deeds]:
        return await me.ctx.spawn("a", Slow)

    async def stop_when_open(me: Deeds) -> None:
        me.ctx.stop()
        await gate.wait()

    async with quiet(system) as s:
        parent = await s.spawn("parent", Deeds)
        ref = await parent.ask(Deeds.do, spawn)
        await ref.tell(Deeds.do, stop_when_open)
        await settle()
        assert ref.try_tell(Deeds.note, "first")
        news(s).subscribe(ref, Deeds.note)
        publishing = asyncio.create_task(news(s).publish("new"))
        gate.set()
        await publishing
        await s.idle()
        assert told(dead_letters) == [("/parent/a", "first", "stopped"), ("/parent/a", "new", "stopped")]


@pytest.mark.parametrize("full", ["wait", "reject", "drop_new", "drop_old"])
async def test_try_publish_never_waits_and_counts_who_took_it(system: Systems, full: Full) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, bounded(1, full), "first")
        free: list[Any] = []
        for ref in (actor, await s.spawn("free", Deeds, free)):
            news(s).subscribe(ref, Deeds.note)
        assert news(s).try_publish("new") == (2 if full == "drop_old" else 1)
        gate.set()
        await s.idle()
        assert (free, journal) == (["new"], ["new" if full == "drop_old" else "first"])


async def test_what_a_policy_drops_of_a_try_publish_becomes_a_dead_letter_as_of_a_try_tell(
    system: Systems, dead_letters: Any
) -> None:
    async with quiet(system) as s:
        actor, _, gate = await stuffed(s, bounded(1, "drop_new"), "first")
        news(s).subscribe(actor, Deeds.note)
        assert not actor.try_tell(Deeds.note, "new")
        assert not news(s).try_publish("new")
        assert told(dead_letters) == [("/actor", "new", "dropped_new")] * 2
        gate.set()


async def in_a_handler(s: ActorSystem, publish: Callable[[Deeds], Any]) -> None:
    await s.ref("/publisher", Deeds).ask(Deeds.do, publish)


async def beside_the_mailbox(s: ActorSystem, publish: Callable[[Deeds], Any]) -> None:
    await s.ref("/publisher", Deeds).ask(Deeds.beside, publish)


async def in_the_background(s: ActorSystem, publish: Callable[[Deeds], Any]) -> None:
    async def begin(me: Deeds) -> None:
        me.ctx.background(publish(me))

    await s.ref("/publisher", Deeds).ask(Deeds.do, begin)
    await settle()


@pytest.mark.parametrize("place", [in_a_handler, beside_the_mailbox, in_the_background])
async def test_an_actor_publishes_from_wherever_it_runs_and_its_letters_name_it(
    system: Systems, dead_letters: Any, place: Callable[..., Any]
) -> None:
    async def publish(me: Deeds) -> None:
        await me.ctx.topic("news", str).publish("new")

    free: list[Any] = []
    async with quiet(system) as s:
        actor, _, gate = await stuffed(s, bounded(1, "reject"), "first")
        await s.spawn("publisher", Deeds)
        for ref in (actor, await s.spawn("free", Deeds, free)):
            news(s).subscribe(ref, Deeds.note)
        await place(s, publish)
        await news(s).publish("from outside")
        await asyncio.sleep(0)
        assert free == ["new", "from outside"]
        assert [letter.sender for letter in dead_letters.all] == ["/publisher", None]
        gate.set()


async def test_a_message_for_a_pool_is_handled_once_by_one_of_its_workers(system: Systems) -> None:
    journal: list[Any] = []
    words = [str(number) for number in range(20)]
    async with quiet(system, tree=pool("p", functools.partial(Deeds, journal), size=3)) as s:
        news(s).subscribe(s.ref("/p", Deeds), Deeds.note)
        for word in words:
            assert await news(s).publish(word) == 1
        await s.idle()
        assert sorted(journal, key=int) == words


async def test_a_pool_that_cannot_route_a_message_keeps_no_other_subscriber_from_getting_it(system: Systems) -> None:
    routing = by_key(lambda message: {"good": 1}[message.args[0]])
    async with quiet(system, tree=pool("p", Deeds, size=2, routing=routing)) as s:
        news(s).subscribe(s.ref("/p", Deeds), Deeds.note)
        heard: list[Any] = []
        news(s).subscribe(await s.spawn("after", Deeds, heard), Deeds.note)
        assert await news(s).publish("bad") == 1
        await s.idle()
        assert heard == ["bad"]


async def test_a_full_pool_that_broadcasts_takes_a_message_when_each_worker_has_room(system: Systems) -> None:
    gate, journal = asyncio.Event(), list[Any]()
    async with quiet(system, tree=pool("p", functools.partial(Slow, journal), size=2, routing="broadcast")) as s:
        ref = s.ref("/p", Deeds)
        for word in (ref.tell(Deeds.hold, gate), ref.tell(Deeds.note, "first")):
            await word
            await settle()
        news(s).subscribe(ref, Deeds.note)
        (publishing,) = await later(news(s).publish("new"))
        gate.set()
        assert await publishing == 1
        await s.idle()
        assert sorted(journal) == ["first", "first", "held", "held", "new", "new"]
