"""A circuit breaker at work: a state machine without a loop. Reference: Resilience4j 2.4, `CircuitBreakerStateMachine`.

state     | lets through                        | goes to
closed    | all; for a while after it closed,   | open, when a rule of the policy trips
          | mailboxes only gently               |
open      | none                                | half-open, when its wait is over and somebody asks
half-open | `permits` calls                     | closed or open, by what became of them; open again, when that is not
          |                                     | known in `half_open_max_wait`

mode by hand  | lets through | counts | goes to another state
automatic     | as above     | yes    | as above
forced-open   | none         | no     | no
disabled      | all          | no     | no
metrics-only  | all          | yes    | no

A call that was cancelled tells nothing, neither good nor bad: its permit goes back. What began in an earlier state
changes nothing either: a call that was sent into the closed circuit and fails a minute later must not be taken for one
of the probes.
"""

import math
from collections.abc import Callable
from typing import Literal

import msgspec

from upright.actors.errors import GuardRefused, Refuse
from upright.actors.policies import House

from .backoff import Backoff
from .errors import CircuitOpen, IllegalTransition
from .events import BreakerClosed, BreakerHalfOpened, BreakerMoved, BreakerOpened
from .retry import named_by
from .window import CountWindow, Tally, TimeWindow, Window

State = Literal["closed", "open", "half-open"]
Mode = Literal["automatic", "forced-open", "disabled", "metrics-only"]
MODES: tuple[Mode, ...] = ("automatic", "forced-open", "disabled", "metrics-only")
ASK_AGAIN = 1.0
"""Seconds after which one who found all permits taken may ask again, unless somebody leaves before."""


class Rules(msgspec.Struct, frozen=True):
    """The numbers of a policy; see `CircuitBreaker`, which checks them."""

    name: str
    window: float
    window_calls: int | None
    minimum_calls: int
    failure_rate: float
    slow_call: float
    slow_rate: float
    consecutive: int | None
    wait: Backoff
    permits: int
    half_open_max_wait: float
    slow_start: float
    counts: Callable[[BaseException], bool] | None


class Saved(msgspec.Struct, frozen=True):
    """What is remembered over restarts. `until`, `since`: seconds since the epoch. `wait`: seconds left then."""

    state: Literal["closed", "open"]
    mode: Mode
    openings: int
    until: float
    wait: float
    since: float
    who: str = ""
    why: str = ""

    @property
    def can_be(self) -> bool:
        """Whether these numbers are of a breaker; damage may leave others that can be read."""
        times = (self.until, self.wait, self.since)
        return all(map(math.isfinite, times)) and self.wait >= 0 and 0 <= self.openings < 2**32


