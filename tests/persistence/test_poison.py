"""The laws of what must not stop a store: messages, actors and files that are not as they should be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Other,
    Plain,
    Stores,
    Worker,
    hang,
    letters,
    other_ref,
    running,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.actors import Actor, ActorFailed, Message, Ref, Refuse
from upright.actors.events import Event
from upright.persistence import Durable, Sqlite, StoreError
from upright.supervision import by_key, child, pool

pytestmark = pytest.mark.anyio


async def go_on(s: Any, book: Book) -> None:
    """The store still takes messages, and they are still handled."""
    async with asyncio.timeout(3):
        await other_ref(s).tell(Other.note, "still there")
        await until(lambda: "still there" in book.words)


async def test_a_file_that_is_no_store_fails_the_start_and_does_not_hang(system: Systems, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is no database " * 1_000)
    with pytest.raises(StoreError, match=r"jobs\.db"):
        async with running(system, worker(Book()), store=Sqlite(path)):
            pass


async def test_a_folder_that_is_not_there_fails_the_start(system: Systems, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        async with running(system, worker(Book()), store=Sqlite(tmp_path / "nowhere" / "jobs.db")):
            pass


class Keeper(Actor):
    mailbox = Durable("keeper")

    async def keep(self, ref: Ref[Worker]) -> str:
        return ref.path


async def test_a_ref_to_a_path_where_another_class_lives_by_now_does_not_stop_the_store(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    async with running(system, child("k", Keeper), worker(book), worker(book, Other, "b"), store=stores()) as s:
        assert await s.ref("/top/k", Keeper).ask(Keeper.keep, worker_ref(s)) == "/top/a"
        await s.ref("/top/k", Keeper).later(0.3).tell(Keeper.keep, worker_ref(s))
    async with running(
        system, worker(book, Plain, "a"), worker(book, Other, "b"), child("k", Keeper), store=stores()
    ) as s:
        end = asyncio.get_running_loop().time() + 0.4
        await until(lambda: asyncio.get_running_loop().time() > end)
        await go_on(s, book)


@pytest.mark.parametrize("text", ["\udcff", ""])
async def test_whatever_text_a_refusal_has_the_actor_and_the_store_go_on(
    system: Systems, stores: Stores, text: str
) -> None:
    book, store = Book(), stores()

    @book.deed
    async def refuse(_: Worker) -> None:
        raise Refuse(text)

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        with pytest.raises((Refuse, ActorFailed)):  # the refusal, or the word that it cannot be told
            await worker_ref(s).within(3.0).ask(Worker.do, refuse)
        await worker_ref(s).tell(Worker.do, refuse)
        await worker_ref(s).tell(Worker.note, "x")
        await go_on(s, book)
        await until(lambda: "x" in book.words)
        assert [letter.reason for letter in await letters(store)].count("rejected") >= 1


async def test_an_unroutable_message_that_was_told_in_a_delivery_does_not_stop_the_store(
    system: Systems, stores: Stores
) -> None:
    book = Book()

    class Member(Plain):
        def __init__(self) -> None:
            super().__init__(book)

    def broken(_: Message) -> object:
        raise KeyError("no key")

    @book.deed
    async def tell(me: Worker) -> None:
        await me.ctx.ref("p", Member).tell(Member.note, "x")

    keyed = pool("p", Member, size=2, routing=by_key(broken))
    async with running(system, worker(book), keyed, worker(book, Other, "b"), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, tell)
        await until(lambda: bool(book.begun[tell]))
        await turns()
        await go_on(s, book)


async def test_a_stashed_message_is_refused_or_handled_but_never_both_acked_and_kept(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    events: list[Event] = []

    @book.deed
    async def put_aside(me: Worker) -> None:
        if book.begun[put_aside] == 1:
            me.ctx.stash()

    @book.deed
    async def take_up(me: Worker) -> None:
        me.ctx.unstash_all()

    async with running(system, worker(book), worker(book, Other, "b"), store=store) as s:
        s.subscribe(events.append)
        await worker_ref(s).tell(Worker.do, put_aside)
        await worker_ref(s).tell(Worker.do, take_up)
        await s.idle()
        await go_on(s, book)
        assert "delivery.lost" not in [event.name for event in events]


async def test_a_message_for_a_handler_that_is_gone_is_kept_for_a_while_and_others_pass(
    system: Systems, stores: Stores
) -> None:
    class Before(Worker):
        mailbox = Durable("work", order="free")

        async def gone(self) -> None: ...

    book = Book()
    book.deeds["hang"] = hang
    async with running(system, worker(book, Before).options(shutdown="brutal"), store=stores()) as s:
        await s.ref("/top/a", Before).later(0.05).tell(Before.gone)
    store = stores()
    async with running(system, worker(book, order="free"), store=store) as s:
        await until(lambda: True)
        await worker_ref(s).later(0.1).tell(Worker.note, "x")
        await until(lambda: book.words == ["x"])
        assert (await store.counts())["work"].waiting == 1
        assert await letters(store) == []


async def test_a_subscriber_that_raises_does_not_stop_the_store(system: Systems, stores: Stores) -> None:
    book = Book()

    def raise_always(_: Event) -> None:
        raise RuntimeError("a subscriber's mistake")

    async with running(system, worker(book), worker(book, Other, "b"), store=stores()) as s:
        s.subscribe(raise_always)
        await worker_ref(s).tell(Worker.do, "fail")
        await until(lambda: book.begun["fail"] == 3)
        await go_on(s, book)
