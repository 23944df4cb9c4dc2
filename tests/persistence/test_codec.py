"""The laws of the codec: which handlers are stored, under which names, and what of a payload outlives a new version."""

import datetime
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Actor, Ref, UnknownHandler, WrongArguments
from upright.actors.handlers import HandlerTable
from upright.persistence.codec import (
    ActorCodec,
    HandlerCodec,
    Undecodable,
    Unencodable,
    handler,
    local,
)


class Invoice(msgspec.Struct, frozen=True):
    number: str
    cents: int


class Balance(msgspec.Struct):
    cents: int = 0


class Account(Actor[Balance]):
    async def book(self, invoice: Invoice, *, note: str = "") -> int: ...  # type: ignore[empty-body]

    async def close(self) -> None: ...

    async def owner(self) -> Ref["Account"]: ...  # type: ignore[empty-body]

    @local
    async def watch(self, callback: Callable[[], None]) -> object: ...

    @handler(name="audit_v1")
    async def audit(self, since: datetime.date) -> list[Invoice]: ...  # type: ignore[empty-body]

    async def started(self) -> None: ...

    async def _tidy(self, everything: Any) -> None: ...

    def total(self) -> int: ...  # type: ignore[empty-body]

    @staticmethod
    async def helper(text: str) -> None: ...


class Savings(Account):
    async def audit(self, since: datetime.date) -> list[Invoice]: ...  # type: ignore[empty-body]

    async def close(self, now: bool = False) -> None: ...


def ref(path: str, actor: type[Any]) -> Ref[Any]:
    nowhere: Any = None
    return Ref(nowhere, path, actor)


def codec_of(function: Callable[..., Any]) -> HandlerCodec:
    return HandlerCodec(Actor, "send", function)


def actor_with(**handlers: Any) -> type[Any]:
    return type("Shop", (Actor,), handlers)


@given(st.text(), st.integers(0, 10**6), st.none() | st.text())
def test_a_message_comes_back_as_it_was_sent(number: str, cents: int, note: str | None) -> None:
    codec = ActorCodec(Account).methods["book"]
    kwargs = None if note is None else {"note": note}
    assert codec.decode(codec.encode((Invoice(number, cents),), kwargs)) == ((Invoice(number, cents),), kwargs)


def test_the_payload_is_a_map_of_what_was_given_by_name() -> None:
    body = ActorCodec(Account).methods["book"].encode((Invoice("a", 1),))
    assert msgspec.msgpack.decode(body) == {"invoice": {"number": "a", "cents": 1}}


def test_the_handlers_are_the_public_async_methods_that_are_not_hooks_and_not_local() -> None:
    assert set(ActorCodec(Account).methods) == {"audit", "book", "close", "owner"}


def test_what_is_stored_under_a_name_is_found_in_one_look() -> None:
    codec = ActorCodec(Account)
    assert type(codec.handlers) is dict
    assert codec.handlers["audit_v1"].method == "audit"
    assert codec.handlers["audit_v1"].function is Account.audit
    assert codec.handlers.get("audit") is None


@pytest.mark.parametrize(
    ("name", "got"), [("watch", "got watch, which is marked @local"), ("_tidy", "got _tidy"), ("gone", "got gone")]
)
def test_what_is_never_stored_is_refused_when_it_is_sent(name: str, got: str) -> None:
    with pytest.raises(UnknownHandler) as caught:
        ActorCodec(Account).methods[name]
    assert str(caught.value) == f"expected a handler of Account that can be stored, {got}"


def test_a_base_class_handler_that_is_sent_to_a_subclass_is_the_override() -> None:
    codec = ActorCodec(Savings)
    found = codec.methods[HandlerTable(Savings)[Account.close].name]
    assert found.function is Savings.close
    assert found.decode(found.encode((), {"now": True})) == ((True,), None)


def test_an_inherited_handler_is_stored_too() -> None:
    assert ActorCodec(Savings).methods["book"].function is Account.book


