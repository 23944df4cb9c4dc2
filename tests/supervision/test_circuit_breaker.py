"""The laws of the policy and of the operator's handle: what cannot be is refused by name, and who moves it signs."""

import asyncio
import math
from typing import Any

import pytest

from tests.supervision.circuits import EXACT
from upright.actors import Actor, ActorSystem
from upright.actors.events import ActorPaused, ActorResumed
from upright.actors.guards import Guards
from upright.actors.policies import BREAKER, Policy
from upright.actors.testing import Recorder, advance, settle
from upright.supervision import Backoff, CircuitBreaker, CircuitOpen, IllegalTransition
from upright.supervision.circuit_breaker import OPEN_WAIT
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerMoved, BreakerOpened
from upright.supervision.window import Tally

SMTP = CircuitBreaker("smtp", minimum_calls=2, wait=EXACT)


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Post(Actor):
    """Sends mail, through whatever the test gives it."""

    uses = (SMTP,)

    def __init__(self) -> None:
        self.sent = list[str]()

    async def send(self, letter: str) -> str:
        if letter == "bad":
            raise ConnectionError("no route")
        if letter == "long":
            await asyncio.sleep(1e6)
        self.sent.append(letter)
        return letter


async def failing(guards: Guards, policy: CircuitBreaker = SMTP) -> None:
    """Calls that fail, until it opens."""
    while policy.on(guards).state != "open":
        with pytest.raises(ConnectionError):
            async with guards.guard(policy):
                raise ConnectionError("no route")


class TestPolicy:
    def test_its_numbers_are_those_of_the_docs(self) -> None:
        policy = CircuitBreaker("smtp")
        assert (policy.failure_rate, policy.minimum_calls, policy.window, policy.window_calls) == (0.5, 10, 60.0, None)
        assert (policy.slow_call, policy.consecutive, policy.wait) == (math.inf, None, Backoff(5.0, 300.0))
        assert (policy.permits, policy.half_open_max_wait, OPEN_WAIT.jitter) == (3, 60.0, "equal")

    def test_it_is_a_plain_policy_without_key_and_weight(self) -> None:
        policy: Policy = SMTP
        assert (policy.plain, policy.key, policy.weight, policy.rank) == (policy, "", 1, BREAKER)

    @pytest.mark.parametrize(
        ("field", "value"),
        [("name", value) for value in ("", 1, None, b"smtp")]
        + [(rate, value) for rate in ("failure_rate", "slow_rate") for value in (0, -0.1, 1.1, 50, math.nan, "1", True)]
        + [("minimum_calls", value) for value in (0, -1, 1.5, "2", True, None)]
        + [("window", value) for value in (0, 0.0009, 5e-324, -1.0, math.nan, math.inf, "60", None)]
        + [("window_calls", value) for value in (0, -1, 1.5, True)]
        + [("slow_call", value) for value in (0, -1.0, math.nan, None)]
        + [("consecutive", value) for value in (0, 2.5, True)]
        + [("permits", value) for value in (0, -3, 1.0, None)]
        + [("half_open_max_wait", value) for value in (0, -1.0, math.nan, None)]
        + [("slow_start", value) for value in (-0.1, math.nan, None)],
    )
    def test_each_wrong_field_is_refused_by_name_with_the_value(self, field: str, value: Any) -> None:
        right: dict[str, Any] = {"name": "smtp"}
        with pytest.raises(ValueError, match=rf"^expected {field} to be ") as raised:
            CircuitBreaker(**(right | {field: value}))
        assert str(raised.value).endswith(f", got {value!r}")

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("wait", 5.0, "expected wait to be a Backoff, such as Backoff(5.0, 300.0), got 5.0"),
            ("counts", "OSError", "expected counts to be a plain function of the error, got 'OSError'"),
        ],
    )
    def test_a_field_of_a_wrong_type_is_refused_with_what_would_be_right(
        self, field: str, value: Any, expected: str
    ) -> None:
        with pytest.raises(TypeError) as raised:
            CircuitBreaker("smtp", **{field: value})
        assert str(raised.value) == expected

    def test_a_window_of_fewer_calls_than_it_takes_to_judge_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^expected minimum_calls to be window_calls \(9\) or less, got 10$"):
            CircuitBreaker("smtp", window_calls=9)
        assert CircuitBreaker("smtp", window_calls=10).window_calls == 10

    @pytest.mark.parametrize("infinite", ["slow_call", "half_open_max_wait", "slow_start"])
    def test_what_may_last_for_ever_may(self, infinite: str) -> None:
        assert getattr(CircuitBreaker("smtp", **{infinite: math.inf}), infinite) == math.inf  # type: ignore[arg-type]

    def test_two_of_one_name_that_differ_are_refused_beside_each_other(self) -> None:
        guards = Guards()
        guards.guard(SMTP)
        other = CircuitBreaker("smtp", permits=9)
        for use in (guards.guard, guards.gate):
            with pytest.raises(ValueError, match=r"^expected one CircuitBreaker of the name 'smtp', got .*permits=9"):
                use(other)
        with pytest.raises(ValueError, match=r"^expected one CircuitBreaker of the name 'smtp', got "):
            other.on(guards)

    @pytest.mark.anyio
    async def test_two_that_are_equal_are_one(self) -> None:
        guards = Guards()
        await failing(guards)
        assert CircuitBreaker("smtp", minimum_calls=2, wait=EXACT).on(guards).state == "open"

    @pytest.mark.anyio
    async def test_each_name_is_a_circuit_of_its_own_and_so_is_each_guards(self) -> None:
        guards = Guards()
        await failing(guards)
        assert CircuitBreaker("pop3").on(guards).state == SMTP.on(Guards()).state == "closed"


