"""The laws of the seat: whatever a handler leaves running is no part of a later message, and costs nothing else."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, quiet
from upright.actors import Turn, current_turn, ending, life, seat
from upright.actors.accelerator import accelerate
from upright.actors.envelope import BESIDE, DETACHED, DONE, IN_HAND, QUEUED, Envelope
from upright.actors.errors import Detached
from upright.actors.handlers import Handler
from upright.actors.seat import Seat
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio

WORD: ContextVar[str] = ContextVar("word", default="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.fixture(params=[True, False], ids=["counts tell", "counts tell nothing"], autouse=True)
def counts_tell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Each law holds on interpreters where the counts of references tell nothing, too, without accelerator."""
    if not request.param:
        for room in (seat, life):
            monkeypatch.setattr(room, "COUNTS_TELL", False)
        accelerate(False)
    yield bool(request.param)
    accelerate()


def test_the_counts_tell_on_this_interpreter(counts_tell: bool) -> None:
    assert counts_tell is seat.COUNTS_TELL or not counts_tell
    assert seat._counts_tell(), "else every message gets a seat of its own here, which is slower"


class Orphans:
    """Tasks that handlers started and did not wait for; each says of which turn it is part when it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.tasks: list[asyncio.Task[Turn | None]] = []

    async def orphan(self, word: str | None) -> Turn | None:
        if word is not None:
            WORD.set(word)
        await self.gate.wait()
        return current_turn()

    def start(self, word: str | None = None) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(self.orphan(word)))


def plainly(orphans: Orphans) -> None:
    orphans.start()


def after_setting(orphans: Orphans) -> None:
    WORD.set("before")
    orphans.start()


def before_setting(orphans: Orphans) -> None:
    orphans.start()
    WORD.set("after")


def between_setting_and_resetting(orphans: Orphans) -> None:
    token = WORD.set("for a moment")
    orphans.start()
    WORD.reset(token)


def before_setting_and_resetting(orphans: Orphans) -> None:
    """The map of variables is another one afterwards, of the same contents, and a copy of the old one is left."""
    orphans.start()
    WORD.reset(WORD.set("for a moment"))


def that_sets_one(orphans: Orphans) -> None:
    orphans.start("its own")


def two_of_them(orphans: Orphans) -> None:
    orphans.start("its own")
    orphans.start()


WAYS = [
    plainly,
    after_setting,
    before_setting,
    between_setting_and_resetting,
    before_setting_and_resetting,
    that_sets_one,
    two_of_them,
]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("leave", WAYS, ids=lambda way: way.__name__)
async def test_a_task_that_outlives_its_handler_is_no_part_of_the_next_message(
    system: Systems, leave: Callable[[Orphans], None], waits: bool
) -> None:
    orphans, seen = Orphans(), list[Any]()

    async def first(_: Doer) -> None:
        leave(orphans)
        if waits:
            await asyncio.sleep(0.1)

    async def second(_: Doer) -> None:
        orphans.gate.set()
        seen.extend(await asyncio.gather(*orphans.tasks))
        seen.append(current_turn())

    async with quiet(system) as s:
        doer = await s.spawn("doer", Doer)
        for deed in (first, second):
            assert doer.try_tell(Doer.do, deed)
        await s.idle()
    *theirs, own = seen
    assert theirs == [None] * len(orphans.tasks)
    assert own == Turn("/doer", "do", float("inf"))


async def test_a_task_that_its_handler_waits_for_is_a_part_of_it(system: Systems) -> None:
    async def part() -> Turn | None:
        await asyncio.sleep(0)
        return current_turn()

    async def gather(_: Doer) -> Any:
        return await asyncio.gather(part(), part())

    async with quiet(system) as s:
        doer = await s.spawn("doer", Doer)
        for _ in range(2):
            turns = await doer.ask(Doer.do, gather)
            assert [turn.handler for turn in turns] == ["do", "do"]


async def test_after_a_task_was_left_behind_variables_stay_as_empty_as_before(system: Systems) -> None:
    orphans, words = Orphans(), list[str]()

    def deed(way: Callable[[Orphans], None]) -> Callable[[Doer], Awaitable[None]]:
        async def do(_: Doer) -> None:
            words.append(WORD.get())
            way(orphans)

        return do

    async with quiet(system) as s:
        doer = await s.spawn("doer", Doer)
        for way in (*WAYS, *WAYS):
            assert doer.try_tell(Doer.do, deed(way))
        await s.idle()
        orphans.gate.set()
        await settle()
    assert words == ["none"] * (2 * len(WAYS))


async def test_a_message_and_its_arguments_are_let_go_when_it_is_done(system: Systems) -> None:
    class Payload:
        pass

    async def take(_: Doer) -> None: ...

    async with quiet(system) as s:
        doer = await s.spawn("doer", Doer)
        payload = Payload()
        watched = weakref.ref(payload)
        assert doer.try_tell(Doer.result, payload)
        del payload
        await s.idle()
        assert doer.try_tell(Doer.do, take)
        await s.idle()
        gc.collect()
        assert watched() is None


class Host:
    path, cell = "/somewhere", object()


async def nothing() -> None: ...


@pytest.mark.parametrize(
    ("phase", "sends", "asks"), [(IN_HAND, True, True), (BESIDE, True, False), (DONE, False, False)]
)
def test_who_sends_and_who_waits_for_an_answer(phase: int, sends: bool, asks: bool) -> None:
    host = Host()
    place = Seat(host, Envelope(Handler("h", nothing), (), None, None, phase=phase))
    assert place.sender() is (host if sends else None)
    assert (place.asking() is not None) is asks


def test_an_empty_seat_sends_for_nobody() -> None:
    place = Seat(Host())
    assert (place.sender(), place.asking()) == (None, None)


def test_a_zombies_seat_refuses() -> None:
    place = Seat(Host(), Envelope(Handler("h", nothing), (), None, None, phase=DETACHED))
    with pytest.raises(Detached, match="/somewhere"):
        place.sender()


def test_one_turn_is_one_link_until_it_is_over() -> None:
    place = Seat(Host(), Envelope(Handler("h", nothing), (), None, None, phase=IN_HAND))
    link = place.asking()
    assert link is not None
    assert place.asking() is link
    place.over()
    assert (link.turn, place.turn, place.link) == (None, None, None)
    place.turn = Envelope(Handler("h", nothing), (), None, None, phase=QUEUED)
    assert place.asking() is None


def test_the_rooms_that_count_are_those_that_the_fixture_knows() -> None:
    assert not hasattr(ending, "COUNTS_TELL")
