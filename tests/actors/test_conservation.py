"""The law of conservation: whatever happens, every ask ends once, and no message is lost or handled twice.

Actors of all kinds tell and ask each other at random, crash, refuse, stop, are killed and restarted, with mailboxes
of every policy. In the end each message that was sent is accounted for exactly once.
"""

import asyncio
from collections import Counter
from random import Random
from typing import Any, Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.actors.deeds import Deeds
from upright.actors import ActorError, ActorSystem, AskFailed, Bounded, MailboxFull, Refuse, concurrent
from upright.actors.events import AskExpired
from upright.actors.testing import Recorder, VirtualTimeLoop

Verb = Literal["tell", "ask", "try_tell", "fail_fast", "give_up"]
VERBS: tuple[Verb, ...] = ("tell", "ask", "try_tell", "fail_fast", "give_up")
NAMES = "abc"
Act = tuple[str, Any]


class Books:
    """Where every message is entered when it is sent, begun and ended, by its number."""

    def __init__(self) -> None:
        self.sent: dict[int, Verb] = {}
        self.begun: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.ends: dict[int, list[str]] = {}
        """How the sender's side ended: ok, not sent, refused, failed handled, failed unhandled, given up."""

    def number(self, verb: Verb) -> int:
        self.sent[len(self.sent)] = verb
        return len(self.sent) - 1

    def end(self, number: int, how: str) -> None:
        self.ends.setdefault(number, []).append(how)


class Player(Deeds):
    """Plays the acts that a message brings, and enters what it does in the books."""

    def __init__(self, books: Books, system: ActorSystem) -> None:
        super().__init__()
        self.books, self.system = books, system

    async def play(self, number: int, acts: list[Act]) -> int:
        await self._play(number, acts)
        return number

    @concurrent(2)
    async def play_beside(self, number: int, acts: list[Act]) -> int:
        await self._play(number, acts)
        return number

    async def _play(self, number: int, acts: list[Act]) -> None:
        self.books.begun[number] += 1
        for verb, value in acts:
            match verb:
                case "sleep":
                    await asyncio.sleep(value)
                case "crash":
                    raise ValueError("on purpose")
                case "refuse":
                    raise Refuse
                case "stop":
                    self.ctx.stop()
                case _:
                    await send(self.books, self.system, cast(Verb, verb), *value)
        self.books.done[number] += 1


class Ceremonious(Player):
    mailbox = Bounded(1)

    async def started(self) -> None:
        await asyncio.sleep(0.01)

    async def stopping(self, reason: object) -> None:
        await asyncio.sleep(0.01)


def player(full: Any) -> type[Player]:
    return type("Player", (Player,), {"mailbox": Bounded(1, full)})


async def send(books: Books, system: ActorSystem, verb: Verb, to: str, acts: list[Act]) -> None:
    """Send one message and enter how that ended."""
    number = books.number(verb)
    ref, play = system.ref(f"/{to}", Player), Player.play_beside if number % 3 == 2 else Player.play
    try:
        match verb:
            case "tell":
                await ref.within(1.0).tell(play, number, acts)
            case "ask":
                assert await ref.within(1.0).ask(play, number, acts) == number
            case "fail_fast":
                assert await ref.within(1.0).fail_fast().ask(play, number, acts) == number
            case "give_up":
                async with asyncio.timeout(0.05):
                    await ref.ask(play, number, acts)
            case "try_tell":
                if not ref.try_tell(play, number, acts):
                    books.end(number, "not sent")
                    return
        books.end(number, "ok")
    except Refuse:
        books.end(number, "refused")
    except AskFailed as error:
        books.end(number, "failed handled" if error.handled else "failed unhandled")
    except MailboxFull:
        books.end(number, "not sent")
    except TimeoutError:
        books.end(number, "given up")
    except ActorError as error:
        pytest.fail(f"an error that nobody expects: {error!r}")
    except asyncio.CancelledError:
        books.end(number, "given up")
        raise


KINDS: list[type[Player]] = [Ceremonious, *map(player, ("wait", "reject", "drop_new", "drop_old"))]
TIMES = (0.0, 0.02, 0.3, 0.8, 1.5)


