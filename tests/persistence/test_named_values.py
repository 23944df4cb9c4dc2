"""The law of values that cannot be meant: the error names them, and an id that no message can have finds nothing."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Plain, Stores, Worker, letters, plain_ref, running, until, worker, worker_ref
from tests.persistence.machines import Job, Line, Order, World, ended
from tests.persistence.machines import running as running_machines
from upright.persistence import Durable, Retry

pytestmark = pytest.mark.anyio
HUGE = 10**400
"""A number that is none of a float's."""
ONCE = Retry(max_attempts=1)
NO_IDS = (2**70, 2**63, 0, -1, -(2**70))
NOT_STORED: list[Any] = [object(), "\ud800", 2**70, {"x": object()}]


@pytest.mark.parametrize("value", [2**63, 2**31, 10**9 + 1, 0, 1.5, True])
def test_a_window_that_cannot_be_one_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=f"expected window to be .*, got {value}"):
        Durable("work", window=value)


def test_the_widest_window_is_one() -> None:
    assert Durable("work", window=10**9).window == 10**9


@pytest.mark.parametrize(
    ("verb", "value", "said"),
    [
        ("later", "5", "expected later to get 0 or more seconds, got '5'"),
        ("later", None, "expected later to get 0 or more seconds, got None"),
        ("later", timedelta(seconds=5), "expected later to get 0 or more seconds, got datetime.timedelta"),
        ("later", HUGE, "expected later to get 0 or more seconds, got 1000"),
        ("later", math.nan, "expected later to get 0 or more seconds, got nan"),
        ("later", math.inf, "expected later to get 0 or more seconds, got inf"),
        ("later", -1, "expected later to get 0 or more seconds, got -1"),
        ("expiring", timedelta(seconds=5), "expected expiring to be more than 0 seconds, got datetime.timedelta"),
        ("expiring", "5", "expected expiring to be more than 0 seconds, got '5'"),
        ("expiring", None, "expected expiring to be more than 0 seconds, got None"),
        ("expiring", 0, "expected expiring to be more than 0 seconds, got 0"),
        ("within", None, "expected within to be 0 or more seconds, got None"),
        ("within", "5", "expected within to be 0 or more seconds, got '5'"),
        ("within", timedelta(seconds=5), "expected within to be 0 or more seconds, got datetime.timedelta"),
        ("at", 5.0, "expected at to be a time with a zone, such as datetime.now(UTC), got 5.0"),
        ("at", date(2030, 1, 1), "expected at to be a time with a zone, such as datetime.now(UTC), got datetime.date"),
        ("at", "2030-01-01T00:00:00Z", "expected at to be a time with a zone, such as datetime.now(UTC), got '2030"),
        ("at", datetime(2030, 1, 1), "expected at to be a time with a zone, such as datetime.now(UTC), got datetime."),
    ],
)  # fmt: skip
async def test_what_says_when_is_named_where_it_cannot_be_meant(
    system: Systems, stores: Stores, verb: str, value: Any, said: str
) -> None:
    async with running(system, worker(Book()), worker(Book(), Plain, "b"), store=stores()) as s:
        for ref in (worker_ref(s), plain_ref(s)):
            with pytest.raises(ValueError, match="expected") as raised:
                getattr(ref, verb)(value)
            assert str(raised.value).startswith(said)


async def test_numbers_of_every_kind_say_when(system: Systems, stores: Stores) -> None:
    book = Book()
    async with running(system, worker(book), store=stores()) as s:
        ref = worker_ref(s)
        for given in (ref.later(0), ref.later(0.0), ref.expiring(60), ref.expiring(math.inf), ref.within(math.inf)):
            await given.tell(Worker.note, "x")
        await ref.at(datetime.now(UTC)).tell(Worker.note, "x")
        await s.idle()
        assert len(book.words) == 6


