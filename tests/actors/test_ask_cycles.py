"""The laws of ask cycles: an ask that would wait for itself fails at once with the chain, and no other ask does."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, later, raised_by
from upright.actors import Actor, ActorFailed, ActorSystem, AskCycle, Ref, StartFailed
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def team(system: ActorSystem, names: str = "abc") -> list[Ref[Deeds]]:
    return [await system.spawn(name, Deeds) for name in names]


def root_of(error: BaseException) -> BaseException:
    """The first of a chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


class TestCycles:
    @pytest.mark.parametrize(
        ("route", "chain"),
        [
            ("aa", ("/a", "/a")),
            ("aba", ("/a", "/b", "/a")),
            ("abca", ("/a", "/b", "/c", "/a")),
            ("abb", ("/b", "/b")),
            ("abcb", ("/b", "/c", "/b")),
        ],
    )
    @pytest.mark.parametrize("first", ["ask", "tell"])
    async def test_an_ask_that_closes_a_circle_fails_at_once_with_the_chain(
        self, system: Make, route: str, chain: tuple[str, ...], first: str
    ) -> None:
        """Whether the outermost message was asked or told makes no difference."""
        seen: list[BaseException] = []

        class Note(Deeds):
            async def relay(self, route: Any, value: Any = None) -> Any:
                try:
                    return await super().relay(route, value)
                except Exception as error:
                    seen.append(error)
                    raise

        async with system(log=None) as s:
            actors = {name: await s.spawn(name, Note) for name in "abc"}
            begin, *rest = [actors[name] for name in route]
            if first == "ask":
                await raised_by(begin.ask(Deeds.relay, rest))
            else:
                await begin.tell(Deeds.relay, rest)
            await settle()
            assert asyncio.get_running_loop().time() == 0
        cycle = seen[0]
        assert isinstance(cycle, AskCycle)
        assert cycle.chain == chain
        assert not cycle.handled
        assert all(isinstance(error, ActorFailed) for error in seen[1:])

    async def test_a_cycle_that_is_caught_does_no_harm(self, system: Make) -> None:
        async with system() as s:
            a, b = await team(s, "ab")

            async def careful(me: Deeds) -> str:
                error = await raised_by(a.ask(Deeds.reply, 1))
                return f"{type(error).__name__}, and {await me.ctx.ref('c', Deeds).ask(Deeds.reply, 'on')} it goes"

            await s.spawn("c", Deeds)
            assert await a.ask(Deeds.do, lambda _: b.ask(Deeds.do, careful)) == "AskCycle, and on it goes"

    async def test_a_task_of_the_handler_closes_a_circle_as_well(self, system: Make) -> None:
        async with system() as s:
            a, b = await team(s, "ab")

            async def both(_: Deeds) -> Any:
                return await asyncio.gather(b.ask(Deeds.reply, 1), a.ask(Deeds.reply, 2), return_exceptions=True)

            one, two = await a.ask(Deeds.do, both)
            assert one == 1
            assert isinstance(two, AskCycle)

    async def test_an_actor_that_forwards_an_ask_back_to_its_asker_closes_a_circle(self, system: Make) -> None:
        """The asker waits, so it could never take what is forwarded to it."""
        async with system() as s:
            a, b = await team(s, "ab")

            async def send_on(me: Deeds) -> Any:
                return await me.ctx.forward(a, Deeds.reply, 1)

            error = await a.within(60).ask(Deeds.do, lambda _: raised_by(b.ask(Deeds.do, send_on)))
            assert isinstance(root_of(error), AskCycle)
            assert asyncio.get_running_loop().time() == 0

    async def test_two_actors_that_ask_each_other_at_once_do_not_wait_out_their_time(self, system: Make) -> None:
        """Each has begun its own message, so that neither could ever take the other's."""
        async with system() as s:
            a, b = await team(s, "ab")
            gate = asyncio.Event()

            async def ask_other(me: Deeds) -> Any:
                await gate.wait()
                return await raised_by(me.ctx.ref("b" if me.ctx.path == "/a" else "a", Deeds).ask(Deeds.reply, 1))

            asking = await later(a.ask(Deeds.do, ask_other), b.ask(Deeds.do, ask_other))
            gate.set()
            await asyncio.wait(asking)
            assert asyncio.get_running_loop().time() == 0
            assert any(isinstance(task.exception() or task.result(), AskCycle) for task in asking)

    async def test_a_child_that_asks_its_starting_parent_closes_a_circle(self, system: Make) -> None:
        class Needy(Actor):
            def __init__(self, parent: Ref[Deeds]) -> None:
                self.parent = parent

            async def started(self) -> None:
                await self.parent.ask(Deeds.reply, 1)

        async with system(log=None) as s:
            (a,) = await team(s, "a")
            error = await a.ask(Deeds.do, lambda me: raised_by(me.ctx.spawn("child", Needy, a)))
            assert isinstance(error, StartFailed)
            cycle = root_of(error)
            assert isinstance(cycle, AskCycle)
            assert cycle.chain == ("/a", "/a/child", "/a")
            assert asyncio.get_running_loop().time() == 0


