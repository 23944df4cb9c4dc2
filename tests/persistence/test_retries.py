"""The laws of what follows when a handler fails: retries, their times and their order, and the quarantine."""

import asyncio
import math

import pytest

from tests.actors.lives import Oops, Systems
from tests.persistence.jobs import (
    QUICK,
    Book,
    Stores,
    Worker,
    failing,
    hang,
    letters,
    rest,
    running,
    story,
    turns,
    until,
    worker,
    worker_ref,
)
from upright.persistence import Retry, RetryAfter, discard, quarantine, retry

pytestmark = pytest.mark.anyio
LONG = Retry(max_attempts=3, base=300.0, jitter="none")


async def test_attempts_are_counted_and_the_handler_sees_which_it_is(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[int] = []
    keys: set[str] = set()

    @book.deed
    async def look(me: Worker) -> None:
        seen.append(me.ctx.delivery.attempt)
        keys.add(me.ctx.delivery.idempotency_key)
        if len(seen) < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, look)
        await s.idle()
        assert (seen, len(keys)) == ([1, 2, 3], 1)


async def test_two_messages_have_different_idempotency_keys(system: Systems, stores: Stores) -> None:
    book = Book()
    keys: list[str] = []

    @book.deed
    async def look(me: Worker) -> None:
        keys.append(me.ctx.delivery.idempotency_key)

    async with running(system, worker(book), store=stores()) as s:
        for _ in range(2):
            await worker_ref(s).tell(Worker.do, look)
        await s.idle()
        assert len(set(keys)) == 2


async def test_when_all_attempts_have_failed_it_goes_to_quarantine_with_its_failures(
    system: Systems, stores: Stores
) -> None:
    book, store = Book(), stores()

    @book.deed
    async def fail_with_a_secret(me: Worker) -> None:
        secret = "a-password"
        raise Oops(f"attempt {me.ctx.delivery.attempt}, {len(secret)} letters")

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, fail_with_a_secret)
        await worker_ref(s).tell(Worker.note, "the next one")
        await s.idle()
        (letter,) = await letters(store)
        assert (letter.address, letter.handler, letter.reason) == ("work", "do", "attempts")
        assert [failure.attempt for failure in letter.attempts] == [1, 2, 3]
        assert letter.attempts[2].error == "Oops: attempt 3, 10 letters"
        trace = letter.attempts[0].traceback
        assert "fail_with_a_secret" in trace
        assert trace.rstrip().endswith("Oops: attempt 1, 10 letters")
        assert "secret = 'a-password'" not in trace
        assert all(failure.started <= failure.ended for failure in letter.attempts)
        assert book.words == ["the next one"]


