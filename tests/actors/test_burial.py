"""The laws of an end for good: first the mail, then the name, then the watchers."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.actors.lives import (
    Closer,
    Deed,
    Diary,
    Doer,
    Narrow,
    Oops,
    Systems,
    Testator,
    a_gate,
    crash,
    hang,
    no_trace,
    quiet,
    rest,
    sleep,
    stop,
    swallow,
    wait_for,
)
from upright.actors import ActorGone, Blueprint, DeadLetter, Ref
from upright.actors.events import ActorStopped, HookFailed
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def die_with_mail(ref: Ref[Doer], *words: str) -> None:
    """Have it stop with these messages still in its mailbox."""
    await ref.tell(Doer.do, stop)
    for word in words:
        await ref.tell(Doer.note, word)
    await ref.ended()


async def empty(_: Any) -> list[DeadLetter]:
    return []


async def give_no_letters(_: Any) -> Any:
    return 5


async def give_a_broken_list(me: Doer) -> Iterator[DeadLetter]:
    def letters() -> Iterator[DeadLetter]:
        yield me.diary.letters[0]
        raise Oops("half way")

    return letters()


@pytest.mark.parametrize(("deed", "left"), [(rest, 2), (empty, 0)])
async def test_undelivered_sends_all_letters_on_when_it_returns_nothing_and_none_for_an_empty_list(
    system: Systems, dead_letters: Any, deed: Deed, left: int
) -> None:
    async with quiet(system) as s:
        await die_with_mail(await s.spawn("a", Testator, None, undelivered=deed), "one", "two")
    assert dead_letters.reasons() == ["stopped"] * left


@pytest.mark.parametrize("deed", [crash, give_no_letters, give_a_broken_list])
async def test_undelivered_that_fails_is_told_and_every_letter_goes_on(
    system: Systems, recorders: list[Recorder], dead_letters: Any, deed: Deed
) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("a", Testator, None, undelivered=deed)
        async with asyncio.timeout(60):
            await die_with_mail(ref, "one", "two")
        assert [event.hook for event in recorders[0].of(HookFailed, "/a")] == ["undelivered"]
    assert [letter.message.args for letter in dead_letters.all] == [("one",), ("two",)]


async def test_undelivered_that_hangs_has_the_shutdown_time_and_then_every_letter_goes_on(
    system: Systems, recorders: list[Recorder], dead_letters: Any
) -> None:
    loop = asyncio.get_running_loop()
    async with quiet(system) as s:
        ref = await s.spawn_from(Blueprint("a", Testator, (None,), {"undelivered": hang}, shutdown=3.0))
        began = loop.time()
        await die_with_mail(ref, "one")
        assert loop.time() == began + 3.0
        assert [type(event.error) for event in recorders[0].of(HookFailed, "/a")] == [TimeoutError]
    assert dead_letters.reasons() == ["stopped"]


async def test_undelivered_that_swallows_its_cancellation_holds_nobody_up_for_longer_than_the_grace(
    system: Systems, dead_letters: Any
) -> None:
    loop = asyncio.get_running_loop()
    async with a_gate() as gate, quiet(system, grace=1.0) as s:
        plan = {"undelivered": swallow(gate)}
        ref = await s.spawn_from(Blueprint("a", Testator, (None,), plan, shutdown=3.0))
        began = loop.time()
        await die_with_mail(ref, "one")
        assert loop.time() == began + 4.0
    assert dead_letters.reasons() == ["stopped"]


async def test_asks_that_wait_end_before_undelivered_is_called(system: Systems) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Testator, None, undelivered=wait_for(gate))
        await ref.tell(Doer.do, stop)
        with pytest.raises(ActorGone) as caught:
            await ref.ask(Doer.note, "one")
        assert not caught.value.handled
        assert s.ref("/a", Doer).recipient is not None, "its name is still its own"
        gate.set()


async def test_a_message_that_comes_while_undelivered_runs_is_not_lost(system: Systems, dead_letters: Any) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Testator, None, undelivered=wait_for(gate))
        await ref.tell(Doer.do, stop)
        await ref.tell(Doer.note, "one")
        await settle()
        await ref.tell(Doer.note, "two")
        asked = asyncio.create_task(ref.ask(Doer.note, "three"))
        await settle()
        gate.set()
        with pytest.raises(ActorGone):
            await asked
    assert [letter.message.args[0] for letter in dead_letters.all] == ["one", "two", "three"]


async def test_undelivered_may_pass_its_letters_to_another_actor(system: Systems) -> None:
    heir = Diary()
    async with quiet(system) as s:
        other = await s.spawn("heir", Doer, heir)

        async def bequeath(me: Doer) -> list[DeadLetter]:
            for letter in me.diary.letters:
                await other.ask(Doer.note, *letter.message.args)
            return []

        await die_with_mail(await s.spawn("a", Testator, None, undelivered=bequeath), "one", "two")
    assert heir.words == ["one 1", "two 1"]


async def test_who_waits_for_room_in_its_mailbox_is_let_go_and_his_message_becomes_a_dead_letter(
    system: Systems, dead_letters: Any
) -> None:
    gate = asyncio.Event()

    async def wait_and_stop(me: Doer) -> None:
        await gate.wait()
        me.ctx.stop()

    async with quiet(system) as s:
        ref = await s.spawn("a", Narrow)
        await ref.tell(Doer.do, wait_and_stop)
        await settle()
        await ref.tell(Doer.note, "one")
        await ref.tell(Doer.note, "two")
        telling = asyncio.create_task(ref.tell(Doer.note, "three"))
        asking = asyncio.create_task(ref.ask(Doer.note, "four"))
        await settle()
        assert not telling.done()
        gate.set()
        await telling
        with pytest.raises(ActorGone):
            await asking
    assert [letter.message.args[0] for letter in dead_letters.all] == ["one", "two", "three", "four"]


async def test_the_end_is_told_with_the_number_of_messages_left(system: Systems, recorders: list[Recorder]) -> None:
    async with quiet(system) as s:
        await die_with_mail(await s.spawn("a", Closer), "one", "two")
        assert [event.undelivered for event in recorders[0].of(ActorStopped, "/a")] == [2]


async def crash_late(me: Doer) -> None:
    await asyncio.sleep(0.5)
    await crash(me)


@pytest.mark.parametrize("starts", [[crash, crash], [crash] * 4, [sleep(0.5)], [crash_late], [crash, crash_late]])
async def test_one_that_is_ended_while_its_restart_is_pending_or_under_way_is_not_started_again(
    system: Systems, starts: list[Deed]
) -> None:
    """Its `undelivered()` takes longer than the pause before the next attempt."""
    diary, heir = Diary(), Diary()
    worked: list[int] = []

    async def begin_work(me: Doer) -> None:
        async def work() -> None:
            while True:
                await asyncio.sleep(10)
                worked.append(me.life)

        me.ctx.background(work())

    plans: dict[str, Any] = {"started": [rest, *starts, begin_work], "undelivered": sleep(1)}
    async with quiet(system) as s:
        ref = await s.spawn("a", Testator, diary, **plans)
        await ref.tell(Doer.do, crash)
        await settle()
        await ref.tell(Doer.note, "mail")
        await advance(0.15)
        await s.end(ref)
        lives = diary.lives
        assert lives < len(starts) + 2
        assert ref.recipient is None
        new = await s.spawn("a", Closer, heir)
        await advance(30)
        assert await new.ask(Doer.note, "here") == "here"
        assert (diary.lives, heir.lives, worked) == (lives, 1, [])
        assert diary.words[-1] == "undelivered 1"
    assert heir.words[-1] == "stopped 1"
    assert (s.zombies, worked) == (0, [])
    assert no_trace()
