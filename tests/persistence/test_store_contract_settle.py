"""Every store: a step happens as a whole or not at all, and only while its claim holds."""

from collections.abc import Callable

import pytest

from tests.persistence.contract import BEGIN, INBOX, OUTCOMES, Bench, Session, bodies, message, state, step
from upright.persistence.records import NOBODYS, Batch, Delivery, Outcome, StateRecord, Step, Want

pytestmark = pytest.mark.anyio


async def everything(session: Session) -> tuple[object, ...]:
    """What a step could have changed."""
    counts = await session.desk.counts()
    return counts, await session.engine.read(INBOX), await session.letters(), await session.depth()


def full(delivery: Delivery, outcome: Outcome) -> Step:
    """A step that changes all that it can."""
    sent = (message("sent", "elsewhere"), message("sent"))
    return step(delivery, outcome, reply=b"reply", state=state(0, "new"), outgoing=sent)


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_claim_ends_once(bench: Bench, outcome: Outcome) -> None:
    one = await bench.session()
    await one.put("a")
    delivery = await one.one()
    assert await one.settle(step(delivery, outcome)) == ["ok"]
    before = await everything(one)
    for again in OUTCOMES:
        assert await one.settle(full(delivery, again)) == ["lost"]
    assert await everything(one) == before


async def test_within_one_batch_too_a_claim_ends_once_and_the_first_step_wins(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a", "b")
    first, second = await one.claim()
    steps = [step(first, "release"), step(first), step(second), step(second, "retry")]
    assert await one.settle(*steps) == ["ok", "lost", "ok", "lost"]
    assert bodies(await one.claim()) == ["a"]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_claim_that_was_given_back_does_not_end_the_next_one(bench: Bench, outcome: Outcome) -> None:
    one = await bench.session()
    await one.put("a")
    old = await one.one()
    await one.settle(step(old, "release"))
    new = await one.one()
    assert await one.settle(full(old, outcome)) == ["lost"]
    assert not await one.engine.extend(old.id, old.token, b"old")
    assert await one.settle(step(new)) == ["ok"]
    assert await one.depth() == 0


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_late_owner_changes_nothing(bench: Bench, outcome: Outcome) -> None:
    """Its session was taken for dead, and its claims are another's by now."""
    late = await bench.session()
    await late.put("a", "b")
    old, _ = await late.claim("strict")
    late.kill()
    heir = await bench.session()
    before = await everything(heir)
    new = await heir.one("strict")
    assert not await late.engine.extend(old.id, old.token, b"late")
    save = Step(NOBODYS, "save", state=state(0, "late"))
    assert await late.settle(full(old, outcome), save) == ["lost", "lost"]
    assert await heir.settle(step(new, "release")) == ["ok"]
    assert await everything(heir) == before
    assert [one.progress for one in await heir.claim("strict")] == [None, None]


async def test_what_a_late_owner_brings_besides_is_its_own(bench: Bench) -> None:
    """It goes on as a new session: it stores, it claims, and when it ends its claims come back."""
    late = await bench.session()
    await late.put("a")
    old = await late.one()
    late.kill()
    heir = await bench.session()
    written = await late.write([step(old)], [message("b", "elsewhere")], [Want("elsewhere", "strict", 9)])
    assert written.verdicts == ["lost"]
    assert bodies(written.deliveries) == ["b"]
    assert await heir.claim("strict", address="elsewhere") == []
    late.kill()
    third = await bench.session()
    assert bodies(await third.claim("strict", address="elsewhere")) == ["b"]


async def test_a_step_that_has_no_effect_leaves_the_others_alone(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a", "b", "c", "d")
    lost, good, conflict, last = await one.claim()
    await one.settle(step(lost, "release"))
    steps = [
        full(lost, "ack"),
        step(good, state=state(0, "good"), outgoing=(message("from good", "elsewhere"),)),
        full(conflict, "ack"),
        step(last, state=state(1, "last"), outgoing=(message("from last", "elsewhere"),)),
    ]
    written = await one.write(steps, [message("put", "elsewhere")], [Want("elsewhere", "free", 9)])
    assert written.verdicts == ["lost", "ok", "conflict", "ok"]
    assert bodies(written.deliveries) == ["from good", "from last", "put"]
    assert written.depths == {INBOX: 2, "elsewhere": 3}
    assert await one.engine.read(INBOX) == StateRecord(2, b"last")


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_a_step_against_another_state_is_in_conflict_and_changes_nothing(bench: Bench, outcome: Outcome) -> None:
    one = await bench.session()
    await one.put("a", "b")
    first, second = await one.claim()
    await one.settle(step(first, state=state(0, "old")))
    before = await everything(one)
    assert await one.settle(full(second, outcome)) == ["conflict"]
    assert await everything(one) == before
    assert await one.settle(step(second, state=state(1, "new"))) == ["ok"], "its claim holds still"


class TestState:
    async def test_there_is_none_at_first(self, bench: Bench) -> None:
        one = await bench.session()
        assert await one.engine.read(INBOX) is None

    async def test_each_write_follows_the_one_before(self, bench: Bench) -> None:
        one = await bench.session()
        for version, body in enumerate("abc"):
            await one.put("x")
            assert await one.settle(step(await one.one(), state=state(version, body))) == ["ok"]
            assert await one.engine.read(INBOX) == StateRecord(version + 1, body.encode())
        await one.close()
        two = await bench.session()
        assert await two.engine.read(INBOX) == StateRecord(3, b"c")

    async def test_writes_that_follow_each_other_may_come_in_one_batch(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b", "c")
        steps = [step(delivery, state=state(number, str(number))) for number, delivery in enumerate(await one.claim())]
        assert await one.settle(*steps) == ["ok", "ok", "ok"]
        assert await one.engine.read(INBOX) == StateRecord(3, b"2")

    @pytest.mark.parametrize(("stored", "expected"), [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3)])
    async def test_only_the_version_that_is_there_may_be_followed(
        self, bench: Bench, stored: int, expected: int
    ) -> None:
        one, two = await bench.session(), await bench.session()
        for version in range(stored):
            assert await one.settle(Step(NOBODYS, "save", state=state(version, "one"))) == ["ok"]
        before = await two.engine.read(INBOX)
        assert await two.settle(Step(NOBODYS, "save", state=state(expected, "two"))) == ["conflict"]
        assert await two.engine.read(INBOX) == before

    async def test_a_chain_that_breaks_is_written_up_to_there(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b", "c")
        first, second, third = await one.claim()
        steps = [step(first, state=state(0, "x")), step(second, state=state(2, "y")), step(third, state=state(1, "z"))]
        assert await one.settle(*steps) == ["ok", "conflict", "ok"]
        assert await one.engine.read(INBOX) == StateRecord(2, b"z")

    async def test_one_may_belong_to_an_address_without_messages(self, bench: Bench) -> None:
        one = await bench.session()
        assert await one.settle(Step(NOBODYS, "save", state=state(0, "saved", "elsewhere"))) == ["ok"]
        assert await one.engine.read("elsewhere") == StateRecord(1, b"saved")
        assert await one.engine.read(INBOX) is None


class TestOutgoing:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_it_is_stored_with_the_outcome(self, bench: Bench, outcome: Outcome) -> None:
        one = await bench.session()
        await one.put("a")
        sent = message("sent", "elsewhere", priority=3, key="k", sender="/inbox", due=BEGIN - 1)
        assert await one.settle(step(await one.one(), outcome, outgoing=(sent,))) == ["ok"]
        (delivery,) = await one.claim(address="elsewhere")
        assert (delivery.body, delivery.priority, delivery.key, delivery.sender) == (b"sent", 3, "k", "/inbox")

    async def test_it_is_stored_with_a_state_of_no_delivery_and_is_then_on_disk(self, bench: Bench) -> None:
        one = await bench.session()
        save = Step(NOBODYS, "save", state=state(0, "x"), outgoing=(message("sent", "elsewhere"), message("too")))
        assert Batch([save]).lasts
        assert await one.settle(save) == ["ok"]
        assert await one.engine.read(INBOX) == StateRecord(1, b"x")
        assert bodies(await one.claim(address="elsewhere")) == ["sent"]
        assert bodies(await one.claim()) == ["too"]

    async def test_of_two_who_save_the_same_version_the_second_sends_nothing(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        first, second = (
            Step(NOBODYS, "save", state=state(0, word), outgoing=(message(word, "elsewhere"),)) for word in "ab"
        )
        put = [message("put", "elsewhere")]
        assert (await one.write([first, second])).verdicts == ["ok", "conflict"]
        assert (await two.write([second], put)).verdicts == ["conflict"]
        assert await two.engine.read(INBOX) == StateRecord(1, b"a")
        assert bodies(await two.claim(address="elsewhere")) == ["a", "put"]

    async def test_it_can_be_claimed_in_the_same_batch(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a")
        sent = (message("x", "elsewhere"), message("y", "elsewhere"))
        written = await one.write([step(await one.one(), outgoing=sent)], wants=[Want("elsewhere", "strict", 9)])
        assert bodies(written.deliveries) == ["x", "y"]

    async def test_it_may_go_to_the_sender_itself(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a")
        written = await one.write([step(await one.one(), outgoing=(message("b"),))], wants=[Want(INBOX, "strict", 9)])
        assert bodies(written.deliveries) == ["b"]
        assert written.depths == {INBOX: 1}


class TestReplies:
    async def test_the_reply_is_kept_with_the_ack(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        ids = await one.put("a", "b", "c", asked=True)
        first, second, _ = await one.claim()
        await one.settle(step(first, reply=b"yes"), step(second))
        assert await two.engine.replies(ids) == {ids[0]: b"yes", ids[1]: None}
        assert await two.engine.replies([]) == {}
        assert await two.engine.replies([12345]) == {}

    @pytest.mark.parametrize("outcome", ["quarantine", "discard"])
    async def test_who_asks_again_hears_that_it_has_ended_otherwise(self, bench: Bench, outcome: Outcome) -> None:
        one = await bench.session()
        (id,) = await one.put("a", asked=True)
        await one.settle(step(await one.one(), outcome, reply=b"no"))
        assert await one.engine.replies([id]) == {id: b"no"}

    async def test_a_message_that_was_redriven_has_no_reply_yet(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.put("a", asked=True)
        await one.settle(step(await one.one(), "quarantine", reply=b"no"))
        await one.desk.redrive([id])
        assert await one.engine.replies([id]) == {}
        await one.settle(step(await one.one()))
        assert await one.engine.replies([id]) == {id: None}


class TestProgress:
    async def test_the_next_attempt_sees_the_last_that_was_told(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        delivery, other = await one.claim()
        for told in (b"1", b"2", None):
            assert await one.engine.extend(delivery.id, delivery.token, told)
        await one.settle(step(delivery, "retry"), step(other, "retry"))
        assert [again.progress for again in await one.claim()] == [b"2", None]

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_there_is_none_without_a_claim(self, bench: Bench, outcome: Outcome) -> None:
        one = await bench.session()
        await one.put("a")
        delivery = await one.one()
        await one.settle(step(delivery, outcome))
        assert not await one.engine.extend(delivery.id, delivery.token, b"late")
        assert not await one.engine.extend(12345, delivery.token, b"nothing")


async def test_an_attempt_that_used_itself_up_counts_and_one_that_did_not_does_not(bench: Bench) -> None:
    one = await bench.session()
    await one.put("a")
    deeds: list[tuple[Callable[[Delivery], Step], int]] = [
        (lambda it: step(it, "retry", delay=2.5), 2),
        (lambda it: step(it, "release"), 2),
        (lambda it: step(it, "retry", attempt=it.attempt - 1), 2),
        (lambda it: step(it, "retry"), 3),
    ]
    for deed, attempt in deeds:
        await one.settle(deed(await one.one()))
        again = await one.one()
        assert again.attempt == attempt
        await one.settle(step(again, "release"))


async def test_a_pardon_gives_back_an_attempt_of_what_waits(bench: Bench) -> None:
    one = await bench.session()
    ids = await one.put("a", "b", "c")
    first, second, third = await one.claim()
    await one.settle(step(first, "retry", attempt=2), step(second, "retry", at=BEGIN + 9))
    await one.engine.write(Batch([step(third, "retry", attempt=0)], pardons=ids))
    bench.clock.pass_by(9)
    assert [again.attempt for again in await one.claim()] == [2, 1, 1]


async def test_a_pardon_comes_too_late_for_what_is_claimed_again(bench: Bench) -> None:
    one = await bench.session()
    ids = await one.put("a")
    await one.settle(step(await one.one(), "retry", attempt=2))
    await one.one()
    await one.engine.write(Batch(pardons=ids))
    one.kill()
    two = await bench.session()
    assert (await two.one()).attempt == 3
