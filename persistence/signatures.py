"""What the signature of a handler says, as a msgspec Struct: one field per parameter, by name.

It stands apart from the codec because nothing here is bytes, and nearly all of it runs once per class. Parameters go by
name so that a payload outlives a change of its handler: msgspec passes over a field that is no longer there, and a
parameter that is new takes its default.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Never, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET
from msgspec.structs import asdict, astuple

from .forms import Unresolved, examine, kind_of, mismatch, refusal, spelled

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
EMPTY = inspect.Parameter.empty
SIMPLE = (int, str, bytes, bool, float)
"""What is encoded can be read again, where it is exactly of one of these classes."""


class Signature:
    """The parameters of a handler of `owner`, without `self`, and its `result`.

    `struct`: a class with one field per parameter. What has a default in the handler is `UNSET` when it was not given,
    and absent in the payload, so that the call takes the handler's own default. `title`: the handler's name in errors.

    Raises `TypeError` for what cannot be stored, `Unresolved` while a name in the annotations is not defined.

    >>> class Ledger:
    ...     async def append(self, entry: str, *, cents: int = 0) -> int: ...
    >>> signature = Signature(Ledger, "append", Ledger.append)
    >>> said = signature.bind(("rent",), None)
    >>> signature.unbind(said)
    (('rent',), None)
    """

    __slots__ = (
        "_keywords",
        "_kinds",
        "_plain",
        "_positional",
        "_python",
        "_rest",
        "result",
        "simple",
        "struct",
        "_swift",
        "title",
    )

    def __init__(self, owner: type, name: str, function: Callable[..., Any]) -> None:
        self.title = title = f"{owner.__name__}.{name}"
        self._python = signature_of(title, function)
        hints = hints_of(owner, title, name, function)
        self.result: Any = hints.pop("return")
        parameters = list(self._python.parameters.values())
        positional = [one for one in parameters if one.kind in POSITIONAL]
        self._positional = [(one.name, one.default) for one in positional]
        self._rest = "".join(one.name for one in parameters if one.kind is one.VAR_POSITIONAL)
        self._keywords = "".join(one.name for one in parameters if one.kind is one.VAR_KEYWORD)
        first = [field(title, one, hints[one.name]) for one in positional]
        others = [field(title, one, hints[one.name]) for one in parameters if one.kind not in POSITIONAL]
        # `gc`: it lives for microseconds, and the collector need not hear of it.
        struct = msgspec.defstruct(title, first, gc=False, eq=False)
        if others:
            struct = msgspec.defstruct(title, others, bases=(struct,), kw_only=True, gc=False, eq=False)
        self.struct: type[msgspec.Struct] = struct
        self._kinds = tuple(kind_of(hint) for _, hint, _ in (*first, *others))
        # Where a call and the Struct mean the same, it is made of the arguments, and taken apart, in one step.
        nameless = any(one.kind is one.POSITIONAL_ONLY for one in positional)
        self._swift = not (self._rest or self._keywords or nameless)
        self._plain = not others and all(one.default is EMPTY for one in positional)
        simple = self._plain and all(any(hint is one for one in SIMPLE) for _, hint, _ in first)
        self.simple: tuple[type[Any] | None, ...] | None = self._kinds if simple else None
        """The classes of the arguments, where these say all that there is to say of them."""

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> Any:
        """The Struct of a call with these arguments.

        Raises `TypeError` where the call would, in Python's words, and for an argument of another class.
        """
        said: Any = None
        if self._plain and not kwargs and tuple(map(type, args)) == self._kinds:
            return self.struct(*args)  # the most frequent call, of which nothing more need be asked
        if self._swift:
            try:
                said = self.struct(*args, **kwargs) if kwargs else self.struct(*args)
            except TypeError:
                pass  # Python's own way of binding says it better
        if said is None:
            said = self.struct(**self._python.bind(*args, **(kwargs or {})).arguments)
        for value, kind in zip(astuple(said), self._kinds, strict=True):
            if kind is not None and type(value) is not kind and value is not UNSET:
                self._check(said)
        return said

    def _check(self, said: msgspec.Struct) -> None:
        """Raise `TypeError` for the first argument of another class."""
        for name, kind in zip(said.__struct_fields__, self._kinds, strict=True):
            value = getattr(said, name)
            wrong = None if value is UNSET else mismatch(name, value, kind)
            if wrong is not None:
                raise TypeError(wrong)

    def unbind(self, said: Any) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        """The arguments to call the handler with, and the keywords; None where there are none."""
        if self._plain:
            return astuple(said), None
        given = {name: value for name, value in asdict(said).items() if value is not UNSET}
        args = [given.pop(name, default) for name, default in self._positional]
        args += given.pop(self._rest, ())
        keywords: dict[str, Any] = given.pop(self._keywords, {})
        return tuple(args), given | keywords or None


def signature_of(title: str, function: Callable[..., Any]) -> inspect.Signature:
    """The signature without `self`. Raises `TypeError` unless every parameter and the result are annotated."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind not in POSITIONAL:
        raise TypeError(f"expected {title} to take self as its first parameter, got {signature}")
    for one in parameters[1:]:
        if one.annotation is EMPTY:
            raise TypeError(refusal(title, f"parameter {one.name}", "no annotation"))
    if signature.return_annotation is EMPTY:
        raise TypeError(refusal(title, "the result", "no annotation (without a result it is `-> None`)"))
    return signature.replace(parameters=parameters[1:])


