"""The laws of stored state: it comes back, older versions are upgraded, and nothing that is unreadable is written."""

import contextlib
import datetime
import decimal
from typing import Any, ClassVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Actor, Ref
from upright.persistence.codec import StateCodec, Undecodable, Unencodable


class First(msgspec.Struct):
    cents: int = 0
    opened: datetime.datetime | None = None


class Second(msgspec.Struct):
    """The state of `First`, counted in another unit."""

    __version__: ClassVar[int] = 2
    euros: decimal.Decimal = decimal.Decimal(0)
    opened: datetime.datetime | None = None

    @classmethod
    def upgrade(cls, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        assert from_version == 1
        return {"euros": decimal.Decimal(data.pop("cents")) / 100, **data}


class Third(Second):
    __version__: ClassVar[int] = 300
    owner: str = ""

    @classmethod
    def upgrade(cls, data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return Second.upgrade(data, 1) if from_version == 1 else data


class Stuck(First):
    __version__: ClassVar[int] = 2


class Broken(Stuck):
    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        raise KeyError("cents")


class Odd(Stuck):
    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> dict[str, Any]:
        return {"cents": "secret"}


class Holder(msgspec.Struct):
    ref: Ref[Actor] | None = None


STATES = st.builds(First, st.integers(0, 10**9), st.none() | st.datetimes(timezones=st.just(datetime.UTC)))


@given(STATES)
def test_a_state_comes_back(state: First) -> None:
    assert StateCodec(First).decode(StateCodec(First).encode(state)) == state


@given(st.dictionaries(st.text(), st.integers(0, 9)))
def test_a_state_may_be_of_any_type_and_keeps_its_order(state: dict[str, int]) -> None:
    kind: Any = dict[str, int]
    codec: StateCodec[dict[str, int]] = StateCodec(kind)
    assert list(codec.decode(codec.encode(state)).items()) == list(state.items())


def test_the_bytes_are_an_array_of_the_version_and_the_state() -> None:
    assert msgspec.msgpack.decode(StateCodec(Third).encode(Third(owner="a"))) == [
        300,
        {"euros": "0", "opened": None, "owner": "a"},
    ]


@given(STATES)
def test_a_state_of_an_older_version_is_upgraded(state: First) -> None:
    body = StateCodec(First).encode(state)
    euros = decimal.Decimal(state.cents) / 100
    assert StateCodec(Second).decode(body) == Second(euros, state.opened)
    assert StateCodec(Third).decode(body) == Third(euros, state.opened)
    assert StateCodec(Third).decode(StateCodec(Second).encode(Second(euros))) == Third(euros)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (
            Stuck,
            "the state of 18 bytes was stored as version 1 of Stuck, and this is 2, which has no way to upgrade it",
        ),
        (
            Broken,
            "the state of 18 bytes was stored as version 1 of Broken, and this is 2: upgrade failed with KeyError",
        ),
        (Odd, "18 bytes do not fit the state Odd: expected state.cents to be int, got str"),
    ],
)
def test_a_state_that_cannot_be_upgraded_is_undecodable(kind: type[Any], why: str) -> None:
    with pytest.raises(Undecodable) as caught:
        StateCodec(kind).decode(StateCodec(First).encode(First(1)))
    assert str(caught.value) == why


def test_a_state_of_a_newer_version_is_undecodable() -> None:
    with pytest.raises(Undecodable, match=r"was stored as version 300 of Second, and this is 2$"):
        StateCodec(Second).decode(StateCodec(Third).encode(Third()))


@pytest.mark.parametrize(
    "body", [b"", b"\x92", b"\x92\x01", b"secret", b"\x92\x01\x91\x01", b"\x92\x00\x80", b"\x91" * 3_000]
)
def test_bytes_that_are_no_state_are_undecodable(body: bytes) -> None:
    for kind in (First, Second):
        with pytest.raises(Undecodable, match=f"^{len(body)} bytes do not fit the state {kind.__name__}: expected "):
            StateCodec(kind).decode(body)


@given(st.binary(max_size=40) | STATES.map(StateCodec(First).encode), st.integers(0, 40))
def test_any_bytes_are_read_or_undecodable(body: bytes, cut: int) -> None:
    for kind in (First, Second, Third, Broken, Odd):
        for some in (body, body[:cut], body[cut:]):
            with contextlib.suppress(Undecodable):
                StateCodec(kind).decode(some)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (First(cast("Any", "secret")), "First: expected state.cents to be int, got str"),
        (Stuck(), "First: expected state to be exactly First, got Stuck, which would lose what it adds"),
        (None, "First: expected state to be First, got NoneType"),
    ],
)
def test_a_state_that_could_not_be_read_again_is_never_written(state: Any, why: str) -> None:
    with pytest.raises(Unencodable) as caught:
        StateCodec(First).encode(state)
    assert str(caught.value) == why


def test_a_state_may_hold_refs() -> None:
    nowhere: Any = None
    codec = StateCodec(Holder)
    body = codec.encode(Holder(Ref(nowhere, "/a", Actor)))
    assert codec.decode(body, lambda path, actor: Ref(nowhere, path, actor)) == Holder(Ref(nowhere, "/a", Actor))


class Callback(msgspec.Struct):
    call: type


class Instance(msgspec.Struct):
    def upgrade(self, data: dict[str, Any], from_version: int) -> dict[str, Any]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (
            Callback,
            "the state of Callback to have a type that can be stored, got builtins.type in Callback; give it fields",
        ),
        (Instance, "expected Instance.upgrade to be a static or a class method"),
    ],
)
def test_a_type_that_is_no_state_is_refused(kind: type[Any], why: str) -> None:
    with pytest.raises(TypeError) as caught:
        StateCodec(kind)
    assert why in str(caught.value)


@pytest.mark.parametrize("version", [0, -1, True, "2", None])
def test_a_version_is_a_whole_number_from_one(version: Any) -> None:
    kind = type("Balance", (First,), {"__version__": version})
    with pytest.raises(ValueError, match=r"expected Balance.__version__ to be 1 or more, got"):
        StateCodec(kind)


class Offer(msgspec.Struct):
    upgrade: bool = False


def test_a_field_named_upgrade_is_no_hook() -> None:
    assert StateCodec(Offer).decode(StateCodec(Offer).encode(Offer(True))) == Offer(True)


class Unfinished(msgspec.Struct):
    next: "NotYet | None" = None  # type: ignore[name-defined]  # noqa: F821


def test_a_state_with_a_name_that_is_not_defined_is_looked_up_at_the_start_or_at_the_first_use() -> None:
    codec = StateCodec(Unfinished)
    for deed in (codec.resolve, lambda: codec.encode(Unfinished())):
        with pytest.raises(TypeError, match=r"the state of Unfinished .* name 'NotYet' is not defined; give it fields"):
            deed()
    globals()["NotYet"] = First
    codec.resolve()
    assert codec.decode(codec.encode(Unfinished(First(1)))) == Unfinished(First(1))
