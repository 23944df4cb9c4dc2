"""The laws of entities: each an actor of its own, of which only those are awake that have something to do."""

import asyncio
from collections import Counter
from pathlib import Path

import aiosqlite
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Stores,
    Weather,
    held,
    letters,
    running,
    until,
    worker,
)
from tests.persistence.tills import Till, till, tills
from upright.actors import Actor, ActorSystem, Ref
from upright.persistence import (
    Durable,
    Entities,
    NoEntity,
    Sqlite,
    StoreUnavailable,
    entities,
    every,
    schedules,
)
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio


async def awake(system: ActorSystem) -> list[str]:
    return await system.ref("/top/tills", Entities).ask(Entities.awake)


class TestEach:
    async def test_has_a_state_of_its_own_that_outlives_the_system(self, system: Systems, stores: Stores) -> None:
        book = Book()
        for total in (5, 10, 15):
            async with running(system, tills(book), store=stores()) as s:
                assert await till(s, "a").ask(Till.deposit, 5) == total
                assert await till(s, "b").ask(Till.deposit, 1) == total / 5

    async def test_knows_its_id_whatever_that_is(self, system: Systems, stores: Stores) -> None:
        book = Book()

        @book.deed
        async def tell(me: Till) -> str:
            return me.ctx.entity

        async with running(system, tills(book), store=stores()) as s:
            for id in ("a-17", "a/b c%2F", "ü", ".", "0"):
                assert await till(s, id).ask(Till.do, tell) == id
                assert till(s, id).path.count("/") == 3
            with pytest.raises(ValueError, match="not empty"):
                till(s, "")

    async def test_gets_its_messages_in_order_one_at_a_time(self, system: Systems, stores: Stores) -> None:
        book, busy = Book(), Counter[str]()

        @book.deed
        async def work(me: Till) -> None:
            id = me.ctx.entity
            busy[id] += 1
            assert busy[id] == 1
            await asyncio.sleep(0)
            me.state.cents += 1
            busy[id] -= 1
            book.add(f"{id} {me.state.cents} {me.ctx.delivery.id}")

        async with running(system, tills(book), store=stores()) as s:
            for _ in range(20):
                await asyncio.gather(*(till(s, id).tell(Till.do, work) for id in "abc"))
            await s.idle()
        for id in "abc":
            mine = [word.split() for word in book.words if word.startswith(id)]
            assert [int(total) for _, total, _ in mine] == list(range(1, 21))
            assert [int(number) for *_, number in mine] == sorted(int(number) for *_, number in mine)

    async def test_works_beside_the_others(self, system: Systems, stores: Stores) -> None:
        book, together = Book(), asyncio.Barrier(3)

        @book.deed
        async def meet(_: Till) -> None:
            await together.wait()

        async with running(system, tills(book), store=stores()) as s:
            await asyncio.gather(*(till(s, id).tell(Till.do, meet) for id in "abc"))
            await s.idle()

    async def test_can_be_told_in_all_the_ways_of_durable_actors(self, system: Systems, stores: Stores) -> None:
        book = Book()
        async with running(system, tills(book), store=stores()) as s:
            a = till(s, "a")
            first, second = await a.once("k").tell(Till.note, "once"), await a.once("k").tell(Till.note, "twice")
            assert first is not None
            assert second is not None
            assert (second.id, second.duplicate) == (first.id, True)
            assert len(await a.tell_many(Till.note, ["1", "2"])) == 2
            await a.later(0.05).tell(Till.note, "later")
            await s.idle()
            assert book.words == ["a once", "a 1", "a 2", "a later"]

    async def test_has_a_ref_of_its_own_that_may_be_sent_and_found_by_its_path(
        self, system: Systems, stores: Stores
    ) -> None:
        book = Book()

        @book.deed
        async def call(me: Till) -> str:
            await me.ctx.self_ref.tell(Till.note, "to itself")
            await me.ctx.ref("tills", Till).entity("b").tell(Till.note, "to another")
            return me.ctx.self_ref.path

        class Friend(Actor):
            mailbox = Durable("friend")

            async def greet(self, ref: Ref[Till]) -> None:
                await ref.tell(Till.note, "greeted")

        async with running(system, tills(book), child("c", Friend), store=stores()) as s:
            a = till(s, "a")
            assert a != till(s, "b")
            assert await a.ask(Till.do, call) == a.path
            await s.idle()
            assert sorted(book.words) == ["a to itself", "b to another"]
            await s.end(a)
            await s.ref("/top/c", Friend).tell(Friend.greet, a)
            await s.idle()
            assert s.ref(a.path, Till) == a
            await s.ref(a.path, Till).tell(Till.note, "by its path")
            await s.idle()
            assert book.words[2:] == ["a greeted", "a by its path"]

    async def test_commits_its_state_what_it_tells_and_its_end_together(self, system: Systems, stores: Stores) -> None:
        book, store = Book(), stores()

        @book.deed
        async def work(me: Till) -> None:
            me.state.cents += 1
            await me.ctx.ref("b", Other).tell(Other.note, f"cents {me.state.cents}")
            weather.before.append(StoreUnavailable("the disk is full"))

        async with running(system, tills(book), worker(book, Other, "b"), store=store) as s:
            weather = Weather(store)
            await till(s, "a").tell(Till.do, work)
            await s.idle()
            assert book.words == ["cents 1"]
            assert await till(s, "a").ask(Till.deposit, 0) == 1

    async def test_may_do_without_state(self, system: Systems, stores: Stores) -> None:
        class Echo(Actor):
            mailbox = Durable("echoes", order="keyed")

            async def say(self, word: str) -> str:
                return f"{self.ctx.entity} {word}"

        async with running(system, entities("tills", Echo), store=stores()) as s:
            echo = s.ref("/top/tills", Echo)
            assert await echo.entity("a").ask(Echo.say, "hi") == "a hi"
            assert await s.ref("/top/tills", Entities).ask(Entities.known) == []

    async def test_keeps_the_steps_of_a_handler(self, system: Systems, stores: Stores) -> None:
        book, done = Book(), Counter[str]()

        async def pay() -> int:
            done["pay"] += 1
            return 5

        @book.deed
        async def work(me: Till) -> None:
            me.state.cents += await me.ctx.step("pay", pay)
            if me.ctx.delivery.attempt == 1:
                raise Oops("on purpose")

        async with running(system, tills(book), store=stores()) as s:
            await till(s, "a").tell(Till.do, work)
            await s.idle()
            assert await till(s, "a").ask(Till.deposit, 0) == 5
        assert done == {"pay": 1}


