"""The laws of a turn: what the code inside a handler can know, what it cannot leave behind, and who is an outsider."""

import asyncio
import gc
import math
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, Oops, raised_by
from upright.actors import Actor, ActorSystem, AskCycle, Refuse, Turn, current_turn
from upright.actors.envelope import Envelope
from upright.actors.handlers import Handler
from upright.actors.testing import Recorder, advance, settle

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


class TestContextVariables:
    async def test_an_actor_is_spawned_with_an_empty_context(self, system: Callable[..., ActorSystem]) -> None:
        REQUEST.set("the spawner's")
        seen: list[str] = []
        async with system() as s:
            witness = await s.spawn("witness", Witness, seen)
            await witness.ask(Witness.message)
        assert seen == ["init sees none", "started sees init", "message sees none"]
        assert REQUEST.get() == "the spawner's"

    async def test_an_actor_without_hooks_is_spawned_with_an_empty_context_too(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        REQUEST.set("the spawner's")
        seen: list[str] = []
        async with system() as s:
            bystander = await s.spawn("bystander", Bystander, seen)
            await bystander.ask(Witness.message)
        assert seen == ["init sees none", "message sees none"]
        assert REQUEST.get() == "the spawner's"

    async def test_a_child_sees_nothing_of_the_handler_that_spawned_it(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        seen: list[str] = []
        async with system() as s:
            parent = await s.spawn("parent", Deeds, seen)
            await parent.ask(Deeds.do, see_and_spawn)
        assert seen == ["none", "init sees none", "started sees init"]

    @pytest.mark.parametrize("kind", [Deeds, Ceremonious])
    @pytest.mark.parametrize("deed", [see, see_and_wait, see_and_refuse, see_and_crash, see_and_spawn])
    async def test_a_variable_set_in_one_handler_never_reaches_another_message(
        self, system: Callable[..., ActorSystem], kind: type[Deeds], deed: Any
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
        self, system: Callable[..., ActorSystem]
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

    async def test_a_carrier_keeps_nothing_of_whoever_started_the_system(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        REQUEST.set("the starter's")
        journal: list[Any] = []
        async with system() as s:
            first, second = await s.spawn("first", Deeds, journal), await s.spawn("second", Deeds, journal)
            await first.tell(Deeds.do, see_and_wait)
            await second.tell(Deeds.do, see)
            await s.idle()
        assert journal == ["none", "none"]


class TestCurrentTurn:
    async def test_outside_actors_there_is_no_turn(self) -> None:
        assert current_turn() is None

    async def test_a_handler_knows_its_actor_its_name_and_its_asker_s_deadline(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        async def turn(_: Deeds) -> Turn | None:
            await asyncio.sleep(1)
            return current_turn()

        async with system() as s:
            await asyncio.sleep(10)
            actor = await s.spawn("actor", Deeds)
            assert await actor.within(3.0).ask(Deeds.do, turn) == Turn("/actor", "do", 13.0)
            assert await actor.within(3.0).ask(Deeds.beside, turn) == Turn("/actor", "beside", 14.0)

    async def test_a_told_handler_has_no_deadline(self, system: Callable[..., ActorSystem]) -> None:
        turns: list[Turn | None] = []

        async def turn(me: Deeds) -> None:
            turns.append(current_turn())
            assert me.ctx.time_left() == math.inf

        async with system() as s:
            await (await s.spawn("actor", Deeds)).tell(Deeds.do, turn)
            await s.idle()
        assert turns == [Turn("/actor", "do", math.inf)]

    async def test_hooks_and_background_work_have_a_turn_as_well(self, system: Callable[..., ActorSystem]) -> None:
        names: list[str] = []

        def look() -> None:
            turn = current_turn()
            names.append(f"{turn.actor} {turn.handler}" if turn is not None else "none")

        class Hooked(Actor):
            async def started(self) -> None:
                look()
                self.ctx.background(self.beside())

            async def beside(self) -> None:
                look()

            async def stopping(self, reason: object) -> None:
                look()

        async with system() as s:
            await s.spawn("hooked", Hooked)
            await s.idle()
        assert names == ["/hooked started", "/hooked background", "/hooked stopping"]

    async def test_a_task_is_part_of_its_handler_s_turn_only_while_that_runs(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        turns: list[Turn | None] = []
        tasks: list[asyncio.Task[None]] = []

        async def look_twice() -> None:
            turns.append(current_turn())
            await asyncio.sleep(5)
            turns.append(current_turn())

        async def begin(_: Deeds) -> None:
            tasks.append(asyncio.create_task(look_twice()))
            await asyncio.sleep(1)

        async with system() as s:
            actor = await s.spawn("actor", Deeds)
            await actor.ask(Deeds.do, begin)
            await tasks[0]
        assert turns == [Turn("/actor", "do", 5.0), None]


class TestOutsiders:
    """A task that outlived its handler is an outsider: it sends like any code that is no part of an actor."""

    async def outlive(self, system: ActorSystem, deed: Any) -> Any:
        """Run a deed in a task that a handler left behind, a second after that handler ended."""
        tasks: list[asyncio.Task[Any]] = []

        async def late(me: Deeds) -> Any:
            await asyncio.sleep(1)
            return await deed(me)

        async def leave(me: Deeds) -> None:
            tasks.append(asyncio.create_task(late(me)))
            await asyncio.sleep(0)

        actor = await system.spawn("actor", Deeds)
        await actor.within(0.5).ask(Deeds.do, leave)
        return await tasks[0]

    async def test_it_may_ask_its_own_actor(self, system: Callable[..., ActorSystem]) -> None:
        async with system() as s:
            assert await self.outlive(s, lambda me: me.ctx.self_ref.ask(Deeds.reply, 7)) == 7

    async def test_its_asks_have_the_usual_time_and_not_what_the_handler_had_left(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        async with system() as s:
            assert await self.outlive(s, lambda me: me.ctx.self_ref.ask(Deeds.sleep, 4.0, "slept")) == "slept"

    async def test_its_letters_name_no_sender(self, system: Callable[..., ActorSystem], dead_letters: Any) -> None:
        async with system(log=None) as s:
            await self.outlive(s, lambda me: me.ctx.ref("/nobody", Deeds).tell(Deeds.note, "x"))
        assert [letter.sender for letter in dead_letters.all] == [None]

    async def test_a_task_of_a_handler_that_still_runs_is_no_outsider(
        self, system: Callable[..., ActorSystem], dead_letters: Any
    ) -> None:
        async def begin(me: Deeds) -> None:
            await asyncio.create_task(me.ctx.ref("/nobody", Deeds).tell(Deeds.note, "x"))
            with pytest.raises(AskCycle):
                await asyncio.create_task(me.ctx.self_ref.ask(Deeds.reply))

        async with system(log=None) as s:
            await (await s.spawn("actor", Deeds)).ask(Deeds.do, begin)
        assert [letter.sender for letter in dead_letters.all] == ["/actor"]


class TestLeftBehind:
    @pytest.mark.parametrize("kind", [Deeds, Ceremonious])
    @pytest.mark.parametrize("deed", [Deeds.reply, Deeds.beside, Deeds.note, Deeds.do])
    async def test_an_idle_actor_keeps_nothing_of_its_last_message(
        self, system: Callable[..., ActorSystem], kind: type[Deeds], deed: Any
    ) -> None:
        class Payload:
            async def __call__(self, _: object) -> None:
                await asyncio.sleep(0)

        async with system() as s:
            actor = await s.spawn("actor", kind)
            payload = Payload()
            gone = weakref.ref(payload)
            await actor.ask(deed, payload)
            if deed is Deeds.note:  # the journal's own
                await actor.ask(Deeds.do, forget)
            del payload
            await settle()
            gc.collect()
            assert gone() is None

    async def test_an_ask_that_fails_after_its_asker_left_warns_nobody(self) -> None:
        """An error that nobody retrieves would be reported by the loop when the future is collected."""
        told: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        envelope = Envelope(Handler("x", Deeds.note), (), None, None, loop.create_future())
        envelope.fail(Oops("unheard"))
        del envelope
        gc.collect()
        await settle()
        assert not told

    async def test_failing_an_ask_twice_keeps_the_first_error(self) -> None:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        envelope = Envelope(Handler("x", Deeds.note), (), None, None, reply)
        envelope.fail(Oops("first"))
        envelope.fail(Oops("second"))
        assert str(await raised_by(reply)) == "first"

    async def test_the_sender_s_path_stands_on_its_dead_letters(
        self, system: Callable[..., ActorSystem], dead_letters: Any
    ) -> None:
        async def send(me: Deeds) -> None:
            await me.ctx.ref("/nobody", Deeds).tell(Deeds.note, "x")

        async with system(log=None) as s:
            actor = await s.spawn("actor", Deeds)
            await actor.ask(Deeds.do, send)
            await actor.ask(Deeds.beside, send)
            await s.ref("/nobody", Deeds).tell(Deeds.note, "y")
            await advance(0)
        assert [letter.sender for letter in dead_letters.all] == ["/actor", "/actor", None]


async def forget(me: Deeds) -> None:
    me.journal.clear()


async def test_two_systems_on_one_loop_never_see_each_other(system: Callable[..., ActorSystem]) -> None:
    async with system() as one, system() as other:
        first, second = await one.spawn("actor", Deeds), await other.spawn("actor", Deeds)
        assert first != second
        with Recorder(other) as recorder:
            await first.ask(Deeds.note, "x")
            assert (await raised_by(first.ask(Deeds.crash))) is not None
            await one.idle()
        assert recorder.events == []
