"""The laws of a system: how it starts and stops, and that nothing of it is left."""

import asyncio
from typing import Any

import anyio
import pytest

from tests.actors.lives import (
    Closer,
    Diary,
    Doer,
    Oops,
    Starter,
    Systems,
    crash,
    no_trace,
    quiet,
    rest,
    sleep,
    wait_for,
)
from upright.actors import (
    Actor,
    ActorError,
    ActorSystem,
    Blueprint,
    DeadLetter,
    DeadLetters,
    NoActor,
    Ref,
    Shutdown,
    SystemNotRunning,
)
from upright.actors.testing import VirtualTimeLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_it_may_be_started_and_stopped_by_different_tasks(system: Systems) -> None:
    s = quiet(system)
    await asyncio.create_task(s.start())
    ref = await asyncio.create_task(s.spawn("a", Closer))
    assert await ref.ask(Doer.note, "here") == "here"
    await asyncio.create_task(s.stop())
    assert not s.running


async def test_stopping_twice_or_before_a_start_does_nothing_and_stopping_at_once_from_two_tasks_waits_in_both(
    system: Systems,
) -> None:
    s = quiet(system)
    await s.stop()
    await s.start()
    diary = Diary()
    await s.spawn("a", Closer, diary, stopping=sleep(1))
    await asyncio.gather(s.stop(), s.stop(), s.stop())
    assert diary.words[-1] == "stopped 1"
    await s.stop()


async def test_a_start_of_one_that_runs_is_refused_and_harms_it_not(system: Systems) -> None:
    async with quiet(system) as s:
        with pytest.raises(SystemNotRunning):
            await s.start()
        assert (await s.spawn("a", Doer)).path == "/a"


async def test_it_can_be_started_again_and_knows_nothing_of_before(system: Systems) -> None:
    s = quiet(system)
    diary = Diary()
    for round_number in range(1, 4):
        async with s:
            ref = await s.spawn("a", Closer, diary)
            assert await ref.ask(Doer.note, "here") == "here"
        assert diary.lives == round_number


async def test_a_ref_of_before_finds_nobody_until_the_system_runs_and_is_no_way_into_the_next(
    system: Systems,
) -> None:
    s = quiet(system)
    async with s:
        old = await s.spawn("a", Doer)
    with pytest.raises(SystemNotRunning):
        await old.tell(Doer.note, "x")
    async with s:
        await s.spawn("a", Doer)
        with pytest.raises(SystemNotRunning):
            await old.tell(Doer.note, "x")


async def test_before_a_start_and_after_a_stop_every_verb_says_so(system: Systems) -> None:
    s = quiet(system)

    async def try_all() -> None:
        with pytest.raises(SystemNotRunning):
            await s.spawn("a", Doer)
        with pytest.raises(SystemNotRunning):
            s.ref("/a", Doer)
        await s.idle()

    await try_all()
    async with s:
        ref = await s.spawn("a", Doer)
    await try_all()
    with pytest.raises(SystemNotRunning):
        await ref.ask(Doer.note, "x")
    with pytest.raises(SystemNotRunning):
        await ref.tell(Doer.note, "x")
    assert ref.try_tell(Doer.note, "x") is False
    with pytest.raises(SystemNotRunning):
        await s.kill(ref)
    assert "nobody" in repr(ref)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_stop_whose_caller_is_cancelled_still_ends_and_the_cancellation_is_raised_afterwards(
    system: Systems, times: int
) -> None:
    s = await quiet(system).start()
    diary = Diary()
    await s.spawn("a", Closer, diary, stopping=sleep(3))
    stopping = asyncio.create_task(s.stop())
    for _ in range(times):
        await advance(0.5)
        stopping.cancel()
    await advance(0.5)
    assert not stopping.done()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert diary.words[-1] == "stopped 1"
    assert not s.running
    assert no_trace()


