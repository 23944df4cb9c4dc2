"""The laws of groups: actors of one class under one name, who come and go, and can be told all together."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import Deeds, bounded, later, raised_by, stuffed
from tests.actors.lives import Diary, Doer, Oops, Starter, Systems, a_gate, crash, quiet, rest, stop, swallow, wait_for
from upright.actors import ActorGone, ActorSystem, Detached, Group, Ref, SystemNotRunning, UnknownHandler, WrongClass
from upright.actors.testing import settle
from upright.supervision import Supervisor, child, pool, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def crew(system: ActorSystem) -> Group[Deeds]:
    return system.group("crew", Deeds)


class Special(Deeds):
    """One of a narrower class, with a handler of its own and one that it does its own way."""

    async def note(self, word: Any) -> None:
        self.journal.append(f"special {word}")

    async def own(self) -> None: ...


async def hands(system: ActorSystem, *kinds: type[Deeds]) -> dict[Ref[Deeds], list[Any]]:
    """Members that joined by themselves, with their journals."""

    async def join(me: Deeds) -> None:
        me.ctx.join(me.ctx.group("crew", Deeds))

    made: dict[Ref[Deeds], list[Any]] = {}
    for number, kind in enumerate(kinds):
        journal: list[Any] = []
        ref = await system.spawn(f"hand-{number}", kind, journal)
        await ref.ask(Deeds.do, join)
        made[ref] = journal
    return made


async def test_the_members_are_listed_in_the_order_in_which_they_joined_each_once(system: Systems) -> None:
    async with quiet(system) as s:
        assert crew(s).members == ()
        made = list(await hands(s, Deeds, Deeds, Deeds))
        for ref in reversed(made):
            crew(s).join(ref)
        assert crew(s).members == tuple(made)


async def test_one_that_leaves_is_no_member_any_more_and_may_join_again_at_the_end(system: Systems) -> None:
    async with quiet(system) as s:
        one, two = await hands(s, Deeds, Deeds)

        async def leave(me: Deeds) -> None:
            me.ctx.leave(me.ctx.group("crew", Deeds))

        for _ in range(2):
            await one.ask(Deeds.do, leave)
            assert crew(s).members == (two,)
        crew(s).join(one)
        assert crew(s).members == (two, one)


async def test_a_message_to_a_group_reaches_every_member_once_in_the_order_of_its_sender(system: Systems) -> None:
    async with quiet(system) as s:
        made = await hands(s, Deeds, Special)
        await s.spawn("stranger", Deeds)
        assert [await crew(s).tell(Deeds.note, word) for word in "abc"] == [2] * 3
        await s.idle()
        assert list(made.values()) == [["a", "b", "c"], ["special a", "special b", "special c"]]


async def test_a_message_to_a_group_without_members_reaches_nobody_but_its_handler_is_checked(system: Systems) -> None:
    wrong: Any = Doer.overlap
    async with quiet(system) as s:
        assert await crew(s).tell(Deeds.note, "hi") == 0
        with pytest.raises(UnknownHandler):
            await crew(s).tell(wrong, "hi")
        await hands(s, Deeds)
        with pytest.raises(UnknownHandler):
            await crew(s).tell(wrong, "hi")


async def test_members_that_are_full_are_waited_for_together_and_hold_nobody_up(
    system: Systems, dead_letters: Any
) -> None:
    async with quiet(system) as s:
        actor, journal, gate = await stuffed(s, bounded(1), "first")
        crew(s).join(actor)
        heard = await hands(s, Deeds, bounded(1, "reject"))
        free, refuses = heard
        await refuses.tell(Deeds.hold, gate)
        await settle()
        assert refuses.try_tell(Deeds.note, "first")
        (telling,) = await later(crew(s).tell(Deeds.note, "new"))
        assert (heard[free], telling.done()) == (["new"], False)
        gate.set()
        assert await telling == 2
        await s.idle()
        assert (journal, heard[refuses]) == (["first", "new"], ["held", "first"])
        assert [(letter.recipient, letter.reason) for letter in dead_letters.all] == [(refuses.path, "no_room")]


async def test_a_member_stays_one_over_its_restarts_and_is_told_meanwhile(system: Systems) -> None:
    diary, gate = Diary(), asyncio.Event()
    async with quiet(system) as s:
        group = s.group("doers", Doer)
        ref = await s.spawn("a", Starter, diary, started=[rest, wait_for(gate), rest])
        group.join(ref)
        await ref.tell(Doer.do, crash)
        await settle()
        assert (group.members, await group.tell(Doer.note, "meanwhile")) == ((ref,), 1)
        gate.set()
        await s.idle()
        assert diary.words[-1] == "meanwhile 2"


@pytest.mark.parametrize("how", ["stop", "crash", "parent"])
async def test_a_member_that_is_gone_for_good_is_forgotten_and_the_group_with_the_last_one(
    system: Systems, how: str
) -> None:
    gives_up = supervisor("mid", child("a", Doer).options(restart="transient"), max_restarts=0)
    async with quiet(system, tree=supervisor("top", gives_up.options(restart="temporary"))) as s:
        group, ref = s.group("doers", Doer), s.ref("/top/mid/a", Doer)
        group.join(ref)
        match how:
            case "stop":
                await ref.tell(Doer.do, stop)
            case "crash":
                await ref.tell(Doer.do, crash)
            case _:
                await s.end(s.ref("/top/mid", Supervisor))
        await settle()
        assert (group.members, group._post.rolls) == ((), {})


async def test_one_of_a_wrong_class_or_one_that_is_gone_may_not_join(system: Systems) -> None:
    async with quiet(system) as s:
        wrong: Any = await s.spawn("wrong", Doer)
        with pytest.raises(WrongClass, match="expected a Deeds at /wrong, found a Doer"):
            crew(s).join(wrong)
        (ref,) = await hands(s, Deeds)
        narrow: Any = s.group("crew", Special)
        with pytest.raises(WrongClass):
            narrow.join(ref)
        with pytest.raises(WrongClass):
            narrow.members  # noqa: B018  # reading it is what is refused
        await s.end(ref)
        with pytest.raises(ActorGone):
            crew(s).join(ref)
        crew(s).leave(ref)
        assert crew(s).members == ()
        assert crew(s)._post.rolls == {}


async def test_one_that_is_refused_leaves_no_roll_that_would_hold_the_name(system: Systems) -> None:
    async with quiet(system) as s:
        wrong: Any = await s.spawn("wrong", Doer)
        with pytest.raises(WrongClass):
            crew(s).join(wrong)
        s.group("crew", Doer).join(wrong)
        assert s.group("crew", Doer).members == (wrong,)


async def test_a_topic_and_a_group_of_one_name_have_nothing_to_do_with_each_other(system: Systems) -> None:
    async with quiet(system) as s:
        (ref,) = (made := await hands(s, Deeds))
        s.topic("crew", str).subscribe(ref, Deeds.note)
        assert await s.topic("crew", str).publish("published") == 1
        crew(s).leave(ref)
        assert s.topic("crew", str).subscribers == (ref,)
        await s.idle()
        assert list(made.values()) == [["published"]]


async def test_a_pool_joins_as_one_member_and_one_worker_handles_each_message(system: Systems) -> None:
    journal: list[Any] = []
    async with quiet(system, tree=pool("p", child("worker", Deeds, journal), size=3)) as s:
        crew(s).join(s.ref("/p", Deeds))
        for word in "abcdef":
            assert await crew(s).tell(Deeds.note, word) == 1
        await s.idle()
        assert sorted(journal) == [*"abcdef"]


async def test_two_systems_never_see_each_other_and_one_that_has_ended_says_so(system: Systems) -> None:
    async with quiet(system) as one, quiet(system) as two:
        made = await hands(one, Deeds)
        assert (crew(one).members, crew(two).members) == (tuple(made), ())
        assert await crew(two).tell(Deeds.note, "hi") == 0
        group, (ref,) = crew(one), made
    for verb in (lambda: group.members, lambda: group.join(ref), lambda: group.leave(ref)):
        with pytest.raises(SystemNotRunning):
            verb()
    with pytest.raises(SystemNotRunning):
        await group.tell(Deeds.note, "late")


async def test_a_zombie_may_neither_tell_a_group_nor_have_the_one_that_took_its_place_join_or_leave(
    system: Systems,
) -> None:
    errors: list[BaseException] = []
    async with a_gate() as gate, quiet(system, grace=1.0) as s:

        async def act_as_zombie(me: Doer) -> None:
            await swallow(gate)(me)
            group = me.ctx.group("doers", Doer)
            for verb, name in ((me.ctx.join, "doers"), (me.ctx.leave, "mates")):
                try:
                    verb(s.group(name, Doer))
                except Exception as error:
                    errors.append(error)
            errors.append(await raised_by(group.tell(Doer.note, "late")))

        ref = await s.spawn("a", Doer)
        s.group("mates", Doer).join(ref)
        await ref.tell(Doer.do, act_as_zombie)
        await settle()
        await s.kill(ref)
        gate.set()
        await settle()
        assert (s.group("doers", Doer).members, s.group("mates", Doer).members) == ((), (ref,))
        assert [type(error) for error in errors] == [Detached] * 3


async def test_a_member_that_crashes_on_a_message_keeps_no_other_from_it(system: Systems, dead_letters: Any) -> None:
    class Fragile(Deeds):
        async def note(self, word: Any) -> None:
            raise Oops(word)

    async with quiet(system) as s:
        made = await hands(s, Fragile, Deeds)
        assert await crew(s).tell(Deeds.note, "hi") == 2
        await s.idle()
        assert list(made.values()) == [[], ["hi"]]
        assert dead_letters.reasons() == ["crashed"]
        assert crew(s).members == tuple(made)
