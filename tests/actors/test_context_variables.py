"""The laws of context variables: an actor is spawned with none, and what a handler sets ends with its message."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, Oops
from upright.actors import Actor, ActorSystem, Refuse

pytestmark = pytest.mark.anyio

REQUEST: ContextVar[str] = ContextVar("request", default="none")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Witness(Actor):
    """Notes the request id that each part of its life sees, and then sets one of its own."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen
        self.look("init")

    def look(self, where: str) -> None:
        self.seen.append(f"{where} sees {REQUEST.get()}")
        REQUEST.set(where)

    async def started(self) -> None:
        self.look("started")

    async def message(self) -> None:
        self.look("message")


class Bystander(Witness):
    """A witness without hooks, which is started without a step of its own."""

    started = Actor.started


async def see(me: Deeds) -> None:
    """Note what the deed sees, and set another value."""
    me.journal.append(REQUEST.get())
    REQUEST.set("left behind")


async def see_and_wait(me: Deeds) -> None:
    await see(me)
    await asyncio.sleep(1)


async def see_and_refuse(me: Deeds) -> None:
    await see(me)
    raise Refuse


async def see_and_crash(me: Deeds) -> None:
    await see(me)
    raise Oops


async def see_and_spawn(me: Deeds) -> None:
    await see(me)
    await me.ctx.spawn(f"child-{len(me.journal)}", Witness, me.journal)


async def test_an_actor_is_spawned_with_an_empty_context(system: Callable[..., ActorSystem]) -> None:
    REQUEST.set("the spawner's")
    seen: list[str] = []
    async with system() as s:
        witness = await s.spawn("witness", Witness, seen)
        await witness.ask(Witness.message)
    assert seen == ["init sees none", "started sees init", "message sees none"]
    assert REQUEST.get() == "the spawner's"


async def test_an_actor_without_hooks_is_spawned_with_an_empty_context_too(system: Callable[..., ActorSystem]) -> None:
    REQUEST.set("the spawner's")
    seen: list[str] = []
    async with system() as s:
        bystander = await s.spawn("bystander", Bystander, seen)
        await bystander.ask(Witness.message)
    assert seen == ["init sees none", "message sees none"]
    assert REQUEST.get() == "the spawner's"


async def test_a_child_sees_nothing_of_the_handler_that_spawned_it(system: Callable[..., ActorSystem]) -> None:
    seen: list[str] = []
    async with system() as s:
        parent = await s.spawn("parent", Deeds, seen)
        await parent.ask(Deeds.do, see_and_spawn)
    assert seen == ["none", "init sees none", "started sees init"]


@pytest.mark.parametrize("kind", [Deeds, Ceremonious])
@pytest.mark.parametrize("deed", [see, see_and_wait, see_and_refuse, see_and_crash, see_and_spawn])
async def test_a_variable_set_in_one_handler_never_reaches_another_message(
    system: Callable[..., ActorSystem], kind: type[Deeds], deed: Any
) -> None:
    """All messages wait in the mailbox already, so that they run in one go where that is possible."""
    REQUEST.set("the sender's")
    journal: list[Any] = []
    async with system(log=None) as s:
        actor = await s.spawn("actor", kind, journal)
        for _ in range(3):
            assert actor.try_tell(Deeds.do, deed)
        assert actor.try_tell(Deeds.beside, deed)
        assert actor.try_tell(Deeds.beside, deed)
        assert actor.try_tell(Deeds.do, see)
        await s.idle()
    values = [word for word in journal if isinstance(word, str) and " " not in word and word != "started"]
    assert values == ["none"] * 6
    assert "left behind" not in journal


async def test_background_work_and_ticks_see_nothing_of_the_handler_that_began_them(
    system: Callable[..., ActorSystem],
) -> None:
    journal: list[Any] = []

    async def begin(me: Deeds) -> None:
        await see(me)
        me.ctx.background(see(me))
        me.ctx.after(1.0, Deeds.do, see)
        me.ctx.pipe(asyncio.sleep(2.0, see), Deeds.do)

    async with system() as s:
        actor = await s.spawn("actor", Deeds, journal)
        await actor.ask(Deeds.do, begin)
        await s.idle()
    assert journal == ["none"] * 4


async def test_a_carrier_keeps_nothing_of_whoever_started_the_system(system: Callable[..., ActorSystem]) -> None:
    REQUEST.set("the starter's")
    journal: list[Any] = []
    async with system() as s:
        first, second = await s.spawn("first", Deeds, journal), await s.spawn("second", Deeds, journal)
        await first.tell(Deeds.do, see_and_wait)
        await second.tell(Deeds.do, see)
        await s.idle()
    assert journal == ["none", "none"]
