"""How messages to a durable actor, its replies and its state become bytes, and come back.

Everything that can be known of a class is worked out when the class is made; a message costs one Struct, one encoding
and one look at whether it can be read again.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar, get_origin

import msgspec

from upright.actors.errors import UnknownHandler, WrongArguments
from upright.actors.handlers import HOOKS
from upright.actors.options import encodable

from .forms import Form, Locate, Misfit, Unresolved, spelled
from .signatures import Signature

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
S = TypeVar("S")


class Undecodable(ValueError):
    """Stored bytes do not fit the handler, or the state, that they are for; says which, and why."""


class Unencodable(TypeError):
    """A result or a state is not what its annotation says, and could not be read back. Nothing was stored."""


def packed(name: str, value: object) -> bytes:
    """The bytes of a value that nothing is known of. Raises `TypeError` for one that cannot be stored."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"expected {name} to be what can be stored, got {type(value).__name__}: {error}") from error


def handler(*, name: str) -> Callable[[F], F]:
    """Pin the name under which messages for a method are stored, so that the method may be renamed.

    The pin holds for overrides too, until one pins another name. Raises `ValueError` for an empty name.

    >>> class Mailer:
    ...     @handler(name="send_v1")
    ...     async def dispatch(self, number: str) -> None: ...
    >>> list(ActorCodec(Mailer).handlers)
    ['send_v1']
    """
    if not name:
        raise ValueError(f"expected name to be a name, got {name!r}")
    encodable("name", name)

    def mark(function: F) -> F:
        function.__wire_name__ = name  # type: ignore[attr-defined]  # a mark on a function, read in ActorCodec
        return function

    return mark


def local(function: F) -> F:
    """Mark an async method that is never sent durably; its parameters may be of any type."""
    function.__local__ = True  # type: ignore[attr-defined]  # a mark on a function, read in ActorCodec
    return function


class HandlerCodec:
    """The messages of one handler of `owner`: `method` is its name, `wire_name` the one that is stored with them.

    Where a name in the annotations is not defined yet, the rest is made at its first use, or by `resolve`.
    `TypeError` says what cannot be encoded.

    >>> class Ledger:
    ...     async def append(self, entry: str, *, cents: int = 0) -> int: ...
    >>> codec = HandlerCodec(Ledger, "append", Ledger.append)
    >>> codec.decode(codec.encode(("rent",), {"cents": 5}))
    (('rent',), {'cents': 5})
    """

    __slots__ = ("_made", "function", "method", "owner", "wire_name")

    def __init__(self, owner: type, method: str, function: Callable[..., Any], wire_name: str = "") -> None:
        self.owner, self.method, self.function, self.wire_name = owner, method, function, wire_name or method
        self._made: tuple[Signature, Form, Form] | None = None
        try:
            self._made = self._make()
        except Unresolved:
            pass  # `resolve` says it, when every module has been loaded

    def resolve(self) -> None:
        """Raise `TypeError` for what cannot be encoded, a name that is still not defined among it."""
        self._ready()

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> bytes:
        """The payload of a call with these arguments. What was not given is not in it; a default is the reader's.

        Raises `WrongArguments` where the call would fail, and for values that are not what the annotations say.
        """
        signature, form, _ = self._made or self._ready()
        if not kwargs and tuple(map(type, args)) == signature.simple:
            try:
                return form.write(signature.struct(*args))
            except (TypeError, ValueError, OverflowError):
                pass  # a number that is too large, say: what follows says it better
        try:
            return form.encode(signature.bind(args, kwargs))
        except (TypeError, Misfit) as error:
            raise WrongArguments(f"{signature.title}: {error}") from error

    def decode(self, body: bytes, locate: Locate | None = None) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """The arguments and the keywords (None for none) of a payload; `locate` finds the Refs in it.

        Raises `Undecodable`, and what `locate` raises; a `TypeError` or `ValueError` of its makes it undecodable.
        """
        signature, form, _ = self._made or self._ready()
        try:
            return signature.unbind(form.decode(body, locate))
        except Misfit as error:
            raise Undecodable(f"{len(body)} bytes do not fit {signature.title}: {error}") from error

    def encode_result(self, value: Any) -> bytes:
        """The bytes of what the handler returned. Raises `Unencodable`."""
        signature, _, form = self._made or self._ready()
        try:
            return form.encode(value)
        except Misfit as error:
            raise Unencodable(f"{signature.title}: {error}") from error

    def decode_result(self, body: bytes, locate: Locate | None = None) -> Any:
        """What the handler returned. Raises as `decode` does."""
        signature, _, form = self._made or self._ready()
        try:
            return form.decode(body, locate)
        except Misfit as error:
            raise Undecodable(f"{len(body)} bytes do not fit {signature.title}: {error}") from error

    def _ready(self) -> tuple[Signature, Form, Form]:
        made = self._made
        if made is None:
            try:
                made = self._made = self._make()
            except Unresolved as error:
                raise TypeError(str(error)) from error
        return made

    def _make(self) -> tuple[Signature, Form, Form]:
        signature = Signature(self.owner, self.method, self.function)
        result = Form(signature.title, "result", signature.result)
        return signature, Form(signature.title, "", signature.struct), result


