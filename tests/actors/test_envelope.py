"""The laws of a turn: what the code inside a handler can know, what it cannot leave behind, and who is an outsider."""

import asyncio
import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Ceremonious, Deeds, Oops, raised_by
from upright.actors import Actor, ActorSystem, AskCycle, Turn, current_turn
from upright.actors.envelope import Envelope
from upright.actors.handlers import Handler
from upright.actors.testing import Recorder, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


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
            assert await self.outlive(s, ask_itself) == 7

    async def test_its_asks_have_the_usual_time_and_not_what_the_handler_had_left(
        self, system: Callable[..., ActorSystem]
    ) -> None:
        async with system() as s:
            assert await self.outlive(s, ask_itself_to_sleep) == "slept"

    async def test_its_letters_name_no_sender(self, system: Callable[..., ActorSystem], dead_letters: Any) -> None:
        async with system(log=None) as s:
            await self.outlive(s, tell_nobody)
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


async def ask_itself(me: Deeds) -> Any:
    return await me.ctx.self_ref.ask(Deeds.reply, 7)


async def ask_itself_to_sleep(me: Deeds) -> Any:
    return await me.ctx.self_ref.ask(Deeds.sleep, 4.0, "slept")


async def tell_nobody(me: Deeds) -> None:
    await me.ctx.ref("/nobody", Deeds).tell(Deeds.note, "x")


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
