"""The law of conservation for pools: whatever happens, every message sent to one is accounted for exactly once.

Senders outside and workers themselves tell and ask a pool and single workers at random, while workers crash, stop and
are killed, and the pool is resized, killed, and gives up and is restarted, under every routing and policy.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.actors.test_conservation import TIMES, VERBS, Act, Books, Player, balance, send
from upright.actors import Actor, ActorError, ActorSystem, Bounded, DeadLetter, Message, concurrent
from upright.actors.events import AskExpired
from upright.actors.testing import Recorder, VirtualTimeLoop
from upright.supervision import ChildSpec, Pool, Supervisor, by_key, pool, supervisor

POOL = "top/pool"
KEYS = 4


def key(message: Message) -> int:
    """Numbers of messages are keys of a few."""
    return int(message.args[0]) % KEYS


ONE_TAKER: tuple[Any, ...] = ("least_loaded", "round_robin", by_key(key))


class Keyed(Player):
    """Notes which keys are in hand, and in what order messages of one key began."""

    overlaps: list[int]
    in_hand: Counter[int]
    began: dict[int, list[int]]

    async def started(self) -> None:
        await asyncio.sleep(0.01)

    async def play(self, number: int, acts: list[Act]) -> int:
        with self.holding(number, alone=True):
            return await super().play(number, acts)

    @concurrent(2)
    async def play_beside(self, number: int, acts: list[Act]) -> int:
        with self.holding(number, alone=False):
            await self._play(number, acts)
        return number

    @contextlib.contextmanager
    def holding(self, number: int, alone: bool) -> Generator[None]:
        """Only those that may overlap at one worker may overlap at all."""
        one, beside = number % KEYS, number % KEYS + KEYS
        if self.in_hand[one] or (alone and self.in_hand[beside]):
            self.overlaps.append(number)
        self.began.setdefault(one, []).append(number)
        self.in_hand[one if alone else beside] += 1
        try:
            yield
        finally:
            self.in_hand[one if alone else beside] -= 1


def keyed(limit: int, full: Any) -> type[Keyed]:
    fields = {
        "mailbox": Bounded(limit, full),
        "overlaps": list[int](),
        "in_hand": Counter[int](),
        "began": dict[int, list[int]](),
    }
    return type("Keyed", (Keyed,), fields)


def acts(random: Random, depth: int) -> list[Act]:
    """What one message has its worker do."""
    chosen: list[Act] = []
    for _ in range(random.choice((0, 1, 1, 2))):
        match random.randrange(8 if depth else 5):
            case 0:
                chosen.append((random.choice(("crash", "refuse", "stop")), None))
            case 1 | 2 | 3 | 4:
                chosen.append(("sleep", random.choice(TIMES)))
            case _:
                chosen.append((random.choice(VERBS), (POOL, acts(random, depth - 1))))
    return chosen


def script(random: Random, length: int, direct: bool = True) -> list[Any]:
    """What happens to the pool: mostly bursts of messages, some to single workers if `direct`."""
    steps: list[Any] = []
    for _ in range(length):
        match random.randrange(12):
            case 0 | 1:
                steps.append(("pause", random.choice(TIMES)))
            case 2:
                steps.append(("kill", random.choice((POOL, f"{POOL}/0", f"{POOL}/1"))))
            case 3 | 4:
                steps.append(("resize", random.randint(1, 4)))
            case 5 if direct:
                steps.append(("send", random.choice(VERBS), f"{POOL}/{random.randrange(3)}", acts(random, 1), 2))
            case _:
                steps.append(("send", random.choice(VERBS), POOL, acts(random, 2), random.randint(1, 5)))
    return steps


class Letters(Recorder):
    """Leaves out the letters of resizes."""

    @property
    def letters(self) -> list[DeadLetter]:
        return [letter for letter in super().letters if letter.message.handler in ("play", "play_beside")]


class Trial:
    """One run of a script."""

    def __init__(self, random: Random, routing: Any) -> None:
        self.books, self.expired = Books(), list[Any]()
        self.kind = keyed(random.randint(1, 2), random.choice(("wait", "wait", "reject", "drop_new", "drop_old")))
        self.system = ActorSystem(supervisor("top", max_restarts=10_000), log=None)
        restart: Any = random.choice(("permanent", "permanent", "transient", "temporary"))
        hand: ChildSpec[Keyed] = ChildSpec("hand", self.kind, (self.books, self.system), restart=restart)
        often = random.choice((0, 2, 1_000))
        self.pool = pool("pool", hand, size=random.randint(1, 3), routing=routing, max_restarts=often)
        self.recorder = Letters(self.system)
        self.system.subscribe(self.expired.append, AskExpired)

    async def run(self, steps: list[Any]) -> None:
        before = asyncio.all_tasks()
        async with self.system as system:
            await system.ref("/top", Supervisor).ask(Supervisor.start_child, self.pool)
            async with asyncio.timeout(3_000):
                await asyncio.gather(*[task for step in steps for task in await self.do(step)])
                await system.idle()
            found: Any = system.ref(f"/{POOL}", Pool).recipient
            assert (len(found.mailbox), found.mailbox.in_line) == (0, 0), "nothing waits, and nobody for room"
        assert asyncio.all_tasks() == before

    async def do(self, step: Any) -> list["asyncio.Task[None]"]:
        match step:
            case ("send", verb, to, deeds, times):
                sending = [send(self.books, self.system, verb, to, deeds) for _ in range(times)]
                tasks = [asyncio.create_task(one) for one in sending]
                await asyncio.sleep(0)
                return tasks
            case ("pause", seconds):
                await asyncio.sleep(seconds)
            case ("kill", path):
                return [asyncio.create_task(self.system.kill(self.system.ref(f"/{path}", Actor)))]
            case ("resize", size):
                return [asyncio.create_task(self.resize(size))]
            case _:
                pytest.fail(f"a step that nobody knows: {step!r}")
        return []

    async def resize(self, size: int) -> None:
        with contextlib.suppress(
            ActorError
        ):  # the pool, or a worker that starts, is killed; other tests look at resizes
            await self.system.ref(f"/{POOL}", Pool).within(1_000.0).ask(Pool.resize, size)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25), st.sampled_from(ONE_TAKER))
@example(13173, 18, "round_robin")  # an ask came back to the only worker that was left, which had asked it
def test_every_message_to_a_pool_is_handled_once_or_becomes_one_dead_letter_or_is_its_senders(
    seed: int, length: int, routing: Any
) -> None:
    random = Random(seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        trial = Trial(random, routing)
        runner.run(trial.run(script(random, length)))
    balance(trial.books, trial.recorder, len(trial.expired))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25))
@example(778, 6)  # a worker stopped itself, and overlapping handlers went on
@example(6793, 19)  # a worker came back in a pool that was restarted, whose keys another one had had
@example(1645, 6)  # a handler was cancelled before its first step, in a worker that was killed while keys moved
def test_by_key_messages_of_one_key_begin_in_order_and_never_overlap_at_two_workers(seed: int, length: int) -> None:
    random = Random(seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        trial = Trial(random, by_key(key))
        runner.run(trial.run(script(random, length, direct=False)))
    assert trial.kind.overlaps == []
    assert trial.kind.began == {one: sorted(numbers) for one, numbers in trial.kind.began.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 25))
def test_of_a_broadcast_each_copy_is_handled_once_at_most_and_its_asker_hears_the_truth(seed: int, length: int) -> None:
    random = Random(seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        trial = Trial(random, "broadcast")
        runner.run(trial.run(script(random, length, direct=False)))
    letters = Counter(letter.message.args[0] for letter in trial.recorder.letters)
    for number, verb in trial.books.sent.items():
        (end,) = trial.books.ends[number]
        begun = trial.books.begun[number]
        assert begun <= 4, "there were four workers at most"
        if verb in ("tell", "try_tell") and end == "ok":
            assert begun + letters[number] >= 1, f"message {number} is lost"
        if end == "failed unhandled":
            assert not begun, f"a worker began with message {number}"
        if end == "failed handled":
            assert begun