class Methods(dict[str, HandlerCodec]):
    """The handlers of a class that may be stored, by the names of their methods."""

    def __init__(self, owner: type) -> None:
        super().__init__()
        self.owner = owner

    def __missing__(self, name: str) -> HandlerCodec:
        marked = getattr(inspect.getattr_static(self.owner, name, None), "__local__", False)
        got = f"{name}, which is marked @local" if marked else name
        raise UnknownHandler(f"expected a handler of {self.owner.__name__} that can be stored, got {got}")


class ActorCodec:
    """The messages of all handlers of one class: its public async methods, inherited ones too, without those `@local`.

    `handlers`: by the name that is stored; `get` tells an unknown one. `methods`: by the method that a sender names;
    what is not there raises `UnknownHandler`, and says why.

    Raises `TypeError` for a signature that cannot be encoded, and for two handlers with one stored name.

    >>> class Ledger:
    ...     async def append(self, entry: str) -> int: ...
    >>> codec = ActorCodec(Ledger)
    >>> codec.methods["append"] is codec.handlers["append"]
    True
    """

    __slots__ = ("handlers", "methods", "owner")

    def __init__(self, owner: type) -> None:
        self.owner = owner
        self.handlers: dict[str, HandlerCodec] = {}
        self.methods = Methods(owner)
        for name in dir(owner):
            function = inspect.getattr_static(owner, name)
            if name.startswith("_") or name in HOOKS or not inspect.iscoroutinefunction(function):
                continue
            if getattr(function, "__local__", False):
                continue
            codec = HandlerCodec(owner, name, function, pinned(owner, name))
            same = self.handlers.setdefault(codec.wire_name, codec)
            if same is not codec:
                raise TypeError(
                    f"expected each handler of {owner.__name__} to be stored under a name of its own, "
                    f"got {codec.wire_name} for both {same.method} and {name}"
                )
            self.methods[name] = codec

    def resolve(self) -> None:
        """Make what waits for names that were not defined yet, at the start. Raises `TypeError`."""
        for codec in self.handlers.values():
            codec.resolve()


def pinned(owner: type, method: str) -> str:
    """The stored name that the nearest class pins for a method, or that method's own."""
    marks = (getattr(vars(base).get(method), "__wire_name__", "") for base in owner.__mro__)
    return next(filter(None, marks), method)


