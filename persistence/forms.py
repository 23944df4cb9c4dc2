"""The bytes of one type: what it may hold, how it is written, and in which words its errors speak.

The bytes are MessagePack, of what the type says and nothing else. Whatever is written is read back once with the same
type before it counts as written, because a Struct's constructor checks no types, and nothing may be stored that cannot
be read. That costs about as much as two calls of a Python function.

What comes back is what the annotation says: a datetime with a time zone as the same moment in UTC, a Struct of a
subclass deep inside as the class that is named there (an argument itself may not be one; a tagged union keeps them).

No error holds a value of a payload, only names, types and sizes: errors end up in logs.
"""

import copy
import dataclasses
import datetime
import decimal
import enum
import inspect
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import inspect as kinds
from msgspec.structs import astuple, force_setattr

from upright.actors.actor import Actor
from upright.actors.errors import ActorError
from upright.actors.refs import Ref

Locate = Callable[[str, type[Any]], Ref[Any]]
"""Finds the ref of a path, for actors of a class, as `system.ref` does."""

SCALARS = (
    *(bool, bytearray, bytes, float, int, str, type(None)),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID),
)
WAYS_OUT = "annotate it with a type that msgspec supports, or mark the method with @local: it is then never stored"

# How msgspec ends an error, where that has a place; and its errors that quote a value, without the value.
PLACE = re.compile(r" - at `(?:key` in `)?\$([^`]*)`$")
EXPECTED = re.compile(r"Expected (`.*)")
MISSING = re.compile(r"Object missing required field `(.*)`")
INVALID = re.compile(r"Invalid ((?:enum |decimal |RFC3339 encoded |ISO8601 |MessagePack |epoch )?[a-zA-Z]+)")
UNSUPPORTED = re.compile(r"Encoding objects of type (\S+) is unsupported")
OTHERWISE: tuple[tuple[type[Exception], str], ...] = (
    (OverflowError, "a number that is too large"),
    (UnicodeError, "text that is not UTF-8"),
    (RecursionError, "values that are nested too deep"),
    (msgspec.ValidationError, "a value out of bounds"),
    (msgspec.DecodeError, "bytes that are no MessagePack"),
)


class Unresolved(Exception):
    """A name or a type variable in an annotation stands for nothing yet."""


class Misfit(ValueError):
    """A value, or bytes, do not fit their type. The text says where and why, and not whose they are."""


class Form:
    """The bytes of the values of one type. A Ref is written as its path, a set in the order of its items' bytes.

    `title`, `root`: whose value it is, and what it is called in errors; no name for a row of arguments. `ways`: what
    to do about a type that has no encoding. Raises `TypeError` for such a type, `Unresolved` where a name in it is not
    defined.

    >>> form = Form("Ledger.append", "result", list[datetime.date])
    >>> form.decode(form.encode([datetime.date(2024, 2, 29)]))
    [datetime.date(2024, 2, 29)]
    """

    __slots__ = ("_encode", "_kind", "_read", "_refs", "_root", "_sets", "_type", "write")

    def __init__(self, title: str, root: str, type_: Any, ways: str = WAYS_OUT) -> None:
        found = examine(title, f"the {root}", type_, ways)
        self._refs = any(isinstance(node, kinds.CustomType) for node in found)
        self._sets = any(isinstance(node, kinds.SetType | kinds.FrozenSetType) for node in found)
        self._type, self._root, self._kind = type_, root, kind_of(type_) if root else None
        self._encode = msgspec.msgpack.Encoder(enc_hook=path_of if self._refs else None).encode
        self.write: Callable[[Any], bytes] = self._encode
        """The bytes of a value that is known to be what its type says. Raises what msgspec raises."""
        self._read: Callable[[Any], Any] = msgspec.msgpack.Decoder(type_, dec_hook=unfound).decode

    def encode(self, value: Any) -> bytes:
        """The bytes of a value. Raises `Misfit`."""
        kind = self._kind
        wrong = None if kind is None or type(value) is kind else mismatch(self._root, value, kind)
        if wrong is None:
            try:
                body = self._encode(self._ordered(value) if self._sets else value)
                self._read(body)
                return body
            except (ActorError, MemoryError):
                raise
            except Exception as error:
                wrong = explain(error, self._place(value, error))
        # Beyond the `except`: an error with the value in its text must be nobody's context.
        raise Misfit(wrong)

    def decode(self, body: bytes | memoryview, locate: Locate | None = None) -> Any:
        """The value. Raises `Misfit`, and what `locate` raises unless that is a `TypeError` or a `ValueError`."""
        try:
            if not self._refs:
                return self._read(body)
            return msgspec.msgpack.decode(body, type=self._type, dec_hook=finder(locate))
        except (ActorError, MemoryError):
            raise
        except Exception as error:
            wrong = explain(error, self._root)
        raise Misfit(wrong)

    def _place(self, value: Any, error: Exception) -> str:
        """Where the error is, roughly: msgspec says it for what it reads, not for what it writes."""
        if isinstance(value, msgspec.Struct) and not isinstance(error, msgspec.ValidationError):
            for name in value.__struct_fields__:
                try:
                    self._encode(getattr(value, name))
                except Exception:
                    return f"{self._root}.{name}".lstrip(".")
        return self._root

    def _ordered(self, value: Any) -> Any:
        """The value with lists for its sets, because a set is in another order in each process."""
        kind = value.__class__
        put: Callable[[Any, str, Any], None] = object.__setattr__
        if issubclass(kind, set | frozenset):
            return sorted(map(self._ordered, value), key=self._encode)
        if issubclass(kind, list | tuple):
            return [self._ordered(each) for each in value]
        if issubclass(kind, dict):
            return {key: self._ordered(each) for key, each in value.items()}
        if issubclass(kind, msgspec.Struct):
            names, put = kind.__struct_fields__, force_setattr
        elif dataclasses.is_dataclass(kind):
            names = tuple(each.name for each in dataclasses.fields(kind))
        else:
            return value
        twin = copy.copy(value)
        for name in names:
            put(twin, name, self._ordered(getattr(value, name)))
        return twin


