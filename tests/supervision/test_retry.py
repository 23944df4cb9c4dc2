"""The laws of retrying: how long, how often, how late, whose word counts, and what a crowd does after an outage."""

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.supervision.backoff import JITTERS, Backoff
from upright.supervision.retry import (
    MAX_INTERRUPTS,
    RETRY_JITTERS,
    Again,
    Discarded,
    Failed,
    Quarantined,
    Retry,
    RetryAfter,
    RetryJitter,
    Ruling,
    after_crash,
    after_interrupt,
    decide,
    discard,
    quarantine,
    retry,
    retry_after,
)

BASES = st.floats(0.001, 100.0)
GROWTHS = st.floats(1.0, 1_000.0)
FACTORS = st.floats(1.0, 10.0)
ATTEMPTS = st.integers(1, 10**9)
PREVIOUS = st.floats(0.0, 1e9)
EXACT = Retry(jitter="none")
DICE = random.Random(0)


class Gone(Exception): ...


def made(base: float, growth: float, factor: float, jitter: RetryJitter) -> Retry:
    return Retry(base=base, cap=base * growth, factor=factor, jitter=jitter)


def after(policy: Retry, error: BaseException, attempt: int = 1, now: float = 10.0) -> Again | Quarantined | Discarded:
    return decide(policy, Failed(error, attempt, stored_at=0.0), now, random.Random(0))


@given(BASES, GROWTHS, FACTORS, ATTEMPTS, PREVIOUS, st.sampled_from(RETRY_JITTERS), st.integers())
def test_no_delay_goes_beyond_the_cap_and_each_jitter_keeps_its_part(
    base: float, growth: float, factor: float, attempt: int, previous: float, jitter: RetryJitter, seed: int
) -> None:
    policy = made(base, growth, factor, jitter)
    whole = made(base, growth, factor, "none").delay(attempt, previous, DICE)
    least: dict[RetryJitter, float] = {"none": whole, "equal": whole / 2, "full": 0.0, "decorrelated": base}
    most = min(policy.cap, 3 * max(base, previous)) if jitter == "decorrelated" else whole
    assert least[jitter] <= policy.delay(attempt, previous, random.Random(seed)) <= most <= policy.cap


@given(BASES, GROWTHS, FACTORS, ATTEMPTS, st.sampled_from(JITTERS), st.integers())
def test_a_delay_is_the_back_off_of_supervision_but_for_decorrelated(
    base: float, growth: float, factor: float, attempt: int, jitter: Any, seed: int
) -> None:
    expected = Backoff(base, base * growth, factor, jitter).delay(attempt, random.Random(seed))
    assert made(base, growth, factor, jitter).delay(attempt, 7.0, random.Random(seed)) == expected


@given(BASES, GROWTHS, FACTORS, ATTEMPTS)
def test_what_is_spread_never_falls_as_attempts_go_on(base: float, growth: float, factor: float, attempt: int) -> None:
    policy = made(base, growth, factor, "none")
    assert policy.delay(attempt, 0.0, DICE) <= policy.delay(attempt + 1, 0.0, DICE) <= policy.cap


def test_decorrelated_delays_at_the_cap_are_spread_over_all_of_it_and_are_not_the_cap() -> None:
    policy, rng = Retry(base=1.0, cap=10.0, jitter="decorrelated"), random.Random(7)
    delays = [policy.delay(9, 10.0, rng) for _ in range(2_000)]
    assert 1.0 <= min(delays) < 1.1
    assert 9.9 < max(delays) <= 10.0
    assert sum(delays) / len(delays) == pytest.approx(5.5, rel=0.05)
    assert sum(delay == 10.0 for delay in delays) < 5


def test_by_default_there_are_five_attempts_and_delays_double_from_one_second_to_ten_minutes() -> None:
    assert Retry() == Retry(5, 1.0, 2.0, 600.0, "equal", math.inf, math.inf, None)
    assert [EXACT.delay(nth, 0.0, DICE) for nth in (1, 2, 3, 10, 11, 10**6)] == [1.0, 2.0, 4.0, 512.0, 600.0, 600.0]