@pytest.mark.anyio
class TestCircuit:
    async def test_it_shows_what_calls_have_done(self) -> None:
        guards, policy = Guards(), CircuitBreaker("smtp", slow_call=1.0, minimum_calls=3)
        circuit = policy.on(guards)
        assert (circuit.state, circuit.lets_through, circuit.rates, circuit.moved_by) == ("closed", True, None, None)
        async with guards.guard(policy):
            await asyncio.sleep(1.5)
        with pytest.raises(ConnectionError):
            async with guards.guard(policy):
                raise ConnectionError
        assert (circuit.tally, circuit.rates, circuit.waiting) == (Tally(2, 1, 1), None, 0)
        async with guards.guard(policy):
            assert repr(circuit) == "<Circuit smtp closed>"
        assert circuit.rates == (1 / 3, 1 / 3)

    async def test_its_way_from_closed_to_closed(self) -> None:
        told = list[Any]()
        guards = Guards(told.append)
        circuit = SMTP.on(guards)
        await failing(guards)
        assert (circuit.state, circuit.lets_through) == ("open", False)
        with pytest.raises(CircuitOpen) as raised:
            async with guards.guard(SMTP):
                raise AssertionError("not reached")
        assert raised.value.retry_after == 5.0
        await asyncio.sleep(5.0)
        assert (circuit.state, circuit.lets_through) == ("open", True)
        for _ in range(3):
            assert circuit.state != "closed"
            async with guards.guard(SMTP):
                assert circuit.state == "half-open"
        assert (circuit.state, circuit.lets_through) == ("closed", True)
        assert [type(event) for event in told] == [BreakerOpened, BreakerHalfOpened, BreakerClosed]

    async def test_a_move_is_signed_and_told(self) -> None:
        told = list[Any]()
        circuit = SMTP.on(Guards(told.append))
        circuit.force_open(who="ada", why="they asked for it")
        assert (circuit.state, circuit.lets_through, circuit.moved_by) == (
            "forced-open", False, ("ada", "they asked for it"),
        )  # fmt: skip
        circuit.disable(who="bob", why="nonsense")
        assert (circuit.state, circuit.lets_through) == ("disabled", True)
        circuit.metrics_only(who="ada", why="to look")
        assert circuit.state == "metrics-only"
        circuit.automatic(who="ada", why="seen")
        assert (circuit.state, circuit.moved_by) == ("closed", ("ada", "seen"))
        assert [(event.mode, event.who) for event in told if isinstance(event, BreakerMoved)] == [
            ("forced-open", "ada"), ("disabled", "bob"), ("metrics-only", "ada"), ("automatic", "ada"),
        ]  # fmt: skip

    async def test_a_move_that_makes_no_sense_raises_and_changes_nothing(self) -> None:
        circuit = SMTP.on(Guards())
        for move in (circuit.automatic, circuit.half_open):
            with pytest.raises(IllegalTransition):
                move(who="ada", why="by mistake")
        assert (circuit.state, circuit.moved_by) == ("closed", None)

    @pytest.mark.parametrize("signed", [{"who": "", "why": "x"}, {"who": "x", "why": ""}, {"who": None, "why": "x"}])
    async def test_a_move_that_is_not_signed_is_refused(self, signed: Any) -> None:
        circuit = SMTP.on(Guards())
        for move in (circuit.force_open, circuit.disable, circuit.metrics_only, circuit.automatic, circuit.half_open):
            with pytest.raises(ValueError, match=r"^expected wh[oy] to be a string that is not empty, got "):
                move(**signed)
        assert circuit.state == "closed"

    async def test_it_lets_a_call_through_while_mailboxes_begin_gently(self) -> None:
        guards = Guards()
        await failing(guards)
        await asyncio.sleep(5.0)
        for _ in range(3):
            async with guards.guard(SMTP):
                pass
        async with guards.guard(SMTP), guards.guard(SMTP), guards.guard(SMTP):
            assert SMTP.on(guards).lets_through
            async with guards.guard(SMTP):
                pass