def field(title: str, one: inspect.Parameter, hint: Any) -> tuple[str, Any, Any]:
    """A parameter as a field of a Struct: its name, type and default."""
    if one.kind is one.VAR_POSITIONAL:
        hint = tuple[hint, ...]
    elif one.kind is one.VAR_KEYWORD:
        hint = dict[str, hint]
    examine(title, f"parameter {one.name}", hint)
    required = one.default is EMPTY and one.kind not in VARIABLE
    return one.name, hint, msgspec.field() if required else msgspec.field(default=UNSET)


def hints_of(owner: type, title: str, name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a handler as types, in which the type variables of generic classes are filled in."""
    outer: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    # A class that is being made has no name in its module yet; a module's own names come first.
    names = {base.__name__: base for base in reversed(owner.__mro__) if base.__name__ not in outer}
    try:
        hints = get_type_hints(function, localns=names, include_extras=True)
    except (NameError, AttributeError) as error:
        raise Unresolved(refusal(title, culprit(function, error), f"a name that is not defined: {error}")) from error
    except (TypeError, SyntaxError) as error:
        raise TypeError(refusal(title, "every parameter", f"an annotation that is no type: {error}")) from error
    origin = next((base for base in owner.__mro__ if name in vars(base)), owner)
    variables = filled_in(owner).get(origin, {})
    for key, hint in hints.items():
        hints[key] = done = type(None) if hint is NoReturn or hint is Never else fill_in(hint, variables)
        for variable in () if isinstance(done, type) else open_in(done):
            text = refusal(title, described(key), f"{spelled(done)}, which leaves {variable} open")
            raise Unresolved(text) if variable in open_in(owner) else TypeError(text)
    return hints


def culprit(function: Callable[..., Any], error: Exception) -> str:
    """The parameter in whose annotation the missing name stands."""
    missing = getattr(error, "name", None) or ""
    annotations: Mapping[str, Any] = getattr(function, "__annotations__", {})
    named = [key for key, hint in annotations.items() if re.search(rf"\b{re.escape(missing)}\b", str(hint))]
    return described(named[0]) if named else "every parameter"


def described(key: str) -> str:
    """An annotation's key in the words of the errors."""
    return "the result" if key == "return" else f"parameter {key}"


def filled_in(owner: type) -> dict[type, dict[Any, Any]]:
    """For each generic class above `owner`, what its type variables stand for in `owner`."""
    found: dict[type, dict[Any, Any]] = {owner: {}}
    ahead = [owner]
    while ahead:
        heir = ahead.pop()
        for base in vars(heir).get("__orig_bases__", heir.__bases__):
            origin = get_origin(base) or base
            given = [fill_in(each, found[heir]) for each in get_args(base)]
            if origin not in found:
                found[origin] = dict(zip(open_in(origin), given, strict=False))
                ahead.append(origin)
    return found


def fill_in(hint: Any, variables: Mapping[Any, Any]) -> Any:
    """A type in which its variables are replaced by what they stand for."""
    if isinstance(hint, TypeVar):
        return variables.get(hint, hint)
    if get_origin(hint) is not None and (inner := open_in(hint)):
        return hint[tuple(variables.get(each, each) for each in inner)]
    return hint


def open_in(hint: Any) -> tuple[Any, ...]:
    """The type variables that a type leaves open."""
    return (hint,) if isinstance(hint, TypeVar) else tuple(getattr(hint, "__parameters__", ()))