@given(
    st.integers(1, 8),
    st.floats(0.1, 200.0),
    st.sampled_from(RETRY_JITTERS),
    st.lists(st.tuples(st.sampled_from("fcir"), st.floats(0.0, 30.0)), max_size=80),
    st.integers(),
)
def test_however_attempts_end_they_are_bounded_and_none_begins_after_the_deadline(
    most: int, deadline: float, jitter: RetryJitter, endings: list[tuple[str, float]], seed: int
) -> None:
    policy = Retry(max_attempts=most, deadline=deadline, jitter=jitter, cap=20.0)
    rng, stored_at = random.Random(seed), 1_000.0
    now, used, previous, crashes, interrupts, spent = stored_at, 0, 0.0, 0, 0, 0
    for ending, took in endings:
        now, attempt, spent = now + took, used + 1, spent + 1
        match ending:
            case "c":
                crashes += 1
                verdict: Any = after_crash(policy, attempt=attempt, crashes=crashes, stored_at=stored_at, now=now)
            case "i":
                interrupts += 1
                verdict = after_interrupt(
                    policy, attempt=attempt, interrupts=interrupts, crashes=crashes, stored_at=stored_at, now=now
                )
            case _:
                crashes = 0
                error = RetryAfter(took) if ending == "r" else OSError()
                verdict = decide(policy, Failed(error, attempt, stored_at, previous), now, rng)
        assert spent <= most + MAX_INTERRUPTS
        if not isinstance(verdict, Again):
            assert verdict.reason in ("attempts", "deadline", "crash_loop")
            return
        assert verdict.at == now + verdict.delay <= stored_at + deadline
        assert verdict.used in (attempt, attempt - 1)
        assert verdict.used < most
        assert verdict.alone is (crashes > 0)
        used, previous, now = verdict.used, verdict.delay, verdict.at


GROUPS = ExceptionGroup("", [RetryAfter(3.0), ExceptionGroup("", [RetryAfter(5.0), RetryAfter(4.0)])])
RAISED: list[tuple[str, Any, int, float, Any]] = [
    ("by the plan", OSError(), 3, 10.0, Again(14.0, 4.0, 3)),
    ("at the deadline itself", OSError(), 4, 92.0, Again(100.0, 8.0, 4)),
    ("the next would be too late", OSError(), 4, 92.5, Quarantined("deadline")),
    ("it is too late already", OSError(), 1, 101.0, Quarantined("deadline")),
    ("used up", OSError(), 5, 10.0, Quarantined("attempts")),
    ("used up and too late", OSError(), 5, 101.0, Quarantined("attempts")),
    ("a RetryAfter", RetryAfter(0), 2, 10.0, Again(10.0, 0, 2)),
    ("a RetryAfter beyond the cap", RetryAfter(80.0), 2, 10.0, Again(90.0, 80.0, 2)),
    ("a RetryAfter uses an attempt", RetryAfter(1.0), 5, 10.0, Quarantined("attempts")),
    ("a RetryAfter keeps the deadline", RetryAfter(91.0), 1, 10.0, Quarantined("deadline")),
    ("in a group", ExceptionGroup("", [OSError(), RetryAfter(3.0)]), 1, 10.0, Again(13.0, 3.0, 1)),
    ("the longest, in a group of groups", GROUPS, 1, 10.0, Again(15.0, 5.0, 1)),
    ("a group without one", ExceptionGroup("", [OSError()]), 1, 10.0, Again(11.0, 1.0, 1)),
]


@pytest.mark.parametrize(("name", "error", "attempt", "now", "expected"), RAISED)
def test_without_a_classify_an_error_is_tried_again_while_attempts_and_time_are_left(
    name: str, error: BaseException, attempt: int, now: float, expected: Any
) -> None:
    policy = Retry(jitter="none", cap=30.0, deadline=100.0)
    assert after(policy, error, attempt, now) == expected


@pytest.mark.parametrize(
    ("attempt", "crashes", "now", "expected"),
    [
        (1, 1, 10.0, Again(10.0, 0.0, 1, alone=True)),
        (4, 2, 10.0, Again(10.0, 0.0, 4, alone=True)),
        (3, 3, 10.0, Quarantined("crash_loop")),
        (5, 3, 101.0, Quarantined("crash_loop")),
        (5, 1, 10.0, Quarantined("attempts")),
        (5, 2, 101.0, Quarantined("attempts")),
        (1, 1, 100.5, Quarantined("deadline")),
    ],
)
def test_a_delivery_whose_process_died_goes_again_at_once_and_alone_up_to_two_times(
    attempt: int, crashes: int, now: float, expected: Any
) -> None:
    assert after_crash(Retry(deadline=100.0), attempt=attempt, crashes=crashes, stored_at=0.0, now=now) == expected