@pytest.mark.anyio
class TestActors:
    async def test_an_actor_is_paused_while_it_is_open_and_then_goes_on(self, system: Any) -> None:
        async with system(log=None) as s:
            post, recorder, circuit = await s.spawn("post", Post), Recorder(s), SMTP.on(s)
            circuit.force_open(who="ada", why="they asked for it")
            asking = asyncio.create_task(post.ask(Post.send, "a"))
            await advance(4.0)
            assert (circuit.waiting, asking.done()) == (1, False)
            assert recorder.of(ActorPaused)[0].guard == "smtp"
            circuit.automatic(who="ada", why="they are back")
            assert await asking == "a"
            assert [event.paused_s for event in recorder.of(ActorResumed)] == [4.0]
            assert circuit.waiting == 0

    async def test_exactly_the_permits_are_handled_when_it_is_half_open(self, system: Any) -> None:
        async with system(log=None) as s:
            posts = [await s.spawn(f"post{number}", Post) for number in range(6)]
            await failing(s.guards)
            for post in posts:
                await post.tell(Post.send, "long")
            await advance(5.0)
            circuit = SMTP.on(s)
            assert (circuit.state, circuit.waiting) == ("half-open", 3)
            await advance(60.0)
            assert (circuit.state, circuit.waiting) == ("open", 3)

    async def test_its_handle_outlives_a_stop_of_the_system(self, system: Any) -> None:
        s: ActorSystem = system(log=None)
        circuit = SMTP.on(s)
        for run in ("first", "second"):
            async with s:
                circuit.force_open(who="ada", why=run)
                with pytest.raises(CircuitOpen, match=f"was opened by ada: {run}"):
                    async with s.guards.guard(SMTP):
                        pass
                circuit.automatic(who="ada", why=run)
                async with s.guards.guard(SMTP):
                    pass

    async def test_what_an_operator_said_before_a_stop_holds_after_it(self, system: Any) -> None:
        s: ActorSystem = system(log=None)
        async with s:
            SMTP.on(s).force_open(who="ada", why="they asked for it")
        async with s:
            await settle()
            assert (SMTP.on(s).state, SMTP.on(s).moved_by) == ("forced-open", ("ada", "they asked for it"))
