"""The laws of errors that are odd themselves, which cannot say what they are, say: each fails its delivery and no more.

The supervisor of the tests gives up at the first crash that it hears of.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import Book, Stores, Worker, letters, running, story, worker, worker_ref
from tests.persistence.machines import QUICK as BY_HOURS
from tests.persistence.machines import Deeds, Invoice, Job, Line, Order, Spread, World
from tests.persistence.machines import running as running_machines
from upright.actors import ActorFailed, Refuse
from upright.actors.testing import advance
from upright.persistence import Reject, Retry, RunFailed, step

pytestmark = pytest.mark.anyio


NO_UTF_8 = b"rechnung-\xfc.pdf".decode("utf-8", "surrogateescape")
"""The name of a file, as the operating system may give it."""


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise LookupError("no words")


class MuteRefusal(Refuse):
    def __str__(self) -> str:
        raise LookupError("no words")


def by_hand() -> SyntaxError:
    """One whose traceback Python itself cannot format: the text of the line is no text."""
    return SyntaxError("x", ("f.html", 1, 1, 2))  # type: ignore[arg-type]


ODD: dict[str, Callable[[], BaseException]] = {"mute": Mute, "by hand": by_hand, "generator exit": GeneratorExit}
odd = pytest.mark.parametrize("make", ODD.values(), ids=ODD)


class Escaping(Order):
    """An order in which every end of `pack` and `send` leads somewhere."""

    @step(Line.PAID, to=Line.PACKED, undo=Deeds.unpack, retry=BY_HOURS, on_reject=Line.OFF, on_failure=Line.OFF)
    async def pack(self, job: Job) -> None:
        await self.do(job, "pack")

    @step(Line.PACKED, to=Line.AWAY, retry=BY_HOURS, on_reject=Line.BROKEN, on_failure=Line.BROKEN)
    async def send(self, job: Job) -> None:
        await self.do(job, "send")

    @step(Line.LATER, to=Line.AWAY)
    async def again(self, job: Job) -> None: ...

    @step(Line.BROKEN, to=Line.AWAY, when=lambda job: job.way != "later")
    async def bury(self, job: Job) -> None:
        await self.do(job, "bury")

    @step(Line.BROKEN, to=Line.LATER)
    async def wait(self, job: Job) -> None: ...


@odd
async def test_an_odd_error_uses_up_attempts_until_its_message_is_set_aside_and_harms_nobody_else(
    system: Systems, stores: Stores, make: Callable[[], BaseException]
) -> None:
    book, store, attempts = Book(), stores(), list[int]()

    @book.deed
    async def go_wrong(me: Worker) -> None:
        attempts.append(me.ctx.delivery.attempt)
        raise make()

    async with running(system, worker(book), store=store) as s:
        receipt = await worker_ref(s).tell(Worker.do, go_wrong)
        assert await worker_ref(s).ask(Worker.note, "behind it") == "behind it"
        await s.idle()
        assert attempts == [1, 2, 3]
        (letter,) = await letters(store)
        assert receipt is not None
        assert (letter.id, letter.reason) == (receipt.id, "attempts")
        assert [failure.attempt for failure in letter.attempts] == [1, 2, 3]
        assert all(type(make()).__name__ in failure.error for failure in letter.attempts)
        assert all("in go_wrong" in failure.traceback for failure in letter.attempts)
        assert await story(store, receipt.id) == ["stored", *["claimed", "failed"] * 3, "quarantined"]


@odd
async def test_whoever_asked_for_what_ends_in_an_odd_error_hears_that_it_failed(
    system: Systems, stores: Stores, make: Callable[[], BaseException]
) -> None:
    book = Book()

    @book.deed
    async def go_wrong(_: Worker) -> None:
        raise make()

    async with running(system, worker(book, retry=Retry(max_attempts=1)), store=stores()) as s:
        with pytest.raises(ActorFailed, match=type(make()).__name__):
            await worker_ref(s).ask(Worker.do, go_wrong)
        assert await worker_ref(s).ask(Worker.note, "behind it") == "behind it"


async def test_a_refusal_that_cannot_say_why_is_a_refusal(system: Systems, stores: Stores) -> None:
    book, store = Book(), stores()

    @book.deed
    async def refuse(_: Worker) -> None:
        raise MuteRefusal

    async with running(system, worker(book), store=store) as s:
        with pytest.raises(Refuse, match=r"its text cannot be read: LookupError"):
            await worker_ref(s).ask(Worker.do, refuse)
        assert await letters(store) == []
        await worker_ref(s).tell(Worker.do, refuse)
        await s.idle()
        assert [(letter.reason, len(letter.attempts)) for letter in await letters(store)] == [("rejected", 1)]
        assert book.begun[refuse] == 2


class TestInAStep:
    """The same of the steps of machines."""

    @pytest.fixture
    def anyio_backend(self, virtual_time: Any) -> Any:
        return virtual_time

    @odd
    async def test_an_odd_error_uses_up_attempts_until_the_run_has_failed(
        self, system: Systems, stores: Stores, make: Callable[[], BaseException]
    ) -> None:
        world, store = World(), stores()
        world.plan("pay", *(make() for _ in range(BY_HOURS.max_attempts)))
        async with running_machines(system, world, Order, store=store) as s:
            with pytest.raises(RunFailed, match=type(make()).__name__):
                await (await Order.start(s, Job(), id="o")).result()
            assert world.attempts("pay") == [1, 2, 3]
            assert [len(letter.attempts) for letter in await letters(store)] == [3]
            assert (await (await Order.start(s, Job(), id="p")).result()).words == ["pay", "pack", "send"]

    @odd
    async def test_an_odd_error_of_a_step_that_says_where_its_failure_leads_leads_there(
        self, system: Systems, stores: Stores, make: Callable[[], BaseException]
    ) -> None:
        world = World()
        world.plan("send", *(make() for _ in range(BY_HOURS.max_attempts)))
        async with running_machines(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await run.result()).words == ["pay", "pack", "bury"]
            assert world.attempts("send") == [1, 2, 3]

    async def test_a_refusal_that_cannot_say_why_is_a_reject(self, system: Systems, stores: Stores) -> None:
        world = World()
        world.plan("pack", MuteRefusal())
        async with running_machines(system, world, Order, store=stores()) as s:
            run = await Order.start(s, Job(), id="o")
            assert (await run.result()).words == ["pay", "refund"]
            assert world.attempts("pack") == [1]

    @pytest.mark.parametrize("final", [False, True])
    @pytest.mark.parametrize("error", [Reject, Refuse, ValueError])
    async def test_a_text_that_no_encoding_has_leads_where_any_other_does(
        self, system: Systems, stores: Stores, error: type[Exception], final: bool
    ) -> None:
        world, at = World(), "pack" if final else "send"
        world.plan(at, *(error(NO_UTF_8) for _ in range(BY_HOURS.max_attempts)))
        async with running_machines(system, world, Escaping, store=stores()) as s:
            run = await Escaping.start(s, Job(), id="o")
            await advance(10.0)
            assert (await run.data()).words == (["pay", "refund"] if final else ["pay", "pack", "bury"])
            assert any("\\udcfc.pdf" in event.error for event in await run.history())

    @pytest.mark.parametrize("error", [Reject, Refuse, MuteRefusal])
    async def test_a_branch_that_rejects_in_such_words_or_in_none_leads_where_any_other_does(
        self, system: Systems, stores: Stores, error: type[Exception]
    ) -> None:
        world = World()
        world.plan("left", error(NO_UTF_8))
        async with running_machines(system, world, Spread, store=stores()) as s:
            run = await Spread.start(s, Job(), id="o")
            await advance(10.0)
            assert (await run.result()).words == ["pay", "refund"]

    async def test_the_reason_of_a_cancel_may_be_such_a_text_too(self, system: Systems, stores: Stores) -> None:
        async with running_machines(system, World(), Invoice, store=stores()) as s:
            run = await Invoice.start(s, Job(), id="o")
            await advance(1.0)
            await run.cancel(NO_UTF_8)
            assert (await run.result()).words == ["ask", "refund"]
