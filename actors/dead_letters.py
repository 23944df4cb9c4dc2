"""The dead-letter actor that every system has unless its user brings another:

it keeps the latest letters for inspection.
"""

import copy
from collections import Counter, deque
from types import FunctionType
from typing import cast

import msgspec

from .actor import Actor
from .message import DeadLetter, told
from .options import Bounded

PLAIN = frozenset({ValueError, TypeError, KeyError, RuntimeError, LookupError, IndexError, ArithmeticError, Exception})
"""Errors that are nothing but their arguments."""


class DeadLetters(Actor):
    """Keeps the last 1,000 letters and counts all of them by reason.

    It is an ordinary actor at `/dead-letters`; give the system a class of your own with an async method `letter` to
    replace it: `ActorSystem(dead_letters=Undelivered)`.
    """

    mailbox = Bounded(10_000, full="reject")

    def __init__(self) -> None:
        self.kept: deque[DeadLetter] = deque(maxlen=1_000)
        self.reasons: Counter[str] = Counter()

    async def letter(self, letter: DeadLetter) -> None:
        """Take a letter."""
        if letter.error is not None:
            letter = msgspec.structs.replace(letter, error=light(letter.error))
        self.kept.append(letter)
        self.reasons[letter.reason] += 1

    async def latest(self, most: int = 100) -> list[DeadLetter]:
        """The latest letters, the newest last."""
        return list(self.kept)[-most:] if most > 0 else []

    async def counts(self) -> dict[str, int]:
        """How many letters came, by reason, since this actor started."""
        return dict(self.reasons)


def light(error: BaseException | None) -> BaseException | None:
    """A copy of an error without its traceback, whose frames would keep the crashed instance alive.

    (`traceback.clear_frames` is no way: it also closes coroutines that caught the error and go on.)
    """
    if error is None:
        return None
    kind = type(error)
    try:
        if kind in PLAIN and not error.__dict__:
            return kind(*error.args)  # what the lines below do too, in a third of the time
        bare = _copied(error)
    except Exception:
        bare = RuntimeError(told(error))
    bare.__traceback__ = bare.__cause__ = bare.__context__ = None
    return bare


def _copied(error: BaseException) -> BaseException:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        bare: BaseException = group.derive([light(one) or one for one in group.exceptions])
        bare.__dict__.update(group.__dict__)
        return bare
    if isinstance(type(error).__init__, FunctionType):
        # What it makes of its arguments may be no arguments for it any more: `AskCycle` says a text about a chain.
        bare = type(error).__new__(type(error), *error.args)
        bare.args = error.args
        bare.__dict__.update(error.__dict__)
        if isinstance(error, OSError) and isinstance(bare, OSError):
            bare.errno, bare.strerror, bare.filename = error.errno, error.strerror, error.filename
        return bare
    bare = copy.copy(error)
    return bare if bare is not error else RuntimeError(told(error))
