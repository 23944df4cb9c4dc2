"""The soak's ledger, which stands outside of all actors: what was sent, begun, done, dead-lettered, started, stopped.

A *copy* is one message for one address; a pool is one address, but each worker of a pool that broadcasts is one. A
copy is accounted for exactly once when it was

* begun and done, and became no dead letter; or
* begun and not done, for its actor crashed, was killed or refused with the copy in hand, and became one dead letter
  (none where an ask was refused: the asker was told); or
* never begun, and became one dead letter; or its sender was told that it was not taken, or had stopped waiting.
"""

import asyncio
import contextlib
import weakref
from collections import Counter
from collections.abc import Generator
from random import Random
from typing import Any, Literal

import msgspec

from upright.actors import Actor, ActorSystem
from upright.actors.events import (
    ActorRestarting,
    ActorSpawned,
    ActorStarted,
    ActorStartFailed,
    ActorStopped,
    DeadLettered,
    Event,
    SubscriberRemoved,
)

Verb = Literal["tell", "ask", "try_tell", "fail_fast", "publish"]
IN_HAND = ("crashed", "killed", "rejected")
Copy = tuple[int, str]


class News(msgspec.Struct, frozen=True):
    """What is published."""

    number: int
    publisher: str


class Sent(msgspec.Struct):
    """What the sender's side of a copy knows. `copies`: how many workers must get it, where that is known."""

    verb: Verb
    sender: str
    copies: int = 0
    ends: list[str] = []


