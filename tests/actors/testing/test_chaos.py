"""The laws of chaos in memory: it strikes where it may, tells all that it does, and repeats it for a seed."""

import asyncio
import time
from collections import Counter
from functools import partial
from typing import Any

import pytest

from tests.actors.lives import Systems, no_trace, quiet
from upright.actors import Actor, ActorFailed, ActorGone, ActorSystem, AskTimedOut, Bounded, Ref, WrongArguments
from upright.actors.testing import Chaos, ChaosCrash, ChaosNotAllowed, ChaosStruck, Recorder
from upright.supervision import child, pool, supervisor

pytestmark = pytest.mark.anyio
CALM: dict[str, Any] = {"crash": 0.0, "delay": 0.0}


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


class Clerk(Actor):
    """Notes the numbers that it is told, with the time."""

    def __init__(self, book: list[int], onward: str = "") -> None:
        self.book, self.onward = book, onward

    async def note(self, number: int) -> int:
        self.book.append(number)
        if self.onward:
            await self.ctx.ref(self.onward, Clerk).tell(Clerk.note, number)
        return number


class Narrow(Clerk):
    mailbox = Bounded(1)


async def clerk_in(s: ActorSystem, book: list[int], kind: type[Clerk] = Clerk) -> Ref[Clerk]:
    return await s.spawn("clerk", kind, book)


async def tell(clerk: Ref[Clerk], *numbers: int) -> None:
    for number in numbers:
        await clerk.tell(Clerk.note, number)


def strange(system: Systems) -> ActorSystem:
    return quiet(system, allows_chaos=True)


async def test_a_system_that_did_not_ask_for_it_is_left_alone(system: Systems) -> None:
    async with quiet(system) as s:
        with pytest.raises(ChaosNotAllowed, match="allows_chaos=True"):
            async with Chaos(1).on(s):
                pytest.fail("it began")


async def test_only_one_strikes_at_a_time_and_what_is_refused_changes_nothing(system: Systems) -> None:
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        async with Chaos(1, **CALM).on(s):
            with pytest.raises(ChaosNotAllowed, match="one chaos at a time: /clerk"):
                async with Chaos(2).on(s):
                    pytest.fail("it began")
            assert await clerk.ask(Clerk.note, 1) == 1


async def test_afterwards_every_mailbox_is_what_it_was(system: Systems) -> None:
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        assert clerk.recipient is not None
        mailbox = clerk.recipient.mailbox
        kind = type(mailbox)
        async with Chaos(1, **CALM).on(s):
            await tell(clerk, 1)
            assert type(mailbox) is not kind
            assert mailbox.admits == 0
        assert type(mailbox) is kind
        assert mailbox.admits == mailbox.limit


@pytest.mark.parametrize("what", ["drop", "delay", "reorder", "duplicate", "crash", "block"])
async def test_each_strike_is_told_with_what_where_number_and_seed(system: Systems, what: str) -> None:
    async with strange(system) as s:
        recorder = Recorder(s)
        clerk = await clerk_in(s, [])
        async with Chaos(7, **{**CALM, what: 1.0}).on(s) as strikes:
            await tell(clerk, 1)
            await s.idle()
        told = recorder.of(ChaosStruck)
        assert told == strikes.all
        assert [(one.path, one.what, one.number, one.seed) for one in told] == [("/clerk", what, 1, 7)]
        assert told[0].where.startswith("note")


async def test_a_dropped_tell_never_comes_and_a_dropped_ask_ends_at_its_time_out(system: Systems) -> None:
    book: list[int] = []
    loop = asyncio.get_running_loop()
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(1, **CALM, drop=1.0).on(s):
            await tell(clerk, 1)
            began = loop.time()
            with pytest.raises(AskTimedOut) as caught:
                await clerk.within(2.0).ask(Clerk.note, 2)
            assert (loop.time() - began, caught.value.handled) == (2.0, False)
            assert await clerk.within(float("inf")).ask(Clerk.note, 3) == 3  # it would be lost silently
    assert book == [3]


async def test_an_ask_that_was_dropped_ends_with_the_chaos_and_with_its_actor(system: Systems) -> None:
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        for ends in (False, True):
            async with Chaos(1, **CALM, drop=1.0).on(s):
                asked = asyncio.ensure_future(clerk.within(1e6).ask(Clerk.note, 1))
                await asyncio.sleep(1)
                if ends:
                    await s.stop()
            with pytest.raises(AskTimedOut):
                await asked
    assert asyncio.get_running_loop().time() < 10


