"""The laws of one message for many: a copy each, the first reply counts, an error only when all have failed."""

import asyncio
import gc
from typing import Any

import pytest

from upright.actors import ActorFailed, ActorGone, AskFailed
from upright.actors.envelope import Envelope, Question, deadline_of
from upright.actors.handlers import Handler
from upright.actors.testing import settle
from upright.supervision.fan_out import copies

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def nothing(_: Any) -> None: ...


def told() -> Envelope:
    return Envelope(Handler("nothing", nothing), (1, 2), {"a": 3}, None)


def asked() -> tuple[Question, "asyncio.Future[Any]"]:
    reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    return Question(Handler("nothing", nothing), (1, 2), {"a": 3}, None, reply), reply


def replies(envelope: Envelope, count: int) -> list[asyncio.Future[Any]]:
    """The replies to the copies."""
    return [copy.reply for copy in copies(envelope, count) if copy.reply is not None]


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_each_copy_says_the_same_and_is_one_of_its_own(count: int) -> None:
    envelope = told()
    made = copies(envelope, count)
    assert [copy.message() for copy in made] == [envelope.message()] * count
    assert len({id(one) for one in [envelope, *made]}) == count + 1


async def test_each_copy_of_an_ask_has_a_reply_of_its_own_and_the_same_deadline() -> None:
    envelope, reply = asked()
    envelope.deadline = 7.0
    made = copies(envelope, 3)
    assert len({id(copy.reply) for copy in made} | {id(reply)}) == 4
    assert [deadline_of(copy) for copy in made] == [7.0] * 3


@pytest.mark.parametrize("first", [0, 1, 2])
async def test_the_first_reply_is_the_answer_and_later_ones_and_errors_are_nothing(first: int) -> None:
    envelope, reply = asked()
    made = replies(envelope, 3)
    made[first].set_result(first)
    await settle()
    assert reply.result() == first
    others = [one for one in made if one is not made[first]]
    assert not any(one.done() for one in others)
    others[0].set_result("late")
    others[1].set_exception(ValueError("late"))
    others[1].exception()
    await settle()
    assert reply.result() == first


async def test_none_is_an_answer_too() -> None:
    envelope, reply = asked()
    made = replies(envelope, 2)
    made[1].set_result(None)
    await settle()
    assert reply.done()
    assert reply.result() is None


async def test_errors_count_only_when_all_have_failed_and_then_it_is_one_of_them() -> None:
    envelope, reply = asked()
    made = replies(envelope, 3)
    for number, one in enumerate(made):
        assert not reply.done()
        one.set_exception(ValueError(f"{number}"))
        await settle()
    assert repr(reply.exception()) in {f"ValueError('{number}')" for number in range(3)}


async def test_an_asker_is_told_that_the_message_was_handled_if_any_copy_was() -> None:
    """Then it may have had effects, whatever became of the last copy."""
    envelope, reply = asked()
    first, last = replies(envelope, 2)
    first.set_exception(ActorFailed("crashed", "/pool/0", handled=True))
    await settle()
    last.set_exception(ActorGone("ended", "/pool/1", handled=False))
    await settle()
    error = reply.exception()
    assert isinstance(error, AskFailed)
    assert error.handled


async def test_a_reply_after_errors_is_the_answer() -> None:
    envelope, reply = asked()
    made = replies(envelope, 2)
    made[0].set_exception(ValueError("first"))
    await settle()
    made[1].set_result("second")
    assert await reply == "second"


async def test_two_replies_at_the_same_instant_are_one_answer() -> None:
    envelope, reply = asked()
    for number, one in enumerate(replies(envelope, 2)):
        one.set_result(number)
    await settle()
    assert reply.result() == 0


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_an_asker_who_has_given_up_withdraws_what_was_not_answered(how: str) -> None:
    envelope, reply = asked()
    made = replies(envelope, 3)
    made[0].set_exception(ValueError("one failed before"))
    await settle()
    if how == "cancelled":
        reply.cancel()
    else:
        reply.set_exception(TimeoutError())
    await settle()
    assert [one.cancelled() for one in made] == [False, True, True]


async def test_an_asker_who_was_answered_withdraws_nothing() -> None:
    envelope, reply = asked()
    made = replies(envelope, 3)
    made[2].set_result("x")
    await reply
    await settle()
    assert [one.cancelled() for one in made] == [False, False, False]


async def test_errors_that_nobody_waits_for_any_more_are_not_complained_of() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    envelope, reply = asked()
    made = replies(envelope, 2)
    while made:
        made.pop().set_exception(ValueError("x"))
    await settle()
    assert reply.done()
    del envelope, reply
    gc.collect()
    await settle()
    assert complaints == []


async def ask_and_answer() -> None:
    envelope, reply = asked()
    for one in replies(envelope, 4):
        one.set_result(1)
    await reply


async def test_nothing_is_kept_of_what_was_answered() -> None:
    before = len([one for one in gc.get_objects() if type(one).__name__ == "_Replies"])
    for _ in range(50):
        await ask_and_answer()
    await settle()
    gc.collect()
    assert len([one for one in gc.get_objects() if type(one).__name__ == "_Replies"]) == before
