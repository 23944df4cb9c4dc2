"""Whether a delivery is tried again, and when: decided here, without I/O, and carried out by the durable mailbox.

how the attempt ended                      | what follows                                     | the attempt
raised; `classify` says retry (default)    | again after a back-off, or after a RetryAfter    | stays used
raised; `classify` says retry_after(s)     | again after s seconds                            | stays used
raised; `classify` says quarantine(reason) | quarantined with that reason                     | stays used
raised; `classify` says discard            | discarded                                        | stays used
raised; `classify` is itself at fault      | quarantined: "classify", with its error          | stays used
its process died, crash 1 or 2 in a row    | again at once, alone in its process              | stays used
its process died, crash 3 in a row         | quarantined: "crash_loop"                        | stays used
our own shutdown cut it, up to 10 times    | again at once                                    | is given back
our own shutdown cut it, more often        | again at once                                    | stays used

In place of "again": when `max_attempts` are used up it is quarantined with the reason "attempts", and when the next
attempt would begin later than the deadline, with "deadline". Where both hold, "attempts" is told; "crash_loop" before
both.
"""

import inspect
import math
import random
from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec

from .backoff import Backoff, Jitter
from .checks import at_least, is_number, more_than, one_of, whole

RetryJitter = Jitter | Literal["decorrelated"]
RETRY_JITTERS: tuple[RetryJitter, ...] = ("equal", "full", "decorrelated", "none")
MAX_CRASHES = 3
MAX_INTERRUPTS = 10


class RetryAfter(Exception):
    """Raise it in a handler: this attempt has failed, and the next one shall wait for so many seconds.

    For a third party that names the time itself, as HTTP does with `Retry-After`; `__cause__` may carry the real error.
    `seconds` is 0 or more, and finite; `ValueError` if not.

    >>> RetryAfter(2.5)
    RetryAfter(2.5)
    >>> print(RetryAfter(2.5))
    try again after 2.5 seconds
    """

    def __init__(self, seconds: float) -> None:
        at_least("seconds", seconds, 0)
        finite("seconds", seconds, " number of seconds")
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"try again after {self.seconds} seconds"


class TryAgain(msgspec.Struct, frozen=True):
    """A ruling: try again as the policy plans it; see `retry`."""


class TryAfter(msgspec.Struct, frozen=True):
    """A ruling: try again after so many `seconds`; see `retry_after`."""

    seconds: float

    def __post_init__(self) -> None:
        at_least("seconds", self.seconds, 0)
        finite("seconds", self.seconds, " number of seconds")


class PutAside(msgspec.Struct, frozen=True):
    """A ruling: to quarantine, with a `reason`; see `quarantine`."""

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason:
            raise ValueError(f"expected reason to be a word or more, got {self.reason!r}")


class Drop(msgspec.Struct, frozen=True):
    """A ruling: never again, and forget it; see `discard`."""


Ruling = TryAgain | TryAfter | PutAside | Drop


def retry() -> Ruling:
    """For `classify`: try again as the policy plans it; a `RetryAfter` is honoured."""
    return TryAgain()


def retry_after(seconds: float) -> Ruling:
    """For `classify`: try again after so many seconds, 0 or more and finite; `ValueError` if not."""
    return TryAfter(seconds)


def quarantine(reason: str = "rejected") -> Ruling:
    """For `classify`: no further attempt; the message goes to quarantine with that reason, which must not be empty."""
    return PutAside(reason)


def discard() -> Ruling:
    """For `classify`: no further attempt, and the message is not kept; only its story tells of it."""
    return Drop()


