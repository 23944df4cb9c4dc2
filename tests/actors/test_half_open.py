"""The laws of a circuit that is half-open, for the mailboxes behind it, and of guards within their handlers."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Oops, Systems, crash, quiet, rest, wait_for
from tests.actors.outage import LATER, SMTP, Dependency, inside, trip, using
from upright.actors import ActorSystem
from upright.actors.testing import advance, settle
from upright.supervision import CircuitBreaker, CircuitOpen

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def state(system: ActorSystem, name: str = "a") -> str:
    return next(node.state for node in system.tree().children if node.path == f"/{name}")


class TestHalfOpen:
    async def test_exactly_the_permits_go_first_in_the_order_of_arrival(self, system: Systems) -> None:
        diary, gate = Diary(), asyncio.Event()
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, SMTP), diary) for number in range(6)]
            await trip(s)

            async def held(me: Doer) -> None:
                diary.add(me.ctx.path)
                await gate.wait()

            for number in (3, 1, 4, 0, 5, 2):
                await refs[number].tell(Doer.do, held)
                await settle()
            await advance(30.0)
            assert diary.words == ["/a3", "/a1"]
            assert SMTP.on(s).state == "half-open"
            assert SMTP.on(s).waiting == 4
            gate.set()
            await s.idle()
            assert diary.words == ["/a3", "/a1", "/a4", "/a0", "/a5", "/a2"]

    async def test_each_overlapping_handler_takes_a_permit(self, system: Systems) -> None:
        diary, gate = Diary(), asyncio.Event()
        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP), diary)
            await trip(s)
            for number in range(5):
                await ref.tell(Doer.overlap, f"w{number}", wait_for(gate))
            await advance(10.0)
            assert diary.words == ["w0 begins", "w1 begins"]
            assert state(s) == "paused"
            gate.set()
            await s.idle()
            assert len(diary.words) == 10
            assert inside(s, SMTP) == 0

    async def test_probes_that_fail_open_it_for_longer(self, system: Systems) -> None:
        dependency = Dependency()
        dependency.is_down = True
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, SMTP)) for number in range(4)]
            await trip(s)
            for ref in refs:
                for _ in range(5):
                    await ref.tell(Doer.do, dependency.deed())
            await advance(5.0 + 10.0 + 20.0 + 1.0)
            assert dependency.calls == [5.0, 5.0, 15.0, 15.0, 35.0, 35.0]
            dependency.is_down = False
            await s.idle()

    async def test_probes_that_hang_do_not_keep_it_half_open(self, system: Systems) -> None:
        diary = Diary()
        gate = asyncio.Event()
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, SMTP), diary) for number in range(3)]
            await trip(s)
            for ref in refs[:2]:
                await ref.tell(Doer.do, wait_for(gate))
            await refs[2].tell(Doer.note, "third")
            await advance(5.0 + 59.0)
            assert SMTP.on(s).state == "half-open"
            await advance(1.0)
            assert SMTP.on(s).state == "open"
            await advance(9.0)
            assert diary.words == []
            await advance(1.0)
            assert diary.words == ["third 3"]
            gate.set()
            await s.idle()

    async def test_a_slow_start_follows_its_close(self, system: Systems) -> None:
        slow = CircuitBreaker("slow", consecutive=1, wait=LATER, permits=2, slow_start=10.0)
        dependency = Dependency()
        dependency.takes = 1.0
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, slow)) for number in range(20)]
            await trip(s, slow)
            for ref in refs:
                await ref.tell(Doer.do, dependency.deed())
            await settle()
            running: list[int] = []
            for _ in range(4):
                await advance(0.5 if running else 5.5)
                running.append(dependency.now)
                await advance(0.5)
            assert running == [2, 2, 4, 8]  # one more for each that succeeded
            dependency.takes = 0.0
            await s.idle()
            assert len(dependency.calls) == 20

    async def test_a_slow_start_ends_in_its_time_though_nothing_succeeds(self, system: Systems) -> None:
        slow = CircuitBreaker("slow", consecutive=1, wait=LATER, permits=2, slow_start=10.0)
        diary, gate = Diary(), asyncio.Event()
        async with quiet(system) as s:
            refs = [await s.spawn(f"a{number}", using(Doer, slow), diary) for number in range(6)]
            await trip(s, slow)
            for ref in refs[:2]:
                await ref.tell(Doer.do, rest)
            await advance(5.0)
            assert slow.on(s).state == "closed"
            for ref in refs:
                await ref.tell(Doer.overlap, "w", wait_for(gate))
            await advance(9.9)
            assert len(diary.words) == 2
            await advance(0.1)
            assert len(diary.words) == 6
            gate.set()
            await s.idle()


class TestWithin:
    async def test_a_refusal_that_escapes_reaches_the_asker_and_crashes_nobody(
        self, system: Systems, dead_letters: Any
    ) -> None:
        diary = Diary()

        async def guarded(me: Doer) -> None:
            async with me.ctx.guard(SMTP):
                diary.add("called")

        async with quiet(system) as s:
            ref = await s.spawn("a", Doer, diary)
            await trip(s)
            with pytest.raises(CircuitOpen) as caught:
                await ref.ask(Doer.do, guarded)
            assert (caught.value.guard, caught.value.retry_after) == ("smtp", 5.0)
            await ref.tell(Doer.do, guarded)
            await ref.ask(Doer.note, "alive")
            assert diary.words == ["alive 1"]
            assert dead_letters.reasons() == ["rejected"]

    async def test_a_guard_in_the_handler_joins_the_permit_of_the_message(self, system: Systems) -> None:
        one = CircuitBreaker("one", consecutive=1, wait=LATER, permits=1, slow_start=0)
        states: list[Any] = []

        async def guarded(me: Doer) -> None:
            async with me.ctx.guard(one):
                states.append((one.on(s).state, inside(s, one)))

        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, one))
            await trip(s, one)
            await ref.tell(Doer.do, guarded)
            await s.idle()
            assert states == [("half-open", 1)]
            assert one.on(s).state == "closed"

    async def test_an_error_that_the_handler_caught_counts_where_a_guard_stood_around_the_call(
        self, system: Systems
    ) -> None:
        async def guarded(me: Doer) -> None:
            with pytest.raises(Oops):
                async with me.ctx.guard(SMTP):
                    await crash(me)

        async with quiet(system) as s:
            ref = await s.spawn("a", using(Doer, SMTP))
            await ref.ask(Doer.do, guarded)
            assert SMTP.on(s).state == "open"
