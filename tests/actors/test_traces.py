"""The laws of what is left of a system, and of ten thousand incarnations: nothing."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Diary,
    Doer,
    crash,
    hang,
    no_trace,
    rest,
    sleep,
    stop,
)
from upright.actors import Actor, ActorError, ActorSystem, DeadLetter

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stopped_system_leaves_no_task_timer_thread_or_actor_behind_whatever_its_actors_did(
    kind: type[Doer],
) -> None:
    """Without the recorder of the fixture: the errors in its events hold the frames that they came through."""
    made: list[weakref.ref[Doer]] = []

    def note_birth(me: Doer) -> None:
        made.append(weakref.ref(me))

    async def live_and_die() -> None:
        async with ActorSystem(log=None, blocked_after=5.0) as s:
            other = await s.spawn("other", kind, None, note_birth)

            async def do_much(me: Doer) -> None:
                me.ctx.after(1_000, Doer.note, "x")
                me.ctx.every(1_000, Doer.note, "x")
                me.ctx.background(hang(me))
                me.ctx.pipe(hang(me), Doer.result)
                me.ctx.watch(other, Doer.down)
                await me.ctx.spawn("child", kind, None, note_birth)

            for number, end in enumerate((rest, crash, stop, hang)):
                ref = await s.spawn(f"a{number}", kind, None, note_birth)
                await ref.ask(Doer.do, do_much)
                await ref.tell(Doer.overlap, "word", sleep(0.1))
                await ref.tell(Doer.do, end)
                with pytest.raises(ActorError):
                    await ref.within(0.2).ask(Doer.do, hang)

    await live_and_die()
    assert no_trace()
    assert len(made) >= 9
    gc.collect()
    assert [one() for one in made if one() is not None] == []


class Forgetful(Actor):
    """A dead-letter actor that keeps nothing."""

    async def letter(self, letter: DeadLetter) -> None: ...


async def test_ten_thousand_restarts_leave_nothing_behind() -> None:
    diary = Diary()
    instances: weakref.WeakSet[Doer] = weakref.WeakSet()

    async def use_everything(me: Doer) -> None:
        me.ctx.after(1_000, Doer.note, "x")
        me.ctx.timer("key").every(1_000, Doer.note, "x")
        me.ctx.watch(other, Doer.down)
        me.ctx.background(hang(me))
        await crash(me)

    async with ActorSystem(log=None, blocked_after=None, dead_letters=Forgetful) as s:
        other = await s.spawn("other", Doer)
        ref = await s.spawn("a", Closer, diary, init=instances.add)
        tasks = len(asyncio.all_tasks())
        for _ in range(10_000):
            await ref.tell(Doer.do, use_everything)
            diary.words.clear()
            diary.reasons.clear()
        await s.idle()
        diary.reasons.clear()
        assert diary.lives == 10_001
        gc.collect()
        loop: Any = asyncio.get_running_loop()
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert len([handle for handle in loop._scheduled if not handle.cancelled()]) <= 1
        recipient: Any = other.recipient
        assert len(recipient.watchers) == 0
        assert len(instances) <= 5, "the last error may hold its frames, and these their instance"


async def test_the_letters_that_are_kept_keep_no_crashed_instance_alive() -> None:
    """An error holds the frames that it came through, and these the instance with all its state."""
    instances: weakref.WeakSet[Doer] = weakref.WeakSet()
    async with ActorSystem(log=None, blocked_after=None) as s:
        ref = await s.spawn("a", Doer, None, init=instances.add)
        for _ in range(20):
            await ref.tell(Doer.do, crash)
        await s.idle()
        gc.collect()
        assert len(instances) <= 5