class TestNoCycles:
    """What looks like a circle and is none."""

    async def test_an_actor_may_ask_one_that_it_told(self, system: Make) -> None:
        async with system() as s:
            a, b = await team(s, "ab")
            await a.ask(Deeds.do, lambda _: b.tell(Deeds.do, lambda me: me.note(a.path)))
            replies: list[Any] = []

            async def ask_back(_: Deeds) -> None:
                replies.append(await a.ask(Deeds.reply, "back"))

            await a.ask(Deeds.do, lambda _: b.tell(Deeds.do, ask_back))
            await s.idle()
            assert replies == ["back"]

    async def test_an_actor_may_ask_the_same_one_again_and_again(self, system: Make) -> None:
        async with system() as s:
            a, b, c = await team(s)

            async def thrice(_: Deeds) -> list[Any]:
                one = await b.ask(Deeds.relay, [c], 1)
                return [
                    one,
                    await c.ask(Deeds.relay, [b], 2),
                    *await asyncio.gather(*(b.ask(Deeds.reply, n) for n in (3, 4))),
                ]

            assert await a.ask(Deeds.do, thrice) == [1, 2, 3, 4]

    async def test_two_may_ask_a_third_at_the_same_time(self, system: Make) -> None:
        async with system() as s:
            a, b, c = await team(s)
            asking = (one.ask(Deeds.do, lambda _: c.ask(Deeds.sleep, 1.0, "slept")) for one in (a, b))
            assert await asyncio.gather(*asking) == ["slept", "slept"]

    async def test_a_message_that_is_told_back_is_no_circle(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            a, b = await s.spawn("a", Deeds, journal), await s.spawn("b", Deeds)

            async def tell_back(_: Deeds) -> str:
                await a.tell(Deeds.note, "told back")
                return "done"

            assert await a.ask(Deeds.do, lambda _: b.ask(Deeds.do, tell_back)) == "done"
            await s.idle()
            assert journal == ["told back"]

    async def test_an_actor_may_pipe_an_ask_to_itself(self, system: Make) -> None:
        """Its mailbox goes on meanwhile."""
        async with system() as s:
            journal: list[Any] = []
            a = await s.spawn("a", Deeds, journal)

            async def begin(me: Deeds) -> None:
                me.ctx.pipe(a.ask(Deeds.reply, "piped"), Deeds.note)
                me.ctx.background(me.note("background"))

            await a.ask(Deeds.do, begin)
            await s.idle()
            assert sorted(journal) == ["background", "piped"]

    async def test_an_actor_that_pipes_its_ask_may_be_asked_back(self, system: Make) -> None:
        async with system() as s:
            journal: list[Any] = []
            a, b = await s.spawn("a", Deeds, journal), await s.spawn("b", Deeds)

            async def begin(me: Deeds) -> None:
                me.ctx.pipe(b.ask(Deeds.relay, [a], "came round"), Deeds.note)

            await a.tell(Deeds.do, begin)
            await s.idle()
            assert journal == ["came round"]

    async def test_who_was_answered_is_no_link_of_the_chain_any_more(self, system: Make) -> None:
        """B goes on with a task of its own after it has answered A, and asks A then."""
        async with system() as s:
            a, b = await team(s, "ab")
            tasks: list[asyncio.Task[Any]] = []

            async def answer_and_go_on(_: Deeds) -> str:
                async def go_on() -> Any:
                    await asyncio.sleep(1)
                    return await a.ask(Deeds.reply, "asked back")

                tasks.append(asyncio.create_task(go_on()))
                return "answered"

            assert await a.ask(Deeds.do, lambda _: b.ask(Deeds.do, answer_and_go_on)) == "answered"
            assert await tasks[0] == "asked back"

    @pytest.mark.parametrize("how", [Deeds.reply, Deeds.refuse, Deeds.crash])
    async def test_an_ask_that_is_answered_waits_for_nobody_even_before_its_asker_has_resumed(
        self, system: Make, how: Any
    ) -> None:
        """The next message of the one who answered is handled at once, and it asks the asker."""
        async with system(log=None) as s:
            a, b = await team(s, "ab")
            gate = asyncio.Event()
            await b.tell(Deeds.hold, gate)

            async def ask_b(_: Deeds) -> str:
                await asyncio.gather(b.ask(how), return_exceptions=True)
                return "a went on"

            first, second = await later(a.ask(Deeds.do, ask_b), b.ask(Deeds.relay, [a], "b too"))
            gate.set()
            assert await first == "a went on"
            assert await second == "b too"

    async def test_an_ask_that_timed_out_or_was_given_up_waits_for_nobody(self, system: Make) -> None:
        async with system() as s:
            a, b = await team(s, "ab")

            async def give_up(_: Deeds) -> str:
                await raised_by(b.within(1.0).ask(Deeds.reply, 1))
                asking = asyncio.create_task(b.ask(Deeds.reply, 2))
                await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait({asking})
                await asyncio.sleep(3)
                return "a went on"

            async def ask_a(_: Deeds) -> Any:
                await asyncio.sleep(2)
                return await a.ask(Deeds.reply, "b too")

            second, first = await later(b.ask(Deeds.do, ask_a), a.ask(Deeds.do, give_up))
            assert await first == "a went on"
            assert await second == "b too"

    async def test_a_new_actor_of_the_same_name_is_another_one(self, system: Make) -> None:
        async with system() as s:
            a, b = await team(s, "ab")

            async def replace_a(_: Deeds) -> Any:
                await a.tell(Deeds.stop)
                await a.ended()
                await s.spawn("a", Deeds)
                return await s.ref("/a", Deeds).ask(Deeds.reply, "another")

            outcome: list[Any] = []

            async def begin(me: Deeds) -> None:
                me.ctx.stop()
                await b.tell(Deeds.do, note_result)

            async def note_result(me: Deeds) -> None:
                outcome.append(await replace_a(me))

            await a.ask(Deeds.do, begin)
            await s.idle()
            assert outcome == ["another"]