async def test_a_system_that_runs_none_of_them_can_tell_them(system: Systems, stores: Stores) -> None:
    book = Book()
    async with system(store=stores()) as s:
        await till(s, "a").tell(Till.note, "from afar")
    async with system(supervisor("top", tills(book)), store=stores(), only=()) as s:
        await till(s, "b").tell(Till.note, "from afar")
        await s.ref("/top/tills/b", Till).tell(Till.note, "by its path")
        with pytest.raises(NoEntity):
            await s.ref("/top/tills", Till).tell(Till.note, "to whom?")
    assert book.words == []
    async with running(system, tills(book), store=stores()) as s:
        await s.idle()
    assert sorted(book.words) == ["a from afar", "b by its path", "b from afar"]


async def test_a_schedule_may_tell_one(system: Systems, stores: Stores) -> None:
    book = Book()
    plan = schedules("plan", every(0.05, name="greet").tell("/top/tills/a", Till.note, "hello"))
    async with running(system, tills(book), plan, store=stores()) as s:
        await until(lambda: "a hello" in book.words)
        assert await awake(s) == ["a"]


async def test_a_message_for_one_may_join_a_transaction(system: Systems, tmp_path: Path) -> None:
    book, store = Book(), Sqlite(tmp_path / "jobs.db")
    async with running(system, tills(book), store=store) as s, aiosqlite.connect(store.path) as database:
        await store.outbox(database).tell(till(s, "a"), Till.note, "joined")
        await database.commit()
        await until(lambda: book.words == ["a joined"])


async def test_known_ones_are_listed_a_page_at_a_time(system: Systems, stores: Stores) -> None:
    async with running(system, tills(Book()), store=stores()) as s:
        for id in "cab":
            await till(s, id).ask(Till.deposit, 1)
        keeper = s.ref("/top/tills", Entities)
        assert await keeper.ask(Entities.known) == ["a", "b", "c"]
        assert await keeper.ask(Entities.known, after="a", limit=1) == ["b"]


async def test_the_tree_shows_those_that_are_awake(system: Systems, stores: Stores) -> None:
    async with running(system, tills(Book()), store=stores()) as s:
        for id in "ab":
            await till(s, id).ask(Till.deposit, 1)
        (keeper,) = s.tree().children[-1].children
        assert (keeper.path, keeper.kind) == ("/top/tills", "Entities")
        assert [node.path for node in keeper.children] == ["/top/tills/a", "/top/tills/b"]


async def test_a_stop_gives_back_what_is_in_hand_and_the_next_system_goes_on(system: Systems, stores: Stores) -> None:
    book, began, gate = Book(), asyncio.Event(), asyncio.Event()
    name = book.deed(held(began, gate))
    async with running(system, tills(book, at_most=1), store=stores()) as s:
        await till(s, "a").tell(Till.do, name)
        await till(s, "b").tell(Till.note, "waits")
        await began.wait()
        asyncio.get_running_loop().call_later(0.01, gate.set)
    assert book.words == []
    async with running(system, tills(book), store=stores()) as s:
        await s.idle()
        assert await letters(stores()) == []
    assert book.words == ["b waits"]


async def test_the_actor_of_all_of_them_may_be_restarted(system: Systems, stores: Stores) -> None:
    book, began, gate = Book(), asyncio.Event(), asyncio.Event()
    name = book.deed(held(began, gate))
    async with running(system, tills(book), store=stores(), max_restarts=5) as s:
        await till(s, "a").ask(Till.deposit, 5)
        await till(s, "b").tell(Till.do, name)
        await began.wait()
        gate.set()
        await s.kill(s.ref("/top/tills", Entities))
        assert await till(s, "a").ask(Till.deposit, 5) == 10
        await till(s, "b").tell(Till.note, "on")
        await s.idle()
    assert book.words == ["b on"]
