"""The laws of how actors end, come back, and make way for others while they are paused."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Systems, crash, quiet
from tests.actors.outage import BY, SMTP, using
from upright.actors import ActorSystem
from upright.actors.options import Blueprint
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import Pool, by_key, child, pool, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class TestEnds:
    async def paused(self, s: ActorSystem, name: str = "a", **options: Any) -> Any:
        ref = await s.spawn(name, using(Doer, SMTP, **options))
        SMTP.on(s).force_open(**BY)
        await ref.tell(Doer.note, "x")
        await settle()
        assert SMTP.on(s).waiting == 1
        return ref

    async def test_it_can_be_ended_and_its_mail_is_dead_letters(self, system: Systems, dead_letters: Any) -> None:
        async with quiet(system) as s:
            ref = await self.paused(s)
            await s.end(ref)
            assert SMTP.on(s).waiting == 0
            await s.idle()
            assert dead_letters.reasons() == ["stopped"]

    async def test_its_system_stops(self, system: Systems, dead_letters: Any) -> None:
        async with quiet(system) as s:
            _ = await self.paused(s)
        assert dead_letters.reasons() == ["stopped"]

    async def test_it_can_be_killed_and_goes_on_waiting_in_its_next_life(
        self, system: Systems, dead_letters: Any
    ) -> None:
        async with quiet(system) as s:
            ref = await self.paused(s)
            await s.kill(ref)
            await settle()
            assert SMTP.on(s).waiting == 1
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert ref.recipient is not None
            assert dead_letters.all == []

    async def test_watchers_hear_of_its_end(self, system: Systems) -> None:
        diary = Diary()

        async def watch(me: Doer) -> None:
            me.ctx.watch(me.ctx.ref("/a", Doer), Doer.down)

        async with quiet(system) as s:
            ref = await self.paused(s)
            other = await s.spawn("b", Doer, diary)
            await other.ask(Doer.do, watch)
            await s.end(ref)
            await s.idle()
            assert diary.words == ["down /a"]

    async def test_a_supervisor_restarts_it_and_ends_it_with_its_tree(self, system: Systems) -> None:
        diary = Diary()
        tree = supervisor(
            "top",
            child("a", using(Doer, SMTP), diary),
            child("b", Doer, diary),
            strategy="one_for_all",
            max_restarts=9,
        )
        async with quiet(system, tree=tree) as s:
            ref, other = s.ref("/top/a", Doer), s.ref("/top/b", Doer)
            SMTP.on(s).force_open(**BY)
            await ref.tell(Doer.note, "x")
            await settle()
            await other.tell(Doer.do, crash)
            await advance(1.0)
            assert SMTP.on(s).waiting == 1
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert [word.split()[0] for word in diary.words] == ["x"]
            SMTP.on(s).force_open(**BY)
            await ref.tell(Doer.note, "y")
            await settle()

    @pytest.mark.parametrize(("wait", "handled"), [(1.0, 1), (60.0, 0)])
    async def test_one_that_drains_waits_for_the_circuit_as_long_as_it_may(
        self, system: Systems, dead_letters: Any, wait: float, handled: int
    ) -> None:
        diary = Diary()
        async with quiet(system) as s:
            ref = await s.spawn_from(Blueprint("a", using(Doer, SMTP), (diary,), drains=True, shutdown=5.0))
            SMTP.on(s).force_open(**BY)
            await ref.tell(Doer.note, "x")
            ending = asyncio.create_task(s.end(ref))
            await advance(wait)
            SMTP.on(s).automatic(**BY)
            await ending
            assert len(diary.words) == handled
            assert len(dead_letters.all) == 1 - handled


class TestPools:
    @pytest.mark.parametrize("routing", ["least_loaded", "round_robin", "broadcast"])
    async def test_workers_pause_and_lose_nothing(self, system: Systems, dead_letters: Any, routing: Any) -> None:
        diary = Diary()
        tree = supervisor("top", pool("p", child("w", using(Doer, SMTP), diary), size=3, routing=routing))
        async with quiet(system, tree=tree) as s:
            ref = s.ref("/top/p", Doer)
            SMTP.on(s).force_open(**BY)
            for _ in range(9):
                await ref.tell(Doer.note, "x")
            await advance(100.0)
            assert diary.words == []
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert len(diary.words) == (27 if routing == "broadcast" else 9)
            assert dead_letters.all == []

    @pytest.mark.parametrize("size", [1, 5])
    @pytest.mark.parametrize("keyed", [False, True])
    async def test_a_pool_can_be_resized_meanwhile(
        self, system: Systems, dead_letters: Any, size: int, keyed: bool
    ) -> None:
        diary = Diary()
        routing: Any = by_key() if keyed else "least_loaded"
        tree = supervisor("top", pool("p", child("w", using(Doer, SMTP), diary), size=3, routing=routing))
        async with quiet(system, tree=tree) as s:
            ref, admin = s.ref("/top/p", Doer), s.ref("/top/p", Pool).within(1_000.0)
            SMTP.on(s).force_open(**BY)
            for number in range(30):
                await ref.tell(Doer.note, f"k{number}")
            await settle()
            await admin.ask(Pool.resize, size)
            await advance(100.0)
            assert diary.words == []
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert sorted(word.split()[0] for word in diary.words) == sorted(f"k{number}" for number in range(30))
            assert dead_letters.all == []

    async def test_a_worker_whose_messages_went_to_others_has_nothing_to_wait_for(
        self, system: Systems, recorders: list[Recorder]
    ) -> None:
        diary = Diary()
        tree = supervisor("top", pool("p", child("w", using(Doer, SMTP), diary), size=1, routing=by_key()))
        async with quiet(system, tree=tree) as s:
            ref, admin = s.ref("/top/p", Doer), s.ref("/top/p", Pool).within(1_000.0)
            SMTP.on(s).force_open(**BY)
            asked = [asyncio.create_task(ref.within(5.0).ask(Doer.note, f"k{number}")) for number in range(20)]
            await settle()
            await admin.ask(Pool.resize, 4)
            await advance(1.0)
            assert SMTP.on(s).waiting == 4
            assert all(isinstance(one, TimeoutError) for one in await asyncio.gather(*asked, return_exceptions=True))
            SMTP.on(s).automatic(**BY)
            await s.idle()
            assert SMTP.on(s).waiting == 0
