"""The contract of the stores: records, of which there may be many of a kind, and the steps of a message among them."""

import pytest

from tests.persistence.contract import INBOX, OUTCOMES, Bench, Session, message, step
from upright.persistence.records import (
    NOBODYS,
    Batch,
    Delivery,
    Outcome,
    RecordWrite,
    StateRecord,
    Step,
    Want,
    steps_of,
)
from upright.persistence.reports import RecordFilter

pytestmark = pytest.mark.anyio


def record(name: str, expected: int = 0, body: bytes | None = b"x", kind: str = "runs") -> RecordWrite:
    return RecordWrite(kind, name, expected, body)


def save(*records: RecordWrite, delivery: Delivery = NOBODYS) -> Step:
    return Step(delivery, "save", records=records)


def taken(delivery: Delivery, name: str = "first", sent: str = "") -> Step:
    """That step of the handler of a delivery is done."""
    outgoing = (message(sent, "elsewhere"),) if sent else ()
    return Step(delivery, "save", records=(record(name, kind=steps_of(delivery.id)),), outgoing=outgoing)


async def names(session: Session, kind: str = "runs") -> list[str]:
    return [one.name for one in await session.desk.records(RecordFilter(kind))]


class TestRecords:
    async def test_each_write_is_of_the_next_version(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        assert await one.settle(save(record("a")), save(record("a", 1, b"y"))) == ["ok", "ok"]
        assert await two.engine.read("a", "runs") == StateRecord(2, b"y")
        assert await two.settle(save(record("a", 1, b"late"))) == ["conflict"]
        assert await one.engine.read("a", "runs") == StateRecord(2, b"y")

    async def test_of_a_step_all_records_are_written_or_none(self, bench: Bench) -> None:
        one = await bench.session()
        assert await one.settle(save(record("a"))) == ["ok"]
        assert await one.settle(save(record("b"), record("a"))) == ["conflict"]
        assert await names(one) == ["a"]

    async def test_they_are_on_disk_unless_nobody_gets_to_know_of_them(self, bench: Bench) -> None:
        assert Batch([save(record("a"))]).lasts
        assert not Batch([Step(NOBODYS, "save", records=(RecordWrite("runs", "a", 0, b"", lasts=False),))]).lasts

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_they_go_with_the_outcome_of_a_delivery(self, bench: Bench, outcome: Outcome) -> None:
        one = await bench.session()
        await one.put("a")
        delivery = await one.one()
        assert await one.settle(step(delivery, outcome, records=(record("a"),))) == ["ok"]
        assert await one.settle(step(delivery, outcome, records=(record("b"),))) == ["lost"]
        assert await names(one) == ["a"]


class TestDeletion:
    async def test_one_without_a_body_deletes_what_is_there_whatever_its_version(self, bench: Bench) -> None:
        one = await bench.session()
        await one.settle(save(record("a")), save(record("a", 1)), save(record("b")))
        assert await one.settle(save(record("a", 0, None)), save(record("never", 0, None))) == ["ok", "ok"]
        assert await names(one) == ["b"]
        assert await one.engine.read("a", "runs") is None

    async def test_without_a_name_it_deletes_all_of_the_kind_and_no_other(self, bench: Bench) -> None:
        one = await bench.session()
        await one.settle(save(record("a"), record("b"), record("a", kind="run")))
        assert await one.settle(save(record("", 0, None))) == ["ok"]
        assert await names(one) == []
        assert await names(one, "run") == ["a"]

    async def test_what_is_deleted_may_be_made_anew(self, bench: Bench) -> None:
        one = await bench.session()
        await one.settle(save(record("a")), save(record("a", 0, None)), save(record("a", 0, b"new")))
        assert await one.engine.read("a", "runs") == StateRecord(1, b"new")

    async def test_it_happens_with_its_step_or_not_at_all(self, bench: Bench) -> None:
        one = await bench.session()
        await one.settle(save(record("a")), save(record("b")))
        assert await one.settle(save(record("a", 0, None), record("b"))) == ["conflict"]
        assert await names(one) == ["a", "b"]


class TestStepsOfAMessage:
    async def test_one_is_kept_while_the_claim_holds_which_goes_on(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a")
        delivery = await one.one()
        assert await one.settle(taken(delivery, sent="news")) == ["ok"]
        assert await one.engine.read("first", steps_of(delivery.id)) == StateRecord(1, b"x")
        assert [one.body for one in await one.claim(address="elsewhere")] == [b"news"]
        assert await one.claim() == []
        assert await one.depth() == 1
        assert await one.settle(step(delivery)) == ["ok"]

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_one_of_a_claim_that_has_ended_is_refused_with_all_that_it_sent(
        self, bench: Bench, outcome: Outcome
    ) -> None:
        one = await bench.session()
        await one.put("a", "b")
        delivery, other = await one.claim()
        await one.settle(step(delivery, outcome))
        assert await one.settle(taken(other), taken(delivery, sent="news"), save(record("r"))) == ["ok", "lost", "ok"]
        assert await names(one, steps_of(delivery.id)) == []
        assert await names(one, steps_of(other.id)) == ["first"]
        assert await one.claim(address="elsewhere") == []

    async def test_one_of_a_claim_that_somebody_else_has_by_now_is_refused(self, bench: Bench) -> None:
        one, two = await bench.session(), await bench.session()
        await one.put("a")
        late = await one.one()
        await one.settle(step(late, "release"))
        current = await two.one()
        assert await one.settle(taken(late)) == ["lost"]
        assert await two.settle(taken(current, "second")) == ["ok"]
        assert await names(two, steps_of(late.id)) == ["second"]

    async def test_in_one_batch_with_the_end_the_order_decides(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        first, second = await one.claim()
        assert await one.settle(taken(first), step(first), step(second), taken(second)) == ["ok", "ok", "ok", "lost"]
        assert await names(one, steps_of(second.id)) == []

    async def test_they_are_there_for_the_next_attempt_and_after_a_redrive(self, bench: Bench) -> None:
        one = await bench.session()
        (id,) = await one.put("a")
        for outcome in ("retry", "release", "quarantine"):
            delivery = await one.one()
            await one.settle(taken(delivery, outcome), step(delivery, outcome))
        await one.desk.redrive([id])
        assert await names(one, steps_of(id)) == ["quarantine", "release", "retry"]

    @pytest.mark.parametrize("ending", ["discard", "cancel"])
    async def test_an_end_by_hand_deletes_them(self, bench: Bench, ending: str) -> None:
        one = await bench.session()
        (id,) = await one.put("a")
        delivery = await one.one()
        await one.settle(taken(delivery), step(delivery, "quarantine" if ending == "discard" else "release"))
        if ending == "discard":
            assert await one.desk.discard([id]) == 1
        else:
            assert await one.desk.cancel(id)
        assert await names(one, steps_of(id)) == []

    async def test_they_can_be_written_beside_a_claim(self, bench: Bench) -> None:
        one = await bench.session()
        await one.put("a", "b")
        written = await one.write([taken(await one.one())], wants=[Want(INBOX, "free", 9)])
        assert [each.body for each in written.deliveries] == [b"b"]


class TestLooking:
    async def test_one_is_found_by_its_name_alone(self, bench: Bench) -> None:
        one = await bench.session()
        await one.settle(save(record("a"), record("ab"), record("b"), record("a", kind="others")))
        assert [each.name for each in await one.desk.records(RecordFilter("runs", name="a"))] == ["a"]
        assert await one.desk.records(RecordFilter("runs", name="A")) == []
        assert await one.desk.records(RecordFilter("runs", name="")) == []

    async def test_kinds_tell_how_many_there_are_in_each_status_but_not_of_those_without_one(
        self, bench: Bench
    ) -> None:
        one = await bench.session()
        assert await one.desk.kinds() == {}
        await one.put("a")
        await one.settle(
            taken(await one.one()),
            save(record("entity", kind="accounts")),
            save(*(RecordWrite("machine/a", name, 0, b"x", "running", "new") for name in "xyz")),
            save(RecordWrite("machine/a", "z", 1, b"x", "failed", "new"), RecordWrite("b", "z", 0, b"", "completed")),
        )
        assert await one.desk.kinds() == {"machine/a": {"running": 2, "failed": 1}, "b": {"completed": 1}}
        one.kill()
        two = await bench.session()
        assert (await two.desk.kinds())["b"] == {"completed": 1}
