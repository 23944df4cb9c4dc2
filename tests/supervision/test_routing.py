"""The laws of who gets a message, over plain values: slots of keys, least loads, the key that a message has."""

import datetime
import subprocess
import sys
import uuid
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from tests.actors.lives import Systems, quiet
from upright.actors import Message
from upright.supervision import ByKey, by_key, child, dynamic, partitioned, pool
from upright.supervision.routing import check_routing, first_argument, jump, least_loaded, plain_key, slot

KEYS = st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**64 - 1), st.tuples(st.text(), st.integers(0, 9)))
SIZES = st.integers(1, 200)


class Customer(msgspec.Struct):
    """A key that is a struct."""

    name: str
    tags: set[str]


@given(KEYS, SIZES)
def test_a_slot_is_one_of_the_slots_and_always_the_same(key: Any, slots: int) -> None:
    assert 0 <= slot(key, slots) < slots
    assert slot(key, slots) == slot(key, slots)


def test_a_slot_is_the_same_in_every_process() -> None:
    """Python's own hash of a string, and with it the order of a set, is not."""
    code = (
        "from upright.supervision.routing import slot\n"
        "import datetime, uuid\n"
        "keys = ['a-17', b'x', 5, -1, 2.5, ('a', 1), {'x', 'y', 'z', 'w'}, {'b': 1, 'a': 2}, uuid.UUID(int=7),\n"
        "        datetime.date(2026, 1, 2), True, '\u00fc']\n"
        "print([slot(key, 1000) for key in keys])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("0", "1", "4242")
    }
    keys = ["a-17", b"x", 5, -1, 2.5, ("a", 1), {"x", "y", "z", "w"}, {"b": 1, "a": 2}, uuid.UUID(int=7)]
    assert said == {f"{[slot(key, 1000) for key in [*keys, datetime.date(2026, 1, 2), True, 'ü']]}\n"}


def test_the_slots_are_those_of_the_first_release() -> None:
    """Whoever changes them moves everybody's keys at an upgrade."""
    assert [slot(key, 16) for key in ("a-17", "s-1", 5, b"x")] == [5, 7, 15, 11]


def test_jump_is_the_function_of_the_paper() -> None:
    """Values that other implementations of it give."""
    known = {(1, 1): 0, (42, 57): 43, (0xDEAD10CC, 1): 0, (0xDEAD10CC, 666): 361, (256, 1024): 520}
    assert {pair: jump(*pair) for pair in known} == known


@given(st.integers(0, 2**64 - 1), SIZES)
def test_a_key_that_moves_when_a_slot_is_added_moves_to_the_new_slot(hashed: int, slots: int) -> None:
    assert jump(hashed, slots + 1) in (jump(hashed, slots), slots)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 16, 40])
def test_about_one_key_in_n_moves_when_the_nth_slot_is_added(slots: int) -> None:
    keys = [f"key-{number}" for number in range(20_000)]
    moved = sum(slot(key, slots) != slot(key, slots + 1) for key in keys)
    assert moved / len(keys) == pytest.approx(1 / (slots + 1), rel=0.15)


@pytest.mark.parametrize("slots", [2, 3, 10, 64])
def test_keys_are_spread_evenly(slots: int) -> None:
    found = Counter(slot(number, slots) for number in range(slots * 2_000))
    assert set(found) == set(range(slots))
    assert min(found.values()) > 1_750
    assert max(found.values()) < 2_250


@pytest.mark.parametrize("key", [object(), lambda: 1, {object()}, 2**70, Deeds])
def test_a_key_that_cannot_be_encoded_is_refused_with_its_type(key: Any) -> None:
    with pytest.raises(TypeError, match=f"expected a key that msgspec can encode.*{type(key).__name__}"):
        slot(key, 4)


def test_a_struct_and_a_set_are_keys_by_their_contents() -> None:
    one, other = Customer("ann", {"a", "b", "c", "d"}), Customer("ann", {"d", "c", "b", "a"})
    assert slot(one, 1_000) == slot(other, 1_000)
    assert slot(one, 1_000) != slot(Customer("ben", set()), 1_000)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(-1, 15))
