"""The laws of topics: whoever has subscribed gets each message once, in the order of its publisher."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypedDict

import pytest

from tests.actors.deeds import Deeds, bounded, later, stuffed
from tests.actors.lives import Diary, Doer, Starter, Systems, a_gate, crash, quiet, rest, stop, swallow, wait_for
from upright.actors import (
    ActorGone,
    ActorSystem,
    Detached,
    Ref,
    SystemNotRunning,
    Topic,
    UnknownHandler,
    WrongClass,
)
from upright.actors.testing import settle
from upright.supervision import Supervisor, child, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def news(system: ActorSystem) -> Topic[str]:
    return system.topic("news", str)


class Reader(Deeds):
    """Reads the news from its start on, aloud if asked."""

    async def started(self) -> None:
        self.ctx.subscribe(self.ctx.topic("news", str), Reader.note)

    async def shout(self, word: str) -> None:
        self.journal.append(word.upper())


async def readers(system: ActorSystem, count: int, kind: type[Deeds] = Deeds) -> dict[Ref[Deeds], list[Any]]:
    """Subscribers with their journals."""
    made: dict[Ref[Deeds], list[Any]] = {}
    for number in range(count):
        journal: list[Any] = []
        ref = await system.spawn(f"reader-{number}", kind, journal)
        news(system).subscribe(ref, kind.note)
        made[ref] = journal
    return made


def on_roll(system: ActorSystem) -> list[tuple[str, str]]:
    """The names of all topics and groups that anybody is on."""
    return list(news(system)._post.rolls)


async def test_each_subscriber_gets_each_message_once_in_the_order_of_its_publisher(system: Systems) -> None:
    words = [str(number) for number in range(50)]
    async with quiet(system) as s:
        heard = await readers(s, 3)
        assert [await news(s).publish(word) for word in words] == [3] * 50
        await s.idle()
        assert list(heard.values()) == [words] * 3
        assert news(s).subscribers == tuple(heard)


async def test_several_publishers_at_once_lose_nothing_and_each_keeps_its_order_at_full_subscribers(
    system: Systems,
) -> None:
    async with quiet(system) as s:
        heard = await readers(s, 3, bounded(1))

        async def publish(me: Deeds) -> None:
            for number in range(10):
                await me.ctx.topic("news", str).publish(f"{me.ctx.path[1]} {number}")

        for name in "abc":
            await (await s.spawn(name, Deeds)).tell(Deeds.do, publish)
        await s.idle()
        for journal in heard.values():
            assert len(journal) == 30
            for name in "abc":
                assert [word for word in journal if word[0] == name] == [f"{name} {number}" for number in range(10)]


async def test_those_who_wait_for_room_get_it_in_the_order_in_which_they_came(system: Systems) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "first")
        news(s).subscribe(actor, Deeds.note)
        tasks = await later(*(news(s).publish(word) for word in ("1", "2")), actor.tell(Deeds.note, "3"))
        gate.set()
        await asyncio.gather(*tasks)
        await s.idle()
        assert journal == ["first", "1", "2", "3"]


async def test_a_publish_is_not_overtaken_by_the_next_one_because_room_was_made_in_between(system: Systems) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "first")
        news(s).subscribe(actor, Deeds.note)
        one = asyncio.create_task(news(s).publish("1"))
        gate.set()
        two = asyncio.create_task(news(s).publish("2"))
        await asyncio.gather(one, two)
        await s.idle()
        assert journal == ["first", "1", "2"]


async def test_subscribing_again_changes_nothing_and_two_handlers_of_one_actor_are_both_called(system: Systems) -> None:
    async with quiet(system) as s:
        journal: list[Any] = []
        ref = await s.spawn("a", Reader, journal)
        for handler in (Reader.note, Reader.shout, Reader.shout):
            news(s).subscribe(ref, handler)
        assert await news(s).publish("hi") == 2
        await s.idle()
        assert journal == ["hi", "HI"]
        assert news(s).subscribers == (ref,)


async def test_a_subscriber_that_restarts_gets_what_was_published_meanwhile_and_each_message_once(
    system: Systems,
) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, diary, started=[rest, wait_for(gate), rest])
        news(s).subscribe(ref, Doer.note)
        await news(s).publish("before")
        await ref.tell(Doer.do, crash)
        await settle()
        assert await news(s).publish("meanwhile") == 1
        gate.set()
        await settle()
        await news(s).publish("after")
        await s.idle()
        assert [word for word in diary.words if "start" not in word] == ["before 1", "meanwhile 2", "after 2"]


async def test_one_that_subscribes_at_each_start_gets_each_message_once_all_the_same(system: Systems) -> None:
    async with quiet(system) as s:
        journal: list[Any] = []
        ref = await s.spawn("a", Reader, journal)
        for _ in range(3):
            await ref.tell(Deeds.crash)
        await s.idle()
        assert await news(s).publish("hi") == 1
        await s.idle()
        assert journal == ["hi"]


async def stop_itself(s: ActorSystem, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, stop)


async def end(s: ActorSystem, ref: Ref[Doer]) -> None:
    await s.end(ref)


async def crash_for_good(s: ActorSystem, ref: Ref[Doer]) -> None:
    await ref.tell(Doer.do, crash)


async def kill(s: ActorSystem, ref: Ref[Doer]) -> None:
    await s.kill(ref)


async def end_parent(s: ActorSystem, ref: Ref[Doer]) -> None:
    await s.end(s.ref("/top/mid", Supervisor))


@pytest.mark.parametrize("how", [stop_itself, end, crash_for_good, kill, end_parent])
async def test_a_subscriber_that_is_gone_for_good_is_forgotten_and_the_topic_with_it(
    system: Systems, how: Callable[..., Any]
) -> None:
    gives_up = supervisor("mid", child("a", Doer).options(restart="transient"), max_restarts=0)
    tree = supervisor("top", gives_up.options(restart="temporary"), child("stays", Doer))
    async with quiet(system, tree=tree) as s:
        ref = s.ref("/top/mid/a", Doer)
        news(s).subscribe(ref, Doer.note)
        assert on_roll(s) == [("topic", "news")]
        await how(s, ref)
        await settle()
        assert s.ref("/top/stays", Doer).recipient is not None
        assert (news(s).subscribers, await news(s).publish("x"), on_roll(s)) == ((), 0, [])
        s.topic("news", int)


async def test_nobody_gets_anything_after_unsubscribe_but_what_waits_in_the_mailbox_already(system: Systems) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, Reader)
        news(s).subscribe(s.ref("/actor", Reader), Reader.shout)
        await news(s).publish("kept")
        for _ in range(2):
            await actor.tell(Deeds.do, lambda me: asyncio.sleep(0, me.ctx.unsubscribe(me.ctx.topic("news", str))))
        gate.set()
        await s.idle()
        assert (await news(s).publish("late"), on_roll(s)) == (0, [])
        await s.idle()
        assert journal == ["kept", "KEPT"]


async def test_whoever_subscribes_while_a_publish_waits_does_not_get_that_message(system: Systems) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "first")
        news(s).subscribe(actor, Deeds.note)
        (publishing,) = await later(news(s).publish("old"))
        heard = await readers(s, 1)
        gate.set()
        assert await publishing == 1
        await news(s).publish("new")
        await s.idle()
        assert (journal, *heard.values()) == (["first", "old", "new"], ["new"])


async def test_a_message_of_another_type_is_refused_and_reaches_nobody(system: Systems) -> None:
    async with quiet(system) as s:
        heard = await readers(s, 1)
        wrong: Any = 17
        said = r"expected str for the topic 'news', got .*int"
        with pytest.raises(TypeError, match=said):
            await news(s).publish(wrong)
        with pytest.raises(TypeError, match=said):
            news(s).try_publish(wrong)
        await s.idle()
        assert list(heard.values()) == [[]]


class Price(TypedDict):
    amount: int


class Priced(Protocol):
    amount: int


@pytest.mark.parametrize("kind", [object, str | int, dict[str, int], Any, Price, Priced])
async def test_a_topic_may_carry_any_type_that_an_annotation_can_name(system: Systems, kind: Any) -> None:
    message: Any = {"amount": 1} if kind in (Price, dict[str, int]) else "word"
    async with quiet(system) as s:
        journal: list[Any] = []
        topic = s.topic("prices", kind)
        topic.subscribe(await s.spawn("a", Deeds, journal), Deeds.note)
        assert await topic.publish(message) == 1
        await s.idle()
        assert journal == [message]


async def test_a_name_that_carries_another_type_is_refused_until_nobody_is_on_it(system: Systems) -> None:
    async with quiet(system) as s:
        (ref,) = await readers(s, 1)
        other: Any = s.topic("news", int)
        wrong: tuple[Callable[[], Any], ...] = (
            lambda: other.subscribe(ref, Deeds.note),
            lambda: other.subscribers,
            lambda: other.try_publish(1),
        )
        for verb in wrong:
            with pytest.raises(WrongClass, match="expected a topic of int, but 'news' is one of str"):
                verb()
        news(s).unsubscribe(ref)
        other.subscribe(ref, Deeds.note)
        assert await other.publish(1) == 1


async def test_a_wrong_handler_or_a_dead_ref_is_refused_and_leaves_nothing_on_the_roll(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Deeds)
        wrong: Any = Doer.overlap
        with pytest.raises(UnknownHandler):
            news(s).subscribe(ref, wrong)
        assert on_roll(s) == []
        news(s).subscribe(ref, Deeds.note)
        with pytest.raises(UnknownHandler):
            news(s).subscribe(ref, wrong)
        assert await news(s).publish("still subscribed") == 1
        await s.end(ref)
        with pytest.raises(ActorGone, match="/a"):
            news(s).subscribe(ref, Deeds.note)
        news(s).unsubscribe(ref)
        assert on_roll(s) == []


async def test_every_verb_of_a_topic_says_that_the_system_is_not_running(system: Systems) -> None:
    s = quiet(system)
    with pytest.raises(SystemNotRunning):
        news(s)
    async with s:
        ref, topic = await s.spawn("a", Deeds), news(s)
    with pytest.raises(SystemNotRunning):
        await topic.publish("late")
    for verb in (
        lambda: topic.try_publish("late"),
        lambda: topic.subscribe(ref, Deeds.note),
        lambda: topic.unsubscribe(ref),
        lambda: topic.subscribers,
    ):
        with pytest.raises(SystemNotRunning):
            verb()


async def test_two_systems_never_see_each_other(system: Systems) -> None:
    async with quiet(system) as one, quiet(system) as two:
        heard = {one: await readers(one, 1), two: await readers(two, 1)}
        assert await news(one).publish("hi") == 1
        await one.idle()
        await two.idle()
        assert [list(made.values()) for made in heard.values()] == [[["hi"]], [[]]]


async def test_a_zombie_may_neither_publish_nor_subscribe_the_one_that_took_its_place(system: Systems) -> None:
    errors: list[Exception] = []
    async with a_gate() as gate, quiet(system, grace=1.0) as s:

        async def act_as_zombie(me: Doer) -> None:
            await swallow(gate)(me)
            topic = me.ctx.topic("news", str)
            verbs: tuple[Callable[[], Any], ...] = (
                lambda: topic.publish("late"),
                lambda: topic.try_publish("late"),
                lambda: me.ctx.subscribe(topic, Doer.note),
            )
            for verb in verbs:
                try:
                    result = verb()
                    if asyncio.iscoroutine(result):
                        await result
                except Exception as error:
                    errors.append(error)

        heard = await readers(s, 1)
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, act_as_zombie)
        await settle()
        await s.kill(ref)
        gate.set()
        await settle()
        assert [type(error) for error in errors] == [Detached] * 3
        assert (news(s).subscribers, list(heard.values())) == (tuple(heard), [[]])
