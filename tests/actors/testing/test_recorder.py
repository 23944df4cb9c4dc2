"""The laws of a recorder: it keeps every event in order, and lets tests wait for events rather than for seconds."""

import asyncio
import threading
from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.actors.events import (
    ActorRestarted,
    ActorSpawned,
    ActorStarted,
    ActorStopped,
    LoopBlocked,
    MessageProcessed,
)
from upright.actors.testing import Recorder

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


class Clerk(Actor):
    async def work(self) -> None: ...

    async def fail(self) -> None:
        raise ValueError("no")


async def test_it_keeps_every_event_of_a_life_in_order() -> None:
    system = ActorSystem(log=None)
    recorder = Recorder(system)
    async with system:
        await system.spawn("clerk", Clerk)
    names = [event.name for event in recorder.events if event.path == "/clerk"]
    assert names == ["actor.spawned", "actor.started", "actor.stopped"]


async def test_of_sorts_out_the_events_of_a_class_and_of_one_actor() -> None:
    system = ActorSystem(log=None)
    with Recorder(system) as recorder:
        async with system:
            for name in ("one", "two"):
                await system.spawn(name, Clerk)
        assert {event.path for event in recorder.of(ActorSpawned)} == {"/", "/dead-letters", "/one", "/two"}
        assert [event.incarnation for event in recorder.of(ActorStarted, "/two")] == [1]
        assert recorder.of(ActorRestarted) == []


async def test_its_letters_are_the_dead_letters_in_order() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            nobody = system.ref("/nobody", Clerk)
            await nobody.tell(Clerk.work)
            clerk = await system.spawn("clerk", Clerk)
            await clerk.tell(Clerk.fail)
            await system.idle()
    assert [(letter.recipient, letter.reason) for letter in recorder.letters] == [
        ("/nobody", "no_actor"),
        ("/clerk", "crashed"),
    ]


async def test_wait_for_returns_an_event_that_came_before_at_once() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            await system.spawn("clerk", Clerk)
            assert (await recorder.wait_for(ActorStarted, "/clerk", within=0)).kind == "Clerk"


async def test_wait_for_waits_for_the_count_that_was_asked_for() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            clerk = await system.spawn("clerk", Clerk)
            waiting = asyncio.create_task(recorder.wait_for(ActorRestarted, "/clerk", count=2))
            await clerk.tell(Clerk.fail)
            await system.idle()
            assert not waiting.done()
            await clerk.tell(Clerk.fail)
            assert (await waiting).incarnation == 3


async def test_several_may_wait_at_once_for_different_events() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            started = asyncio.create_task(recorder.wait_for(ActorStarted, "/clerk"))
            processed = asyncio.create_task(recorder.wait_for(MessageProcessed, "/clerk"))
            await asyncio.sleep(1)
            clerk = await system.spawn("clerk", Clerk)
            await started
            await clerk.ask(Clerk.work)
            assert (await processed).handler == "work"


async def test_wait_for_fails_in_time_and_names_what_was_expected() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            began = asyncio.get_running_loop().time()
            with pytest.raises(AssertionError, match=r"^expected 2 ActorStopped of /clerk within 7 s$"):
                await recorder.wait_for(ActorStopped, "/clerk", count=2, within=7)
            assert asyncio.get_running_loop().time() - began == 7


async def test_an_event_from_another_thread_wakes_who_waits_for_it() -> None:
    """The watchdog emits from a thread of its own, while the loop is blocked."""
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            waiting = asyncio.create_task(recorder.wait_for(LoopBlocked))
            await asyncio.sleep(1)
            event = LoopBlocked("/clerk", "work", 2.0, "")
            thread = threading.Thread(target=system.bus.emit, args=[event])
            thread.start()
            thread.join()
            assert await waiting is event


async def test_a_closed_recorder_keeps_what_it_has_and_takes_no_more() -> None:
    async with ActorSystem(log=None) as system:
        with Recorder(system) as recorder:
            await system.spawn("early", Clerk)
        await system.spawn("late", Clerk)
    assert [event.path for event in recorder.of(ActorSpawned)] == ["/early"]


async def test_the_recorders_of_two_systems_hear_nothing_of_each_other() -> None:
    async with ActorSystem(log=None) as one, ActorSystem(log=None) as other:
        with Recorder(one) as recorder, Recorder(other) as deaf:
            await one.spawn("clerk", Clerk)
    assert recorder.events
    assert deaf.events == []
