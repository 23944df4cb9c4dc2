"""The laws of the log: one line per event at its level, with simple keys, and never a payload or a local variable."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.actors.deeds import Ceremonious, Deeds, bounded, later, raised_by, stuffed
from upright.actors import ActorSystem, Crashed, DeadLetter, EventLog, Killed, Message, Shutdown
from upright.actors import events as room
from upright.actors.event_log import fields, kinds_of, trace
from upright.actors.events import ActorStopped, DeadLettered, Event
from upright.actors.testing import kill, settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]
SECRET = "4111-1111-1111-1111"


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def hard_day(system: ActorSystem) -> None:
    """All that can happen to an actor, with a secret in every message."""

    async def carry(me: Deeds) -> None:
        local = [SECRET]
        raise ValueError(f"{len(local)} secrets, and none is told")

    actor, _, gate = await stuffed(system, bounded(2, "drop_old"))
    for _ in range(5):
        await actor.tell(Deeds.note, SECRET)
    gate.set()
    await system.idle()
    ask: Any = actor.ask
    await raised_by(ask(Deeds.sleep, SECRET))
    await raised_by(actor.ask(Deeds.do, carry))
    await raised_by(actor.within(1.0).ask(Deeds.sleep, 2.0, value=SECRET))
    await actor.tell(Deeds.sleep, 1.0, SECRET)
    (withdrawn,) = await later(actor.ask(Deeds.note, word=SECRET))
    withdrawn.cancel()
    await system.idle()
    await actor.tell(Deeds.refuse)
    await system.idle()
    await actor.tell(Deeds.sleep, 60.0, SECRET)
    await settle()
    await actor.tell(Deeds.note, SECRET)
    await kill(system, actor)
    await system.idle()
    await actor.tell(Deeds.stop)
    await actor.tell(Deeds.note, SECRET)
    await actor.ended()
    await actor.tell(Deeds.note, SECRET)
    await system.idle()


async def test_a_payload_or_a_local_variable_is_never_written(system: Make) -> None:
    with capture_logs() as lines:
        async with system(log=EventLog(logging.DEBUG)) as s:
            await hard_day(s)
    names = {line["event"] for line in lines}
    assert {"actor.crashed", "message.dropped", "message.dead_lettered", "ask.expired", "actor.restarted"} <= names
    assert SECRET not in repr(lines)


async def test_a_letter_that_is_lost_is_written_without_its_payload(system: Make) -> None:
    class Broken(Deeds):
        async def letter(self, letter: DeadLetter) -> None:
            raise ValueError("I cannot bear it")

    with capture_logs() as lines:
        async with system(log=EventLog(logging.DEBUG), dead_letters=Broken) as s:
            await s.ref("/nobody", Deeds).tell(Deeds.note, SECRET)
            await s.idle()
    assert "dead_letter.lost" in {line["event"] for line in lines}
    assert SECRET not in repr(lines)


async def test_every_value_of_a_line_is_a_simple_one(system: Make) -> None:
    """So that any renderer can write it, and one key has one type."""
    with capture_logs() as lines:
        async with system(log=EventLog(logging.DEBUG)) as s:
            await hard_day(s)
    kinds: dict[str, set[str]] = {}
    for line in lines:
        for key, value in line.items():
            kinds.setdefault(key, set()).add(type(value).__name__)
    for key, found in kinds.items():
        assert found <= {"str", "NoneType"} or len(found) == 1, f"{key} has {found}"
        assert found <= {"str", "int", "float", "bool", "NoneType"}, f"{key} has {found}"
        assert (found == {"float"}) is key.endswith("_s")


async def test_each_event_is_written_at_its_level_under_its_name(system: Make) -> None:
    levels = {kind.name: logging.getLevelName(kind.level).lower() for kind in kinds_of(Event)}
    with capture_logs() as lines:
        async with system(log=EventLog(logging.DEBUG)) as s:
            await hard_day(s)
    assert all(line["log_level"] == levels[line["event"]] for line in lines)
    assert all(line["actor"].startswith("/") for line in lines)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_below_its_level_the_log_does_not_even_listen(level: int) -> None:
    system = ActorSystem(log=EventLog(level))
    kinds = kinds_of(Event)
    assert {kind for kind in kinds if system.bus.wants(kind)} == {kind for kind in kinds if kind.level >= level}


def test_by_default_the_log_writes_from_info_up_and_costs_messages_nothing() -> None:
    system = ActorSystem()
    assert not system.bus.every_message
    assert system.bus.wants(room.ActorCrashed)
    assert not system.bus.wants(room.ActorStarted)


def test_without_a_log_nobody_listens() -> None:
    assert not ActorSystem(log=None).bus.wants(Event)


async def test_a_crash_is_written_with_its_error_and_its_stack(system: Make) -> None:
    with capture_logs() as lines:
        async with system(log=EventLog()) as s:
            await raised_by((await s.spawn("actor", Ceremonious)).ask(Deeds.crash, "the books"))
    (line,) = [line for line in lines if line["event"] == "actor.crashed"]
    assert (line["actor"], line["kind"], line["handler"], line["error"]) == ("/actor", "Ceremonious", "crash", "Oops")
    assert "the books" in line["error_text"]
    assert "deeds.py" in line["stack"]


def test_the_stack_shows_causes_and_no_local_variables() -> None:
    def inner() -> None:
        local = SECRET
        raise KeyError(len(local))

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError, match="outer") as caught:
        outer()
    text = trace(caught.value)
    assert "KeyError: 19" in text
    assert "ValueError: outer" in text
    assert SECRET not in text


def test_an_exit_is_written_by_its_kind() -> None:
    def line(exit: Any) -> dict[str, Any]:
        return fields(ActorStopped("/a", "A", 1, exit, 0))

    assert line(Shutdown("x"))["exit"] == "shutdown"
    assert line(Crashed(ValueError("x")))["error"] == "ValueError"
    assert line(Killed("too slow"))["why"] == "too slow"


def test_a_letter_is_written_by_its_handler_reason_and_sender() -> None:
    letter = DeadLetter("/a", Message("note", (SECRET,)), "stopped", None, "/b", 5.0)
    expected = {"actor": "/a", "handler": "note", "reason": "stopped", "sender": "/b"}
    assert fields(DeadLettered("/a", letter)) == expected


async def test_an_error_whose_text_cannot_be_read_is_written_all_the_same(system: Make) -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text today")

    async def fail(_: Deeds) -> None:
        raise Unreadable

    with capture_logs() as lines:
        async with system(log=EventLog()) as s:
            actor = await s.spawn("actor", Deeds)
            await raised_by(actor.ask(Deeds.do, fail))
            await raised_by(actor.ask(Deeds.crash))
    assert [line["error"] for line in lines if line["event"] == "actor.crashed"] == ["Unreadable", "Oops"]


async def test_the_library_never_configures_structlog(system: Make) -> None:
    before = structlog.is_configured()
    async with system():
        await asyncio.sleep(0)
    assert structlog.is_configured() is before
