"""The laws of a probe: a ref that stands in for an actor, and tells what it got."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from upright.actors import (
    Actor,
    ActorFailed,
    ActorSystem,
    Bounded,
    Message,
    NameTaken,
    Refuse,
    UnknownHandler,
    WrongArguments,
)
from upright.actors.testing import probe

pytestmark = pytest.mark.anyio

Systems = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


class Ledger(Actor):
    """Its constructor, its hooks and its handlers all fail: a probe runs none of them."""

    mailbox = Bounded(7)

    def __init__(self, currency: str) -> None:
        raise AssertionError(currency)

    async def started(self) -> None:
        raise AssertionError("started")

    async def stopping(self, reason: object) -> None:
        raise AssertionError("stopping")

    async def append(self, order: str, *, cents: int = 0) -> int:
        raise AssertionError(order, cents)

    async def flush(self) -> None:
        raise AssertionError("flush")


async def test_a_call_that_the_real_one_could_not_take_is_refused_as_there(system: Systems) -> None:
    async with system(log=None) as s:
        ledger: Any = await probe(s, Ledger)
        for args, named in (((), {}), (("o-1", 5), {}), (("o-1",), {"euros": 5})):
            with pytest.raises(WrongArguments, match=r"^append\(\): "):
                await ledger.ask(Ledger.append, *args, **named)
        assert ledger.received == ()


async def test_it_notes_messages_in_order_and_runs_no_code_of_the_class_that_it_stands_for(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        await ledger.tell(Ledger.append, "o-1", cents=5)
        await ledger.tell(Ledger.flush)
        first, second = await ledger.expect(Ledger.append), await ledger.expect()
    assert first == Message("append", ("o-1",), {"cents": 5})
    assert second == Message("flush")


async def test_what_was_not_expected_yet_can_be_looked_at(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        await ledger.tell(Ledger.flush)
        await ledger.tell(Ledger.append, "o-1")
        await s.idle()
        assert [message.handler for message in ledger.received] == ["flush", "append"]
        await ledger.expect()
        assert [message.handler for message in ledger.received] == ["append"]


async def test_an_actor_under_test_sends_to_it_by_its_path(system: Systems) -> None:
    class Billing(Actor):
        async def charge(self, order: str) -> int:
            return await self.ctx.ref("ledger", Ledger).ask(Ledger.append, order, cents=990)

    async with system(log=None) as s:
        ledger = await probe(s, Ledger, "ledger")
        ledger.reply(Ledger.append, 1_000)
        billing = await s.spawn("billing", Billing)
        assert await billing.ask(Billing.charge, "o-1") == 1_000
        assert (await ledger.expect(Ledger.append)).kwargs == {"cents": 990}
    assert ledger.path == "/ledger"


async def test_it_answers_none_until_it_was_given_a_reply(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        answers: list[int | None] = [await ledger.ask(Ledger.append, "o-1")]
        ledger.reply(Ledger.append, 5)
        answers += [await ledger.ask(Ledger.append, "o-2"), await ledger.ask(Ledger.append, "o-3")]
    assert answers == [None, 5, 5]


async def test_a_refusal_given_as_reply_is_raised_at_the_asker_and_leaves_the_probe_up(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        ledger.reply(Ledger.append, Refuse("closed"))
        with pytest.raises(Refuse, match="closed"):
            await ledger.ask(Ledger.append, "o-1")
        ledger.reply(Ledger.append, 1)
        assert await ledger.ask(Ledger.append, "o-2") == 1


async def test_an_error_given_as_reply_crashes_the_probe_which_keeps_what_it_got_and_is_restarted(
    system: Systems,
) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        ledger.reply(Ledger.append, RuntimeError("on fire"))
        with pytest.raises(ActorFailed) as failed:
            await ledger.ask(Ledger.append, "o-1")
        assert str(failed.value.__cause__) == "on fire"
        await ledger.tell(Ledger.flush)
        assert (await ledger.expect()).args == ("o-1",)
        assert (await ledger.expect()).handler == "flush"


async def test_expect_waits_for_a_message_that_is_still_to_come(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        expecting = asyncio.create_task(ledger.expect(Ledger.flush))
        await asyncio.sleep(2.9)
        await ledger.tell(Ledger.flush)
        assert (await expecting).handler == "flush"


async def test_of_two_that_expect_at_once_each_gets_a_message_of_its_own(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        expecting = [asyncio.create_task(ledger.expect()) for _ in range(2)]
        await ledger.tell(Ledger.append, "o-1")
        await ledger.tell(Ledger.append, "o-2")
        assert [(await one).args for one in expecting] == [("o-1",), ("o-2",)]


async def test_expect_fails_when_nothing_comes_in_time_and_names_what_was_expected(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        began = asyncio.get_running_loop().time()
        with pytest.raises(AssertionError, match=r"^expected flush at /probe within 10 s, got nothing$"):
            await ledger.expect(Ledger.flush, within=10)
        assert asyncio.get_running_loop().time() - began == 10


async def test_expect_fails_on_a_message_for_another_handler_without_showing_its_contents(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        await ledger.tell(Ledger.append, "secret")
        with pytest.raises(AssertionError, match=r"^expected flush at /probe, got <Message append\(str\)>$"):
            await ledger.expect(Ledger.flush)


async def test_expect_nothing_holds_while_nothing_comes_and_fails_when_something_does(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        await ledger.expect_nothing(within=60)
        await ledger.tell(Ledger.flush)
        with pytest.raises(AssertionError, match=r"^expected nothing at /probe, got <Message flush\(\)>$"):
            await ledger.expect_nothing()


async def test_it_takes_only_handlers_that_the_class_has(system: Systems) -> None:
    class Other(Actor):
        async def close(self) -> None: ...

    async with system(log=None) as s:
        ledger: Any = await probe(s, Ledger)
        with pytest.raises(UnknownHandler, match="has no close"):
            await ledger.tell(Other.close)


async def test_its_name_is_taken_like_any_other_and_its_mailbox_has_the_bounds_of_the_class(system: Systems) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger, "ledger")
        assert repr(ledger) == "<Ref /ledger running 0/7>"
        with pytest.raises(NameTaken):
            await probe(s, Ledger, "ledger")


async def test_it_can_be_watched_and_killed_as_an_actor_can(system: Systems, recorders: list[Any]) -> None:
    async with system(log=None) as s:
        ledger = await probe(s, Ledger)
        assert s.ref("/probe", Ledger) == ledger
        await s.kill(ledger)
        await ledger.tell(Ledger.flush)
        assert (await ledger.expect()).handler == "flush"