def acts(random: Random, depth: int) -> list[Act]:
    """What one message has its actor do."""
    chosen: list[Act] = []
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        match random.randrange(8 if depth else 5):
            case 0:
                chosen.append((random.choice(("crash", "refuse", "stop")), None))
            case 1 | 2 | 3 | 4:
                chosen.append(("sleep", random.choice(TIMES)))
            case _:
                chosen.append((random.choice(VERBS), (random.choice(NAMES), acts(random, depth - 1))))
    return chosen


def script(random: Random, length: int) -> list[Any]:
    """What happens to the three actors: mostly bursts, so that mailboxes are full and senders stand in line."""
    steps: list[Any] = []
    for _ in range(length):
        match random.randrange(10):
            case 0 | 1:
                steps.append(("pause", random.choice(TIMES)))
            case 2:
                steps.append(("kill", random.choice(NAMES)))
            case 3:
                steps.append(("spawn", random.choice(NAMES)))
            case _:
                burst = random.randint(1, 4)
                steps.append(("send", random.choice(VERBS), random.choice(NAMES), acts(random, 2), burst))
    return steps


async def perform(steps: list[Any], troupe: list[type[Player]]) -> None:
    books, system = Books(), ActorSystem(log=None)
    recorder = Recorder(system)
    kinds = dict(zip(NAMES, troupe, strict=True))
    before = asyncio.all_tasks()
    expired: list[Any] = []
    system.subscribe(expired.append, AskExpired)
    async with system:
        for name, kind in kinds.items():
            await system.spawn(name, kind, books, system)
        senders: list[asyncio.Task[None]] = []
        for step in steps:
            match step:
                case ("send", verb, to, deeds, times):
                    senders += [asyncio.create_task(send(books, system, verb, to, deeds)) for _ in range(times)]
                    await asyncio.sleep(0)
                case ("pause", seconds):
                    await asyncio.sleep(seconds)
                case ("kill", name):
                    await system.kill(system.ref(f"/{name}", Player))
                case ("spawn", name):
                    if system.ref(f"/{name}", Player).recipient is None:
                        await system.spawn(name, kinds[name], books, system)
                case _:
                    pytest.fail(f"a step that nobody knows: {step!r}")
        async with asyncio.timeout(300):
            await asyncio.gather(*senders)
            await system.idle()
    assert asyncio.all_tasks() == before
    balance(books, recorder, len(expired))


def balance(books: Books, recorder: Recorder, expired: int) -> None:
    """Every message is accounted for exactly once."""
    letters = Counter(letter.message.args[0] for letter in recorder.letters)
    reasons = {letter.message.args[0]: letter.reason for letter in recorder.letters}
    unread = 0
    for number, verb in books.sent.items():
        story = f"message {number}, {verb}: {reasons.get(number)}, {books.ends.get(number)}"
        ends = books.ends.get(number, [])
        assert len(ends) == 1, f"its sender's side ends once: {story}"
        assert books.begun[number] <= 1, f"handled twice: {story}"
        assert letters[number] <= 1, f"two letters: {story}"
        begun, done, letter, end = books.begun[number], books.done[number], letters[number], ends[0]
        asked = verb in ("ask", "fail_fast", "give_up")
        if done:
            assert not letter, f"handled and a letter: {story}"
        elif begun:
            refused = asked and reasons.get(number) is None
            assert letter or refused, f"begun, and lost: {story}"
            assert letter == (not refused)
        elif not letter:
            assert end in ("not sent", "given up", "failed unhandled"), f"lost: {story}"
            unread += end != "not sent"
        if end == "ok":
            assert asked is False or done, f"answered, and not done: {story}"
        if end == "failed handled":
            assert begun, f"handled, it says: {story}"
        if end == "failed unhandled":
            assert not begun, f"not handled, it says: {story}"
        if end == "not sent":
            assert not begun, f"not sent, it says: {story}"
    assert expired <= unread, "an ask that expired was handled, or became a letter"


# A seed and a length: hypothesis shortens the script of a failure, while its own choices rarely fill a mailbox.
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20))
def test_every_ask_ends_once_and_every_message_is_handled_once_or_becomes_one_dead_letter(
    seed: int, length: int
) -> None:
    random = Random(seed)
    troupe = [random.choice(KINDS) for _ in NAMES]
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(perform(script(random, length), troupe))


def test_the_books_would_notice_a_loss() -> None:
    """A law that nothing can break says nothing."""
    books = Books()
    books.end(books.number("tell"), "ok")
    with pytest.raises(AssertionError, match="lost"):
        balance(books, Recorder(ActorSystem(log=None)), 0)
