"""The laws of being alone: a delivery in whose hands a process died runs by itself, and yet nobody waits for ever."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Deed,
    Other,
    Plain,
    Stores,
    Weather,
    Worker,
    held,
    letters,
    other_ref,
    rest,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.persistence import Durable, Retry, Store
from upright.persistence.solitude import Solitude
from upright.supervision import ChildSpec, Supervisor, pool

pytestmark = pytest.mark.anyio


class Third(Worker):
    mailbox = Durable("third", retry=QUICK)


KINDS: dict[str, Any] = {"a": Worker, "b": Other, "c": Third}


def suspects(store: Store, *deeds: str) -> None:
    """Whatever message names one of these deeds comes as if a process had died with it in hand."""
    engine: Any = store._engine
    write = engine.write

    async def write_and_suspect(batch: Any) -> Any:
        written = await write(batch)
        written.deliveries = [
            msgspec.structs.replace(one, crashes=1, attempt=one.attempt + 1)
            if any(deed.encode() in one.body for deed in deeds)
            else one
            for one in written.deliveries
        ]
        return written

    engine.write = write_and_suspect


class Together:
    """Who runs together with whom."""

    def __init__(self) -> None:
        self.now: set[str] = set()
        self.met: dict[str, set[str]] = {}

    def deed(self, name: str, deed: Deed = rest) -> Deed:
        """That deed, under observation."""

        async def observed(me: Any) -> Any:
            for other in self.now:
                self.met.setdefault(name, set()).add(other)
                self.met.setdefault(other, set()).add(name)
            self.now.add(name)
            try:
                await turns(5)
                return await deed(me)
            finally:
                self.now.discard(name)

        observed.__name__ = name
        return observed


async def ask(me: Any, name: str, deed: str) -> Any:
    kind = KINDS[name]
    return await me.ctx.ref(name, kind).within(3.0).ask(kind.do, deed)


async def test_a_suspect_waits_until_the_others_have_ended_and_the_others_until_it_has(
    system: Systems, stores: Stores
) -> None:
    book, store, together = Book(), stores(), Together()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deed(together.deed("before", held(began, gate)))
    book.deed(together.deed("suspect"))
    book.deed(together.deed("after"))
    suspects(store, "suspect")
    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Third, "c"), store=store) as s:
        await other_ref(s).tell(Other.do, "before")
        await began.wait()
        await worker_ref(s).tell(Worker.do, "suspect")
        await s.ref("/top/c", Third).tell(Third.do, "after")
        await turns()
        assert (book.begun["suspect"], book.begun["after"]) == (0, 0)
        gate.set()
        await s.idle()
        assert (book.begun["suspect"], book.begun["after"], together.met) == (1, 1, {})


async def test_two_suspects_run_one_after_the_other(system: Systems, stores: Stores) -> None:
    book, store, together = Book(), stores(), Together()
    names = [f"suspect {n}" for n in range(3)]
    for name in names:
        book.deed(together.deed(name))
    suspects(store, "suspect")
    async with running(system, *(worker(book, kind, path) for path, kind in KINDS.items()), store=store) as s:
        for name, (path, kind) in zip(names, KINDS.items(), strict=True):
            await s.ref(f"/top/{path}", kind).tell(kind.do, name)
        await s.idle()
        assert ([book.begun[name] for name in names], together.met) == ([1, 1, 1], {})


async def test_a_suspect_may_ask_another_durable_actor_which_asks_a_third(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def suspect(me: Worker) -> str:
        return f"suspect, {await ask(me, 'b', 'second')}"

    @book.deed
    async def second(me: Other) -> str:
        return f"second, {await ask(me, 'c', 'third')}"

    @book.deed
    async def third(me: Third) -> str:
        return "third"

    suspects(store, "suspect")
    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Third, "c"), store=store) as s:
        assert await worker_ref(s).within(3.0).ask(Worker.do, suspect) == "suspect, second, third"
        assert await letters(store) == []


async def test_what_stands_before_the_one_that_a_suspect_asked_runs_too_and_all_else_waits(
    system: Systems, stores: Stores
) -> None:
    book, store, together = Book(), stores(), Together()
    began, gate = asyncio.Event(), asyncio.Event()

    async def ask_when_told(me: Worker) -> str:
        began.set()
        await gate.wait()
        return str(await ask(me, "b", "answer"))

    book.deed(together.deed("suspect", ask_when_told))
    for name in ("stands before", "answer", "elsewhere"):
        book.deed(together.deed(name))
    suspects(store, "suspect")
    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Third, "c"), store=store) as s:
        await worker_ref(s).tell(Worker.do, "suspect")
        await began.wait()
        await other_ref(s).tell(Other.do, "stands before")
        await s.ref("/top/c", Third).tell(Third.do, "elsewhere")
        await turns()
        assert book.begun["stands before"] == 0
        gate.set()
        await s.idle()
        assert together.met["suspect"] == {"stands before", "answer"}
        assert "elsewhere" not in together.met


async def test_one_that_runs_may_ask_the_mailbox_at_whose_head_a_suspect_waits(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["suspect"] = rest

    @book.deed
    async def ask_it(me: Other) -> str:
        await held(began, gate)(me)
        return str(await me.ctx.ref("a", Worker).within(3.0).ask(Worker.note, "answer"))

    suspects(store, "suspect")
    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        asking = asyncio.create_task(other_ref(s).ask(Other.do, ask_it))
        await began.wait()
        await worker_ref(s).tell(Worker.do, "suspect")
        await turns()
        assert book.begun["suspect"] == 0
        gate.set()
        assert await asking == "answer"
        await s.idle()
        assert (book.begun["suspect"], book.begun[ask_it], await letters(store)) == (1, 1, [])


async def test_one_that_has_asked_before_the_suspect_came_is_answered_too(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    book.deeds["suspect"] = rest

    @book.deed
    async def ask_it(me: Other) -> str:
        return str(await me.ctx.ref("a", Worker).within(3.0).ask(Worker.note, "answer"))

    suspects(store, "suspect")
    async with running(system, worker(book), worker(book, Other, "b"), worker(book, Third, "c"), store=store) as s:
        await worker_ref(s).tell(Worker.do, "hold")
        await began.wait()
        asking = asyncio.create_task(other_ref(s).ask(Other.do, ask_it))
        await until(lambda: bool(book.begun[ask_it]))
        await s.ref("/top/c", Third).tell(Third.do, "suspect")
        await turns()
        gate.set()
        assert await asking == "answer"
        await s.idle()
        assert (book.begun["suspect"], book.begun[ask_it]) == (1, 1)


async def test_one_whose_question_is_being_stored_when_the_suspect_comes_is_answered_too(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate, asking = asyncio.Event(), asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)
    book.deeds["suspect"] = rest

    @book.deed
    async def ask_it(me: Other) -> str:
        asking.set()
        return str(await me.ctx.ref("a", Worker).within(3.0).ask(Worker.note, "answer"))

    suspects(store, "suspect")
    async with running(system, *(worker(book, kind, path) for path, kind in KINDS.items()), store=store) as s:
        await s.ref("/top/c", Third).tell(Third.do, "hold")
        await began.wait()
        await s.ref("/top/c", Third).tell(Third.do, "suspect")
        await turns()
        await other_ref(s).tell(Other.do, ask_it)
        weather = Weather(store)
        weather.calm.clear()
        await asking.wait()
        gate.set()
        await turns()  # the suspect stands ready; the question is not stored yet
        weather.calm.set()
        await s.idle()
        assert (book.begun["suspect"], book.begun[ask_it], book.words) == (1, 1, ["answer"])


async def test_one_that_runs_may_have_its_question_handed_on_to_a_durable_actor(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["suspect"] = rest

    @book.deed
    async def ask_it(me: Other) -> str:
        await held(began, gate)(me)
        return str(await me.ctx.ref("p", Plain).within(3.0).ask(Plain.do, "hand on"))

    async def hand_on(me: Plain) -> str:
        return str(await me.ctx.forward(me.ctx.ref("a", Worker), Worker.note, "answer"))

    book.deeds["hand on"] = hand_on
    suspects(store, "suspect")
    crew = worker(book), worker(book, Other, "b"), worker(book, Third, "c"), worker(book, Plain, "p")
    async with running(system, *crew, store=store) as s:
        asking = asyncio.create_task(other_ref(s).ask(Other.do, ask_it))
        await began.wait()
        await s.ref("/top/c", Third).tell(Third.do, "suspect")
        await turns()
        gate.set()
        assert await asking == "answer"
        await s.idle()
        assert (book.begun["suspect"], book.begun[ask_it]) == (1, 1)


async def test_two_suspects_may_ask_each_others_mailbox(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    def crew(name: str, address: str) -> ChildSpec[Any]:
        class Member(Worker):
            mailbox = Durable(address, order="free", retry=QUICK)

            def __init__(self) -> None:
                super().__init__(book)

        return pool(name, Member, size=2)

    async def one(me: Worker) -> str:
        return str(await me.ctx.ref("/top/b", Worker).within(3.0).ask(Worker.note, "from one"))

    async def two(me: Worker) -> str:
        return str(await me.ctx.ref("/top/a", Worker).within(3.0).ask(Worker.note, "from two"))

    book.deeds |= {"suspect one": one, "suspect two": two}
    suspects(store, "suspect")
    async with running(system, crew("a", "one"), crew("b", "two"), store=store) as s:
        asks = [s.ref(f"/top/{name}", Worker).within(3.0).ask(Worker.do, deed) for name, deed in
                (("a", "suspect one"), ("b", "suspect two"))]  # fmt: skip
        assert await asyncio.gather(*asks) == ["from one", "from two"]
        assert (book.begun["suspect one"], book.begun["suspect two"]) == (1, 1)


@pytest.mark.parametrize("ends", ["fails", "is cut off while it waits"])
async def test_however_a_suspect_ends_the_others_go_on(system: Systems, stores: Stores, ends: str) -> None:
    book, store = Book(), stores()
    began, gate = asyncio.Event(), asyncio.Event()
    book.deeds["hold"] = held(began, gate)

    async def go_wrong(_: Worker) -> None:
        raise Oops("on purpose")

    book.deeds["suspect"] = go_wrong
    suspects(store, "suspect")
    tree = worker(book, retry=Retry(max_attempts=2)).options(shutdown="brutal"), worker(book, Other, "b")
    async with running(system, *tree, store=store) as s:
        await other_ref(s).tell(Other.do, "hold")
        await began.wait()
        await worker_ref(s).tell(Worker.do, "suspect")
        await other_ref(s).tell(Other.note, "x")
        await turns()
        if ends == "is cut off while it waits":
            await s.ref("/top", Supervisor).ask(Supervisor.terminate_child, "a")
        gate.set()
        await until(lambda: book.words == ["x"])
        assert book.begun["suspect"] == (ends == "fails")


async def test_the_place_of_a_waiter_that_is_cancelled_is_free() -> None:
    solitude = Solitude()
    assert not await solitude.enter("a", alone=False)
    waiting = asyncio.create_task(solitude.enter("b", alone=True))
    await turns(3)
    assert solitude.is_wanted
    others = asyncio.create_task(solitude.enter("c", alone=False))
    await turns(3)
    assert not others.done()
    waiting.cancel()
    assert not await others
    assert (solitude.is_wanted, solitude.running) == (False, 2)