async def test_an_id_that_no_message_can_have_finds_nothing(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        for id in NO_IDS:
            assert await store.cancel(id) is False
            assert await store.story(id) == []
            assert await store.quarantine.discard(id) == 0
            assert await store.quarantine.redrive(id) == 0
        assert await store.quarantine.redrive(*NO_IDS, letter.id) == 1
        await s.idle()
        (letter,) = await letters(store)
        assert await store.quarantine.discard(letter.id, *NO_IDS) == 1


async def test_of_an_id_that_no_message_can_have_nothing_is_edited(system: Systems, stores: Stores) -> None:
    store = stores()
    async with running(system, worker(Book()), store=store):
        for id in NO_IDS:
            assert await store.quarantine.edit(id, {"deed": "rest"}) is False


@pytest.mark.parametrize("id", ["x", None, 1.0, True])
async def test_what_is_no_id_is_told(system: Systems, stores: Stores, id: Any) -> None:
    store = stores()
    said = f"expected the id of a message, a whole number, got {id!r}"
    async with running(system, worker(Book()), store=store):
        for deed in (store.cancel, store.story, store.quarantine.redrive, store.quarantine.discard):
            with pytest.raises(TypeError) as raised:
                await deed(id)
            assert str(raised.value) == said


async def test_an_endless_rate_is_none(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()
    async with running(system, worker(book, retry=ONCE, order="free"), store=store) as s:
        for _ in range(3):
            await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        assert await store.quarantine.redrive_all(rate=math.inf) == 3
        await s.idle()
        assert await store.quarantine.discard_all() == 3
        for rate in (0, -1, math.nan):
            with pytest.raises(ValueError, match=f"expected rate to be more than 0 messages a second, got {rate}"):
                await store.quarantine.redrive_all(rate=rate)


@pytest.mark.parametrize("given", [5, [1], None, "deed", {5: "x"}, {"x": object()}, {"x": "\ud800"}, {"x": 2**70}])
async def test_arguments_that_cannot_be_stored_are_named_and_the_letter_stays_as_it_was(
    system: Systems, stores: Stores, given: Any
) -> None:
    store = stores()
    async with running(system, worker(Book(), retry=ONCE), store=store) as s:
        await worker_ref(s).tell(Worker.do, "fail")
        await s.idle()
        (letter,) = await letters(store)
        with pytest.raises(TypeError, match="expected arguments to be "):
            await store.quarantine.edit(letter.id, given)
        assert (await letters(store))[0].arguments == {"deed": "fail"}


@pytest.mark.parametrize("progress", NOT_STORED, ids=["object", "surrogate", "huge", "within"])
async def test_progress_that_cannot_be_stored_is_named_and_the_handler_goes_on(
    system: Systems, stores: Stores, progress: Any
) -> None:
    book, store, said = Book(), stores(), list[str]()

    @book.deed
    async def beat(me: Worker) -> None:
        try:
            await me.ctx.heartbeat(progress)
        except TypeError as error:
            said.append(str(error))
        await me.ctx.heartbeat("half way")

    async with running(system, worker(book), store=store) as s:
        await worker_ref(s).tell(Worker.do, beat)
        await until(lambda: bool(said))
        await s.idle()
        assert said[0].startswith(f"expected progress to be what can be stored, got {type(progress).__name__}: ")
        assert (book.begun[beat], await letters(store)) == (1, [])


class TestRuns:
    @pytest.fixture
    def anyio_backend(self, virtual_time: Any) -> Any:
        return virtual_time

    async def test_an_id_that_cannot_be_stored_is_named(self, system: Systems, stores: Stores) -> None:
        async with running_machines(system, World(), Order, store=stores()) as s:
            with pytest.raises(ValueError, match="expected id to get a string that has an encoding"):
                await Order.start(s, Job(), id="\ud800")

    @pytest.mark.parametrize("state", ["x", "new", 5, Order])
    async def test_a_state_of_another_kind_is_told_with_the_kind_that_is_expected(
        self, system: Systems, stores: Stores, state: Any
    ) -> None:
        async with running_machines(system, World(), Order, store=stores()) as s:
            await ended(await Order.start(s, Job(), id="o"))
            with pytest.raises(ValueError, match="expected state to be one of Line, got") as raised:
                _ = [one async for one in Order.runs(s, state=state)]
            assert repr(state) in str(raised.value)
            assert [one.id async for one in Order.runs(s, state=Line.AWAY)] == ["o"]
            assert [one.id async for one in Order.runs(s, state=Line.NEW)] == []
