"""The laws of bytes: what was written comes back, what could not is not written, and no error tells a value."""

import dataclasses
import datetime
import decimal
import enum
import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Actor, Ref, SystemNotRunning, WrongClass
from upright.persistence.forms import Form, Misfit, Unresolved, spelled

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Line(msgspec.Struct, frozen=True, order=True):
    sku: str
    count: int = 1


class Card(msgspec.Struct, tag="card", frozen=True):
    number: str


class Cash(msgspec.Struct, tag="cash", frozen=True):
    notes: tuple[int, ...]


class Order(msgspec.Struct):
    id: uuid.UUID
    lines: list[Line]
    paid: Card | Cash | None
    labels: dict[str, frozenset[str]]
    total: decimal.Decimal
    below: "list[Order]" = []


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    tags: frozenset[Colour] = frozenset()


class Pair(NamedTuple):
    left: int
    right: str | None


class Options(TypedDict, total=False):
    retries: int
    label: str


class Box(msgspec.Struct, Generic[T]):
    item: T


class Weird(msgspec.Struct):
    cents: int

    def __post_init__(self) -> None:
        if self.cents < 0:
            raise KeyError(f"secret {self.cents}")


class Bank(Actor):
    pass


class Contract(msgspec.Struct):
    bank: Ref[Bank]
    others: list[Ref[Bank] | None] = []


INTEGERS = st.integers(-(2**63), 2**64 - 1)
DECIMALS = st.decimals(allow_nan=False)
ZONED = st.datetimes(timezones=st.just(datetime.UTC))
LINES = st.builds(Line, sku=st.text(), count=INTEGERS)
PAID = st.none() | st.builds(Card, st.text()) | st.builds(Cash, st.lists(INTEGERS).map(tuple))
LABELS = st.dictionaries(st.text(), st.frozensets(st.text()))
FLAT = st.builds(Order, st.uuids(), st.lists(LINES), PAID, LABELS, DECIMALS)
ORDERS = st.builds(Order, st.uuids(), st.lists(LINES), PAID, LABELS, DECIMALS, st.lists(FLAT, max_size=2))
POINTS = st.builds(Point, st.floats(allow_nan=False), st.frozensets(st.sampled_from(Colour)))
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, INTEGERS),
    (float, st.floats(allow_nan=False)),
    (bool, st.booleans()),
    (str, st.text()),
    (bytes, st.binary()),
    (None, st.none()),
    (decimal.Decimal, DECIMALS),
    (uuid.UUID, st.uuids()),
    (datetime.datetime, st.datetimes() | ZONED),
    (datetime.date, st.dates()),
    (datetime.time, st.times()),
    (datetime.timedelta, st.timedeltas(datetime.timedelta(-10_000), datetime.timedelta(10_000))),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (list[int | str | None], st.lists(INTEGERS | st.text() | st.none())),
    (dict[str, list[bool]], st.dictionaries(st.text(), st.lists(st.booleans()))),
    (dict[int, Line], st.dictionaries(INTEGERS, LINES)),
    (set[str], st.sets(st.text())),
    (frozenset[Line], st.frozensets(LINES)),
    (tuple[int, str], st.tuples(INTEGERS, st.text())),
    (Card | Cash | None, PAID),
    (Order, ORDERS),
    (Point, POINTS),
    (Pair, st.builds(Pair, INTEGERS, st.none() | st.text())),
    (Options, st.fixed_dictionaries({}, optional={"retries": INTEGERS, "label": st.text()})),
    (Box[Order], st.builds(Box[Order], FLAT)),
]


def ref(path: str, actor: type[Any]) -> Ref[Any]:
    nowhere: Any = None
    return Ref(nowhere, path, actor)


def form(kind: Any) -> Form:
    return Form("Bank.pay", "value", kind)


@pytest.mark.parametrize(("kind", "values"), [pytest.param(*each, id=spelled(each[0])) for each in VALUES])
def test_what_was_written_comes_back(kind: Any, values: st.SearchStrategy[Any]) -> None:
    made = form(kind)

    @given(values)
    def comes_back(value: Any) -> None:
        again = made.decode(made.encode(value))
        assert again == value
        assert type(again) is type(value)

    comes_back()


