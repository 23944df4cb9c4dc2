"""Every store: what is put is there, once, and in order."""

import math

import pytest

from tests.persistence.contract import BEGIN, INBOX, Bench, bodies, message, state, step
from upright.actors.durable import Receipt
from upright.persistence.errors import StoreUnavailable
from upright.persistence.records import ORDERS, Batch, Delivery, Order, Outgoing, Want

pytestmark = pytest.mark.anyio


async def test_every_message_gets_an_id_of_its_own_that_rises(bench: Bench) -> None:
    one = await bench.session()
    ids = await one.put("a", "b") + await one.put("c", address="elsewhere")
    assert ids == sorted(set(ids))


async def test_an_id_is_never_given_again(bench: Bench) -> None:
    one = await bench.session()
    (first,) = await one.put("a")
    await one.settle(step(await one.one()))
    await one.close()
    two = await bench.session()
    assert await two.put("b") > [first]


async def test_all_that_the_sender_said_comes_with_the_delivery(bench: Bench) -> None:
    one = await bench.session()
    said = Outgoing(
        INBOX, "greet", b"\x00\xff", BEGIN - 5, -7, "customer", "order-17", BEGIN + 9, True, "/clerk", "trace"
    )  # fmt: skip
    (receipt,) = await one.receipts(said)
    (delivery,) = await one.claim()
    assert delivery == Delivery(
        receipt.id, INBOX, "greet", b"\x00\xff", delivery.token, 1, BEGIN, BEGIN - 5, -7, "customer", BEGIN + 9, True,
        sender="/clerk", trace="trace", once="order-17",
    )  # fmt: skip


async def test_what_the_sender_left_out_is_left_out(bench: Bench) -> None:
    one = await bench.session()
    (id,) = await one.put("")
    (delivery,) = await one.claim()
    assert delivery == Delivery(id, INBOX, "handle", b"", delivery.token, 1, BEGIN, BEGIN)
    assert delivery.expires == math.inf


async def test_messages_outlive_their_session(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a", "b")
    await one.write([], [message("c")])
    await one.close()
    two = await bench.session()
    assert bodies(await two.claim()) == ["a", "b", "c"]


async def test_a_store_keeps_the_name_that_it_was_given(bench: Bench) -> None:
    one = await bench.session()
    name = one.engine.name
    await one.close()
    two = await bench.session()
    assert name
    assert two.engine.name == name


async def test_every_session_sees_what_the_others_put(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a")
    assert await two.depth() == 1
    assert bodies(await two.claim()) == ["a"]


async def test_what_is_put_and_wanted_in_one_batch_is_claimed_at_once(bench: Bench) -> None:
    one = await bench.session()
    written = await one.write(puts=[message("a"), message("b", "elsewhere")], wants=[Want(INBOX, "free", 9)])
    assert bodies(written.deliveries) == ["a"]
    assert written.depths == {INBOX: 1, "elsewhere": 1}


@pytest.mark.parametrize("order", ORDERS)
async def test_order_is_by_priority_then_due_time_then_coming(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("5", "6")
    await one.put("4", due=BEGIN - 1)
    await one.put("3", due=BEGIN - 2)
    await one.put("7", priority=-1)
    await one.put("1", "2", priority=1)
    assert bodies(await one.claim(order)) == ["1", "2", "3", "4", "5", "6", "7"]


@pytest.mark.parametrize("order", ORDERS)
async def test_two_puts_keep_their_order_though_the_clock_is_set_back(bench: Bench, order: Order) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a")
    bench.clock.pass_by(-3600)
    await two.put("b")
    bench.clock.pass_by(-3600)
    await one.put("c", "d")
    assert bodies(await one.claim(order, 2)) == ["a", "b"]
    assert bodies(await one.claim(order)) == ["c", "d"]


class TestOnce:
    async def test_a_second_tell_is_answered_with_the_id_of_the_first(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        (first,) = await one.put("a", once="17")
        assert await one.receipts(message("b", once="17")) == [Receipt(first, duplicate=True)]
        assert await two.receipts(message("c", once="17")) == [Receipt(first, duplicate=True)]
        assert await one.depth() == 1
        assert bodies(await one.claim()) == ["a"]

    async def test_it_counts_within_one_batch(self, bench: Bench) -> None:
        one = await bench.session()
        first, second, third, fourth = await one.receipts(
            message("a"), message("b", once="17"), message("c", once="17"), message("d")
        )
        assert third == Receipt(second.id, duplicate=True)
        assert [one.duplicate for one in (first, second, fourth)] == [False] * 3
        assert bodies(await one.claim()) == ["a", "b", "d"]

    async def test_it_counts_after_the_first_was_handled_and_the_store_opened_again(self, bench: Bench) -> None:
        one = await bench.session()
        (first,) = await one.put("a", once="17")
        await one.settle(step(await one.one()))
        await one.close()
        two = await bench.session()
        assert await two.receipts(message("b", once="17")) == [Receipt(first, duplicate=True)]
        assert await two.depth() == 0

    async def test_it_counts_while_the_first_is_in_quarantine(self, bench: Bench) -> None:
        one = await bench.session()
        (first,) = await one.set_aside("a", once="17")
        assert await one.receipts(message("b", once="17")) == [Receipt(first, duplicate=True)]

    async def test_each_mailbox_has_its_own_keys(self, bench: Bench) -> None:
        one = await bench.session()
        first, second = await one.receipts(message("a", once="17"), message("b", "elsewhere", once="17"))
        assert not first.duplicate
        assert not second.duplicate

    async def test_it_is_judged_for_what_a_handler_sends_when_that_is_stored(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        first, second = await one.claim()
        sent = message("sent", "elsewhere", once="17")
        assert await one.settle(step(first, outgoing=(sent,)), step(second, outgoing=(sent,))) == ["ok", "ok"]
        assert bodies(await one.claim(address="elsewhere")) == ["sent"]
        assert await one.depth("elsewhere") == 1


async def test_a_closed_store_takes_and_changes_nothing(bench: Bench) -> None:
    one = await bench.session()
    (id,) = await one.put("a")
    await one.close()
    with pytest.raises(StoreUnavailable):
        await one.put("b")
    one.engine.end(one.engine.begin(id, 1, 0.0))
    for deed in (one.desk.cancel(id), one.desk.redrive([id]), one.desk.discard([id]), one.engine.extend(id, 1, None)):
        with pytest.raises(StoreUnavailable):
            await deed
    await one.close()
    two = await bench.session()
    assert bodies(await two.claim()) == ["a"]


async def test_an_empty_batch_is_nothing_special(bench: Bench) -> None:
    one = await bench.session()
    written = await one.engine.write(Batch())
    assert (written.verdicts, written.receipts, written.deliveries, written.next_due, written.depths) == (
        [], [], [], {}, {},
    )  # fmt: skip


async def test_the_depth_follows_what_is_stored_and_finished(bench: Bench) -> None:
    one = await bench.session()
    written = await one.write(puts=[message("a"), message("b"), message("c")])
    assert written.depths == {INBOX: 3}
    first, second, third = await one.claim()
    assert await one.depth() == 3
    written = await one.write([step(first), step(second, "retry"), step(third, "discard", state=state(0, "s"))])
    assert written.depths == {INBOX: 1}
    written = await one.write(puts=[message("d")], wants=[Want("elsewhere", "free", 1)])
    assert written.depths == {INBOX: 2, "elsewhere": 0}