def test_a_pinned_name_holds_for_an_override() -> None:
    assert ActorCodec(Savings).methods["audit"].wire_name == "audit_v1"


def test_an_override_may_pin_another_name() -> None:
    class Other(Account):
        @handler(name="audit_v2")
        async def audit(self, since: datetime.date) -> list[Invoice]: ...  # type: ignore[empty-body]

    assert ActorCodec(Other).methods["audit"].wire_name == "audit_v2"


def test_an_override_may_be_local_and_a_local_method_may_be_overridden_by_one_that_is_not() -> None:
    class Other(Account):
        @local
        async def close(self) -> None: ...

        async def watch(self, callback: str) -> None: ...  # type: ignore[override]

    assert set(ActorCodec(Other).methods) == {"audit", "book", "owner", "watch"}


def test_two_handlers_under_one_stored_name_are_refused_and_both_are_named() -> None:
    class Clash(Account):
        @handler(name="book")
        async def enter(self) -> None: ...

    with pytest.raises(
        TypeError, match="of Clash to be stored under a name of its own, got book for both book and enter"
    ):
        ActorCodec(Clash)


def test_a_pinned_name_is_not_empty() -> None:
    with pytest.raises(ValueError, match="expected name to be a name, got ''"):
        handler(name="")


def test_a_handler_that_cannot_be_stored_is_refused_with_its_class_method_parameter_and_type() -> None:
    async def send(self: Any, callback: Callable[[], None]) -> None: ...

    with pytest.raises(TypeError) as caught:
        ActorCodec(actor_with(send=send))
    assert str(caught.value) == (
        "expected parameter callback of Shop.send to have a type that can be stored, got collections.abc.Callable in "
        "Callable[[], None]; annotate it with a type that msgspec supports, or mark the method with @local: "
        "it is then never stored"
    )


def test_a_result_that_cannot_be_stored_is_refused_too() -> None:
    async def send(self: Any) -> dict[str, object]: ...  # type: ignore[empty-body]

    with pytest.raises(
        TypeError, match=r"expected the result of Shop.send .* got builtins.object in dict\[str, object\]"
    ):
        ActorCodec(actor_with(send=send))


def test_a_name_that_is_not_defined_yet_is_looked_up_at_the_start_or_at_the_first_use() -> None:
    room: dict[str, Any] = {}
    exec("async def send(self, invoice: 'Later') -> 'Later | None': ...", room)
    early = [ActorCodec(actor_with(send=room["send"])) for _ in range(2)]
    assert [*early[0].handlers] == ["send"]
    with pytest.raises(TypeError, match=r"parameter invoice of Shop.send .* name 'Later' is not defined"):
        early[0].resolve()
    room["Later"] = Invoice
    early[0].resolve()
    for codec in early:
        send = codec.methods["send"]
        assert send.decode(send.encode((Invoice("a", 1),))) == ((Invoice("a", 1),), None)


def test_a_name_that_is_never_defined_is_refused_at_the_start_with_the_ways_out() -> None:
    async def send(self: Any, invoice: "Never") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="mark the method with @local"):
        ActorCodec(actor_with(send=send)).resolve()


async def v1(self: Any, invoice: int, note: str) -> None: ...
async def added(self: Any, invoice: int, note: str, urgent: bool = False) -> None: ...
async def demanded(self: Any, invoice: int, note: str, urgent: bool) -> None: ...
async def removed(self: Any, invoice: int) -> None: ...
async def reordered(self: Any, note: str, invoice: int) -> None: ...
async def by_keyword(self: Any, *, note: str, invoice: int) -> None: ...
async def widened(self: Any, invoice: float, note: str | None) -> None: ...
async def narrowed(self: Any, invoice: int, note: int) -> None: ...
async def renamed(self: Any, number: int, note: str) -> None: ...
async def filled(self: Any, before: int = 7, invoice: int = 0, *rest: int, note: str = "") -> None: ...