class StateCodec(Generic[S]):
    """The state of a durable actor: any type that msgspec supports, and a class may have versions.

    A class says which it is by `__version__: ClassVar[int]`, 1 or more, and 1 where it says nothing. State of another,
    older version goes through its `upgrade(data, from_version)`, a static or class method, which gets the fields as a
    dict of plain values (a date may be a str there) and returns those of this version.

    Where a name in its annotations is not defined yet, the rest is made at its first use, or by `resolve`. Raises
    `TypeError` for a type that cannot be encoded or an `upgrade` that needs an instance, `ValueError` for a version
    that is none.

    >>> class Balance(msgspec.Struct):
    ...     cents: int = 0
    >>> codec = StateCodec(Balance)
    >>> codec.decode(codec.encode(Balance(5)))
    Balance(cents=5)
    """

    __slots__ = ("_head", "_kind", "_made", "_upgrade", "title", "version")

    def __init__(self, kind: type[S]) -> None:
        self._kind, self.title = kind, spelled(kind)
        self.version = version_of(self.title, kind)
        self._upgrade = upgrade_of(self.title, kind)
        # An array of the version and the state. No version's bytes begin with those of another.
        self._head = b"\x92" + msgspec.msgpack.encode(self.version)
        self._made: Form | None = None
        try:
            self._made = self._make()
        except Unresolved:
            pass  # as in a HandlerCodec

    def resolve(self) -> None:
        """Raise `TypeError` for what cannot be encoded, a name that is still not defined among it."""
        self._ready()

    def encode(self, state: S) -> bytes:
        """The bytes of a state, with the version. Raises `Unencodable`."""
        form = self._made or self._ready()
        try:
            return self._head + form.encode(state)
        except Misfit as error:
            raise Unencodable(f"{self.title}: {error}") from error

    def decode(self, body: bytes, locate: Locate | None = None) -> S:
        """The state, upgraded if it is of an older version.

        Raises `Undecodable`, also for the state of a newer version, and what `locate` raises.
        """
        form, head = self._made or self._ready(), self._head
        try:
            fields = memoryview(body)[len(head) :] if body.startswith(head) else self._upgraded(body)
            state: S = form.decode(fields, locate)
            return state
        except Misfit as error:
            raise Undecodable(f"{len(body)} bytes do not fit the state {self.title}: {error}") from error

    def _ready(self) -> Form:
        made = self._made
        if made is None:
            try:
                made = self._made = self._make()
            except Unresolved as error:
                raise TypeError(str(error)) from error
        return made

    def _make(self) -> Form:
        return Form(self.title, "state", self._kind, "give it fields of types that msgspec supports")

    def _upgraded(self, body: bytes) -> bytes:
        """The bytes of the state of another version as those of this one."""
        try:
            stored, data = msgspec.msgpack.decode(body, type=tuple[int, dict[str, Any]])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            stored, data = 0, {}
        if stored < 1:
            raise Undecodable(f"{len(body)} bytes do not fit the state {self.title}: expected a version and fields")
        got = (
            f"the state of {len(body)} bytes was stored as version {stored} of {self.title}, and this is {self.version}"
        )
        if stored > self.version or self._upgrade is None:
            raise Undecodable(f"{got}, which has no way to upgrade it" if stored < self.version else got)
        try:
            return msgspec.msgpack.encode(self._upgrade(data, stored))
        except Exception as error:
            raise Undecodable(f"{got}: upgrade failed with {type(error).__name__}") from error


def version_of(title: str, kind: Any) -> int:
    """The version that a class of states says it is. Raises `ValueError` for what is no version."""
    version = getattr(kind, "__version__", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(f"expected {title}.__version__ to be 1 or more, got {version!r}")
    return version


def upgrade_of(title: str, kind: Any) -> Callable[[dict[str, Any], int], Any] | None:
    """The hook of a class of states. Raises `TypeError` if it needs an instance; a field of that name is no hook."""
    owner = get_origin(kind) or kind
    hook = inspect.getattr_static(owner, "upgrade", None)
    if inspect.isfunction(hook):
        raise TypeError(f"expected {title}.upgrade to be a static or a class method")
    return owner.upgrade if isinstance(hook, staticmethod | classmethod) else None