async def test_a_stop_in_a_cancelled_scope_of_anyio_still_ends(system: Systems) -> None:
    diary = Diary()
    with anyio.move_on_after(1) as scope:
        async with quiet(system) as s:
            await s.spawn("a", Closer, diary, stopping=sleep(3))
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert diary.words[-1] == "stopped 1"
    assert no_trace()


async def test_an_error_in_the_body_stops_the_system_and_comes_out_as_it_was(system: Systems) -> None:
    diary = Diary()
    with pytest.raises(Oops):
        async with quiet(system) as s:
            await s.spawn("a", Closer, diary)
            raise Oops("in the body")
    assert diary.words[-1] == "stopped 1"


async def test_an_actor_may_stop_its_own_system_without_a_deadlock(system: Systems) -> None:
    s = await quiet(system).start()
    diary = Diary()
    tasks: list[asyncio.Task[None]] = []

    async def stop_system(_: Any) -> None:
        tasks.append(asyncio.create_task(s.stop()))

    ref = await s.spawn("a", Closer, diary)
    await ref.ask(Doer.do, stop_system)
    async with asyncio.timeout(10):
        await tasks[0]
    assert diary.words[-1] == "stopped 1"


async def test_two_systems_on_one_loop_never_see_each_other(system: Systems) -> None:
    diaries = [Diary(), Diary()]
    async with quiet(system) as one, quiet(system) as two:
        refs = [await s.spawn("a", Closer, diary) for s, diary in zip((one, two), diaries, strict=True)]
        assert refs[0] != refs[1]
        assert [await ref.ask(Doer.note, "here") for ref in refs] == ["here"] * 2
        await refs[0].tell(Doer.do, crash)
        await one.ref("/nobody", Doer).tell(Doer.note, "lost")
        await one.idle()
        assert [diary.lives for diary in diaries] == [2, 1]
        boxes = [s.ref("/dead-letters", DeadLetters) for s in (one, two)]
        assert [len(await box.ask(DeadLetters.latest)) for box in boxes] == [2, 0]
        await one.stop()
        assert await refs[1].ask(Doer.note, "still here") == "still here"


async def test_peek_shows_what_waits_the_next_first_and_takes_nothing(system: Systems) -> None:
    gate = asyncio.Event()
    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, wait_for(gate))
        await settle()
        for word in ("one", "two", "three"):
            await ref.tell(Doer.note, word)
        asked = asyncio.create_task(ref.ask(Doer.note, "four"))
        await settle()
        for _ in range(2):
            assert [message.args for message in s.peek(ref)] == [("one",), ("two",), ("three",), ("four",)]
        assert [message.asked for message in s.peek(ref)] == [False] * 3 + [True]
        assert len(list(s.peek(ref, most=2))) == 2
        assert list(s.peek(s.ref("/nobody", Doer))) == []
        gate.set()
        assert await asked == "four"


class Broken(Actor):
    """A dead-letter actor that fails where it is told to."""

    in_started = False

    async def started(self) -> None:
        if self.in_started:
            raise Oops("no letters today")

    async def letter(self, letter: DeadLetter) -> None:
        raise Oops("cannot read")


class Unborn(Broken):
    in_started = True


async def test_a_dead_letter_class_that_does_not_start_fails_the_start_and_leaves_nothing(system: Systems) -> None:
    s = quiet(system, dead_letters=Unborn)
    with pytest.raises(ActorError, match="/dead-letters did not start") as caught:
        await s.start()
    assert isinstance(caught.value.__cause__, Oops)
    assert not s.running
    assert no_trace()


async def test_a_dead_letter_actor_that_crashes_on_each_letter_neither_loops_nor_holds_anybody_up(
    system: Systems,
) -> None:
    async with quiet(system, dead_letters=Broken) as s:
        for _ in range(5):
            await s.ref("/nobody", Doer).tell(Doer.note, "x")
        await s.idle()
        assert s.dead_letters_lost == 5
        ref = await s.spawn("a", Doer)
        assert await ref.ask(Doer.note, "here") == "here"