@given(ORDERS)
def test_the_value_is_left_as_it_was(order: Order) -> None:
    before = msgspec.structs.replace(order)
    form(Order).encode(order)
    assert order == before


def test_equal_sets_have_equal_bytes_in_every_process() -> None:
    program = (
        "import enum; from upright.persistence.forms import Form\n"
        "class Tag(enum.Enum): A = 'a'; B = 'b'; C = 'c'\n"
        "form = Form('', '', dict[int, tuple[set[Tag], frozenset[str]]])\n"
        "print(form.encode({7: (set(Tag), frozenset('upright'))}).hex())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        for seed in ("1", "2", "3")
    ]
    assert len({run.stdout for run in runs}) == 1


@given(st.permutations(["ship", "charge", "reserve"]))
def test_a_dict_keeps_its_order_beside_a_set_too(names: list[str]) -> None:
    kind = dict[str, set[int]]
    assert list(form(kind).decode(form(kind).encode({name: {1} for name in names}))) == names


def test_refs_are_found_by_their_paths_and_the_class_of_the_annotation_wherever_they_stand() -> None:
    kind = dict[str, tuple[Contract, Ref[Any] | None]]
    asked: list[tuple[str, type[Any]]] = []

    def locate(path: str, actor: type[Any]) -> Ref[Any]:
        asked.append((path, actor))
        return ref(path, actor)

    value = {"a": (Contract(ref("/a", Bank), [None, ref("/b", Bank)]), ref("/c", Bank))}
    assert form(kind).decode(form(kind).encode(value), locate) == value
    assert asked == [("/a", Bank), ("/b", Bank), ("/c", Actor)]


def test_a_set_of_refs_is_sorted_and_comes_back() -> None:
    made = form(set[Ref[Bank]])
    refs = {ref(f"/{number}", Bank) for number in range(20)}
    assert made.encode(refs) == made.encode({*reversed([*refs])})
    assert made.decode(made.encode(refs), ref) == refs


def test_a_ref_cannot_be_read_where_nobody_finds_it() -> None:
    body = form(Ref[Bank]).encode(ref("/a", Bank))
    with pytest.raises(Misfit, match="expected value to be accepted, got TypeError"):
        form(Ref[Bank]).decode(body)


@pytest.mark.parametrize(("error", "told"), [(WrongClass, Misfit), (SystemNotRunning, SystemNotRunning)])
def test_an_actor_of_another_class_is_a_misfit_but_a_system_that_is_down_is_not(
    error: type[Exception], told: type[Exception]
) -> None:
    def locate(path: str, actor: type[Any]) -> Ref[Any]:
        raise error(path)

    with pytest.raises(told):
        form(Ref[Bank]).decode(form(Ref[Bank]).encode(ref("/a", Bank)), locate)


class Cheque(Line, frozen=True):
    bank: str = ""


