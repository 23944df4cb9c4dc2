"""Every store: whatever happens in whatever order, it says and does what the model does.

So no message is lost, none is in two hands, each mailbox keeps its order, and the depths are what is unfinished.
"""

import asyncio
import math
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.persistence.contract import OUTCOMES, RIGS, Rig, Session, SetClock, step
from tests.persistence.contract_model import Model, Said
from upright.persistence import sqlite_engine
from upright.persistence.records import ORDERS, Batch, Delivery, Order, Outcome, Outgoing, StateWrite, Step, Want

T = TypeVar("T")
Draw = st.DataObject


orders = st.sampled_from(ORDERS)
waits = st.sampled_from([0.0, 5.0, 20.0])
messages = st.builds(
    Said,
    orders,
    st.sampled_from("abcdefgh"),
    st.sampled_from([0, 0, 1, -1]),
    st.sampled_from([0.0, 0.0, 5.0]),
    st.sampled_from(["k", "k", "l", ""]),
    st.sampled_from(["", "", "", "o", "p"]),
)
outcomes: st.SearchStrategy[Outcome] = st.sampled_from([*OUTCOMES, "retry", "retry", "retry", "quarantine"])
who = st.integers(0, 1)


class NoSyncer:
    """The disk is not the subject here, and a process for each session would take most of the time."""

    async def sync(self) -> None: ...
    async def close(self) -> None: ...


async def no_syncer(path: str) -> NoSyncer:
    return NoSyncer()