class Retry(msgspec.Struct, frozen=True):
    """How a failed delivery is tried again; `ValueError` or `TypeError` for an option that cannot be.

    `max_attempts`: how often the handler may run in all, the first time included.
    `base`, `factor`, `cap`: the first delay in seconds, by what it grows, and the longest in seconds. It is capped
    first and spread then.
    `jitter`: `equal` keeps half of a delay and spreads the other half, `full` spreads all of it, `none` nothing.
    `decorrelated` draws from `base` up to three times the delay before (Brooker, "Exponential Backoff And Jitter",
    AWS 2015) and has no use for `factor`.
    `deadline`: seconds in all since the message was stored; no attempt begins later.
    `attempt_timeout`: seconds that one attempt may take.
    `classify`: a plain function of the error that a handler raised; it returns `retry()`, `retry_after(seconds)`,
    `quarantine(reason)` or `discard()`. Without one, every error is tried again.

    >>> class Gone(Exception): ...
    >>> policy = Retry(classify=lambda error: discard() if isinstance(error, Gone) else retry())
    >>> decide(policy, Failed(Gone(), attempt=1, stored_at=0.0), 0.5, random.Random(1))
    Discarded()
    >>> Retry(max_attempts=0)
    Traceback (most recent call last):
    ...
    ValueError: expected max_attempts to be 1 or more, got 0
    """

    max_attempts: int = 5
    base: float = 1.0
    factor: float = 2.0
    cap: float = 600.0
    jitter: RetryJitter = "equal"
    deadline: float = math.inf
    attempt_timeout: float = math.inf
    classify: Callable[[BaseException], Ruling] | None = None

    def __post_init__(self) -> None:
        whole("max_attempts", self.max_attempts, 1)
        more_than("base", self.base, 0, " seconds")
        finite("base", self.base, " number of seconds")
        at_least("factor", self.factor, 1)
        finite("factor", self.factor, " number")
        at_least("cap", self.cap, self.base, " seconds")
        finite("cap", self.cap, " number of seconds")
        one_of("jitter", self.jitter, RETRY_JITTERS)
        more_than("deadline", self.deadline, 0, " seconds")
        more_than("attempt_timeout", self.attempt_timeout, 0, " seconds")
        if self.classify is not None and (not callable(self.classify) or inspect.iscoroutinefunction(self.classify)):
            raise TypeError(f"expected classify to be a plain function of the error, got {self.classify!r}")

    def delay(self, attempt: int, previous: float, rng: random.Random) -> float:
        """Seconds from the failure of that attempt, counted from 1, to the next one.

        `previous`: the delay before, in seconds, 0 if there was none; only `decorrelated` looks at it. Raises
        `ValueError` for an attempt below 1.
        """
        whole("attempt", attempt, 1)
        if self.jitter != "decorrelated":
            return Backoff(self.base, self.cap, self.factor, self.jitter).delay(attempt, rng)
        # AWS clamps what was drawn. At the cap that would give two delays in three exactly the cap: one wave again.
        longest = min(self.cap, 3 * max(self.base, previous))
        return min(longest, rng.uniform(self.base, longest))

    def last_start(self, stored_at: float) -> float:
        """The last moment at which an attempt may begin, for a message that was stored then; may be infinite."""
        return stored_at + self.deadline


class Failed(msgspec.Struct, frozen=True):
    """An attempt whose handler raised `error`, or took too long; `ValueError` for a number that cannot be.

    `attempt`: its number, from 1. `stored_at`: when the message was first stored, in seconds on the clock that also
    gives `now`. `previous_delay`: the seconds for which this attempt was held back, 0 if it is the first.
    """

    error: BaseException
    attempt: int
    stored_at: float
    previous_delay: float = 0.0

    def __post_init__(self) -> None:
        whole("attempt", self.attempt, 1)
        finite("stored_at", self.stored_at, " number of seconds")
        at_least("previous_delay", self.previous_delay, 0, " seconds")


class Again(msgspec.Struct, frozen=True):
    """There will be another attempt.

    `at`: not before that time. `delay`: how many seconds that is from now. `used`: how many attempts are used up; the
    next one bears the number after it. `alone`: nothing else may run in its process meanwhile, so that a death of the
    process can be laid to nobody else.
    """

    at: float
    delay: float
    used: int
    alone: bool = False


class Quarantined(msgspec.Struct, frozen=True):
    """No further attempt; the message and its story are kept.

    `reason`: "attempts", "deadline", "crash_loop", "classify", or what `classify` gave. `error`: with "classify", what
    is wrong with that function. `ruled`: whether `classify` asked for it. It then is the message's own fault, and tells
    nothing about the mailbox; see `Parking`.
    """

    reason: str
    error: Exception | None = None
    ruled: bool = False


class Discarded(msgspec.Struct, frozen=True):
    """No further attempt, because `classify` said so; the message is not kept."""


