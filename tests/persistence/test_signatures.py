"""The laws of signatures: a payload is bound as a call would be, and what cannot be stored is refused by name."""

import functools
import inspect
import socket
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Generic, NoReturn, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Actor, Ref
from upright.persistence.forms import Unresolved
from upright.persistence.signatures import Signature

K = TypeVar("K")
V = TypeVar("V")

KINDS: dict[type, st.SearchStrategy[Any]] = {
    int: st.integers(0, 9),
    str: st.text(),
    list[int]: st.lists(st.integers(0, 9)),
}
NAMES = tuple("abcdef")
EMPTY = inspect.Parameter.empty


class Item(msgspec.Struct, frozen=True):
    sku: str


def signature(function: Callable[..., Any], owner: type = Actor) -> Signature:
    """The signature of a function as a method of a class below `owner`."""
    return Signature(type("Shop", (owner,), {"sell": function}), "sell", function)


def outcome(function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an async function that waits for nothing returns."""
    call: Any = function(None, *args, **kwargs)
    with pytest.raises(StopIteration) as stopped:
        call.send(None)
    return stopped.value.value


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Awaitable[Any]]:
    """An async method of any signature, which returns its arguments by name."""
    names = list(NAMES[: draw(st.integers(0, 6))])
    cuts = sorted(draw(st.lists(st.integers(0, len(names)), min_size=2, max_size=2)))
    optional = False
    words = ["self"]
    annotations: dict[str, Any] = {"return": dict[str, Any]}
    for place, name in enumerate(names):
        if place == cuts[0] and place:
            words.append("/")
        if place == cuts[1]:
            words.append(draw(st.sampled_from(["*", "*rest"])))
            optional = False
        annotations[name] = draw(st.sampled_from([*KINDS]))
        optional = draw(st.booleans()) or (optional and place < cuts[1])
        words.append(f"{name}=[None]" if optional else name)
    if draw(st.booleans()):
        words.append("**more")
    annotations |= {word.strip("*"): int for word in words if word in ("*rest", "**more")}
    room: dict[str, Any] = {}
    exec(f"async def sell({', '.join(words)}):\n    return {{k: v for k, v in locals().items() if k != 'self'}}", room)
    room["sell"].__annotations__ = annotations
    function: Callable[..., Awaitable[Any]] = room["sell"]
    return function


@given(functions(), st.data())
def test_a_call_from_its_payload_is_the_call_itself(
    function: Callable[..., Awaitable[Any]], data: st.DataObject
) -> None:
    """Whatever the signature: kinds of parameters, defaults, keywords, and what is given by position or by name."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_name = False
    for name, one in list(inspect.signature(function).parameters.items())[1:]:
        if one.kind is one.VAR_POSITIONAL:
            args += [] if by_name else data.draw(st.lists(st.integers(0, 9)))
            continue
        if one.kind is one.VAR_KEYWORD:
            kwargs |= data.draw(st.dictionaries(st.sampled_from(["y", "z"]), st.integers(0, 9)))
            continue
        left_out = one.default is not EMPTY and data.draw(st.booleans())
        by_name = by_name or one.kind is one.KEYWORD_ONLY or left_out
        if one.kind is one.POSITIONAL_OR_KEYWORD:
            by_name = by_name or data.draw(st.booleans())
        if left_out or (by_name and one.kind is one.POSITIONAL_ONLY):
            by_name = True
            continue
        value = data.draw(KINDS[one.annotation])
        if by_name:
            kwargs[name] = value
        else:
            args.append(value)
    made = signature(function)
    said = made.bind(tuple(args), kwargs)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(said), type=made.struct)
    again, keywords = made.unbind(stored)
    assert outcome(function, again, keywords or {}) == outcome(function, tuple(args), kwargs)


SEEN = [Item("a")]
SENTINEL: Any = object()


async def seen(self: Any, first: int, items: list[Item] = SEEN, flag: bool = SENTINEL) -> None: ...


def test_a_default_is_the_very_object_of_the_handler_and_is_not_in_the_payload() -> None:
    made = signature(seen)
    said = made.bind((1,), None)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(said)) == {"first": 1}
    (_, items, flag), keywords = made.unbind(said)
    assert items is SEEN
    assert flag is SENTINEL
    assert keywords is None