async def test_a_redriven_message_has_all_its_attempts_again_and_is_handled(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        book.deeds["fail"] = failing(2)
        assert await store.quarantine.redrive(letter.id) == 1
        await s.idle()
        assert (book.begun["fail"], await letters(store)) == (6, [])
        told = await story(store, letter.id)
        assert [told[0], told[-1]] == ["stored", "acked"]
        assert "redriven" in told


async def test_a_discarded_letter_is_gone_and_its_story_stays(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        assert await store.quarantine.discard(letter.id, 10_000) == 1
        assert await letters(store) == []
        assert (await story(store, letter.id))[-1] == "discarded"
        assert await store.quarantine.redrive(letter.id) == 0


async def test_a_retry_waits_in_the_store_and_outlives_the_system(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(1)
    async with running(system, worker(book, retry=Retry(base=0.2, jitter="none")), store=store) as s:
        await worker_ref(s).tell(Worker.do, "try")
        await until(lambda: book.begun["try"] > 0)
        await turns()
    assert book.begun["try"] == 1
    seen: list[int] = []

    async def look(me: Worker) -> None:
        seen.append(me.ctx.delivery.attempt)

    book.deeds["try"] = look
    async with running(system, worker(book), store=stores()) as s:
        await s.idle()
    assert seen == [2]


@pytest.mark.parametrize("order", ["strict", "free", "keyed"])
async def test_a_retry_after_is_honoured_and_uses_an_attempt(system: Systems, stores: Stores, order: str) -> None:
    book, store = Book(), stores()
    seen: list[int] = []

    @book.deed
    async def wait_for_it(me: Worker) -> None:
        seen.append(me.ctx.delivery.attempt)
        if me.ctx.delivery.attempt < 3:
            raise RetryAfter(0.01)

    async with running(system, worker(book, retry=LONG, order=order), store=store) as s:
        await worker_ref(s).keyed("k").tell(Worker.do, wait_for_it)
        await s.idle()  # with the policy's own back-off that would last too long
        assert seen == [1, 2, 3]


@pytest.mark.parametrize("ruling", ["quarantine", "discard", "retry", "broken"])
async def test_classify_decides_what_becomes_of_a_message(system: Systems, stores: Stores, ruling: str) -> None:
    book, store = Book(), stores()

    def classify(error: BaseException) -> object:
        assert isinstance(error, Oops)
        rulings = {"quarantine": quarantine("hopeless"), "discard": discard(), "retry": retry(), "broken": "nonsense"}
        return rulings[ruling]

    policy = Retry(max_attempts=2, base=0.01, classify=classify)  # type: ignore[arg-type]
    async with running(system, worker(book, retry=policy), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await worker_ref(s).tell(Worker.note, "the next one")
        await s.idle()
        reasons = [letter.reason for letter in await letters(store)]
        expected = {"quarantine": ["hopeless"], "discard": [], "retry": ["attempts"], "broken": ["classify"]}
        assert reasons == expected[ruling]
        assert book.begun["fail"] == (2 if ruling == "retry" else 1)
        assert book.words == ["the next one"]


async def test_an_attempt_that_takes_too_long_is_cancelled_and_counts(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    ends: list[str] = []

    @book.deed
    async def take_long(me: Worker) -> None:
        try:
            await hang(me)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    policy = Retry(max_attempts=2, base=0.01, attempt_timeout=0.02)
    async with running(system, worker(book, retry=policy), store=store) as s:
        await worker_ref(s).tell(Worker.do, take_long)
        await worker_ref(s).tell(Worker.note, "the next one")
        await s.idle()
        (letter,) = await letters(store)
        assert ends == ["cancelled"] * 2
        assert (letter.reason, "TimeoutError" in letter.attempts[1].error) == ("attempts", True)
        assert book.words == ["the next one"]


async def test_no_attempt_begins_after_the_deadline(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    policy = Retry(max_attempts=100, base=0.02, jitter="none", deadline=0.1)
    async with running(system, worker(book, retry=policy), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        assert letter.reason == "deadline"
        assert 1 <= len(letter.attempts) < 10


async def test_a_message_redriven_after_its_deadline_is_tried_as_if_new(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    policy = Retry(max_attempts=100, base=0.02, jitter="none", deadline=0.1)
    async with running(system, worker(book, retry=policy), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        book.deeds["fail"] = failing(1)
        await store.quarantine.redrive(letter.id)
        await s.idle()
        assert await letters(store) == []


async def test_a_heartbeat_tells_the_next_attempt_how_far_this_one_got(system: Systems, stores: Stores) -> None:
    book = Book()
    seen: list[object] = []

    @book.deed
    async def go_on(me: Worker) -> None:
        seen.append(me.ctx.delivery.progress)
        await me.ctx.heartbeat({"done": len(seen)})
        if len(seen) < 3:
            raise Oops("on purpose")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, go_on)
        await s.idle()
        assert seen == [None, {"done": 1}, {"done": 2}]


async def test_a_heartbeat_that_says_nothing_of_the_progress_leaves_what_was_told_before(
    system: Systems, stores: Stores
) -> None:
    book = Book()
    seen: list[object] = []

    @book.deed
    async def go_on(me: Worker) -> None:
        seen.append(me.ctx.delivery.progress)
        if len(seen) == 1:
            await me.ctx.heartbeat(500)
            await me.ctx.heartbeat()
            raise Oops("on purpose")

    async with running(system, worker(book), store=stores()) as s:
        await worker_ref(s).tell(Worker.do, go_on)
        await s.idle()
        assert seen == [None, 500]


ERRORS = {
    "no unicode": ValueError("\udcff in a file name"),
    "no text": Oops(),
    "a group": ExceptionGroup("two", [Oops(), Oops()]),
    "a cancellation": asyncio.CancelledError("by itself"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
async def test_whatever_a_handler_raises_the_store_takes_it_down_and_goes_on(
    system: Systems, stores: Stores, error: BaseException
) -> None:
    book, store = Book(), stores()

    @book.deed
    async def misbehave(_: Worker) -> None:
        raise error

    async with running(system, worker(book, retry=QUICK), store=store) as s:
        await worker_ref(s).tell(Worker.do, misbehave)
        async with asyncio.timeout(3):
            await worker_ref(s).tell(Worker.note, "the next one")
            await s.idle()
        (letter,) = await letters(store)
        assert len(letter.attempts) == 3
        assert book.words == ["the next one"]


async def test_a_policy_without_end_never_puts_aside(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    book.deeds["try"] = failing(8, rest)
    policy = Retry(max_attempts=1_000, base=0.001, factor=1.0, deadline=math.inf)
    async with running(system, worker(book, retry=policy), store=store) as s:
        await worker_ref(s).tell(Worker.do, "try")
        await s.idle()
        assert (book.begun["try"], await letters(store)) == (9, [])