class Ledger:
    """All that happened, by copy and by path; `faults` is what must never happen."""

    system: ActorSystem

    def __init__(self, random: Random, pools: frozenset[str], broadcasts: frozenset[str]) -> None:
        self.random, self.pools, self.broadcasts = random, pools, broadcasts
        self.calm = True
        self.sent: dict[Copy, Sent] = {}
        self.begun: Counter[Copy] = Counter()
        self.done: Counter[Copy] = Counter()
        self.refused: Counter[Copy] = Counter()
        self.letters: dict[Copy, list[str]] = {}
        self.order: dict[tuple[Any, ...], int] = {}
        self.state: dict[str, str] = {}
        self.doing: Counter[str] = Counter()
        self.current: dict[str, weakref.ref[Any]] = {}
        self.numbers: dict[str, int] = {}
        self.announced: dict[str, int] = {}
        self.stops: list[str] = []
        self.by_hand: set[str] = set()
        self.brutal: set[str] = set()
        self.after: dict[str, list[str]] = {}
        """Whom a supervisor that restarts groups keeps down while one starts: those after it."""
        self.instances: weakref.WeakSet[Any] = weakref.WeakSet()
        self.faults: list[str] = []
        self._number = 0

    def follow(self, system: ActorSystem) -> None:
        self.system = system
        system.subscribe(self.note)

    def number(self) -> int:
        self._number += 1
        return self._number

    def address(self, path: str) -> str:
        """The address of whoever lives at a path: of a worker its pool's, but for a broadcast."""
        pool = path.rpartition("/")[0]
        return pool if pool in self.pools else path

    def whole(self, copy: Copy) -> Copy:
        """The message that a copy of a broadcast is one of."""
        pool = copy[1].rpartition("/")[0]
        return (copy[0], pool) if pool in self.broadcasts else copy

    def note(self, event: Event) -> None:
        """Enter an event. A subscriber that raised would be removed, so a fault is only written down."""
        path = event.path
        match event:
            case DeadLettered(letter=letter) if letter.message.handler in ("work", "look", "news"):
                said = letter.message.args[0]
                number = said.number if isinstance(said, News) else said
                self.letters.setdefault((number, self.address(path)), []).append(letter.reason)
            case ActorSpawned():
                self.expect(path not in self.numbers, f"{path} was spawned while it lived")
                self.numbers[path] = 0
            case ActorRestarting(incarnation=number):
                self.expect(self.numbers[path] + 1 == number, f"{path} restarts as {number}, not one more")
                self.announced[path] = number
            case ActorStarted(incarnation=number) | ActorStartFailed(incarnation=number):
                self.expect(self.numbers[path] + 1 == number, f"{path} started as {number} after {self.numbers[path]}")
                self.expect(number == 1 or self.announced[path] == number, f"{path} started as {number}, unannounced")
                self.numbers[path] = number
            case ActorStopped(incarnation=number):  # of a start that its parent's kill cut off nobody hears
                known = self.numbers.pop(path, -1)
                self.expect(number in (known, known + 1), f"{path} ended as {number} after {known}")
                self.stops.append(path)
            case _:
                self.expect(not isinstance(event, SubscriberRemoved), f"the ledger itself failed: {event}")

    def expect(self, right: bool, fault: str) -> None:
        if not right:
            self.faults.append(f"{fault} at {asyncio.get_running_loop().time():.3f}")

    def doom(self, path: str) -> None:
        """An actor and all below it are about to be killed, so their `stopping()` may not be called."""
        for one in self.state:
            if one == path or one.startswith(f"{path}/"):
                self.state[one] = f"{self.state[one]}, doomed"

    def become(self, path: str, state: str, *before: str) -> None:
        """An incarnation has come to its next state; it must have come from one of those."""
        found = self.state.get(path, "")
        cut_off = found.endswith("doomed") or path in self.brutal
        self.expect(found in before or cut_off, f"{path}: {state} after {found or 'nothing'}")
        self.state[path] = state

    def made(self, worker: Actor, path: str) -> None:
        """A new incarnation: nothing of the one before it may be going on, and nobody after it in a group runs."""
        self.become(path, "starting", "", "stopped", "killed", "failed")
        self.expect(not self.doing[path], f"{path} starts while {self.doing[path]} deeds of the last one go on")
        for other in self.after.get(path, ()) if path not in self.by_hand else ():
            actor: Any = self.system.ref(other, Actor).recipient
            self.expect(actor is None or actor.state != "running", f"{path} starts while {other} runs")
        self.current[path] = weakref.ref(worker)
        self.instances.add(worker)

    @contextlib.contextmanager
    def deed(self, worker: Actor, verb: str) -> Generator[None]:
        """Something that an incarnation does: one of the living, and nobody else's."""
        path = worker.ctx.path
        self.doing[path] += 1
        try:
            yield
        except asyncio.CancelledError:
            self.state[path] = "killed"
            raise
        finally:
            self.expect(self.current[path]() is worker, f"a {verb} of an old incarnation of {path} went on")
            self.doing[path] -= 1

    def begin(self, worker: Actor, number: int, sender: str, key: str) -> Copy:
        """A handler begins with a copy; those of one sender come in their order."""
        path = worker.ctx.path
        copy = number, self.address(path)
        self.expect(self.state[path].startswith("running"), f"{copy} begun while {path} is {self.state[path]}")
        self.begun[copy] += 1
        pool = copy[1] in self.pools
        if not pool or copy[1].endswith("/keyed"):
            line = (sender, copy[1], key if pool else "")
            self.expect(self.order.get(line, 0) < number, f"{copy} begun after {self.order.get(line)} of {line}")
            self.order[line] = number
        return copy

    def end(self, copy: Copy, how: str) -> None:
        self.sent[copy].ends.append(how)

    def balance(self) -> list[str]:
        """The story of each copy that is not accounted for exactly once."""
        wrong: list[str] = []
        parts: dict[Copy, list[Copy]] = {}
        for copy in {*self.begun, *self.letters}:
            whole = self.whole(copy)
            parts.setdefault(whole, []).append(copy)
            if whole not in self.sent:
                wrong.append(f"{copy} was never sent")
            if copy != whole:
                wrong += self.weigh(copy, None)
        for copy, sent in self.sent.items():
            if copy[1] in self.broadcasts:
                wrong += self.weigh_broadcast(copy, sent, parts.get(copy, []))
            else:
                wrong += self.weigh(copy, sent)
        return wrong

    def weigh(self, copy: Copy, sent: Sent | None) -> list[str]:
        begun, done, letters = self.begun[copy], self.done[copy], self.letters.get(copy, [])
        ends, asked = (sent.ends, sent.verb in ("ask", "fail_fast")) if sent is not None else ([], False)
        rules = {
            "its sender's side ends once": sent is None or len(ends) == 1,
            "begun once at most": begun <= 1,
            "one letter at most": len(letters) <= 1,
            "done, so no letter": not done or not letters,
            "cut off in hand, so one letter that says so": not begun
            or bool(done)
            or self.refused[copy] > 0
            or [reason in IN_HAND for reason in letters] == [True],
            "never begun, so no letter that says it was": bool(begun) or not any(one in IN_HAND for one in letters),
            "not lost": sent is None or bool(begun) or bool(letters) or ends != ["ok"],
            "an answer comes of what is done": not asked or ends != ["ok"] or bool(done),
            "handled, it says": ends != ["failed handled"] or bool(begun),
            "unhandled, it says": ends not in (["failed unhandled"], ["not sent"]) or not begun,
        }
        story = f"{copy} {sent}: begun {begun}, done {done}, letters {letters}"
        return [f"{law}: {story}" for law, holds in rules.items() if not holds]

    def weigh_broadcast(self, copy: Copy, sent: Sent, parts: list[Copy]) -> list[str]:
        found = sum(self.begun[part] for part in parts) + sum(
            reason not in IN_HAND for part in parts for reason in self.letters.get(part, ())
        )
        lost = sent.ends == ["ok"] and sent.verb in ("tell", "try_tell", "publish") and found < max(sent.copies, 1)
        right = len(sent.ends) == 1 and not lost and not 0 < sent.copies < found
        return [] if right else [f"{found} copies of the broadcast {copy} {sent}"]
