"""How the arguments of a signal become bytes, and come back: those of its method behind the run's data."""

import inspect
from collections.abc import Callable
from typing import Any

from upright.actors.errors import WrongArguments

from .forms import Form, Locate, Misfit

FORM = "__payload__"


class SignalForm:
    """The payload of one signal's method."""

    __slots__ = ("_form", "_signature", "title")

    def __init__(self, function: Callable[..., Any]) -> None:
        self.title = function.__qualname__
        signature = inspect.signature(function, eval_str=True)
        parameters = list(signature.parameters.values())[2:]
        self._signature = signature.replace(parameters=parameters)
        kinds = tuple(Any if one.annotation is inspect.Parameter.empty else one.annotation for one in parameters)
        self._form = Form(self.title, "payload", tuple[kinds] if kinds else tuple[()])  # type: ignore[valid-type]

    def encode(self, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The bytes of these arguments. Raises `WrongArguments`."""
        try:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return self._form.encode(tuple(bound.arguments.values()))
        except (TypeError, Misfit) as error:
            raise WrongArguments(f"{self.title}: {error}") from error

    def decode(self, body: bytes, locate: Locate | None) -> tuple[Any, ...]:
        """The arguments. Raises `Misfit`."""
        return tuple(self._form.decode(body, locate))


def signal_form(function: Callable[..., Any]) -> SignalForm:
    """The payload of a signal's method, worked out once."""
    found: SignalForm | None = getattr(function, FORM, None)
    if found is None:
        found = SignalForm(function)
        setattr(function, FORM, found)
    return found