def test_the_least_loaded_is_a_minimum_and_the_first_such_after_the_last_one(loads: list[int], after: int) -> None:
    place = least_loaded(loads, after, float)
    assert loads[place] == min(loads)
    start = after + 1
    between = [loads[(start + step) % len(loads)] for step in range((place - start) % len(loads))]
    assert min(loads) not in between


@given(st.integers(1, 12))
def test_idle_ones_are_taken_in_turn(count: int) -> None:
    last, taken = -1, list[int]()
    for _ in range(2 * count):
        last = least_loaded([0] * count, last, float)
        taken.append(last)
    assert taken == [*range(count), *range(count)]


def test_an_idle_one_ends_the_search() -> None:
    looked: list[int] = []

    def look(load: int) -> float:
        looked.append(load)
        return load

    assert least_loaded([5, 5, 0, 5], 0, look) == 2
    assert looked == [5, 0]


@pytest.mark.parametrize("routing", ["least_loaded", "round_robin", "broadcast", by_key(), by_key(str)])
def test_every_routing_is_accepted(routing: Any) -> None:
    check_routing(routing)


@pytest.mark.parametrize("routing", ["random", "", None, 1, by_key, len, [], "by_key", "Broadcast"])
def test_what_is_no_routing_is_refused_with_the_value_and_the_choices(routing: Any) -> None:
    with pytest.raises(ValueError, match="expected routing") as raised:
        pool("x", Deeds, size=1, routing=routing)
    assert repr(routing) in str(raised.value)
    for choice in ("least_loaded", "round_robin", "broadcast", "by_key"):
        assert choice in str(raised.value)


@pytest.mark.parametrize("key", ["customer", 1, Message("note")])
def test_a_key_that_is_no_function_is_refused_with_the_value(key: Any) -> None:
    with pytest.raises(TypeError, match="expected key to be a function of the message") as raised:
        by_key(key)
    assert repr(key) in str(raised.value)


@pytest.mark.parametrize("key", ["customer", len, "broadcast"])
def test_partitions_are_routed_by_key_only(key: Any) -> None:
    with pytest.raises(TypeError, match=r"expected key of 'x' to be by_key\(…\), got") as raised:
        partitioned("x", dynamic("part"), partitions=2, key=key)
    assert repr(key) in str(raised.value)


@pytest.mark.parametrize(
    ("message", "key"),
    [
        (Message("note", ("a", "b")), "a"),
        (Message("note", (7,)), 7),
        (Message("note", ("a",), {"word": "b"}), "a"),
        (Message("note", (), {"word": "b", "more": "c"}), "b"),
        (Message("start_child", (child("s-1", Deeds),)), "s-1"),
        (Message("start_child", (), {"spec": child("s-1", Deeds)}), "s-1"),
        (Message("note", (0,)), 0),
        (Message("note", ("",)), ""),
        (Message("note", (False,)), False),
    ],
)
def test_the_key_of_a_message_is_its_first_argument_and_of_a_child_spec_the_id(message: Message, key: Any) -> None:
    assert first_argument(message) == key
    assert by_key().key(message) == key


def test_a_message_without_an_argument_has_no_key_and_the_error_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"expected note to have a first argument to route by.*by_key\(…\)"):
        first_argument(Message("note"))


@pytest.mark.anyio
async def test_the_key_of_a_ref_is_the_last_part_of_its_path(system: Systems) -> None:
    async with quiet(system) as s:
        ref = await s.spawn("s-1", Deeds)
        assert plain_key(ref) == first_argument(Message("terminate_child", (ref,))) == "s-1"


def test_a_function_of_ones_own_gets_the_whole_message() -> None:
    def customer(message: Message) -> str:
        return f"{message.handler} {message.args} {message.kwargs} {message.asked}"

    routing = by_key(customer)
    assert isinstance(routing, ByKey)
    assert routing.key(Message("pay", (1,), {"to": "b"}, True)) == "pay (1,) {'to': 'b'} True"
