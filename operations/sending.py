"""A message to an actor of a running system from plain values, as they come over a socket: by its path, the name of the
handler, and the arguments by the names of the parameters.
"""

import inspect
import types
from collections.abc import Callable
from typing import Any

import msgspec

from upright.actors.errors import ActorGone, NotDurable, UnknownHandler, WrongArguments
from upright.actors.handlers import HOOKS
from upright.actors.recipients import Recipient
from upright.actors.refs import Ref
from upright.actors.system import ActorSystem
from upright.persistence.errors import NoEntity
from upright.persistence.forms import Unresolved, explain, finder, spelled
from upright.persistence.signatures import hints_of

from .answers import plain
from .errors import NotFound, Wrong
from .questions import Send, near


async def send(system: ActorSystem, asked: Send) -> dict[str, Any]:
    """Send that message: the reply, the receipt, or that it was sent.

    Raises `NotFound` where nobody lives at the path, `Wrong` for what does not fit, and what `ask` and `tell` raise.
    """
    recipient = recipient_of(system, asked.to)
    name, function, owner = handler_of(recipient, asked.handler)
    args, kwargs = Call(system, owner, name, function).arguments(asked.arguments)
    try:
        recipient.handlers[function]
        ref = _configured(system.ref(asked.to, owner), asked)
        if asked.ask:
            return {"reply": plain(await ref.ask(function, *args, **kwargs))}
        receipt = await ref.tell(function, *args, **kwargs)
    except (UnknownHandler, WrongArguments, NotDurable, NoEntity) as error:
        raise Wrong(str(error)) from error
    except ActorGone as error:
        if error.handled:
            raise
        raise NotFound(str(error)) from error
    return {"sent": True} if receipt is None else {"id": receipt.id, "duplicate": receipt.duplicate}


def _configured(ref: Ref[Any], asked: Send) -> Ref[Any]:
    """The ref, with what was asked for. Raises `Wrong`."""
    try:
        ref = ref.once(asked.once) if asked.once else ref
        ref = ref.keyed(asked.key) if asked.key else ref
    except ValueError as error:
        raise Wrong(str(error)) from error
    return ref.within(asked.within)


def recipient_of(system: ActorSystem, path: str) -> Recipient:
    """Who lives at that path, or is known there. Raises `NotFound`, `Wrong` for what is no path."""
    if not path.startswith("/"):
        raise Wrong(f"expected an absolute path such as /bank/ledger, got {path!r}")
    found = system.ref(path, object).recipient
    if found is not None:
        return found
    above, missing = path, ""
    house: Recipient | None = None
    while house is None and above != "/":
        above, _, missing = above.rpartition("/")
        above = above or "/"
        house = system.ref(above, object).recipient
    children: dict[str, Any] = getattr(house, "children", {})
    there = near(missing, children)
    raise NotFound(f"expected the path of an actor, got {path}: nobody lives there; below {above} there are {there}")


def handler_of(recipient: Recipient, name: str) -> tuple[str, Callable[..., Any], type[Any]]:
    """The handler of that name, also of the one that is stored, and the class that has it. Raises `Wrong`."""
    known: list[str] = []
    for owner in recipient.interfaces:
        codec: Any = getattr(owner, "__codec__", None)
        pinned = codec.handlers.get(name) if codec is not None else None
        method = pinned.method if pinned is not None else name
        found = inspect.getattr_static(owner, method, None)
        if inspect.iscoroutinefunction(found) and not method.startswith("_"):
            return method, found, owner
        known += [one for one, value in inspect.getmembers_static(owner) if is_handler(one, value)]
    title = recipient.interfaces[0].__name__
    raise Wrong(f"expected a handler of {title}, got {name!r}; there are {near(name, dict.fromkeys(known))}")


def is_handler(name: str, value: object) -> bool:
    """Whether that member of a class can be sent."""
    return not name.startswith("_") and inspect.iscoroutinefunction(value) and name not in HOOKS


class Call:
    """A call of a handler of `owner`, whose arguments come as plain values."""

    def __init__(self, system: ActorSystem, owner: type[Any], name: str, function: Callable[..., Any]) -> None:
        self.title = f"{owner.__name__}.{name}"
        self._parameters = list(inspect.signature(function).parameters.values())[1:]
        try:
            self._hints = hints_of(owner, self.title, name, function)
        except (TypeError, Unresolved) as error:
            raise Wrong(str(error)) from error
        self._found = finder(system.ref)

    def arguments(self, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """What the handler is called with. Raises `Wrong`, which names the handler, the parameter and its type."""
        names = [one.name for one in self._parameters]
        for name in given:
            if name not in names:
                raise Wrong(f"expected {self.title} to get {', '.join(names) or 'no arguments'}, got {name!r}")
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        in_row = any(one.kind is one.VAR_POSITIONAL and one.name in given for one in self._parameters)
        for one in self._parameters:
            if one.name not in given:
                self._may_be_omitted(one)
                if one.kind is one.POSITIONAL_ONLY or (in_row and one.kind is one.POSITIONAL_OR_KEYWORD):
                    args.append(one.default)
                continue
            value = self._converted(one, given[one.name])
            if one.kind is one.VAR_POSITIONAL:
                args += value
            elif one.kind is one.VAR_KEYWORD:
                kwargs |= value
            elif one.kind is one.POSITIONAL_ONLY or (in_row and one.kind is not one.KEYWORD_ONLY):
                args.append(value)
            else:
                kwargs[one.name] = value
        return args, kwargs

    def _may_be_omitted(self, one: inspect.Parameter) -> None:
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise Wrong(f"expected {self.title} to get {one.name}: {self._type_of(one)}, got nothing")

    def _converted(self, one: inspect.Parameter, value: object) -> Any:
        hint: Any = self._hints.get(one.name, Any)
        hint = Any if hint is object else hint
        if one.kind is one.VAR_POSITIONAL:
            hint = types.GenericAlias(tuple, (hint, ...))
        elif one.kind is one.VAR_KEYWORD:
            hint = types.GenericAlias(dict, (str, hint))
        try:
            return msgspec.convert(value, hint, dec_hook=self._found, str_keys=True)
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as error:
            why = explain(error, one.name)
            if isinstance(error.__cause__, TypeError):  # nobody knows how such a type is made of a plain value
                why = f"that cannot be made of JSON, got {type(value).__name__}: send it from a program"
            raise Wrong(f"expected {self.title} to get {one.name}: {self._type_of(one)}; {why}") from error

    def _type_of(self, one: inspect.Parameter) -> str:
        return spelled(self._hints[one.name]) if one.name in self._hints else "anything"