@pytest.mark.parametrize("wrong", [Doer, object, "DeadLetters"])
def test_a_class_that_takes_no_letters_is_refused_when_the_system_is_made(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        ActorSystem(dead_letters=wrong, log=None)


@pytest.mark.parametrize("options", [{"grace": -1.0}, {"blocked_after": 0.0}, {"blocked_after": -1.0}])
def test_wrong_durations_are_refused_when_the_system_is_made(options: dict[str, float]) -> None:
    wrong: Any = options
    with pytest.raises(ValueError, match="expected"):
        ActorSystem(log=None, **wrong)


def test_one_system_may_serve_two_loops_one_after_the_other() -> None:
    s = ActorSystem(log=None, blocked_after=None)
    diary = Diary()

    async def main() -> str:
        async with s:
            ref: Ref[Doer] = await s.spawn("a", Closer, diary)
            return str(await ref.ask(Doer.note, "here"))

    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(main()) == "here"
    assert diary.lives == 2


async def test_end_stops_one_actor_for_good_and_leaves_the_others(system: Systems) -> None:
    diary = Diary()
    async with quiet(system) as s:
        one, other = await s.spawn("one", Doer, diary), await s.spawn("other", Doer, diary)
        await one.tell(Doer.note, "last")
        assert await s.end(one) == Shutdown("ended by hand")
        assert one.recipient is None
        assert await s.end(one) == NoActor()
        assert await other.ask(Doer.note, "here") == "here"
        assert (await s.spawn("one", Doer, diary)) == one, "its name is free"


async def test_end_also_ends_an_actor_that_is_down_between_two_starts(system: Systems) -> None:
    async def refuse_to_start(_: Any) -> None:
        raise RuntimeError("not now")

    async with quiet(system) as s:
        ref = await s.spawn("a", Starter, None, started=[rest, refuse_to_start])
        await s.kill(ref)
        await advance(0.05)
        assert await s.end(ref) != NoActor()
        await advance(60)
        assert ref.recipient is None


async def test_the_root_can_be_neither_killed_nor_ended_by_hand(system: Systems) -> None:
    async with quiet(system) as s:
        for verb in (s.kill, s.end):
            with pytest.raises(ValueError, match="expected an actor below the root"):
                await verb(s.ref("/", Actor))
        assert s.running


async def test_a_stop_that_has_a_limit_cancels_what_still_runs_then(system: Systems) -> None:
    s = quiet(system)
    await s.start()
    diary = Diary()
    for name in ("a", "b"):
        ref = await s.spawn_from(Blueprint(name, Closer, (diary,), {"stopping": sleep(100)}, shutdown=1_000.0))
        await ref.tell(Doer.do, sleep(500))
    await asyncio.sleep(1)
    before = asyncio.get_running_loop().time()
    await s.stop(within=10.0)
    assert asyncio.get_running_loop().time() - before == pytest.approx(10.0)
    assert not s.zombies


async def test_a_second_stop_may_shorten_the_first(system: Systems) -> None:
    s = quiet(system)
    await s.start()
    ref = await s.spawn_from(Blueprint("a", Doer, shutdown=1_000.0))
    await ref.tell(Doer.do, sleep(500))
    await asyncio.sleep(1)
    stopping = asyncio.create_task(s.stop(within=300.0))
    await asyncio.sleep(5)
    before = asyncio.get_running_loop().time()
    await s.stop(within=0)
    await stopping
    assert asyncio.get_running_loop().time() == before


async def test_a_stop_within_less_than_nothing_is_refused(system: Systems) -> None:
    async with quiet(system) as s:
        with pytest.raises(ValueError, match="expected within to be 0 or more seconds, got -1"):
            await s.stop(within=-1)
        await s.stop(within=float("inf"))