class Grid(Point):
    pass


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (int, "secret", "expected value to be int, got str"),
        (int, True, "expected value to be int, got bool"),
        (int, 2**70, "expected value to fit, got a number that is too large"),
        (str, "secret\ud800", "expected value to fit, got text that is not UTF-8"),
        (uuid.UUID, "secret", "expected value to be UUID, got str"),
        (
            datetime.date,
            datetime.datetime(2024, 1, 1),
            "expected value to be valid, got an invalid RFC3339 encoded date",
        ),
        (Line, {"sku": "secret"}, "expected value to be Line, got dict"),
        (Line, Line("secret", "secret"), "expected value.count to be int, got str"),  # type: ignore[arg-type]
        (Line, Cheque("secret"), "expected value to be exactly Line, got Cheque, which would lose what it adds"),
        (Point, Grid(1.0), "expected value to be exactly Point, got Grid, which would lose what it adds"),
        (list[Line], [Line("a"), "secret"], "expected value[1] to be object, got str"),
        (dict[str, Colour], {"a": "secret"}, "expected value[...] to be valid, got an invalid enum value"),
        (Annotated[str, msgspec.Meta(max_length=3)], "secret", "expected value to be str of length <= 3"),
        (list[Any], [object()], "expected value to hold what can be stored, got object"),
        (list[Any], LOOP, "expected value to fit, got values that are nested too deep"),
        (list[Any], [ref("/secret", Bank)], "expected value to hold what can be stored, got Ref"),
        (Ref[Bank], "/secret", "expected value to be Ref, got str"),
        (Contract, Contract(Bank), "expected value.bank to hold what can be stored, got type"),  # type: ignore[arg-type]
    ],
)
def test_what_could_not_come_back_is_not_written_and_the_error_says_where(kind: Any, value: Any, why: str) -> None:
    with pytest.raises(Misfit) as caught:
        form(kind).encode(value)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("kind", "stored", "why"),
    [
        (Line, {"count": 1}, "expected value.sku, got nothing"),
        (Order, {"id": "secret"}, "expected value.id to be valid, got an invalid UUID"),
        (decimal.Decimal, "secret", "expected value to be valid, got an invalid decimal string"),
        (Card | Cash, {"type": "secret"}, "expected value.type to be valid, got an invalid value"),
        (Colour, "secret", "expected value to be valid, got an invalid enum value"),
        (Weird, {"cents": -1}, "expected value to fit, got KeyError"),
        (set[tuple[int, list[int]]], [[1, [1]]], "expected value to fit, got TypeError"),
        (int, msgspec.Raw(b"\xc1"), "expected value to fit, got bytes that are no MessagePack"),
        (str, msgspec.Raw(b"\xa1\xff"), "expected value to fit, got text that is not UTF-8"),
        (Contract, {"bank": 5}, "expected value.bank to be accepted, got TypeError"),
    ],
)
def test_bytes_that_do_not_fit_say_where(kind: Any, stored: Any, why: str) -> None:
    with pytest.raises(Misfit) as caught:
        form(kind).decode(msgspec.msgpack.encode(stored), ref)
    assert str(caught.value) == why


def misfit(deed: Callable[[], Any]) -> Misfit | None:
    try:
        deed()
    except Misfit as error:
        return error
    return None


def whole_story(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), *traceback.format_exception_only(error))
        error = error.__cause__ or error.__context__


@given(st.text("xyz", min_size=8), st.sampled_from([kind for kind, _ in VALUES if kind not in (str, set[str])]))
def test_no_error_tells_a_value(secret: str, kind: Any) -> None:
    made = form(kind)
    deeds: list[Callable[[], Any]] = [
        lambda: made.encode(secret),
        lambda: made.encode([secret]),
        lambda: made.encode({secret: {secret: secret}}),
        lambda: made.decode(msgspec.msgpack.encode(secret)),
        lambda: made.decode(msgspec.msgpack.encode({secret: secret})),
        lambda: made.decode(secret.encode()),
    ]
    for deed in deeds:
        assert not [line for line in whole_story(misfit(deed)) if secret in line]


@given(st.binary(max_size=64) | ORDERS.map(form(Order).encode), st.integers(0, 64))
def test_any_bytes_are_read_or_refused(body: bytes, cut: int) -> None:
    for kind, _ in VALUES:
        for some in (body, body[:cut], body[cut:]):
            misfit(lambda kind=kind, some=some: form(kind).decode(some))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "got"),
    [
        (complex, "got builtins.complex;"),
        (list[Callable[[], None]], "got collections.abc.Callable in list[Callable"),
        (dict[str, Box[Iterator[int]]], "got collections.abc.Iterator in dict[str, Box[Iterator[int]]]"),
        (Line | Card, "multiple Struct"),
        (Ref[Bank] | int, "custom type"),
        (Actor, "got upright.actors.actor.Actor;"),
    ],
)
def test_a_type_without_an_encoding_is_refused_with_the_ways_out(kind: Any, got: str) -> None:
    with pytest.raises(TypeError) as caught:
        form(kind)
    assert got in str(caught.value)
    assert "the value of Bank.pay" in str(caught.value)
    assert "@local" in str(caught.value)


class Later(msgspec.Struct):
    inner: "list[NotYet]"  # type: ignore[name-defined]  # noqa: F821


def test_a_type_with_a_name_that_is_not_defined_is_unresolved() -> None:
    with pytest.raises(Unresolved, match="NotYet"):
        form(Sequence[Later])
