"""The laws of a replay: a letter is tried against new code, and the store that it came from notices nothing."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import Stores, Tally
from upright.actors import Actor, ActorSystem, Refuse
from upright.actors.testing import probe
from upright.persistence import Durable, Letter, Retry, Sqlite, Store
from upright.persistence.testing import Told, replay
from upright.supervision import child, supervisor

pytestmark = pytest.mark.anyio
ONCE = Retry(max_attempts=1)


class Mailer(Actor):
    mailbox = Durable("mailer")

    async def send(self, number: int) -> None: ...


class Printer(Actor):
    async def print(self, number: int, *, loud: bool = False) -> None: ...


class Old(Actor[Tally]):
    """What runs in the service: it books small numbers."""

    mailbox = Durable("clerk", retry=ONCE)

    async def book(self, number: int) -> int:
        if number > 10:
            raise OverflowError(f"{number} is too much")
        self.state.total += number
        return self.state.total


class New(Actor[Tally]):
    """What is to run there: it books all numbers."""

    mailbox = Durable("clerk", retry=ONCE)

    def __init__(self, name: str = "") -> None:
        self.name = name

    async def book(self, number: int) -> int:
        self.state.total += number
        self.state.names.append(self.name)
        await self.ctx.ref("/top/mailer", Mailer).tell(Mailer.send, number)
        await self.ctx.ref("/top/printer", Printer).tell(Printer.print, number, loud=True)
        return self.state.total


async def fail(system: Systems, store: Store, *numbers: int) -> list[int]:
    """Have the service book 5, and then fail with these; the ids of their letters."""
    tree = supervisor("top", child("clerk", Old), max_restarts=100)
    async with quiet(system, tree=tree, store=store) as s:
        clerk = s.ref("/top/clerk", Old)
        await clerk.tell(Old.book, 5)
        receipts = await clerk.tell_many(Old.book, numbers)
        await s.idle()
    return [receipt.id for receipt in receipts]


def other(book: Any) -> Any:
    """A class with that handler."""
    namespace = {"mailbox": Durable("clerk", retry=ONCE), "book": book}
    return type("Clerk", (Actor,), namespace)


async def test_it_tells_the_result_what_would_be_told_and_the_new_state(system: Systems, stores: Stores) -> None:
    store = stores()
    (id,) = await fail(system, store, 20)
    seen = await replay(id, New, "ada", store=store)
    assert (seen.outcome, seen.result, seen.error, seen.traceback) == ("done", 25, "", "")
    assert (seen.before, seen.after) == (Tally(5), Tally(25, ["ada"]))
    assert seen.told == (
        Told("mailer", "send", (), {"number": 20}),
        Told("/top/printer", "print", (20,), {"loud": True}, durable=False),
    )


async def test_the_store_of_the_letter_is_as_it_was(system: Systems, tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "jobs.db")
    (id,) = await fail(system, store, 20)
    before, story, counts = (tmp_path / "jobs.db").read_bytes(), await store.story(id), await store.counts()
    assert (await replay(id, New, store=store)).outcome == "done"
    assert (await replay(id, Old, store=store)).outcome == "failed"
    assert (tmp_path / "jobs.db").read_bytes() == before
    assert (await store.story(id), await store.counts()) == (story, counts)


async def test_it_works_while_the_service_has_the_store_open_and_the_message_stays_in_quarantine(
    system: Systems, stores: Stores
) -> None:
    store = stores()
    (id,) = await fail(system, store, 20)
    async with quiet(system, tree=supervisor("top", child("clerk", Old)), store=store) as s:
        assert (await replay(id, New, store=store)).after.total == 25
        assert await s.ref("/top/clerk", Old).ask(Old.book, 1) == 6
    assert [letter.id async for letter in store.quarantine.letters()] == [id]


async def test_an_error_comes_with_its_traceback_and_the_state_as_it_was(system: Systems, stores: Stores) -> None:
    store = stores()
    (id,) = await fail(system, store, 20)
    seen = await replay(id, Old, store=store)
    assert (seen.outcome, seen.result, seen.told) == ("failed", None, ())
    assert seen.error == "OverflowError: 20 is too much"
    assert "raise OverflowError" in seen.traceback
    assert seen.before == seen.after == Tally(5)


async def test_without_a_store_a_letter_is_tried_with_new_state(system: Systems, stores: Stores) -> None:
    store = stores()
    await fail(system, store, 20)
    (letter,) = [one async for one in store.quarantine.letters()]
    seen = await replay(letter, New)
    assert (seen.before, seen.after.total) == (Tally(), 20)


async def test_a_refusal_is_no_failure(system: Systems, stores: Stores) -> None:
    async def book(self: Any, number: int) -> None:
        raise Refuse("no")

    store = stores()
    (id,) = await fail(system, store, 20)
    seen = await replay(id, other(book), store=store)
    assert (seen.outcome, seen.error) == ("refused", "Refuse: no")


async def test_what_the_new_code_cannot_read_is_told(system: Systems, stores: Stores) -> None:
    async def book(self: Any, number: list[str]) -> None: ...

    store = stores()
    (id,) = await fail(system, store, 20)
    seen = await replay(id, other(book), store=store)
    assert seen.outcome == "undecodable"
    assert "book" in seen.error
    renamed = await replay(id, Mailer, store=store)
    assert renamed.outcome == "undecodable"
    assert "Mailer has no handler book" in renamed.error


async def test_a_handler_that_hangs_is_told_as_a_time_out(system: Systems, stores: Stores) -> None:
    async def book(self: Any, number: int) -> None:
        await asyncio.sleep(1000)

    store = stores()
    (id,) = await fail(system, store, 20)
    seen = await replay(id, other(book), store=store, within=0.05)
    assert (seen.outcome, seen.error.split(":")[0]) == ("failed", "TimeoutError")


async def test_those_whom_it_asks_can_be_put_beside_it(system: Systems, stores: Stores) -> None:
    async def book(self: Any, number: int) -> int:
        answer: int = await self.ctx.ref("/rates", Rates).ask(Rates.rate)
        return answer * number

    store = stores()
    (id,) = await fail(system, store, 20)

    async def beside(s: ActorSystem) -> None:
        (await probe(s, Rates, "rates")).reply(Rates.rate, 3)

    assert (await replay(id, other(book), store=store, beside=beside)).result == 60
    assert (await replay(id, other(book), store=store)).error == "ActorGone: nobody lives at /rates"


class Rates(Actor):
    async def rate(self) -> int:
        return 1


async def test_what_cannot_be_replayed_is_refused(system: Systems, stores: Stores) -> None:
    store, letter = stores(), Letter(7, "clerk", "book", msgspec.msgpack.encode({"number": 1}), "attempts", (), 0, 0)
    await fail(system, store)
    with pytest.raises(ValueError, match="expected the id of a message in quarantine, got 7"):
        await replay(7, New, store=store)
    with pytest.raises(ValueError, match="expected a store, in which to look for letter 7"):
        await replay(7, New)
    with pytest.raises(ValueError, match="expected a class with a durable mailbox, got Rates"):
        await replay(letter, Rates)
    with pytest.raises(ValueError, match=r"expected within to be more than 0 seconds, got 0"):
        await replay(letter, New, within=0)