def decide(policy: Retry, failure: Failed, now: float, rng: random.Random) -> Again | Quarantined | Discarded:
    """What becomes of a delivery whose handler raised: the upper half of the table above.

    `classify` is asked first, and about every error, a `RetryAfter` and the last attempt's too. What a `RetryAfter`
    names is the third party's word: it is neither capped nor spread, but uses an attempt, and the deadline holds. One
    inside an exception group counts as well, of several the longest.

    A `classify` that raises, or returns what is no ruling, leads to quarantine: there nothing is lost, whereas another
    attempt might be just what it was to prevent. It counts as the ruling's fault and not as the message's.

    >>> exact = Retry(max_attempts=3, jitter="none", deadline=60.0)
    >>> decide(exact, Failed(OSError(), attempt=2, stored_at=0.0), 10.0, random.Random(1))
    Again(at=12.0, delay=2.0, used=2, alone=False)
    >>> decide(exact, Failed(OSError(), attempt=3, stored_at=0.0), 10.0, random.Random(1))
    Quarantined(reason='attempts', error=None, ruled=False)
    >>> decide(exact, Failed(RetryAfter(90), attempt=1, stored_at=0.0), 10.0, random.Random(1))
    Quarantined(reason='deadline', error=None, ruled=False)
    """
    try:
        ruling = rule(policy, failure.error)
    except Exception as error:
        return Quarantined("classify", error)
    match ruling:
        case Drop():
            return Discarded()
        case PutAside(reason):
            return Quarantined(reason, ruled=True)
        case TryAfter(seconds):
            named: float | None = seconds
        case TryAgain():
            named = named_by(failure.error)
    delay = policy.delay(failure.attempt, failure.previous_delay, rng) if named is None else named
    return within(policy, failure.stored_at, Again(now + delay, delay, failure.attempt))


def after_crash(policy: Retry, *, attempt: int, crashes: int, stored_at: float, now: float) -> Again | Quarantined:
    """What becomes of a delivery that was in hand when its process died: see the table above.

    `attempt`: the number of the attempt that was cut off, from 1. It stays used, or a message that kills its process
    would never come to an end; so `max_attempts=1` means that a handler never runs twice, whatever happens.
    `crashes`: how many of its attempts in a row have ended so, this one included. An attempt that ends while its
    process lives sets that count to 0, one that was interrupted leaves it as it was.

    >>> after_crash(Retry(), attempt=1, crashes=1, stored_at=0.0, now=9.0)
    Again(at=9.0, delay=0.0, used=1, alone=True)
    """
    whole("attempt", attempt, 1)
    whole("crashes", crashes, 1)
    if crashes >= MAX_CRASHES:
        return Quarantined("crash_loop")
    return within(policy, stored_at, Again(now, 0.0, attempt, alone=True))


def after_interrupt(
    policy: Retry, *, attempt: int, interrupts: int, stored_at: float, now: float, crashes: int = 0
) -> Again | Quarantined:
    """What becomes of a delivery that our own shutdown has cut off: see the table above.

    `attempt`: the number of the attempt that was cut off, from 1. `interrupts`: how often that has happened to this
    message in all, this time included. `crashes`: as for `after_crash`, without this time; with one or more of them
    the message still has to run alone.

    >>> after_interrupt(Retry(), attempt=2, interrupts=1, stored_at=0.0, now=9.0)
    Again(at=9.0, delay=0.0, used=1, alone=False)
    """
    whole("attempt", attempt, 1)
    whole("interrupts", interrupts, 1)
    whole("crashes", crashes, 0)
    used = attempt if interrupts > MAX_INTERRUPTS else attempt - 1
    return within(policy, stored_at, Again(now, 0.0, used, alone=crashes > 0))


def within(policy: Retry, stored_at: float, again: Again) -> Again | Quarantined:
    """That next attempt, if the policy has one left and it would begin before the deadline."""
    if again.used >= policy.max_attempts:
        return Quarantined("attempts")
    if again.at > policy.last_start(stored_at):
        return Quarantined("deadline")
    return again


def rule(policy: Retry, error: BaseException) -> Ruling:
    """What `classify` says about the error. Raises what it raises, and `TypeError` if that is no ruling."""
    if policy.classify is None:
        return TryAgain()
    ruling: Any = policy.classify(error)
    if not isinstance(ruling, TryAgain | TryAfter | PutAside | Drop):
        raise TypeError(
            f"expected classify to return retry(), retry_after(…), quarantine(…) or discard(), got {ruling!r}"
        ) from error
    return ruling


def named_by(error: BaseException) -> float | None:
    """The seconds that a `RetryAfter` names, alone or in a group; None if there is none."""
    if isinstance(error, RetryAfter):
        return error.seconds
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        named = [named_by(inner) for inner in group.exceptions]
        return max((seconds for seconds in named if seconds is not None), default=None)
    return None


def finite(name: str, value: object, noun: str) -> None:
    """Raise `ValueError` unless it is a finite number."""
    if not is_number(value) or not math.isfinite(value):
        raise ValueError(f"expected {name} to be a finite{noun}, got {value!r}")
