"""The laws of events: frozen values with their fields always present, one for every turn of a life."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.actors.deeds import Ceremonious, Deeds, Oops, later, raised_by, stuffed
from upright.actors import ActorSystem, Crashed, Normal, Shutdown
from upright.actors import events as room
from upright.actors.events import (
    ActorCrashed,
    ActorRestarted,
    ActorRestarting,
    ActorSpawned,
    ActorStarted,
    ActorStartFailed,
    ActorStopped,
    Event,
    HookFailed,
    MessageProcessed,
)
from upright.actors.testing import Recorder

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]
ALL = [kind for kind in vars(room).values() if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


@pytest.mark.parametrize("kind", ALL)
def test_the_name_of_an_event_is_dotted_and_of_its_class_alone(kind: type[Event]) -> None:
    assert "." in kind.name
    assert kind.name == kind.name.lower()
    assert [other for other in ALL if other.name == kind.name] == [kind]


@pytest.mark.parametrize("kind", ALL)
def test_every_field_of_an_event_is_always_present_and_seconds_are_called_so(kind: type[Event]) -> None:
    for field in msgspec.structs.fields(kind):
        assert field.required, f"{kind.__name__}.{field.name} has a default"
        assert (field.type is float) is field.name.endswith("_s")


@pytest.mark.parametrize("kind", ALL)
def test_events_are_frozen(kind: type[Event]) -> None:
    values: Any = [None] * len(kind.__struct_fields__)
    with pytest.raises(AttributeError):
        kind(*values).path = "/other"  # type: ignore[misc]  # what the test forbids


@pytest.mark.parametrize("kind", ALL)
def test_every_event_says_how_the_log_weighs_it(kind: type[Event]) -> None:
    assert "level" in vars(kind)


def told(recorder: Recorder, path: str) -> list[str]:
    return [event.name for event in recorder.events if event.path == path and event.name != "message.processed"]


@pytest.mark.parametrize("kind", [Deeds, Ceremonious])
async def test_a_life_is_told_in_the_order_in_which_it_is_lived(
    system: Make, recorders: list[Recorder], kind: type[Deeds]
) -> None:
    async with system(log=None) as s:
        actor = await s.spawn("actor", kind)
        error = (await raised_by(actor.ask(Deeds.crash))).__cause__
        await s.idle()
        await actor.ask(Deeds.stop)
        await actor.tell(Deeds.note, "left over")
        await actor.ended()
        await s.idle()
    recorder = recorders[0]
    names = [name for name in told(recorder, "/actor") if not name.startswith("message.")]
    assert names == [
        "actor.spawned", "actor.started", "actor.crashed", "actor.restarting", "actor.started", "actor.restarted",
        "actor.stopped",
    ]  # fmt: skip
    name = kind.__name__
    assert recorder.of(ActorSpawned, "/actor") == [ActorSpawned("/actor", name)]
    assert recorder.of(ActorStarted, "/actor") == [ActorStarted("/actor", name, n) for n in (1, 2)]
    assert recorder.of(ActorRestarting) == [ActorRestarting("/actor", name, 2, 0.0)]
    assert recorder.of(ActorRestarted) == [ActorRestarted("/actor", name, 2, 0)]
    assert recorder.of(ActorStopped, "/actor") == [ActorStopped("/actor", name, 2, Normal(), 1)]
    (crashed,) = recorder.of(ActorCrashed)
    assert (crashed.kind, crashed.incarnation, crashed.handler) == (name, 1, "crash")
    assert crashed.error is error


async def test_a_restart_tells_how_many_messages_it_found(system: Make, recorders: list[Recorder]) -> None:
    async with system(log=None) as s:
        actor, _, gate = await stuffed(s, Deeds)
        await actor.tell(Deeds.crash)
        for number in range(3):
            await actor.tell(Deeds.note, number)
        gate.set()
        await s.idle()
    assert [event.waiting for event in recorders[0].of(ActorRestarted)] == [3]


async def test_a_start_that_fails_is_told_with_its_error(system: Make, recorders: list[Recorder]) -> None:
    class Unborn(Deeds):
        async def started(self) -> None:
            raise Oops("not today")

    class Unmade(Deeds):
        def __init__(self) -> None:
            raise Oops("not today")

    async with system(log=None) as s:
        for kind in (Unborn, Unmade):
            await raised_by(s.spawn(kind.__name__.lower(), kind))
    failed = recorders[0].of(ActorStartFailed)
    assert [(event.path, event.kind, event.incarnation) for event in failed] == [
        ("/unborn", "Unborn", 1),
        ("/unmade", "Unmade", 1),
    ]
    assert all(isinstance(event.error, Oops) for event in failed)
    for path in ("/unborn", "/unmade"):
        (stopped,) = recorders[0].of(ActorStopped, path)
        assert isinstance(stopped.exit, Crashed)
    assert not recorders[0].of(ActorStarted, "/unborn")


@pytest.mark.parametrize("deed", [Deeds.do, Deeds.beside])
async def test_every_message_is_told_with_its_outcome_and_its_time(
    system: Make, recorders: list[Recorder], deed: Any
) -> None:
    async with system(log=None) as s:
        actor = await s.spawn("actor", Deeds)
        await actor.ask(deed, nap)
        await raised_by(actor.ask(deed, Deeds.refuse))
        await raised_by(actor.ask(deed, Deeds.crash))
        await later(actor.tell(deed, Deeds.hang))
        await s.kill(actor)
        await s.idle()
    processed = [(event.outcome, event.duration_s) for event in recorders[0].of(MessageProcessed, "/actor")]
    assert processed == [("ok", 1.5), ("refused", 0.0), ("crashed", 0.0), ("killed", 0.0)]


async def nap(me: Deeds) -> None:
    await me.sleep(1.5)


async def test_an_end_is_told_with_its_reason(system: Make, recorders: list[Recorder]) -> None:
    async with system(log=None) as s:
        await s.spawn("actor", Deeds)
    (stopped,) = recorders[0].of(ActorStopped, "/actor")
    assert isinstance(stopped.exit, Shutdown)
    assert [event.path for event in recorders[0].of(ActorStopped)] == ["/actor", "/dead-letters", "/"]


async def test_a_hook_that_fails_is_told_by_name(system: Make, recorders: list[Recorder]) -> None:
    class Clumsy(Deeds):
        async def stopping(self, reason: object) -> None:
            raise Oops("I fell")

    async with system(log=None) as s:
        await s.spawn("actor", Clumsy)
    (failed,) = recorders[0].of(HookFailed)
    assert (failed.path, failed.kind, failed.hook) == ("/actor", "Clumsy", "stopping")
    assert isinstance(failed.error, Oops)


async def test_nothing_is_built_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: Any) -> Any:
        raise AssertionError("an event was built, and nobody wanted it")

    async with ActorSystem(log=None) as s:
        monkeypatch.setattr(type(s.bus), "emit", built)
        actor = await s.spawn("actor", Ceremonious)
        await actor.ask(Deeds.reply, 1)
        await raised_by(actor.ask(Deeds.crash))
        await raised_by(actor.within(0.0).ask(Deeds.crash))
        await actor.tell(Deeds.refuse)
        await actor.ask(Deeds.stop)
        await s.idle()
        await actor.tell(Deeds.note, "nobody")