class Breaker:
    """The circuit of one dependency in one system; `CircuitBreaker` is its policy.

    `state`, `mode`: see above. `openings`: how often in a row it has opened, without having closed. `who`, `why`: of
    the last move by hand.
    """

    longest_wait = 0.0
    """A call around which it stands is refused at once."""
    most_waiting = 0.0

    def __init__(self, rules: Rules, house: House) -> None:
        self.rules, self._house = rules, house
        self.state: State = "closed"
        self.mode: Mode = "automatic"
        self.openings = 0
        self.who = self.why = ""
        self._generation = 1
        self._seen: Window = CountWindow(rules.window_calls) if rules.window_calls else TimeWindow(rules.window)
        self._probed = CountWindow(rules.permits)
        self._in_a_row = 0
        self._inside = 0  # calls of this generation that are under way
        self._until = 0.0  # open: when it may be half-open; half-open: when it is open again
        self._opened = 0.0
        self._gentle_until = 0.0
        self._gentle = 0  # how many may be under way at once until then
        self.recall()

    @property
    def is_shut(self) -> bool:
        return self.mode == "forced-open" or (self.mode == "automatic" and self.state == "open")

    def tally(self) -> Tally:
        """What became of the calls that still count."""
        seen = self._probed if self.state == "half-open" else self._seen
        return seen.tally(self._house.now())

    def rates(self) -> tuple[float, float] | None:
        """The rates of failed and of slow calls; None while there are fewer calls than the rules ask for."""
        return self._rates(self.tally())

    def _rates(self, tally: Tally) -> tuple[float, float] | None:
        least = self.rules.permits if self.state == "half-open" else self.rules.minimum_calls
        return None if tally.calls < least else (tally.failed / tally.calls, tally.slow / tally.calls)

    def room(self, now: float) -> float:
        """How many of those who wait for their turn it lets through: after it closed, gently."""
        if self.mode != "automatic":
            return 0.0 if self.mode == "forced-open" else float("inf")
        self._look(now)
        if self.state == "closed":
            return float("inf") if now >= self._gentle_until else max(0, self._gentle - self._inside)
        if self.state == "open":
            return 0.0 if now < self._until else self.rules.permits
        return max(0, self.rules.permits - self._inside - self._probed.tally(now).calls)

    def enter(self, now: float, patient: bool, weight: int) -> int | None:
        """A token, the number of the generation; None if it refuses. A call counts for one, whatever its weight."""
        if self.mode == "automatic":
            if self.state == "closed":
                if patient and now < self._gentle_until and self._inside >= self._gentle:
                    return None
            elif self.room(now) < 1:
                return None
            elif self.state == "open":
                self._half_open(now)
                return self.enter(now, patient, weight)  # who heard of it may have moved it
        elif self.mode == "forced-open":
            return None
        self._inside += 1
        return self._generation

    def leave(self, token: int, error: BaseException | None, took: float, now: float) -> None:
        if self.state == "half-open":
            self._look(now)
        if token != self._generation:
            return
        self._inside -= 1
        if error is None and self.state == "closed" and took <= self.rules.slow_call and self.mode != "disabled":
            self._in_a_row = 0  # as below, without the calls: nearly all go well
            self._gentle += 1
            seen = self._seen
            seen.record(False, False, now)
            if (seen.failed or seen.slow) and self.mode == "automatic":
                self._judge(now, None)
            return
        if self.mode == "disabled" or (error is not None and not self.tells(error)):
            return
        failed = error is not None and self._counts(error)
        slow = took > self.rules.slow_call
        if self.state == "half-open":
            self._probed.record(failed, slow, now)
            self._judge(now, error)
            return
        self._in_a_row = self._in_a_row + 1 if failed else 0
        if not failed:
            self._gentle += 1
        self._seen.record(failed, slow, now)
        if self.mode == "automatic":
            self._judge(now, error)

    def give_back(self, token: int, now: float) -> None:
        if token == self._generation:
            self._inside -= 1

    def tells(self, error: BaseException) -> bool:
        """Whether an outcome tells anything of the dependency: a cancelled call does not, nor does a refusal."""
        return isinstance(error, Exception) and not isinstance(error, GuardRefused | Refuse)

    def _counts(self, error: BaseException) -> bool:
        if self.rules.counts is None:
            return True
        try:
            return bool(self.rules.counts(error))
        except Exception as fault:
            error.add_note(f"counts of circuit {self.rules.name} raised {fault!r}: the error counts as a failure")
            return True

    def opens_at(self, now: float) -> float:
        self._look(now)
        if self.mode != "automatic":
            return float("inf")
        if self.state == "closed":
            return self._gentle_until if now < self._gentle_until else now
        return self._until

    def refusal(self, now: float) -> CircuitOpen:
        name = self.rules.name
        if self.mode == "forced-open":
            return CircuitOpen(f"circuit {name} was opened by {self.who}: {self.why}", name, ASK_AGAIN)
        if self.state == "open":
            left = max(self._until - now, 0.0)
            return CircuitOpen(f"circuit {name} is open for {left:.3g} s more", name, left)
        return CircuitOpen(f"circuit {name} is half-open and all permits are taken", name, ASK_AGAIN)

    def setback(self) -> float:
        if self.mode != "automatic" or self.state == "closed":
            return 0.0
        if self.state == "open":
            return max(self._until - self._house.now(), 0.0)
        exact = msgspec.structs.replace(self.rules.wait, jitter="none")
        return exact.delay(self.openings + 1, self._house.rng)  # should it open again

    def is_idle(self, now: float) -> bool:
        return False

    def _look(self, now: float) -> None:
        """What time alone does: a half-open circuit in which it is not known what became of the probes opens again."""
        if self.state != "half-open" or now < self._until or self.mode != "automatic":
            return
        calls, failed, slow = self._probed.tally(now)
        if self._inside or failed or slow:
            self._open(now, f"not all of {self.rules.permits} permits came back in time", None)
        elif calls:  # few have asked, but what came back came back well
            self._close(now)
        else:  # nobody has asked anything since, and so nothing has failed
            self._until = now + self.rules.half_open_max_wait

    def _judge(self, now: float, error: BaseException | None) -> None:
        """Open or close, if a rule says so."""
        rules = self.rules
        if rules.consecutive is not None and self._in_a_row >= rules.consecutive and self.state == "closed":
            self._open(now, f"{self._in_a_row} calls in a row failed", error)
            return
        tally = (self._probed if self.state == "half-open" else self._seen).tally(now)
        rates = self._rates(tally) if tally.failed or tally.slow or self.state == "half-open" else None
        if rates is None:
            return
        failed, slow = rates
        if failed >= rules.failure_rate:
            self._open(now, f"{tally.failed} of {tally.calls} calls failed", error)
        elif slow >= rules.slow_rate:
            self._open(now, f"{tally.slow} of {tally.calls} calls took more than {rules.slow_call:g} s", error)
        elif self.state == "half-open":
            self._close(now)

    def _open(self, now: float, why: str, error: BaseException | None) -> None:
        self._move("open")
        self.openings += 1
        if self.openings == 1:
            self._opened = now
        named = named_by(error) if error is not None else None
        wait = self.rules.wait.delay(self.openings, self._house.rng) if named is None else named
        self._until = now + wait
        self._remember(now)
        self._house.tell(BreakerOpened("/", self.rules.name, why, wait, self.openings))

    def _half_open(self, now: float) -> None:
        self._move("half-open")
        self._until = now + self.rules.half_open_max_wait
        self._house.tell(BreakerHalfOpened("/", self.rules.name, self.rules.permits))

    def _close(self, now: float) -> None:
        self._move("closed")
        self.openings = 0
        self._gentle, self._gentle_until = self.rules.permits, now + self.rules.slow_start
        self._remember(now)
        self._house.tell(BreakerClosed("/", self.rules.name, now - self._opened))

    def _move(self, state: State) -> None:
        self.state = state
        self._generation += 1
        self._inside = self._in_a_row = 0
        self._gentle_until = 0.0
        self._seen.clear()
        self._probed.clear()

    def set_mode(self, mode: Mode, who: str, why: str) -> None:
        """Move it by hand; back to `automatic` it is closed, and knows of no call. Raises `IllegalTransition`."""
        if mode == self.mode and not (mode == "automatic" and self.state != "closed"):
            raise IllegalTransition(f"expected another mode for circuit {self.rules.name}: it is {mode} already")
        now = self._house.now()
        if mode == "automatic":
            self.openings = 0
        self._move("closed")
        self.mode, self.who, self.why = mode, who, why
        self._remember(now)
        self._house.tell(BreakerMoved("/", self.rules.name, mode, who, why))

    def probe(self, who: str, why: str) -> None:
        """End the wait of an open circuit by hand. Raises `IllegalTransition` if it does not wait."""
        if self.mode != "automatic" or self.state != "open":
            standing = self.state if self.mode == "automatic" else self.mode
            raise IllegalTransition(f"expected circuit {self.rules.name} to be open, it is {standing}")
        self._until, self.who, self.why = self._house.now(), who, why
        self._remember(self._until)
        self._house.tell(BreakerMoved("/", self.rules.name, "half-open", who, why))

    def _remember(self, now: float) -> None:
        wall, is_open = self._house.wall(), self.state == "open"
        wait = max(self._until - now, 0.0) if is_open else 0.0
        saved = Saved(
            "open" if is_open else "closed", self.mode, self.openings, wall + wait, wait, wall - (now - self._opened),
            self.who, self.why,
        )  # fmt: skip
        self._house.remember(f"breaker {self.rules.name}", msgspec.msgpack.encode(saved))

    def recall(self) -> None:
        """Go on where an earlier run of the program was: a restart in an outage must not hammer the dependency."""
        record = self._house.recall(f"breaker {self.rules.name}")
        if record is None:
            return
        try:
            saved = msgspec.msgpack.decode(record, type=Saved)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # it begins anew, as it would without a store
            return
        if not saved.can_be:
            return
        now, wall = self._house.now(), self._house.wall()
        self.state, self.mode, self.openings = saved.state, saved.mode, saved.openings
        self.who, self.why = saved.who, saved.why
        # A wall clock that was set back meanwhile must not keep it open for longer than it was to be.
        self._until = now + min(max(saved.until - wall, 0.0), saved.wait)
        self._opened = now - max(wall - saved.since, 0.0)

    def __repr__(self) -> str:
        standing = self.state if self.mode == "automatic" else self.mode
        return f"<Breaker {self.rules.name} {standing}, {self._inside} inside>"