@pytest.mark.parametrize(
    ("attempt", "interrupts", "crashes", "now", "expected"),
    [
        (1, 1, 0, 10.0, Again(10.0, 0.0, 0)),
        (5, 10, 0, 10.0, Again(10.0, 0.0, 4)),
        (2, 1, 2, 10.0, Again(10.0, 0.0, 1, alone=True)),
        (1, 11, 0, 10.0, Again(10.0, 0.0, 1)),
        (5, 11, 0, 10.0, Quarantined("attempts")),
        (1, 1, 0, 100.5, Quarantined("deadline")),
    ],
)
def test_an_attempt_that_our_shutdown_cut_is_given_back_ten_times(
    attempt: int, interrupts: int, crashes: int, now: float, expected: Any
) -> None:
    verdict = after_interrupt(
        Retry(deadline=100.0), attempt=attempt, interrupts=interrupts, crashes=crashes, stored_at=0.0, now=now
    )
    assert verdict == expected


@pytest.mark.parametrize(
    ("ruling", "expected"),
    [
        (retry(), Again(11.0, 1.0, 1)),
        (retry_after(700), Again(710.0, 700, 1)),
        (quarantine(), Quarantined("rejected", ruled=True)),
        (quarantine("poison"), Quarantined("poison", ruled=True)),
        (discard(), Discarded()),
    ],
)
def test_what_classify_says_is_done(ruling: Ruling, expected: Any) -> None:
    policy = Retry(jitter="none", classify=lambda error: ruling)
    assert after(policy, OSError()) == expected
    if not isinstance(expected, Again):
        assert after(policy, OSError(), attempt=99) == expected
    else:
        assert after(policy, OSError(), attempt=5) == Quarantined("attempts")


def test_classify_sees_the_error_and_a_retry_after_is_honoured_unless_it_says_otherwise() -> None:
    policy = Retry(jitter="none", classify=lambda error: discard() if isinstance(error.__cause__, Gone) else retry())
    caused = RetryAfter(7.0)
    caused.__cause__ = Gone()
    assert after(policy, caused) == Discarded()
    assert after(policy, RetryAfter(7.0)) == Again(17.0, 7.0, 1)
    assert after(Retry(classify=lambda error: retry_after(2.0)), RetryAfter(7.0)) == Again(12.0, 2.0, 1)


@pytest.mark.parametrize("returned", [None, True, "retry", retry, RetryAfter(1.0)])
def test_a_classify_that_returns_anything_else_leads_to_quarantine_with_a_clear_error(returned: Any) -> None:
    failure = OSError()
    verdict = after(Retry(classify=lambda error: returned), failure)
    assert isinstance(verdict, Quarantined)
    assert (verdict.reason, verdict.ruled, type(verdict.error)) == ("classify", False, TypeError)
    assert str(verdict.error) == (
        f"expected classify to return retry(), retry_after(…), quarantine(…) or discard(), got {returned!r}"
    )
    assert verdict.error is not None
    assert verdict.error.__cause__ is failure


def test_a_classify_that_raises_leads_to_quarantine_with_its_error() -> None:
    verdict = after(Retry(classify=lambda error: retry_after(-1)), OSError())
    assert isinstance(verdict, Quarantined)
    assert (verdict.reason, str(verdict.error)) == ("classify", "expected seconds to be 0 or more, got -1")


def test_what_ends_the_program_is_not_taken_for_a_fault_of_classify() -> None:
    def stopped(error: BaseException) -> Ruling:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        after(Retry(classify=stopped), OSError())


