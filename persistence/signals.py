"""How the arguments of a signal become bytes, and come back: those of its method behind the run's data."""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from upright.actors.errors import WrongArguments

from .forms import Form, Locate, Misfit

FORM = "__payload__"


class SignalForm:
    """The payload of one signal's method."""

    __slots__ = ("_form", "_kinds", "_least", "_signature", "title")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.title = function.__qualname__
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())[2:]
        self._signature = signature.replace(parameters=parameters)
        self._kinds = tuple(Any if one.annotation is inspect.Parameter.empty else one.annotation for one in parameters)
        self._least = sum(one.default is inspect.Parameter.empty for one in parameters)
        self._form = self._form_of(len(parameters))

    def _form_of(self, number: int) -> Form:
        """That of so many arguments, the first ones."""
        kinds = self._kinds[:number]
        return Form(self.title, "payload", tuple[kinds] if kinds else tuple[()])  # type: ignore[valid-type]

    def encode(self, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The bytes of these arguments. Raises `WrongArguments`."""
        try:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self._form.encode(tuple(bound.arguments.values()))
        except (TypeError, Misfit) as error:
            raise WrongArguments(f"{self.title}: {error}") from error

    def decode(self, body: bytes, locate: Locate | None) -> tuple[Any, ...]:
        """The arguments. One that was sent before a parameter was added has none for that: it is to have its default.
        Raises `Misfit`.
        """
        try:
            return tuple(self._form.decode(body, locate))
        except Misfit:
            sent = size_of(body)
            if not self._least <= sent < len(self._kinds):
                raise
            return tuple(self._form_of(sent).decode(body, locate))


def size_of(body: bytes) -> int:
    """How many arguments were sent; none where these bytes are no payload."""
    try:
        return len(msgspec.msgpack.decode(body, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, ValueError):
        return 0


def signal_form(function: Callable[..., Any]) -> SignalForm:
    """The payload of a signal's method, worked out once."""
    found: SignalForm | None = getattr(function, FORM, None)
    if found is None:
        found = SignalForm(function)
        setattr(function, FORM, found)
    return found