class StoreMachine(RuleBasedStateMachine):
    """Two sessions on one store, of which each may die and be followed by another."""

    make: ClassVar[Callable[[Path], Rig]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = mock.patch.object(sqlite_engine, "start_syncer", no_syncer)
        self.patch.start()
        self.rig = type(self).make(Path(self.folder.name))
        self.clock, self.model = SetClock(), Model()
        self.made = 0
        self.dead: list[Session] = []
        self.old: list[tuple[Session, Delivery]] = []
        """Claims that have ended, with those who think that they hold them."""
        self.hands: dict[int, tuple[int, Delivery]] = {}
        """What is claimed: by the number of which session, and under which claim."""
        self.slots: dict[int, int] = {}
        self.sessions = [self.open(), self.open()]

    def run(self, deed: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(deed)

    def open(self) -> tuple[int, Session]:
        self.made += 1
        return self.made, self.run(Session(self.rig.session(self.clock), self.clock).open())

    def write(
        self, at: int, steps: list[Step], puts: list[Said], wants: Sequence[tuple[Order, int]],
        pardons: Sequence[int] = (), leaves: bool = False,
    ) -> None:  # fmt: skip
        """Have a session write all that, and compare what it says with the model."""
        number, session = self.sessions[at]
        now, model = self.clock(), self.model
        said = [one.outgoing(now) for one in puts]
        looks = [Want(order, order, room) for order, room in wants]
        left = ["strict"] if leaves else []
        written = self.run(session.engine.write(Batch(steps, said, looks, [*pardons], left)))
        for one, verdict in zip(steps, written.verdicts, strict=True):
            assert verdict == self.judged(one)
        for id in pardons:
            model.pardoned(id)
        if leaves and model.strict_owner == number:
            model.strict_owner = 0
        for message, receipt in zip(said, written.receipts, strict=True):
            model.put(receipt.id, receipt.duplicate, message, now)
        claimed = list(written.deliveries)
        for order, room in wants:
            expected = model.claimable(order, room, number, now)
            got = [delivery for delivery in claimed if delivery.address == order]  # each mailbox has an order
            claimed = [delivery for delivery in claimed if delivery.address != order]
            assert [delivery.id for delivery in got] == expected
            if order == "strict" and model.strict_owner in (0, number):
                model.strict_owner = number
            model.claimed(got, number)
            self.hands |= {delivery.id: (number, delivery) for delivery in got}
            if len(got) < room:
                assert written.next_due.get(order) == model.next_due(order, now)
            else:
                assert order not in written.next_due
        assert not claimed
        for address, depth in written.depths.items():
            assert depth == model.depth(address)
        assert {order for order, _ in wants} <= set(written.depths)
        doubles = [one for one, receipt in zip(puts, written.receipts, strict=True) if receipt.duplicate]
        if doubles:  # it is the store's affair whether what came last is the first message or its double
            self.write(at, [], [one._replace(once="") for one in doubles], [])

    def judged(self, one: Step) -> str:
        """What the model says of a step; it is done there too."""
        held = self.hands.get(one.delivery.id)
        if held is None or held[1].token != one.delivery.token:
            return "lost"
        write = one.state
        if write is not None:
            if self.model.versions.get(write.address, 0) != write.expected:
                return "conflict"
            self.model.versions[write.address] = write.expected + 1
        del self.hands[one.delivery.id]
        self.model.settled(one.delivery.id, one.outcome, one.attempt, one.at, one.reason)
        return "ok"

    def ending(self, delivery: Delivery, outcome: Outcome, wait: float, expected: int | None) -> Step:
        reason = ("attempts", "rejected")[delivery.id % 2] if outcome == "quarantine" else ""
        at = self.clock() + wait if outcome == "retry" and wait else 0.0
        write = StateWrite("state", expected, b"s") if expected is not None else None
        return step(delivery, outcome, at=at, holds=delivery.address != "free", state=write, reason=reason)

    def held_by(self, at: int) -> list[Delivery]:
        number, _ = self.sessions[at]
        return [delivery for owner, delivery in self.hands.values() if owner == number]

    @initialize(puts=st.lists(messages, min_size=8, max_size=12))
    def fill(self, puts: list[Said]) -> None:
        """Else most examples would be about empty mailboxes."""
        self.write(0, [], puts, [])

    @rule(at=who, puts=st.lists(messages, min_size=1, max_size=5))
    def put(self, at: int, puts: list[Said]) -> None:
        self.write(at, [], puts, [])

    @rule(at=who, order=orders, room=st.integers(1, 4))
    def claim(self, at: int, order: Order, room: int) -> None:
        self.write(at, [], [], [(order, room)])

    @rule(data=st.data(), at=who, puts=st.lists(messages, max_size=2), room=st.integers(0, 3), pardons=st.booleans())
    def turn(self, data: Draw, at: int, puts: list[Said], room: int, pardons: bool) -> None:
        """What a turn of the loop may bring: steps, good and late ones, pardons, messages, claims."""
        steps: list[Step] = []
        if not self.held_by(at):
            self.write(at, [], [], [(order, 3) for order in ORDERS])
        held, version = self.held_by(at), self.model.versions.get("state", 0)
        for delivery in data.draw(st.lists(st.sampled_from(held), min_size=1, max_size=4)) if held else ():
            expected = data.draw(st.sampled_from([None, None, None, version, version + 1]))
            steps.append(self.ending(delivery, data.draw(outcomes), data.draw(waits), expected))
        self.end_slots(steps)
        mine = [(self.sessions[at][1], one.delivery) for one in steps]
        given_back = data.draw(st.lists(st.sampled_from(sorted(self.model.messages)), max_size=3, unique=True))
        self.write(at, steps, puts, [(order, room) for order in ORDERS if room], given_back if pardons else ())
        self.old += [(session, one) for session, one in mine if one.id not in self.hands]

    def end_slots(self, steps: list[Step]) -> None:
        for one in steps:
            owner = self.hands[one.delivery.id][0]
            slot = self.slots.pop(one.delivery.id, None)
            if slot is not None:
                self.run(self.end(owner, slot))
                self.model.messages[one.delivery.id].running = False

    async def end(self, owner: int, slot: int) -> None:
        dict(self.sessions)[owner].engine.end(slot)

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def begin(self, data: Draw) -> None:
        id = data.draw(st.sampled_from(sorted(self.hands)))
        owner, delivery = self.hands[id]
        if id not in self.slots:
            self.slots[id] = dict(self.sessions)[owner].engine.begin(id, delivery.attempt, 0.0)
            self.model.messages[id].running = True

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def end_without_a_step(self, data: Draw) -> None:
        """An attempt has ended, but its outcome is not written."""
        id = data.draw(st.sampled_from(sorted(self.slots)))
        self.run(self.end(self.hands[id][0], self.slots.pop(id)))
        self.model.messages[id].running = False

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), at=who)
    def pardon(self, data: Draw, at: int) -> None:
        """The fault of those that failed last was not theirs."""
        ids = self.model.all("quarantined") or self.model.all("waiting")
        if ids:
            self.write(at, [], [], [], data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True)))

    @rule(at=who)
    def leave(self, at: int) -> None:
        """An actor has ended: any other session may have its address."""
        if all(delivery.address != "strict" for delivery in self.held_by(at)):
            self.write(at, [], [], [], leaves=True)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), word=st.sampled_from(["half", "most", ""]))
    def beat(self, data: Draw, word: str) -> None:
        """A handler tells how far it got, or only that it lives."""
        id = data.draw(st.sampled_from(sorted(self.hands)))
        owner, delivery = self.hands[id]
        session = dict(self.sessions)[owner]
        assert self.run(session.engine.extend(id, delivery.token, word.encode() or None))
        if word:
            self.model.messages[id].progress = word.encode()

    @precondition(lambda self: self.old)
    @rule(data=st.data(), outcome=outcomes)
    def be_late(self, data: Draw, outcome: Outcome) -> None:
        """Whoever thinks that it still holds what it does not changes nothing."""
        session, delivery = data.draw(st.sampled_from(self.old))
        sent = (Outgoing("free", "handle", b"late"),)
        assert self.run(session.settle(step(delivery, outcome, outgoing=sent))) == ["lost"]
        assert not self.run(session.engine.extend(delivery.id, delivery.token, b"late"))

    @rule(at=who, gently=st.booleans(), both=st.booleans())
    def die(self, at: int, gently: bool, both: bool) -> None:
        """A session ends, or both do, and others follow."""
        for place in (0, 1) if both else (at,):
            number, session = self.sessions[place]
            self.old += [(session, delivery) for delivery in self.held_by(place) if not gently]
            if gently:
                self.run(session.close())
                self.old = [one for one in self.old if one[0] is not session]
            else:
                session.kill()
                self.dead.append(session)
            self.model.gone(number, died=not gently)
            lost = [id for id, (owner, _) in self.hands.items() if owner == number]
            for id in lost:
                del self.hands[id]
                self.slots.pop(id, None)
        for place in (0, 1) if both else (at,):
            self.sessions[place] = self.open()

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), at=who)
    def redrive(self, data: Draw, at: int) -> None:
        aside = self.model.all("quarantined")
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model.messages)), max_size=2)) + aside[:1]
        moved: dict[str, int] = {}
        for id in dict.fromkeys(ids):
            one = self.model.messages[id]
            if one.where == "quarantined":
                moved[one.order] = moved.get(one.order, 0) + 1
                tail = max(self.clock(), self.model.tail.get(one.order, 0.0))
                self.model.redriven(id, math.nextafter(tail, math.inf))
        assert self.run(self.sessions[at][1].desk.redrive(ids)) == moved

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), at=who, body=st.sampled_from("xyz"))
    def edit(self, data: Draw, at: int, body: str) -> None:
        id = data.draw(st.sampled_from(self.model.all("quarantined") or sorted(self.model.messages)))
        one = self.model.messages[id]
        there = one.where == "quarantined"
        assert self.run(self.sessions[at][1].desk.edit(id, "handle", body.encode())) == there
        if there:
            one.body = body

    @precondition(lambda self: self.model.messages)
    @rule(data=st.data(), at=who, discards=st.booleans())
    def drop(self, data: Draw, at: int, discards: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.model.messages)))
        one, desk = self.model.messages[id], self.sessions[at][1].desk
        dropped = one.where == ("quarantined" if discards else "waiting")
        assert self.run(desk.discard([id]) if discards else desk.cancel(id)) == dropped
        if dropped:
            one.where = "dropped"
            if not discards:  # whoever takes a message back may send it anew
                self.model.once = {key: other for key, other in self.model.once.items() if other != id}

    @rule(seconds=st.sampled_from([1.0, 5.0, 20.0, 5.0, 20.0, -1.0, -5.0, -20.0, 3600.0, -3600.0]))
    def time_passes(self, seconds: float) -> None:
        """The clock goes on, or is set, back too."""
        self.clock.pass_by(seconds)

    @rule(at=who)
    def look(self, at: int) -> None:
        self.compare(self.sessions[at][1])

    def compare(self, session: Session) -> None:
        """What is told of it is so."""
        assert self.run(session.desk.counts()) == self.model.counts()
        known = self.model.messages
        aside = [(id, known[id].body, known[id].reason) for id in self.model.all("quarantined")]
        assert [(one.id, one.body.decode(), one.reason) for one in self.run(session.letters())] == aside

    def teardown(self) -> None:
        """Nothing is lost: what is unfinished can be claimed by a session that comes after all of these."""
        try:
            for number, session in self.sessions:
                session.kill()
                self.model.gone(number, died=True)
            self.clock.pass_by(1e6)
            number, last = self.open()
            self.compare(last)
            for order in ORDERS:
                got = self.run(last.claim(order, 10_000, order))
                assert [one.id for one in got] == self.model.claimable(order, 10_000, number, self.clock())
                self.model.claimed(got, number)
                assert not self.model.of(order, "waiting")
                self.run(last.settle(*map(step, got)))
                assert self.run(last.depth(order)) == 0
            self.dead.append(last)
        finally:
            for session in [*self.dead, *(session for _, session in self.sessions)]:
                self.run(session.close())
            self.runner.close()
            self.patch.stop()
            self.folder.cleanup()


def machine(kind: str) -> type[StoreMachine]:
    return type(f"{kind.title()}Machine", (StoreMachine,), {"make": staticmethod(RIGS[kind])})


@pytest.mark.parametrize(("kind", "examples"), [("memory", 250), ("sqlite", 60)])
def test_it_does_what_the_model_does(kind: str, examples: int) -> None:
    run_state_machine_as_test(
        machine(kind),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