async def sell(self: Any, item: Item, count: int = 1, /, price: float = 1.0, *, gift: bool) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "missing a required argument: 'item'"),
        ((Item("a"),), {}, "missing a required .*argument: 'gift'"),
        ((Item("a"), 1, 1.0, True), {}, "too many positional arguments"),
        ((Item("a"),), {"gift": True, "gifts": 1}, "unexpected keyword argument 'gifts'"),
        ((Item("a"), 1, 1.0), {"price": 1.0, "gift": True}, "multiple values for argument 'price'"),
        ((Item("a"),), {"count": 1, "gift": True}, "positional.only.*"),
        (("a",), {"gift": True}, "expected item to be Item, got str"),
        ((Item("a"), 1.5), {"gift": True}, "expected count to be int, got float"),
        ((Item("a"), None), {"gift": True}, "expected count to be int, got NoneType"),
        ((Item("a"),), {"price": "1", "gift": True}, "expected price to be float, got str"),
        ((Item("a"),), {"gift": 1}, "expected gift to be bool, got int"),
    ],
)
def test_what_a_call_would_refuse_is_refused_by_name(args: tuple[Any, ...], kwargs: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        signature(sell).bind(args, kwargs)


def test_an_int_may_stand_for_a_float() -> None:
    signature(sell).bind((Item("a"),), {"price": 1, "gift": True})


async def bare(self: Any, item: Any) -> None: ...
async def silent(self: Any, item: Item) -> None: ...
async def selfless() -> None: ...
async def swallowing(*all: int) -> None: ...
async def socketed(self: Any, wire: socket.socket) -> None: ...
async def nested(self: Any, wires: dict[str, list[socket.socket]]) -> None: ...
async def more_sockets(self: Any, *wires: socket.socket) -> None: ...
async def nonsense(self: Any, item: "1 +") -> None: ...  # type: ignore[valid-type]  # noqa: F722
async def united(self: Any, item: Ref[Actor] | int) -> None: ...
async def generic(self: Any, item: list[V]) -> None: ...


del bare.__annotations__["item"], silent.__annotations__["return"]
UNSTORED: list[tuple[Callable[..., Any], str]] = [
    (bare, "expected parameter item of Shop.sell to have a type that can be stored, got no annotation"),
    (silent, "expected the result of Shop.sell to have a type that can be stored, got no annotation"),
    (selfless, "expected Shop.sell to take self as its first parameter"),
    (swallowing, "expected Shop.sell to take self as its first parameter"),
    (socketed, "expected parameter wire of Shop.sell to have a type that can be stored, got socket.socket;"),
    (nested, "got socket.socket in dict[str, list[socket]];"),
    (more_sockets, "expected parameter wires of Shop.sell to have a type that can be stored, got socket.socket in"),
    (nonsense, "got an annotation that is no type"),
    (united, "expected parameter item of Shop.sell"),
    (
        generic,
        "expected parameter item of Shop.sell to have a type that can be stored, got list[~V], which leaves ~V",
    ),
]


@pytest.mark.parametrize(("function", "why"), UNSTORED)
def test_a_signature_that_cannot_be_encoded_is_refused_by_name(function: Callable[..., Any], why: str) -> None:
    with pytest.raises(TypeError) as caught:
        signature(function)
    assert why in str(caught.value)
    assert "@local" in str(caught.value) or "self" in why


def test_a_handler_that_never_returns_has_no_result() -> None:
    async def sell(self: Any) -> NoReturn:
        raise ValueError

    assert signature(sell).result is type(None)


def test_a_decorated_handler_has_the_signature_that_it_wraps() -> None:
    @functools.wraps(sell)
    async def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert signature(wrapper).struct.__struct_fields__ == ("item", "count", "price", "gift")


def test_a_constraint_of_the_annotation_is_part_of_the_type() -> None:
    async def sell(self: Any, count: Annotated[int, msgspec.Meta(ge=1)]) -> None: ...

    with pytest.raises(msgspec.ValidationError, match="`int` >= 1"):
        msgspec.convert({"count": 0}, signature(sell).struct)


class Shelf(Actor, Generic[K, V]):
    async def put(self, key: K, values: list[V]) -> dict[K, V]:
        raise NotImplementedError


class Named(Shelf[str, V]):
    pass


class Items(Named[Item]):
    pass


class Bare(Named):  # type: ignore[type-arg]
    pass


def test_type_variables_are_what_the_subclass_says() -> None:
    made = Signature(Items, "put", Items.put)
    assert made.struct.__annotations__ == {"key": str, "values": list[Item]}
    assert made.result == dict[str, Item]


def test_type_variables_of_a_class_that_is_still_generic_are_unresolved() -> None:
    with pytest.raises(Unresolved, match=r"leaves ~V open"):
        Signature(Named, "put", vars(Shelf)["put"])


def test_type_variables_that_no_subclass_can_fill_in_are_refused() -> None:
    with pytest.raises(TypeError, match=r"parameter values of Bare.put .* leaves ~V open"):
        Signature(Bare, "put", vars(Shelf)["put"])


def test_a_class_may_name_itself_while_it_is_made() -> None:
    made: list[Signature] = []

    class Early(Actor):
        def __init_subclass__(cls, **kwargs: Any) -> None:
            made.append(Signature(cls, "link", vars(cls)["link"]))

    class Node(Early):
        async def link(self, other: "Ref[Node]") -> None: ...

    assert made[0].struct.__annotations__ == {"other": Ref[Node]}


@pytest.mark.parametrize("hint", ["Missing", "dict[str, Missing]", "msgspec.Missing"])
def test_a_name_that_is_not_defined_yet_is_unresolved_and_told_with_its_parameter(hint: str) -> None:
    async def sell(self: Any, count: int, item: Any) -> None: ...

    sell.__annotations__["item"] = hint
    with pytest.raises(Unresolved, match=r"expected parameter item of Shop.sell .*Missing"):
        signature(sell)