async def later(error: BaseException) -> Ruling:
    return retry()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "expected max_attempts to be 1 or more, got 0"),
        ({"base": 0}, "expected base to be more than 0 seconds, got 0"),
        ({"base": math.nan}, "expected base to be more than 0 seconds, got nan"),
        ({"base": "1"}, "expected base to be more than 0 seconds, got '1'"),
        ({"base": math.inf, "cap": math.inf}, "expected base to be a finite number of seconds, got inf"),
        ({"base": 700.0}, "expected cap to be 700.0 or more seconds, got 600.0"),
        ({"factor": 0.5}, "expected factor to be 1 or more, got 0.5"),
        ({"factor": math.inf}, "expected factor to be a finite number, got inf"),
        ({"cap": 0.5}, "expected cap to be 1.0 or more seconds, got 0.5"),
        ({"cap": math.inf}, "expected cap to be a finite number of seconds, got inf"),
        ({"jitter": "half"}, "expected jitter to be one of equal, full, decorrelated, none, got 'half'"),
        ({"deadline": 0}, "expected deadline to be more than 0 seconds, got 0"),
        ({"deadline": None}, "expected deadline to be more than 0 seconds, got None"),
        ({"attempt_timeout": -1.0}, "expected attempt_timeout to be more than 0 seconds, got -1.0"),
        ({"attempt_timeout": math.nan}, "expected attempt_timeout to be more than 0 seconds, got nan"),
        ({"classify": 3}, "expected classify to be a plain function of the error, got 3"),
        ({"classify": later}, f"expected classify to be a plain function of the error, got {later!r}"),
    ],
)
def test_each_wrong_option_is_refused_by_name_with_the_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError if "classify" in options else ValueError) as raised:
        Retry(**options)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EXACT.delay(0, 0.0, DICE), "expected attempt to be 1 or more, got 0"),
        (lambda: RetryAfter(-1), "expected seconds to be 0 or more, got -1"),
        (lambda: RetryAfter(math.inf), "expected seconds to be a finite number of seconds, got inf"),
        (lambda: retry_after(math.nan), "expected seconds to be 0 or more, got nan"),
        (lambda: retry_after(math.inf), "expected seconds to be a finite number of seconds, got inf"),
        (lambda: quarantine(""), "expected reason to be a word or more, got ''"),
        (lambda: Failed(OSError(), 0, 0.0), "expected attempt to be 1 or more, got 0"),
        (lambda: Failed(OSError(), 1, math.nan), "expected stored_at to be a finite number of seconds, got nan"),
        (lambda: Failed(OSError(), 1, 0.0, -1.0), "expected previous_delay to be 0 or more seconds, got -1.0"),
        (lambda: after_crash(EXACT, attempt=1, crashes=0, stored_at=0.0, now=0.0), "expected crashes to be 1 or more"),
        (lambda: after_interrupt(EXACT, attempt=0, interrupts=1, stored_at=0.0, now=0.0), "expected attempt to be 1"),
    ],
)
def test_a_number_that_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match="expected ") as raised:
        make()
    assert str(raised.value).startswith(message)


class Outcome(NamedTuple):
    end: float
    peak: int


def crowd(delay: Callable[[int, float, random.Random], float], seed: int) -> Outcome:
    """2,000 jobs call from second 0 on. All fail for 90 seconds; then the first 50 calls of each second succeed.

    When the last one succeeded, and the most calls of one second since the outage was over.
    """
    rng, calls, served, end = random.Random(seed), Counter[int](), Counter[int](), 0.0
    queue = [(0.0, job, 1, 0.0) for job in range(2_000)]
    while queue:
        now, job, attempt, previous = heapq.heappop(queue)
        second = int(now)
        if now >= 90.0:
            calls[second] += 1
            if served[second] < 50:
                served[second] += 1
                end = now
                continue
        wait = delay(attempt, previous, rng)
        heapq.heappush(queue, (now + wait, job, attempt + 1, wait))
    return Outcome(end, max(calls.values()))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("jitter", ["equal", "full", "decorrelated"])
def test_to_cap_first_and_spread_then_ends_an_outage_early_and_without_waves(jitter: RetryJitter, seed: int) -> None:
    policy = Retry(cap=30.0, jitter=jitter)

    def clamped(attempt: int, previous: float, rng: random.Random) -> float:
        """The other order: what has grown, a second's jitter on it, and clamped in the end."""
        return min(policy.cap, policy.base * policy.factor ** min(attempt - 1, 60) + rng.uniform(0.0, 1.0))

    ours, theirs = crowd(policy.delay, seed), crowd(clamped, seed)
    assert ours.end < 165
    assert ours.peak < 225
    assert theirs.end > 4 * ours.end
    assert theirs.peak > 4 * ours.peak
