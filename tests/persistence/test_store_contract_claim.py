"""Every store: a message is in one hand at a time, and each kind of mailbox hands out in its order."""

import pytest

from tests.persistence.contract import BEGIN, INBOX, OUTCOMES, Bench, bodies, message, step
from upright.persistence.records import ORDERS, Batch, Order, Outcome, Want

pytestmark = pytest.mark.anyio
LATER = BEGIN + 60


@pytest.mark.parametrize("order", ORDERS)
async def test_what_is_claimed_is_nobody_elses(bench: Bench, order: Order) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a", "b")
    assert bodies(await one.claim(order)) == ["a", "b"]
    assert await one.claim(order) == []
    assert await two.claim(order) == []


@pytest.mark.parametrize("order", ORDERS)
async def test_no_more_is_claimed_than_there_is_room_for(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put(*"abcde")
    assert [bodies(await one.claim(order, room)) for room in (2, 1, 9)] == [["a", "b"], ["c"], ["d", "e"]]


async def test_a_mailbox_gets_what_came_for_its_address_only(bench: Bench) -> None:
    one = await bench.session()
    await one.receipts(message("a"), message("b", "inbo"), message("c", "inbox2"), message("d", "in%"))
    written = await one.write(wants=[Want(INBOX, "free", 9), Want("in%", "strict", 9), Want("none", "keyed", 9)])
    assert bodies(written.deliveries) == ["a", "d"]


async def test_each_claim_has_a_token_of_its_own(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a", "b", "c")
    tokens = {(await one.one()).token, (await two.one()).token}
    third = await two.one()
    await two.settle(step(third, "release"))
    tokens |= {third.token, (await two.one()).token}
    assert len(tokens) == 4


@pytest.mark.parametrize("order", ORDERS)
async def test_what_is_released_comes_again_as_it_was(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", "b")
    first = await one.one(order)
    await one.settle(step(first, "retry", delay=7.5, holds=True, interrupts=3))
    first = await one.one(order)
    assert (first.attempt, first.delay, first.interrupts) == (2, 7.5, 3)
    await one.settle(step(first, "release"))
    again, second = await one.claim(order)
    assert bodies([again, second]) == ["a", "b"]
    assert (again.attempt, again.delay, again.interrupts, again.place) == (2, 7.5, 3, first.place)
    assert (second.attempt, second.delay, second.interrupts) == (1, 0.0, 0)


async def test_interrupts_are_counted_in_all(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a")
    outcomes: list[Outcome] = ["release", "retry", "release"]
    for number, outcome in enumerate(outcomes, 1):
        await one.settle(step(await one.one(), outcome, interrupts=number if outcome == "release" else 0))
    assert (await one.one()).interrupts == 3


@pytest.mark.parametrize("order", ORDERS)
async def test_a_full_mailbox_is_given_only_what_goes_before_all_that_it_has(bench: Bench, order: Order) -> None:
    one = await bench.session()
    await one.put("a", "b")
    await one.claim(order, 1)
    await one.put("urgent", priority=2)
    await one.put("same", priority=1)
    assert bodies(await one.claim(order, above=1)) == ["urgent"]
    assert await one.claim(order, above=1) == []
    assert bodies(await one.claim(order)) == ["same", "b"]


class TestStrict:
    async def test_a_full_mailbox_is_given_nothing_before_a_retry_that_is_due(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a")
        await one.settle(step(await one.one("strict"), "retry", at=LATER, holds=True))
        await one.put("urgent", priority=1)
        bench.clock.pass_by(60)
        assert await one.claim("strict", above=0) == []
        assert bodies(await one.claim("strict")) == ["a", "urgent"]

    async def test_another_session_gets_none_while_the_first_is_there(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b")
        assert bodies(await one.claim("strict", 1)) == ["a"]
        assert await two.claim("strict") == []
        await one.close()
        assert bodies(await two.claim("strict")) == ["a", "b"]

    @pytest.mark.parametrize("order", ["strict", "keyed"])
    async def test_a_retry_holds_up_all_behind_it(self, bench: Bench, order: Order) -> None:
        one = await bench.session()
        await one.put("a", "b", key="k")
        await one.put("low", key="k", priority=-1)
        await one.settle(step(await one.one(order), "retry", at=LATER, holds=True))
        assert await one.claim(order) == []
        assert await one.next_due(order) == LATER
        bench.clock.pass_by(59)
        assert await one.claim(order) == []
        bench.clock.pass_by(1)
        assert bodies(await one.claim(order)) == ["a", "b", "low"]

    async def test_a_retry_goes_before_whatever_came_since_of_every_priority(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        await one.put("late", priority=2, due=LATER)
        await one.settle(step(await one.one("strict"), "retry", at=LATER, holds=True))
        await one.put("urgent", priority=1)
        assert await one.claim("strict") == []
        bench.clock.pass_by(60)
        assert bodies(await one.claim("strict")) == ["a", "late", "urgent", "b"]

    async def test_so_it_does_when_the_session_that_retried_it_has_died(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        await one.settle(step(await one.one("strict"), "retry", at=LATER, holds=True))
        bench.clock.pass_by(60)
        await one.one("strict")
        await one.put("urgent", priority=1)
        one.kill()
        two = await bench.session()
        assert bodies(await two.claim("strict")) == ["a", "urgent", "b"]

    @pytest.mark.parametrize("order", ["strict", "keyed"])
    async def test_a_retry_that_is_released_keeps_its_place_in_front(self, bench: Bench, order: Order) -> None:
        one = await bench.session()
        await one.put("a", "b", key="k")
        await one.settle(step(await one.one(order), "retry", at=LATER, holds=True))
        bench.clock.pass_by(60)
        for _ in range(2):
            await one.settle(step(await one.one(order), "release"))
        await one.put("urgent", key="k", priority=1)
        assert bodies(await one.claim(order)) == ["a", "urgent", "b"]

    @pytest.mark.parametrize("outcome", ["quarantine", "discard"])
    async def test_what_ends_holds_up_nobody(self, bench: Bench, outcome: Outcome) -> None:
        one = await bench.session()
        await one.put("a", "b")
        await one.settle(step(await one.one("strict"), outcome))
        assert bodies(await one.claim("strict")) == ["b"]

    async def test_one_that_is_cancelled_while_it_holds_up_others_lets_them_go(self, bench: Bench) -> None:
        one = await bench.session()
        (first, _) = await one.put("a", "b")
        await one.settle(step(await one.one("strict"), "retry", at=LATER, holds=True))
        assert await one.desk.cancel(first)
        assert bodies(await one.claim("strict")) == ["b"]


class TestLeaving:
    async def test_an_address_that_is_given_up_is_anothers_and_what_was_claimed_stays_in_hand(
        self, bench: Bench
    ) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b", "c")
        first = await one.one("strict")
        assert await two.claim("strict") == []
        await one.engine.write(Batch(left=[INBOX]))
        assert bodies(await two.claim("strict", 1)) == ["b"]
        assert await one.claim("strict") == []
        assert await one.settle(step(first)) == ["ok"]
        assert bodies(await two.claim("strict")) == ["c"]

    async def test_the_steps_of_that_batch_come_first_so_that_the_next_one_gets_what_was_released(
        self, bench: Bench
    ) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b")
        first = await one.one("strict")
        await one.engine.write(Batch([step(first, "release")], left=[INBOX]))
        written = await two.write(wants=[Want(INBOX, "strict", 9)])
        assert (bodies(written.deliveries), written.gained) == (["a", "b"], [INBOX])

    async def test_others_hear_of_it(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a")
        await two.hears(INBOX)
        await one.claim("strict")
        await one.engine.write(Batch(left=[INBOX]))
        assert await two.hears(INBOX)

    async def test_who_never_had_it_takes_it_from_nobody(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b")
        await one.one("strict")
        await two.engine.write(Batch(left=[INBOX, "never heard of"]))
        assert await two.claim("strict") == []

    async def test_who_gave_it_up_may_take_it_again_and_is_told_that_it_gained_it(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        for body in ("a", "b"):
            written = await one.write(wants=[Want(INBOX, "strict", 1)])
            assert (bodies(written.deliveries), written.gained) == ([body], [INBOX])
            await one.engine.write(Batch([step(written.deliveries[0])], left=[INBOX]))


class TestFree:
    async def test_sessions_share_what_there_is(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put(*"abcd")
        assert [bodies(await who.claim("free", 1)) for who in (one, two, one, two)] == [["a"], ["b"], ["c"], ["d"]]

    async def test_others_pass_one_that_waits_for_its_retry(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        await one.settle(step(await one.one(), "retry", at=LATER))
        await one.put("c")
        assert bodies(await one.claim()) == ["b", "c"]

    async def test_a_key_means_nothing(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b", "c", key="k")
        await one.settle(step(await one.one(), "retry", at=LATER, holds=True))
        assert bodies(await one.claim("free", 1)) == ["b"]
        assert bodies(await two.claim("free", 1)) == ["c"]

    async def test_one_that_held_up_others_before_a_deploy_made_it_free_is_still_due(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        await one.settle(step(await one.one("strict"), "retry", at=LATER, holds=True))
        assert bodies(await one.claim("free")) == ["b"]
        assert await one.next_due("free") == LATER


class TestKeyed:
    async def test_a_key_is_in_one_hand_at_a_time(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.receipts(message("a1", key="a"), message("a2", key="a"), message("b1", key="b"))
        assert bodies(await one.claim("keyed", 1)) == ["a1"]
        assert bodies(await two.claim("keyed")) == ["b1"]
        assert bodies(await one.claim("keyed")) == ["a2"]

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_a_key_is_free_again_when_the_claim_has_ended(self, bench: Bench, outcome: Outcome) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a1", "a2", key="a")
        first = await one.one("keyed")
        assert await two.claim("keyed") == []
        await one.settle(step(first, outcome))
        expected = ["a1", "a2"] if outcome in ("retry", "release") else ["a2"]
        assert bodies(await two.claim("keyed")) == expected

    async def test_keys_that_are_to_be_the_last_are_taken_where_there_are_too_few_others(self, bench: Bench) -> None:
        one = await bench.session()
        await one.receipts(*(message(f"{key}{n}", key=key) for key in "ab" for n in (1, 2)), message("none"))

        async def claim(room: int, *last: str) -> list[str]:
            return bodies((await one.write(wants=[Want(INBOX, "keyed", room, last=last)])).deliveries)

        assert await claim(1, "a") == ["b1"]
        assert await claim(1, "b", "a") == ["none"]
        assert await claim(2, "a", "it's none") == ["b2", "a1"]
        assert await claim(9, "a") == ["a2"]

    async def test_a_retry_holds_up_its_own_key_only(self, bench: Bench) -> None:
        one = await bench.session()
        await one.receipts(message("a1", key="a"), message("a2", key="a"), message("b1", key="b"), message("none"))
        await one.settle(step(await one.one("keyed"), "retry", at=LATER, holds=True))
        assert bodies(await one.claim("keyed")) == ["b1", "none"]

    async def test_a_retry_holds_up_its_key_at_every_priority_and_in_every_session(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        (first,) = await one.put("a1", key="a")
        await one.settle(step(await one.one("keyed"), "retry", at=LATER, holds=True))
        await one.receipts(message("a2", key="a", priority=9), message("a3", key="a", priority=-9))
        await one.receipts(message("b1", key="b", priority=-9))
        assert bodies(await one.claim("keyed")) == ["b1"]
        assert await two.claim("keyed") == []
        bench.clock.pass_by(60)
        assert {first} <= {delivery.id for delivery in await two.claim("keyed")}

    async def test_a_retry_that_is_due_goes_before_all_others_of_its_key_and_other_keys_go_by_priority(
        self, bench: Bench
    ) -> None:
        one = await bench.session()
        await one.put("a1", "a2", key="a")
        await one.settle(step(await one.one("keyed"), "retry", at=LATER, holds=True))
        await one.put("a0", key="a", priority=2)
        await one.put("b0", key="b", priority=1)
        await one.put("none", priority=-1)
        bench.clock.pass_by(60)
        assert bodies(await one.claim("keyed", 1)) == ["b0"]
        assert await one.claim("keyed", above=1) == []
        assert bodies(await one.claim("keyed")) == ["a1", "none", "a0", "a2"]

    async def test_a_retry_in_hand_holds_up_none_of_its_key_in_that_session(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a1", "a2", key="a")
        await one.settle(step(await one.one("keyed"), "retry", at=LATER, holds=True))
        bench.clock.pass_by(60)
        assert bodies(await one.claim("keyed", 1)) == ["a1"]
        await one.put("a0", key="a", priority=2)
        assert await two.claim("keyed") == []
        assert bodies(await one.claim("keyed")) == ["a0", "a2"]

    async def test_messages_without_a_key_are_free(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a", "b", "c")
        await one.settle(step(await one.one("keyed"), "retry", at=LATER, holds=True))
        assert bodies(await one.claim("keyed", 1)) == ["b"]
        assert bodies(await two.claim("keyed", 1)) == ["c"]

    async def test_a_key_of_another_mailbox_is_another_key(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.receipts(message("a", key="k"), message("b", "elsewhere", key="k"))
        assert bodies(await one.claim("keyed")) == ["a"]
        assert bodies(await two.claim("keyed", address="elsewhere")) == ["b"]

    async def test_what_is_in_hand_is_not_held_up_by_its_own_due_time_when_the_clock_is_set_back(
        self, bench: Bench
    ) -> None:
        one = await bench.session()
        await one.put("a1", key="a", due=LATER)
        bench.clock.pass_by(60)
        await one.one("keyed")
        bench.clock.pass_by(-60)
        await one.put("a2", key="a")
        assert bodies(await one.claim("keyed")) == ["a2"]