@pytest.mark.parametrize(
    ("new", "call"),
    [
        (v1, ((3, "n"), None)),
        (added, ((3, "n", False), None)),
        (removed, ((3,), None)),
        (reordered, (("n", 3), None)),
        (by_keyword, ((), {"note": "n", "invoice": 3})),
        (widened, ((3.0, "n"), None)),
        (filled, ((7, 3), {"note": "n"})),
    ],
)
def test_a_payload_of_an_older_signature_is_read_where_it_can_be(new: Callable[..., Any], call: Any) -> None:
    assert codec_of(new).decode(codec_of(v1).encode((3, "n"))) == call


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (demanded, "expected urgent, got nothing"),
        (narrowed, "expected note to be int, got str"),
        (renamed, "expected number, got nothing"),
    ],
)
def test_a_payload_of_an_older_signature_that_does_not_fit_is_undecodable(new: Callable[..., Any], why: str) -> None:
    body = codec_of(v1).encode((3, "n"))
    with pytest.raises(Undecodable) as caught:
        codec_of(new).decode(body)
    assert str(caught.value) == f"{len(body)} bytes do not fit Actor.send: {why}"


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), None, "Account.book: missing a required argument: 'invoice'"),
        (("secret",), None, "Account.book: expected invoice to be Invoice, got str"),
        ((Invoice("a", cast("Any", "secret")),), None, "Account.book: expected invoice.cents to be int, got str"),
        ((Invoice("a", 2**70),), None, "Account.book: expected invoice to fit, got a number that is too large"),
        ((Invoice("a", 1),), {"note": "\ud800"}, "Account.book: expected note to fit, got text that is not UTF-8"),
        ((Invoice("a", 1),), {"note": msgspec.UNSET, "notes": 1}, "unexpected keyword argument 'notes'"),
    ],
)
def test_wrong_arguments_are_refused_before_they_are_stored(args: Any, kwargs: Any, why: str) -> None:
    with pytest.raises(WrongArguments) as caught:
        ActorCodec(Account).methods["book"].encode(args, kwargs)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


@given(st.lists(st.builds(Invoice, st.text(), st.integers(0, 9))))
def test_a_result_comes_back(invoices: list[Invoice]) -> None:
    codec = ActorCodec(Account).methods["audit"]
    assert codec.decode_result(codec.encode_result(invoices)) == invoices


def test_no_result_is_one_byte() -> None:
    codec = ActorCodec(Account).methods["close"]
    assert codec.encode_result(None) == b"\xc0"
    assert codec.decode_result(b"\xc0") is None


def test_a_result_may_be_a_ref() -> None:
    codec = ActorCodec(Account).methods["owner"]
    assert codec.decode_result(codec.encode_result(ref("/a", Account)), ref) == ref("/a", Account)


def test_a_result_that_is_not_what_was_announced_is_refused_before_it_is_stored() -> None:
    codec = ActorCodec(Account).methods["book"]
    with pytest.raises(Unencodable, match=r"^Account.book: expected result to be int, got str$"):
        codec.encode_result("secret")
    with pytest.raises(Undecodable, match=r"^1 bytes do not fit Account.book: expected result to be int, got None$"):
        codec.decode_result(b"\xc0")


class Simple:
    async def take(self, number: int, word: str, body: bytes, share: float, sure: bool) -> None: ...


@given(st.integers(), st.text(), st.binary(), st.floats(allow_nan=False), st.booleans())
def test_the_short_way_of_simple_arguments_writes_what_the_long_way_does(
    number: int, word: str, body: bytes, share: float, sure: bool
) -> None:
    codec = HandlerCodec(Simple, "take", Simple.take)
    args = number, word, body, share, sure
    named: dict[str, Any] = dict(zip(("number", "word", "body", "share", "sure"), args, strict=True))
    try:
        long: bytes | str = codec.encode((), named)
    except WrongArguments as error:
        long = str(error)
    try:
        short: bytes | str = codec.encode(args)
    except WrongArguments as error:
        short = str(error)
    assert short == long
    if isinstance(short, bytes):
        assert codec.decode(short) == (args, None)
