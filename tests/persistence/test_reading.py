"""The laws of reading what was stored."""

from typing import Any

import pytest

from upright.actors import Actor, Ref, WrongClass
from upright.persistence import Retry
from upright.persistence.codec import ActorCodec
from upright.persistence.reading import UNREADABLE_FOR, UNREADABLE_PAUSE, Reader, Unread
from upright.persistence.records import Delivery

NOW = 1_700_000_000.0
CODEC_BODY = b"\x81\xa6number\x05"  # {"number": 5}


class Ledger(Actor):
    async def append(self, number: int) -> None: ...


def nowhere(path: str, actor: type[Any]) -> Any:
    raise AssertionError("no ref is in any of these")


@pytest.fixture
def reader() -> Reader:
    return Reader(Ledger, ActorCodec(Ledger), Retry(max_attempts=9), nowhere)


def delivery(**fields: Any) -> Delivery:
    given: dict[str, Any] = {"handler": "append", "body": CODEC_BODY, "attempt": 1, "stored": NOW, "due": NOW, **fields}
    return Delivery(id=7, address="ledger", token=1, **given)


def test_what_fits_its_handler_is_read_as_the_call_that_it_was(reader: Reader) -> None:
    read = reader.read(delivery(), NOW)
    assert not isinstance(read, Unread)
    codec, args, kwargs = read
    assert (codec.method, args, kwargs) == ("append", (5,), None)


def test_what_has_expired_is_not_read_and_not_tried_again(reader: Reader) -> None:
    assert reader.read(delivery(expires=NOW - 1), NOW) == Unread("expired")
    assert not isinstance(reader.read(delivery(expires=NOW), NOW), Unread)


def test_three_crashes_in_a_row_are_the_last(reader: Reader) -> None:
    assert not isinstance(reader.read(delivery(attempt=3, crashes=2), NOW), Unread)
    assert reader.read(delivery(attempt=4, crashes=3), NOW) == Unread("crash_loop")


@pytest.mark.parametrize(
    ("fields", "reason", "why"),
    [
        pytest.param({"handler": "gone"}, "unknown_handler", "Ledger has no handler gone", id="no such handler"),
        pytest.param({"body": b"\x81\xa6number\xa1x"}, "undecodable", "number", id="another type"),
        pytest.param({"body": b"\xc1"}, "undecodable", "1 bytes", id="no msgpack"),
    ],
)
def test_what_cannot_be_read_is_tried_again_for_ten_minutes_and_then_no_more(
    reader: Reader, fields: dict[str, Any], reason: str, why: str
) -> None:
    waited, now = 0.0, NOW
    for _ in range(int(UNREADABLE_FOR / UNREADABLE_PAUSE) + 1):
        read = reader.read(delivery(**fields, delay=waited), now)
        assert isinstance(read, Unread)
        assert (read.reason, read.again_at) == (reason, now + UNREADABLE_PAUSE)
        assert why in read.why
        waited, now = read.waited, now + UNREADABLE_PAUSE
    last = reader.read(delivery(**fields, delay=waited), now)
    assert isinstance(last, Unread)
    assert (last.reason, last.again_at) == (reason, None)


def test_the_ten_minutes_count_from_when_it_was_first_seen_not_from_when_it_was_stored(reader: Reader) -> None:
    read = reader.read(delivery(handler="gone", stored=NOW - 9_999, due=NOW - 9_999), NOW)
    assert isinstance(read, Unread)
    assert read.again_at is not None


def test_what_is_older_than_the_total_deadline_is_not_begun() -> None:
    reader = Reader(Ledger, ActorCodec(Ledger), Retry(deadline=60.0), nowhere)
    assert not isinstance(reader.read(delivery(), NOW + 60.0), Unread)
    assert reader.read(delivery(), NOW + 60.1) == Unread("deadline")
    assert not isinstance(reader.read(delivery(due=NOW + 30.0), NOW + 90.0), Unread)


def test_what_a_ref_in_it_leads_to_may_be_wrong_too() -> None:
    class Sender(Actor):
        async def pass_on(self, ref: Ref[Ledger]) -> None: ...

    def elsewhere(path: str, actor: type[Any]) -> Any:
        raise WrongClass(f"expected a Ledger at {path}, found a Clerk")

    reader = Reader(Sender, ActorCodec(Sender), Retry(), elsewhere)
    read = reader.read(delivery(handler="pass_on", body=b"\x81\xa3ref\xa2/a"), NOW)
    assert isinstance(read, Unread)
    assert (read.reason, "WrongClass" in read.why) == ("undecodable", True)
