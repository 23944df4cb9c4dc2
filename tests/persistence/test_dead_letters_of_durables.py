"""The laws of dead letters from durable mailboxes: the dead-letter actor hears of all that is in quarantine."""

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import Book, Stores, Weather, Worker, failing, letters, rest, running, worker, worker_ref
from upright.actors import Actor, ActorSystem, DeadLetter, DeadLetters, Refuse
from upright.persistence import Retry, discard

pytestmark = pytest.mark.anyio


async def heard(system: ActorSystem) -> list[DeadLetter]:
    await system.idle()
    return await system.ref("/dead-letters", DeadLetters).ask(DeadLetters.latest)


async def test_one_that_failed_for_good_arrives_with_its_id_its_error_and_what_was_said(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()
    book.deeds["break"] = failing(99, rest)
    async with running(system, worker(book, retry=Retry(max_attempts=1)), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, "break")
        (letter,) = await heard(s)
        assert receipt is not None
        assert (letter.recipient, letter.reason, letter.stored) == ("/top/a", "attempts", receipt.id)
        assert (letter.message.handler, letter.message.args) == ("do", ("break",))
        assert isinstance(letter.error, Oops)
        assert [one.id for one in await letters(store)] == [receipt.id]


async def test_one_that_was_refused_while_nobody_asked_arrives(system: Systems, stores: Stores) -> None:
    book = Book()

    @book.deed
    async def refuse(_: Worker) -> None:
        raise Refuse("no")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, refuse)
        with pytest.raises(Refuse):
            await worker_ref(s).ask(Worker.do, refuse)
        (letter,) = await heard(s)
        assert (letter.reason, str(letter.error)) == ("rejected", "no")


async def test_one_that_expired_or_cannot_be_read_arrives_as_it_was_stored(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).expiring(1e-9).tell(Worker.note, "x")
        (letter,) = await heard(s)
        assert (letter.reason, letter.message.handler, letter.error) == ("expired", "note", None)
        ((body,),) = [letter.message.args]
        assert isinstance(body, bytes)
        assert b"x" in body


async def test_one_that_was_discarded_by_its_policy_does_not(system: Systems, stores: Stores) -> None:
    book = Book()
    book.deeds["break"] = failing(99, rest)
    async with running(system, worker(book, retry=Retry(classify=lambda _: discard())), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, "break")
        assert await heard(s) == []


async def test_none_arrives_before_it_is_in_quarantine(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["break"] = failing(99, rest)
    seen: list[int] = []

    class Undelivered(Actor):
        async def letter(self, letter: DeadLetter) -> None:
            seen.extend([one.id for one in await letters(store) if one.id == letter.stored])

    tree = worker(book, retry=Retry(max_attempts=1))
    async with ActorSystem(tree, store=store, log=None, dead_letters=Undelivered) as s:
        weather = Weather(store)
        receipt = await s.ref("/a", Worker).tell(Worker.do, "break")
        weather.calm.set()
        await s.idle()
        assert receipt is not None
        assert seen == [receipt.id]
