"""The laws of the quarantine: looked at in groups, mended, sent on again at a rate, dropped, exported."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Systems
from tests.persistence.contract import SetClock
from tests.persistence.jobs import Book, Stores, Worker, failing, letters, rest, running, worker, worker_ref
from upright.actors import ActorSystem
from upright.persistence import Letter, Memory, Retry, Sqlite, Store, Undecodable, quarantine
from upright.persistence.reports import alike

pytestmark = pytest.mark.anyio
ONCE = Retry(max_attempts=1)
RULED = Retry(classify=lambda _: quarantine("broken"))
"""What is ruled by its error parks nothing, however many they are."""


async def broken(s: ActorSystem, book: Book, count: int) -> list[int]:
    """So many messages in quarantine."""
    book.deeds["break"] = failing(10_000, rest)
    receipts = await worker_ref(s).tell_many(Worker.do, ["break"] * count)
    await s.idle()
    return [receipt.id for receipt in receipts]


async def names(store: Store, id: int) -> list[str]:
    return [event.name for event in await store.story(id)]


async def test_letters_are_grouped_by_handler_reason_and_errors_that_are_alike(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def odd(me: Worker) -> None:
        raise LookupError(f"no order {me.ctx.delivery.id} in '{me.ctx.delivery.id}'")

    async with running(system, worker(book, retry=Retry(max_attempts=1)), store=store) as s:
        ids = [receipt.id for receipt in await worker_ref(s).tell_many(Worker.do, [odd] * 3)]
        await broken(s, book, 1)
        many, one = await store.quarantine.groups()
        assert (many.count, many.address, many.handler, many.reason, many.ids) == (3, "work", "do", "attempts", (*ids,))
        assert many.error.startswith("LookupError: no order")
        assert many.first <= many.last
        assert (one.count, one.error) == (1, "Oops: on purpose")
        assert await store.quarantine.groups(error="no order") == [many]
        assert await store.quarantine.groups(address="other") == []


def test_errors_are_alike_that_differ_in_numbers_and_quotes_and_no_others() -> None:
    assert alike("E: 17 of 'a'") == alike("E: 4 of 'b'") == "E: # of #"
    assert alike("E: first\nsecond") == "E: first"
    assert alike("E: a") != alike("E: b")


async def test_an_edited_message_is_redriven_with_its_new_arguments_and_its_story_says_so(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        (id,) = await broken(s, book, 1)
        (letter,) = await letters(store)
        assert letter.arguments == {"deed": "break"}
        book.deeds["mend"] = book_adder(book)
        assert await store.quarantine.edit(id, {"deed": "mend"})
        assert [one.arguments for one in await letters(store)] == [{"deed": "mend"}]
        assert await store.quarantine.redrive(id) == 1
        await s.idle()
        assert book.words == ["mended"]
        assert (await names(store, id))[-4:] == ["edited", "redriven", "claimed", "acked"]


def book_adder(book: Book) -> Any:
    async def add(_: Worker) -> None:
        book.add("mended")

    return add


async def test_an_edit_that_would_not_fit_its_handler_is_refused_and_changes_nothing(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        (id,) = await broken(s, book, 1)
        for arguments, handler in (({"deed": 5}, None), ({"dead": "x"}, None), ({"deed": "x"}, "no_such")):
            with pytest.raises(Undecodable, match=r"deed|no_such"):
                await store.quarantine.edit(id, arguments, handler)
        assert [one.arguments for one in await letters(store)] == [{"deed": "break"}]
        assert "edited" not in await names(store, id)


async def test_an_edit_may_name_another_handler(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        (id,) = await broken(s, book, 1)
        assert await store.quarantine.edit(id, {"word": "x"}, "note")
        await store.quarantine.redrive(id)
        await s.idle()
        assert book.words == ["x"]


async def test_what_is_not_in_quarantine_is_not_edited_nor_redriven_nor_dropped(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.note, "x")
        assert receipt is not None
        await s.idle()
        for id in (receipt.id, 10_000):
            assert not await store.quarantine.edit(id, {"word": "y"})
            assert await store.quarantine.redrive(id) == 0
            assert await store.quarantine.discard(id) == 0


async def test_all_that_match_are_redriven_in_their_order_and_progress_is_told(system: Systems, stores: Stores) -> None:
    book, store, told = Book(), stores(), list[int]()
    async with running(system, worker(book, retry=RULED), store=store) as s:
        await broken(s, book, 450)

        @book.deed
        async def odd(_: Worker) -> None:
            raise LookupError("odd")

        await worker_ref(s).tell(Worker.do, odd)
        await s.idle()
        book.deeds["break"] = book_adder(book)
        assert await store.quarantine.redrive_all(error="on purpose", progress=told.append) == 450
        await s.idle()
        assert (told, len(book.words)) == ([200, 400, 450], 450)
        assert [letter.error for letter in await letters(store)] == ["LookupError: odd"]


async def test_what_fails_again_meanwhile_is_not_redriven_again(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        ids = await broken(s, book, 3)
        assert await store.quarantine.redrive_all(rate=100.0) == 3
        await s.idle()
        assert [(await names(store, id)).count("redriven") for id in ids] == [1, 1, 1]
        assert len(await letters(store)) == 3


async def test_a_redrive_at_a_rate_takes_its_time(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        await broken(s, book, 5)
        began = asyncio.get_running_loop().time()
        assert await store.quarantine.redrive_all(rate=40.0) == 5
        assert asyncio.get_running_loop().time() - began >= 4 / 40.0
        for rate in (0, -1.0):
            with pytest.raises(ValueError, match="expected rate to be more than 0"):
                await store.quarantine.redrive_all(rate=rate)


async def test_all_that_match_are_dropped_and_keep_their_stories(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        ids = await broken(s, book, 3)
        assert await store.quarantine.discard_all(address="other") == 0
        assert await store.quarantine.discard_all(address="work") == 3
        assert await letters(store) == []
        assert [(await names(store, id))[-1] for id in ids] == ["discarded"] * 3


async def test_an_export_is_a_line_of_json_for_each_letter_and_never_replaces_another(
    system: Systems, stores: Stores, tmp_path: Path
) -> None:
    book, store, path = Book(), stores(), tmp_path / "letters.jsonl"
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        ids = await broken(s, book, 3)
        assert await store.quarantine.export(path, address="work") == 3
        lines = [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
        assert [line["id"] for line in lines] == ids
        assert [line["arguments"] for line in lines] == [{"deed": "break"}] * 3
        assert "Oops: on purpose" in lines[0]["attempts"][0]["error"]
        with pytest.raises(FileExistsError):
            await store.quarantine.export(path)
        assert len(path.read_bytes().splitlines()) == 3


def test_what_cannot_be_read_is_exported_as_it_is() -> None:
    letter = Letter(1, "work", "do", b"\xc1\x00", "undecodable", (), 0.0, 0.0)
    assert letter.arguments is None
    assert msgspec.json.decode(msgspec.json.encode(letter.plain()))["body"] == "wQA="


async def test_what_a_closed_breaker_is_to_let_through_is_redriven_and_nothing_else(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        await broken(s, book, 2)
        store.quarantine.redrive_when_closed("smtp", error="on purpose")
        book.deeds["break"] = book_adder(book)
        assert await store.quarantine.closed("other") == 0
        assert await store.quarantine.closed("smtp") == 2
        await s.idle()
        assert book.words == ["mended", "mended"]


@pytest.mark.parametrize("by", [3_600.0, -3_600.0])
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
async def test_a_clock_that_was_set_changes_nothing_of_what_is_redriven_and_dropped(
    tmp_path: Path, system: Systems, kind: str, by: float
) -> None:
    """After the clock had been set back, all of them looked as if they had come later, and were left."""
    clock, book = SetClock(), Book()
    store: Any = Memory(clock=clock) if kind == "memory" else Sqlite(tmp_path / "jobs.db")
    if kind == "sqlite":
        store._sqlite._clock = store._sqlite.now = clock
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        await broken(s, book, 4)
        clock.pass_by(by)
        store.quarantine.redrive_when_closed("smtp")
        assert await store.quarantine.redrive_all() == 4
        await s.idle()
        assert await store.quarantine.closed("smtp") == 4
        await s.idle()
        clock.pass_by(by)
        assert await store.quarantine.discard_all() == 4
        assert await letters(store) == []


async def test_what_comes_to_quarantine_while_a_redrive_runs_is_left_there(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    desk: Any = store.desk
    redrive, later = desk.redrive, list[int]()
    async with running(system, worker(book, retry=RULED), store=store) as s:
        await broken(s, book, 250)

        async def one_more(ids: list[int]) -> Any:
            later.extend(await broken(s, book, 1))
            return await redrive(ids)

        desk.redrive = one_more
        assert await store.quarantine.redrive_all() == 250
        assert [(await names(store, id)).count("redriven") for id in later] == [0, 0]