async def test_a_late_message_holds_up_those_behind_it_and_none_is_lost(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(3, crash=0.0, delay=0.3, longest=5.0).on(s) as strikes:
            await tell(clerk, *range(50))
            assert await clerk.ask(Clerk.note, 50) == 50
        assert book == [*range(51)]
        assert strikes.count("delay") > 5


async def test_idle_waits_for_what_is_late(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(3, crash=0.0, delay=1.0, longest=50.0).on(s):
            await tell(clerk, 1)
            await s.idle()
            assert book == [1]
    assert asyncio.get_running_loop().time() > 1


async def test_what_is_late_when_its_actor_ends_is_its_mail(system: Systems, dead_letters: Any) -> None:
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        async with Chaos(3, crash=0.0, delay=1.0, reorder=0.5, longest=50.0).on(s):
            await tell(clerk, 1, 2, 3)
            asked = asyncio.ensure_future(clerk.within(1000).ask(Clerk.note, 4))
            await asyncio.sleep(0)
            await s.end(clerk)
            with pytest.raises(ActorGone):
                await asked
    assert sorted(letter.message.args[0] for letter in dead_letters.all) == [1, 2, 3, 4]
    assert dead_letters.reasons() == ["stopped"] * 4
    assert asyncio.get_running_loop().time() < 10


async def test_a_late_message_waits_for_room_where_the_mailbox_is_full(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book, Narrow)
        async with Chaos(5, crash=0.0, delay=0.5, reorder=0.2, longest=1.0).on(s):
            await asyncio.gather(*(tell(clerk, number) for number in range(50)))
            await s.idle()
    assert sorted(book) == [*range(50)]


async def test_one_that_steps_aside_lets_the_next_one_pass_or_comes_after_a_while(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(2, **CALM, reorder=1.0, longest=3.0).on(s):
            await tell(clerk, 1, 2, 3)
            await s.idle()
            assert book == [2, 1, 3]
    assert asyncio.get_running_loop().time() == 3.0


async def test_a_duplicate_follows_its_message_and_asks_have_none(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(2, **CALM, duplicate=1.0).on(s):
            await tell(clerk, 1, 2)
            assert await clerk.ask(Clerk.note, 3) == 3
            await s.idle()
    assert book == [1, 1, 2, 2, 3]


async def test_a_crash_is_before_the_handler_or_after_it_and_the_actor_comes_back(system: Systems) -> None:
    book: list[int] = []
    async with strange(system) as s:
        clerk = await clerk_in(s, book)
        async with Chaos(2, crash=1.0, delay=0.0).on(s) as strikes:
            for number in range(20):
                with pytest.raises(ActorFailed) as caught:
                    await clerk.ask(Clerk.note, number)
                assert isinstance(caught.value.__cause__, ChaosCrash)
                assert f"strike {number + 1} of seed 2" in str(caught.value)
        assert await clerk.ask(Clerk.note, 100) == 100
        after = [one.where for one in strikes.all].count("note, after it")
    assert 0 < after < 20
    assert len(book) == after + 1


async def test_a_call_that_cannot_be_is_still_its_senders_mistake(system: Systems) -> None:
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        wrong: Any = clerk
        async with Chaos(1, **CALM, block=1.0).on(s):
            with pytest.raises(WrongArguments):
                await wrong.ask(Clerk.note, 1, 2, 3)


async def test_a_blocked_loop_is_time_in_which_nothing_else_happens(system: Systems) -> None:
    loop = asyncio.get_running_loop()
    async with strange(system) as s:
        clerk = await clerk_in(s, [])
        async with Chaos(1, **CALM, block=1.0, blocks_for=7.0).on(s):
            ticks: list[float] = []
            loop.call_later(2.0, lambda: ticks.append(loop.time()))
            await clerk.within(100).ask(Clerk.note, 1)
            await asyncio.sleep(0)
        assert (loop.time(), ticks) == (7.0, [7.0])


def test_on_a_real_loop_it_really_blocks() -> None:
    async def main() -> float:
        async with ActorSystem(log=None, blocked_after=None, allows_chaos=True) as s:
            clerk = await clerk_in(s, [])
            began = time.monotonic()
            async with Chaos(1, **CALM, block=1.0, blocks_for=0.05).on(s):
                await clerk.ask(Clerk.note, 1)
            return time.monotonic() - began

    assert asyncio.run(main()) >= 0.05


async def test_it_strikes_those_that_were_named_and_those_that_are_spawned_meanwhile(system: Systems) -> None:
    here: list[int] = []
    there: list[int] = []
    tree = supervisor("a", child("x", Clerk, here))
    async with quiet(system, tree=tree, allows_chaos=True) as s, Chaos(1, **CALM, drop=1.0).on(s, "/a", "/new") as seen:
        other, new = await s.spawn("b", Clerk, there), await s.spawn("new", Clerk, here)
        await tell(other, 1)
        await tell(new, 2)
        await tell(s.ref("/a/x", Clerk), 3)
        await s.idle()
        assert [one.path for one in seen.all] == ["/new", "/a/x"]
    assert (here, there) == ([], [1])


async def test_supervisors_and_the_dead_letter_actor_are_spared(system: Systems, dead_letters: Any) -> None:
    tree = supervisor("top", child("clerk", Clerk, []), max_restarts=1000)
    async with quiet(system, tree=tree, allows_chaos=True) as s, Chaos(1, crash=0.5, delay=0.0, drop=0.5).on(s) as seen:
        clerk = s.ref("/top/clerk", Clerk)
        for number in range(50):
            await tell(clerk, number)
            await s.idle()
        assert {one.path for one in seen.all} == {"/top/clerk"}
        crashes = seen.count("crash")
    assert crashes > 5
    assert dead_letters.reasons() == ["crashed"] * crashes


async def test_a_message_to_a_pool_is_struck_once_and_not_again_at_its_worker(system: Systems) -> None:
    book: list[int] = []
    tree = supervisor("top", pool("clerks", partial(Clerk, book), size=3), max_restarts=1000)
    async with quiet(system, tree=tree, allows_chaos=True) as s, Chaos(1, **CALM, duplicate=1.0).on(s) as seen:
        await tell(s.ref("/top/clerks", Clerk), *range(10))
        await s.idle()
        assert [one.path for one in seen.all] == ["/top/clerks"] * 10
    assert sorted(book) == sorted([*range(10)] * 2)


async def play(seed: int, system: Systems) -> tuple[list[int], list[int], Counter[int], Any, list[Any]]:
    """A tree under chaos for some virtual minutes: what each of two noted, what was told, and all strikes."""
    first: list[int] = []
    second: list[int] = []
    tree = supervisor(
        "top", child("b", Clerk, second), child("a", Clerk, first, "/top/b"), max_restarts=10_000, within=1.0
    )
    trouble = Chaos(seed, crash=0.03, delay=0.1, duplicate=0.03, drop=0.03, reorder=0.05, block=0.01)
    async with quiet(system, tree=tree, allows_chaos=True) as s:
        recorder = Recorder(s)
        async with trouble.on(s) as strikes:
            a = s.ref("/top/a", Clerk)
            for number in range(300):
                await tell(a, number)
                await asyncio.sleep(0.3)
        await s.idle()
    letters = Counter(letter.message.args[0] for letter in recorder.letters if letter.recipient == "/top/b")
    return first, second, letters, recorder.letters, [*strikes.all]


@pytest.mark.parametrize("seed", range(12))
async def test_under_chaos_no_message_is_handled_twice_or_lost_that_chaos_does_not_tell_of(
    system: Systems, seed: int
) -> None:
    first, second, _, letters, strikes = await play(seed, system)
    for path, sent, noted in (("/top/a", range(300), first), ("/top/b", first, second)):
        at = Counter(one.what for one in strikes if one.path == path)
        before = sum(one.path == path and one.where.endswith("before it") for one in strikes)
        crashed = [letter for letter in letters if letter.recipient == path]
        assert all(letter.reason == "crashed" for letter in crashed)
        assert len(crashed) == at["crash"]
        twice = sum((Counter(noted) - Counter(sent)).values())
        lost = sum((Counter(sent) - Counter(noted)).values())
        assert twice <= at["duplicate"]
        assert lost <= at["drop"] + before
        assert len(sent) + at["duplicate"] - at["drop"] - before == len(noted)
    assert no_trace()


async def test_the_same_seed_brings_the_same_strikes_and_another_one_others(system: Systems) -> None:
    one, again, other = [(await play(seed, system))[-1] for seed in (5, 5, 6)]
    assert one == again
    assert {strike.what for strike in one} == {"crash", "delay", "duplicate", "drop", "reorder", "block"}
    assert [strike.what for strike in one] != [strike.what for strike in other]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"crash": 1.5}, "expected crash to be a probability from 0 to 1, got 1.5"),
        ({"drop": -0.1}, "expected drop to be a probability from 0 to 1, got -0.1"),
        ({"delay": float("nan")}, "expected delay to be a probability from 0 to 1, got nan"),
        ({"block": True}, "expected block to be a probability from 0 to 1, got True"),
        ({"longest": -1.0}, "expected longest to be 0 or more seconds and finite, got -1.0"),
        ({"blocks_for": float("inf")}, "expected blocks_for to be 0 or more seconds and finite, got inf"),
        ({"seed": 0.5}, "expected seed to be a whole number, got 0.5"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_written(fields: dict[str, Any], said: str) -> None:
    values: dict[str, Any] = {"seed": 1, **fields}
    with pytest.raises(ValueError, match=said):
        Chaos(**values)
