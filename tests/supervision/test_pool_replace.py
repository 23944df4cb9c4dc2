"""The laws of the gaps in a pool: workers that have ended for good, or never came up, are replaced by a resize."""

import asyncio
from typing import Any

import pytest

from tests.actors.deeds import raised_by
from tests.actors.lives import Deed, Diary, Oops, Systems, crash, rest
from tests.supervision.pools import (
    BY_KEY,
    ROUTINGS,
    Hand,
    admin,
    busy,
    hand,
    hands,
    keys_of,
    named,
    noting,
    pooled,
    touched,
)
from tests.supervision.trees import fell
from upright.actors import ActorGone, ActorSystem
from upright.actors.errors import Ignore
from upright.actors.testing import advance
from upright.supervision import Backoff, Counts, NotStarted, Pool

pytestmark = pytest.mark.anyio
LATER = Backoff(50.0, 50.0, jitter="none")
GONE: Any = [("transient", "normal"), ("transient", "shutdown"), ("temporary", "normal"), ("temporary", "crash")]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def numbers(s: ActorSystem) -> str:
    """The numbers of the workers that take part."""
    return "".join(ref.path[-1] for ref in await admin(s).ask(Pool.workers))


async def resize(s: ActorSystem, size: int) -> str:
    """Resize the pool, and which workers it has then."""
    await admin(s).ask(Pool.resize, size)
    return await numbers(s)


def at_start(number: str, *deeds: Deed) -> dict[str, Any]:
    """What the worker of that number does at its starts, one after the other; the last one counts for all others."""
    left = list(deeds)

    async def started(me: Hand) -> None:
        if me.number == number:
            await (left.pop(0) if len(left) > 1 else left[0])(me)

    return {"started": started}


async def decline(_: Any) -> None:
    raise Ignore("not today")


@pytest.mark.parametrize("routing", ROUTINGS, ids=named)
@pytest.mark.parametrize(("restart", "how"), GONE)
async def test_a_resize_to_the_same_size_replaces_who_has_ended_and_leaves_the_others_alone(
    system: Systems, routing: Any, restart: Any, how: str
) -> None:
    diary = Diary()
    async with pooled(system, diary, size=3, routing=routing, worker={"restart": restart}) as s:
        kept = [hand(s, number).recipient for number in (0, 2)]
        await fell(s, hand(s, 1), how)
        assert await numbers(s) == "02"
        assert await resize(s, 3) == "012"
        assert [hand(s, number).recipient for number in (0, 2)] == kept
        assert diary.lives == 4
        assert await hand(s, 1).ask(Hand.note, "new") == "new"
        assert diary.words[-1] == "new 4"
        assert await admin(s).ask(Pool.count_children) == Counts(3, 3, 0, 3)
        said = {await hands(s).ask(Hand.touch, f"k{number}") for number in range(30)}
        await s.idle()
        heard = said if routing != "broadcast" else set(touched(diary))
        assert {word[-1] for word in heard} == {"0", "1", "2"}


async def test_a_pool_whose_workers_have_all_ended_works_again_after_a_resize(system: Systems) -> None:
    async with pooled(system, Diary(), size=3, worker={"restart": "temporary"}) as s:
        for number in range(3):
            await fell(s, hand(s, number), "crash")
        assert await numbers(s) == ""
        assert isinstance(await raised_by(hands(s).ask(Hand.touch, "k")), ActorGone)
        assert await resize(s, 2) == "01"
        assert {await hands(s).ask(Hand.touch, "k") for _ in range(4)} == {"k@0", "k@1"}


@pytest.mark.parametrize(("gone", "size", "left"), [(2, 2, "01"), (0, 2, "01"), (1, 5, "01234"), (0, 1, "0")])
async def test_gaps_are_filled_while_the_size_changes(system: Systems, gone: int, size: int, left: str) -> None:
    diary = Diary()
    async with pooled(system, diary, size=3, worker={"restart": "temporary"}) as s:
        await fell(s, hand(s, gone), "crash")
        assert await resize(s, size) == left
        assert await admin(s).ask(Pool.size) == size
        assert await admin(s).ask(Pool.count_children) == Counts(size, size, 0, size)
        assert hand(s, size).recipient is None
        assert diary.lives == 3 + (gone < size) + max(size - 3, 0)


@pytest.mark.parametrize("size", [3, 5])
async def test_a_replacement_that_does_not_start_leaves_the_pool_as_it_was_and_may_be_tried_again(
    system: Systems, size: int
) -> None:
    plans = at_start("1", rest, crash, rest)
    async with pooled(system, Diary(), size=3, plans=plans, worker={"restart": "temporary"}) as s:
        await fell(s, hand(s, 1), "crash")
        with pytest.raises(NotStarted, match=r"/top/pool/1 did not start: Oops") as raised:
            await resize(s, size)
        assert isinstance(raised.value.__cause__, Oops)
        assert (await numbers(s), await admin(s).ask(Pool.size)) == ("02", 3)
        assert await admin(s).ask(Pool.count_children) == Counts(2, 2, 0, 2)
        assert await resize(s, size) == "01234"[:size]


async def test_one_that_declined_to_start_is_asked_again_by_each_resize(system: Systems) -> None:
    async with pooled(system, Diary(), size=3, plans=at_start("1", decline, decline, rest)) as s:
        assert await numbers(s) == "02"
        assert await resize(s, 3) == "02"
        assert await resize(s, 3) == "012"


async def test_one_that_is_about_to_be_restarted_is_no_gap(system: Systems) -> None:
    diary = Diary()
    async with pooled(system, diary, size=2, worker={"backoff": LATER}) as s:
        await fell(s, hand(s, 1), "crash")
        assert hand(s, 1).recipient is not None
        await resize(s, 2)
        await resize(s, 3)
        assert diary.lives == 3
        await advance(50.0)
        assert diary.lives == 4
        assert await hand(s, 1).ask(Hand.note, "back") == "back"


async def test_by_key_the_keys_of_one_that_had_ended_come_back_to_its_replacement_in_their_order(
    system: Systems,
) -> None:
    diary, gate = Diary(), asyncio.Event()
    (key,) = keys_of(1, 2)
    async with pooled(system, diary, size=2, routing=BY_KEY, worker={"restart": "temporary"}) as s:
        await fell(s, hand(s, 1), "crash")
        await busy(s, 0, gate=gate)
        for word in ("one", "two"):
            await hands(s).tell(Hand.work, key, noting(diary, word))
        await admin(s).ask(Pool.resize, 2)
        await hands(s).tell(Hand.work, key, noting(diary, "three"))
        gate.set()
        await s.idle()
        assert await hands(s).ask(Hand.touch, key) == f"{key}@1"
    done = [word for word in diary.words if word in ("one", "two", "three")]
    assert done == ["one", "two", "three"]
    assert f"{key}@1 begins" in diary.words
