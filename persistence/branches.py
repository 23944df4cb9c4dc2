"""The branches of a join: by which names they are known, and how what they return becomes bytes and comes back.

A run that joins may outlive the definition under which it began. So a branch is known by its method's name, whatever
place it has in the definition now.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .forms import Form

RESULT = "__result__"
Branch = Callable[..., Any]


def named(branches: Iterable[Branch]) -> dict[str, Branch]:
    """The branches by their names, in their order; of one that stands there several times, each has its number.

    >>> def left(): ...
    >>> list(named([left, print, left]))
    ['left', 'print', 'left#2']
    """
    found: dict[str, Branch] = {}
    for branch in branches:
        name: str = getattr(branch, "__name__", repr(branch))
        times = 1 + sum(one.partition("#")[0] == name for one in found)
        found[name if times == 1 else f"{name}#{times}"] = branch
    return found


def result_form(function: Branch) -> Form:
    """The bytes of what a branch returns, as its annotation says, worked out once."""
    found: Form | None = getattr(function, RESULT, None)
    if found is None:
        returned: Any = inspect.signature(function, eval_str=True).return_annotation
        kind: Any = Any if returned is inspect.Signature.empty else returned
        found = Form(function.__qualname__, "result", type(None) if kind is None else kind)
        setattr(function, RESULT, found)
    return found