def path_of(value: Any) -> str:
    """A Ref as it is written."""
    if isinstance(value, Ref):
        return value.path
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")  # what msgspec says of others


def address(kind: Any, path: Any) -> tuple[str, type[Any]]:
    """The path of a Ref and the class that its annotation names, which is `Actor` where that names none."""
    if not isinstance(path, str):
        raise TypeError(f"expected the path of a Ref, got {type(path).__name__}")
    named = get_args(kind)
    # `Any` is a class since Python 3.11.
    return path, named[0] if named and isinstance(named[0], type) and named[0] is not Any else Actor


def unfound(kind: Any, path: Any) -> Ref[Any]:
    """A Ref that is good for nothing, for values that are read only to see that they can be."""
    nowhere: Any = None
    return Ref(nowhere, *address(kind, path))


def finder(locate: Locate | None) -> Callable[[Any, Any], Ref[Any]]:
    """What makes Refs of paths while a value is read."""

    def find(kind: Any, path: Any) -> Ref[Any]:
        if locate is None:
            raise TypeError("expected no Ref where there is no system to find it in")
        return locate(*address(kind, path))

    return find


def examine(title: str, what: str, hint: Any, ways: str = WAYS_OUT) -> list[kinds.Type]:
    """All types in a type. Raises `TypeError` if one has no encoding, `Unresolved` where a name is not defined."""
    try:
        found = list(nodes(kinds.type_info(hint)))
    except NameError as error:
        raise Unresolved(refusal(title, what, f"{spelled(hint)}, in which {error}", ways)) from error
    except TypeError as error:
        raise TypeError(refusal(title, what, f"{spelled(hint)}: {error}", ways)) from error
    for node in found:
        if isinstance(node, kinds.CustomType) and node.cls is not Ref:
            inside = "" if hint is node.cls else f" in {spelled(hint)}"
            raise TypeError(refusal(title, what, f"{node.cls.__module__}.{node.cls.__qualname__}{inside}", ways))
    return found


def nodes(root: kinds.Type) -> Iterator[kinds.Type]:
    """A type and all types in it, each once: they may be recursive."""
    seen = {id(root)}
    ahead = [root]
    while ahead:
        node = ahead.pop()
        yield node
        for value in astuple(node):
            parts: Any = value if value.__class__ is tuple else (value,)
            for part in parts:
                inner: Any = part.type if isinstance(part, kinds.Field) else part
                if isinstance(inner, kinds.Type) and id(inner) not in seen:
                    seen.add(id(inner))
                    ahead.append(inner)


def kind_of(hint: Any) -> type[Any] | None:
    """The class that a value must be of, where the annotation is one; None where it says more or less than that."""
    while get_origin(hint) is Annotated:
        hint = hint.__origin__
    if get_origin(hint) is Ref:
        return Ref
    if not inspect.isclass(hint) or get_origin(hint) is not None:
        return None
    kind: type[Any] = hint
    return kind if kind is Ref or kind in SCALARS or issubclass(kind, enum.Enum) or has_fields(kind) else None


def has_fields(kind: type[Any]) -> bool:
    """Whether its values are written field by field."""
    return issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind) or hasattr(kind, "__attrs_attrs__")


def mismatch(what: str, value: Any, kind: type[Any] | None) -> str | None:
    """Why a value is not of the class that was expected; None if it is."""
    got = value.__class__
    if kind is None or got is kind or (kind is float and got is int):
        return None
    if not isinstance(value, kind):
        return f"expected {what} to be {kind.__name__}, got {got.__name__}"
    if has_fields(kind):
        return f"expected {what} to be exactly {kind.__name__}, got {got.__name__}, which would lose what it adds"
    return None


def explain(error: Exception, root: str) -> str:
    """What does not fit, and where, of an error whose own text may hold a value."""
    text = str(error) if isinstance(error, msgspec.MsgspecError | TypeError) else ""
    place = PLACE.search(text)
    where = root + (place[1] if place else "")
    what = where.lstrip(".") or "a row of arguments"
    text = text[: place.start()] if place else text
    if error.__cause__ is not None:  # raised by a hook, or by a class's own check of its fields
        return f"expected {what} to be accepted, got {type(error.__cause__).__name__}"
    if isinstance(error, msgspec.ValidationError):
        if expected := EXPECTED.fullmatch(text):
            return f"expected {what} to be {expected[1].replace('`', '')}"
        if missing := MISSING.fullmatch(text):
            what = f"{where}.{missing[1]}".lstrip(".")
            return f"expected {what}, got nothing"
        if invalid := INVALID.match(text):
            return f"expected {what} to be valid, got an invalid {invalid[1]}"
    if unsupported := UNSUPPORTED.fullmatch(text):
        return f"expected {what} to hold what can be stored, got {unsupported[1]}"
    got = next((words for kind, words in OTHERWISE if isinstance(error, kind)), type(error).__name__)
    return f"expected {what} to fit, got {got}"


def refusal(title: str, what: str, got: str, ways: str = WAYS_OUT) -> str:
    """Why a type cannot be stored, and the ways out."""
    return f"expected {what} of {title} to have a type that can be stored, got {got}; {ways}"


def spelled(hint: Any) -> str:
    """A type as one would write it.

    >>> spelled(int), spelled(list[datetime.date])
    ('int', 'list[date]')
    """
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint.__name__
    return re.sub(r"(?:[\w<>]+\.)+(?=\w)", "", repr(hint))
