"""Every store: one may look at all that is in it, and what is done by hand is done once."""

import pytest

from tests.persistence.contract import BEGIN, INBOX, OUTCOMES, Bench, bodies, failure, message, step
from upright.persistence.records import ORDERS, Failure, Order, Outcome
from upright.persistence.reports import Counts

pytestmark = pytest.mark.anyio


class TestQuarantine:
    async def test_a_letter_holds_all_that_is_known(self, bench: Bench) -> None:
        one = await bench.session()
        said = message("a", key="k", once="o", sender="/clerk", trace="t", asked=True)
        (receipt,) = await one.receipts(said)
        delivery = await one.one()
        broken = Failure(1, BEGIN, BEGIN + 1, "ValueError: no", "Traceback …", "", "t1")
        await one.settle(step(delivery, "retry", failure=broken))
        bench.clock.pass_by(9)
        worse = Failure(2, BEGIN + 8, BEGIN + 9, "KeyError: 'x'")
        await one.settle(step(await one.one(), "quarantine", reason="attempts", failure=worse))
        (letter,) = await one.letters()
        assert (letter.id, letter.address, letter.handler, letter.body) == (receipt.id, INBOX, "handle", b"a")
        assert (letter.reason, letter.stored, letter.quarantined) == ("attempts", BEGIN, BEGIN + 9)
        assert (letter.key, letter.once, letter.sender, letter.trace) == ("k", "o", "/clerk", "t")
        first, second = letter.attempts
        assert first.owner == second.owner != ""
        assert [first, second] == [
            Failure(1, BEGIN, BEGIN + 1, "ValueError: no", "Traceback …", first.owner, "t1"),
            Failure(2, BEGIN + 8, BEGIN + 9, "KeyError: 'x'", "", first.owner),
        ]

    async def test_it_is_never_handed_out_and_is_not_in_the_depth(self, bench: Bench) -> None:
        one = await bench.session()
        await one.set_aside("a")
        assert await one.claim() == []
        assert await one.depth() == 0
        bench.clock.pass_by(10**9)
        assert await one.claim("strict") == []

    async def test_letters_outlive_their_session_and_the_death_of_others(self, bench: Bench) -> None:
        one = await bench.session()
        ids = await one.set_aside("a", "b")
        one.kill()
        two = await bench.session()
        assert [letter.id for letter in await two.letters()] == ids

    async def test_letters_can_be_asked_for_by_address_reason_error_and_number(self, bench: Bench) -> None:
        one = await bench.session()
        await one.set_aside("a", error="ValueError: 100% wrong", reason="attempts")
        await one.set_aside("b", error="KeyError: 'x'", reason="deadline")
        await one.set_aside("c", error="ValueError: 5", reason="deadline", address="elsewhere")

        async def found(**only: object) -> list[str]:
            return [letter.body.decode() for letter in await one.letters(**only)]

        assert await found() == ["a", "b", "c"]
        assert await found(address=INBOX) == ["a", "b"]
        assert await found(reason="deadline") == ["b", "c"]
        assert await found(error="ValueError") == ["a", "c"]
        assert await found(error="0% wr") == ["a"]
        assert await found(limit=2) == ["a", "b"]
        assert await found(error="ValueError", limit=1) == ["a"]
        assert await found(address=INBOX, reason="deadline", error="x") == ["b"]
        assert await found(error="%") == ["a"]
        assert await found(limit=0) == []
        assert await found(address="none") == []

    async def test_the_error_that_is_asked_for_is_the_last_one(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a")
        delivery = await one.one()
        await one.settle(step(delivery, "retry", failure=failure(delivery, "first")))
        delivery = await one.one()
        await one.settle(step(delivery, "quarantine", failure=failure(delivery, "second")))
        assert len(await one.letters(error="second")) == 1
        assert await one.letters(error="first") == []

    async def test_many_letters_come_each_once_and_in_order(self, bench: Bench) -> None:
        one = await bench.session()
        names = [str(number) for number in range(450)]
        await one.put(*names)
        await one.settle(*[step(delivery, "quarantine") for delivery in await one.claim(room=1_000)])
        assert [letter.body.decode() for letter in await one.letters()] == names

    async def test_its_content_does_not_show_in_its_repr(self, bench: Bench) -> None:
        one = await bench.session()
        await one.set_aside("secret", error="secret")
        (letter,) = await one.letters()
        assert "secret" not in repr(letter)


class TestRedrive:
    @pytest.mark.parametrize("order", ORDERS)
    async def test_it_comes_back_at_the_tail_as_if_new(self, bench: Bench, order: Order) -> None:
        one = await bench.session()
        await one.put("a", key="k", expires=BEGIN + 1)
        delivery = await one.one(order)
        await one.settle(step(delivery, "retry", attempt=4, delay=8.0, interrupts=2, holds=True))
        (id,) = [(delivery := await one.one(order)).id]
        one.engine.begin(id, delivery.attempt, 0.0)
        one.kill()
        two = await bench.session()
        await two.settle(step(await two.one(order), "quarantine", reason="crash_loop"))
        await two.put("b", "c", key="k")
        assert await two.desk.redrive([id]) == {INBOX: 1}
        await two.put("d", key="k")
        deliveries = await two.claim(order)
        assert bodies(deliveries) == ["b", "c", "a", "d"]
        again = deliveries[2]
        assert (again.id, again.attempt, again.crashes, again.interrupts, again.delay) == (id, 1, 0, 0, 0.0)
        assert again.expires == float("inf"), "or it would go straight back"
        assert again.stored == BEGIN
        assert await two.letters() == []

    async def test_several_come_in_the_order_that_they_are_named_in(self, bench: Bench) -> None:
        one = await bench.session()
        a, b, c = await one.set_aside("a", "b", "c")
        (other,) = await one.set_aside("x", address="elsewhere")
        assert await one.desk.redrive([c, a, other, b]) == {INBOX: 3, "elsewhere": 1}
        assert bodies(await one.claim("strict")) == ["c", "a", "b"]
        assert await one.depth("elsewhere") == 1

    async def test_it_comes_at_the_tail_though_the_clock_was_set_back(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.set_aside("a")
        await one.put("b")
        bench.clock.pass_by(-3600)
        await one.desk.redrive([id])
        await one.put("c")
        assert bodies(await one.claim("strict")) == ["b", "a", "c"]

    async def test_only_what_is_in_quarantine_is_redriven_and_only_once(self, bench: Bench) -> None:
        one = await bench.session()
        (aside,) = await one.set_aside("aside")
        done, cancelled, held, waiting = await one.put("done", "cancelled", "held", "waiting")
        await one.settle(step(await one.one()))
        await one.desk.cancel(cancelled)
        await one.one()
        assert await one.desk.redrive([done, cancelled, held, waiting, 12345]) == {}
        assert await one.desk.redrive([aside, aside]) == {INBOX: 1}
        assert await one.desk.redrive([aside]) == {}
        assert await one.depth() == 3
        assert bodies(await one.claim()) == ["waiting", "aside"]

    async def test_it_can_go_to_quarantine_again_with_all_its_attempts(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.set_aside("a", error="first")
        await one.desk.redrive([id])
        delivery = await one.one()
        await one.settle(step(delivery, "quarantine", reason="deadline", failure=failure(delivery, "second")))
        (letter,) = await one.letters()
        assert letter.reason == "deadline"
        assert [attempt.error for attempt in letter.attempts] == ["first", "second"]
        assert await one.depth() == 0

    async def test_its_deadline_counts_from_then_on(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.set_aside("a")
        bench.clock.pass_by(1_000)
        await one.desk.redrive([id])
        again = await one.one()
        assert again.stored == BEGIN
        assert again.accepted == pytest.approx(BEGIN + 1_000)


class TestDiscard:
    async def test_it_is_gone_for_good_but_for_its_story(self, bench: Bench) -> None:
        one = await bench.session()
        a, b = await one.set_aside("a", "b")
        assert await one.desk.discard([a, 12345, a]) == 1
        assert [letter.id for letter in await one.letters()] == [b]
        assert await one.desk.redrive([a]) == {}
        assert await one.desk.discard([a]) == 0
        assert (await one.told(a))[-1] == "discarded"
        assert await one.depth() == 0

    @pytest.mark.parametrize("outcome", ["ack", "discard", "retry", None])
    async def test_only_what_is_in_quarantine_is_discarded(self, bench: Bench, outcome: Outcome | None) -> None:
        one = await bench.session()
        (id,) = await one.put("a")
        delivery = await one.one()
        if outcome:
            await one.settle(step(delivery, outcome))
        before = await one.depth()
        assert await one.desk.discard([id]) == 0
        assert await one.depth() == before


class TestCancel:
    async def test_what_waits_is_taken_back(self, bench: Bench) -> None:
        one = await bench.session()
        id, _ = await one.put("a", "b")
        assert await one.desk.cancel(id)
        assert not await one.desk.cancel(id)
        assert await one.depth() == 1
        assert bodies(await one.claim()) == ["b"]
        assert (await one.told(id))[-1] == "cancelled"

    async def test_so_is_what_waits_for_its_retry(self, bench: Bench) -> None:
        one = await bench.session()
        held, delayed = await one.put("a", "b")
        steps = [step(delivery, "retry", at=BEGIN + 9, holds=delivery.id == held) for delivery in await one.claim()]
        await one.settle(*steps)
        assert await one.desk.cancel(held)
        assert await one.desk.cancel(delayed)
        assert await one.next_due("strict") is None
        assert await one.depth() == 0

    @pytest.mark.parametrize(
        "outcome", [None, *(outcome for outcome in OUTCOMES if outcome not in ("retry", "release"))]
    )
    async def test_it_is_too_late_from_the_claim_on(self, bench: Bench, outcome: Outcome | None) -> None:
        one = await bench.session()
        (id,) = await one.put("a")
        delivery = await one.one()
        if outcome:
            await one.settle(step(delivery, outcome))
        before = await one.depth(), await one.counts()
        assert not await one.desk.cancel(id)
        assert (await one.depth(), await one.counts()) == before
        if not outcome:
            assert await one.settle(step(delivery)) == ["ok"]

    @pytest.mark.parametrize("due", [0.0, BEGIN + 9])
    async def test_the_idempotency_key_of_what_is_cancelled_is_free(self, bench: Bench, due: float) -> None:
        one = await bench.session()
        (first,) = await one.put("first", once="o", due=due)
        assert await one.desk.cancel(first)
        (second,) = await one.receipts(message("second", once="o"))
        assert (second.duplicate, second.id > first) == (False, True)
        (third,) = await one.receipts(message("third", once="o"))
        assert (third.duplicate, third.id) == (True, second.id)
        assert bodies(await one.claim()) == ["second"]

    async def test_what_is_not_there_cannot_be_cancelled(self, bench: Bench) -> None:
        one = await bench.session()
        assert not await one.desk.cancel(12345)


class TestStory:
    async def test_it_tells_a_life_from_stored_to_acked(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.put("a", trace="t")

        async def moment() -> list[tuple[str, float, int]]:
            bench.clock.pass_by(1)
            return [(event.name, event.at - BEGIN, event.attempt) for event in await one.desk.story(id)]

        life = [("stored", 0, 0)]
        assert await moment() == life
        delivery = await one.one()
        assert await moment() == [*life, ("claimed", 1, 1)]
        broken = Failure(1, BEGIN + 2, BEGIN + 3, "ValueError: no")
        await one.settle(step(delivery, "retry", failure=broken, started=BEGIN + 2))
        life += [("claimed", 2, 1), ("failed", 3, 1)]
        assert (await moment())[:3] == life
        delivery = await one.one()
        assert (await moment())[-1] == ("claimed", 3, 2)
        bench.clock.pass_by(1)
        await one.settle(step(delivery, "ack"))
        assert (await moment())[-2:] == [("claimed", 3, 2), ("acked", 5, 2)]
        assert [event.note for event in await one.desk.story(id) if event.name == "failed"] == ["ValueError: no"]
        assert all(event.trace in ("t", "") for event in await one.desk.story(id))

    async def test_it_keeps_the_last_heartbeat_of_each_attempt(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.put("a", trace="t")
        for attempt in (1, 2):
            delivery = await one.one()
            for progress in (b"1", b"2", None):
                bench.clock.pass_by(1)
                assert await one.engine.extend(id, delivery.token, progress)
            bench.clock.pass_by(1)
            await one.settle(step(delivery, "retry" if attempt == 1 else "ack"))
        assert not await one.engine.extend(id, delivery.token, b"late")
        beats = [event for event in await one.desk.story(id) if event.name == "heartbeat"]
        assert [(beat.attempt, beat.at - BEGIN, beat.trace) for beat in beats] == [(1, 3, "t"), (2, 7, "t")]
        assert all(beat.owner for beat in beats)

    async def test_a_heartbeat_of_one_message_leaves_those_of_others_alone(self, bench: Bench) -> None:
        one = await bench.session()
        ids = await one.put("a", "b")
        for delivery in await one.claim():
            await one.engine.extend(delivery.id, delivery.token, b"")
        assert [(await one.told(id)).count("heartbeat") for id in ids] == [1, 1]

    async def test_it_tells_what_was_done_by_hand(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.set_aside("a", reason="rejected")
        bench.clock.pass_by(1)
        await one.desk.redrive([id])
        bench.clock.pass_by(1)
        await one.desk.cancel(id)
        story = await one.desk.story(id)
        assert [event.name for event in story] == [
            "stored",
            "claimed",
            "failed",
            "quarantined",
            "redriven",
            "cancelled",
        ]
        assert story[3].note == "rejected"
        assert [event.at - BEGIN for event in story] == [0, 0, 0, 0, 1, 2]

    async def test_it_tells_what_ran_and_was_interrupted_but_not_what_only_changed_hands(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.put("a")
        await one.settle(step(await one.one(), "release"))
        assert await one.told(id) == ["stored"]
        await one.settle(step(await one.one(), "release", started=BEGIN))
        assert "released" in await one.told(id)

    async def test_nothing_is_known_of_what_never_was(self, bench: Bench) -> None:
        one = await bench.session()
        assert await one.desk.story(12345) == []


async def test_counts_tell_the_unfinished_of_each_address_by_where_they_are(bench: Bench) -> None:
    one = await bench.session()
    assert await one.desk.counts() == {}
    await one.set_aside("q1", "q2")
    await one.put("claimed")
    await one.one()
    await one.put("w1", "w2")
    await one.put("w3", due=BEGIN + 9)
    await one.put("x", "y", address="elsewhere")
    await one.settle(*[step(delivery) for delivery in await one.claim(address="elsewhere")])
    await one.set_aside("z", address="third")
    assert await one.desk.counts() == {INBOX: Counts(3, 1, 2), "third": Counts(0, 0, 1)}
    one.kill()
    two = await bench.session()
    assert await two.counts() == Counts(4, 0, 2)
