"""The laws of circles that lie ahead: through asks that were handed on, and through several made in parallel."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, later, raised_by
from tests.actors.ways import way
from upright.actors import ActorFailed, ActorSystem, AskCycle, Ref
from upright.actors.testing import advance, settle

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("way")]
__all__ = ["way"]

Make = Callable[..., ActorSystem]
Deed = Callable[[Any], Awaitable[Any]]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def team(system: ActorSystem, names: str = "abc") -> list[Ref[Deeds]]:
    """Actors who are asked in vain for a minute before anybody gives up."""
    return [(await system.spawn(name, Deeds)).within(60) for name in names]


def ask(ref: Ref[Deeds], value: Any = "said") -> Deed:
    return lambda _: ref.ask(Deeds.reply, value)


def hand_on(ref: Ref[Deeds], handler: Any = Deeds.reply, *args: Any) -> Deed:
    return lambda me: me.ctx.forward(ref, handler, *args)


def ask_all(*asks: tuple[Ref[Deeds], Any, Any]) -> Deed:
    """Ask several at once; the result holds the errors too."""

    async def deed(_: Any) -> list[Any]:
        return await asyncio.gather(*(ref.ask(handler, arg) for ref, handler, arg in asks), return_exceptions=True)

    return deed


def after(gate: asyncio.Event, deed: Deed) -> Deed:
    """Hold the mailbox until the gate opens, and then do that."""

    async def held(me: Any) -> Any:
        await gate.wait()
        return await deed(me)

    return held


def now() -> float:
    return asyncio.get_running_loop().time()


def cycle_of(error: BaseException) -> AskCycle:
    """The circle that made an ask fail."""
    assert isinstance(error, ActorFailed)
    cycle = error.__cause__
    assert isinstance(cycle, AskCycle)
    return cycle


class TestHandedOn:
    async def test_who_handed_an_ask_on_is_no_part_of_its_circle_any_more(self, system: Make) -> None:
        """A waits for C now, not for B, so that B may ask A: it is answered once A is."""
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b, c = await team(s)
            first, second = await later(
                a.ask(Deeds.do, lambda _: b.ask(Deeds.do, hand_on(c, Deeds.hold, gate, "of c"))),
                b.ask(Deeds.do, ask(a, "of a")),
            )
            gate.set()
            assert await first == "of c"
            assert await second == "of a"

    async def test_who_handed_an_ask_on_may_ask_the_asker_in_the_same_message(self, system: Make) -> None:
        gate, said = asyncio.Event(), list[Any]()
        async with system(log=None) as s:
            a, b, c = await team(s)

            async def hand_on_and_ask(me: Any) -> None:
                await me.ctx.forward(c, Deeds.hold, gate, "of c")
                said.append(await a.ask(Deeds.reply, "of a"))

            (first,) = await later(a.ask(Deeds.do, lambda _: b.ask(Deeds.do, hand_on_and_ask)))
            gate.set()
            assert await first == "of c"
            await s.idle()
            assert said == ["of a"]

    @pytest.mark.parametrize("hops", [1, 3])
    async def test_a_circle_through_an_ask_that_was_handed_on_is_found_at_once(self, system: Make, hops: int) -> None:
        """C holds its mailbox when the ask comes to it, and asks A, which waits for it."""
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, c, *between = await team(s, "ac" + "xyz"[:hops])
            way = hand_on(c, Deeds.reply, "said")
            for ref in between[1:]:
                way = hand_on(ref, Deeds.do, way)
            busy, asked = await later(
                c.ask(Deeds.do, after(gate, ask(a))), a.ask(Deeds.do, lambda _: between[0].ask(Deeds.do, way))
            )
            gate.set()
            assert cycle_of(await raised_by(busy)).chain == ("/c", "/a", "/c")
            assert await asked == "said"
            assert now() == 0.0

    async def test_a_circle_of_two_asks_that_were_both_handed_on_is_found_at_once(self, system: Make) -> None:
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b, c, d = await team(s, "abcd")
            first, second = await later(
                a.ask(Deeds.do, after(gate, lambda _: c.ask(Deeds.do, hand_on(b)))),
                b.ask(Deeds.do, after(gate, lambda _: d.ask(Deeds.do, hand_on(a)))),
            )
            gate.set()
            done = await asyncio.gather(first, second, return_exceptions=True)
            failed = [one for one in done if isinstance(one, BaseException)]
            assert len(failed) == 1
            assert isinstance(failed[0], ActorFailed)
            assert now() == 0.0

    async def test_an_ask_that_was_handed_on_and_answered_waits_for_nobody(self, system: Make) -> None:
        async with system(log=None) as s:
            a, b, c = await team(s)

            async def ask_then_wait(_: Any) -> str:
                await b.ask(Deeds.do, hand_on(c))
                await asyncio.sleep(1)
                return "a went on"

            first, second = await later(a.ask(Deeds.do, ask_then_wait), c.ask(Deeds.do, ask(a, "c too")))
            assert await first == "a went on"
            assert await second == "c too"

    async def test_an_ask_that_was_given_up_is_not_found_again_where_it_was_handed_on(self, system: Make) -> None:
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b, c = await team(s)

            async def give_up(_: Any) -> str:
                await raised_by(b.within(1).ask(Deeds.do, after(gate, hand_on(c))))
                gate.set()
                await asyncio.sleep(1)
                return "a went on"

            (first,) = await later(a.ask(Deeds.do, give_up))
            await advance(1.5)
            assert await c.ask(Deeds.do, ask(a, "c too")) == "c too"
            assert await first == "a went on"


class TestInParallel:
    @pytest.mark.parametrize("place", [0, 1, 2])
    async def test_a_circle_through_any_of_several_asks_in_parallel_is_found_at_once(
        self, system: Make, place: int
    ) -> None:
        gate, open_at_end = asyncio.Event(), asyncio.Event()
        async with system(log=None) as s:
            a, b, c, d = await team(s, "abcd")
            asks: list[Any] = [(c, Deeds.hold, open_at_end), (d, Deeds.hold, open_at_end)]
            asks.insert(place, (b, Deeds.reply, "b again"))
            busy, asked = await later(b.ask(Deeds.do, after(gate, ask(a))), a.ask(Deeds.do, ask_all(*asks)))
            gate.set()
            assert cycle_of(await raised_by(busy)).chain == ("/b", "/a", "/b")
            open_at_end.set()
            assert sorted(await asked, key=str) == [None, None, "b again"]
            assert now() == 0.0

    @pytest.mark.parametrize("how", [Deeds.reply, Deeds.crash, Deeds.refuse])
    @pytest.mark.parametrize("last", [False, True])
    async def test_a_circle_is_found_although_another_of_the_asks_was_answered_already(
        self, system: Make, how: Any, last: bool
    ) -> None:
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b, c = await team(s)
            asks = [(b, Deeds.reply, "b again"), (c, how, "of c")]
            asked_in_order = asks if last else asks[::-1]
            busy, asked = await later(b.ask(Deeds.do, after(gate, ask(a))), a.ask(Deeds.do, ask_all(*asked_in_order)))
            gate.set()
            assert cycle_of(await raised_by(busy)).chain == ("/b", "/a", "/b")
            assert "b again" in await asked
            assert now() == 0.0

    async def test_a_circle_through_one_that_was_asked_twice_at_once_is_found(self, system: Make) -> None:
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b = await team(s, "ab")
            asks = [(b, Deeds.reply, number) for number in range(3)]
            busy, asked = await later(b.ask(Deeds.do, after(gate, ask(a))), a.ask(Deeds.do, ask_all(*asks)))
            gate.set()
            cycle_of(await raised_by(busy))
            assert await asked == [0, 1, 2]
            assert now() == 0.0

    async def test_a_circle_through_two_who_both_asked_in_parallel_is_found(self, system: Make) -> None:
        """A asks B and D, B asks D and C, and C asks A."""
        gate, end = asyncio.Event(), asyncio.Event()
        async with system(log=None) as s:
            a, b, c, d = await team(s, "abcd")
            of_b = ask_all((d, Deeds.hold, end), (c, Deeds.reply, "of c"))
            busy, asked = await later(
                c.ask(Deeds.do, after(gate, ask(a))),
                a.ask(Deeds.do, ask_all((b, Deeds.do, of_b), (d, Deeds.hold, end))),
            )
            gate.set()
            assert cycle_of(await raised_by(busy)).chain == ("/c", "/a", "/b", "/c")
            end.set()
            assert await asked == [[None, "of c"], None]
            assert now() == 0.0

    async def test_parallel_asks_that_meet_again_are_no_circle(self, system: Make) -> None:
        """Everybody asks somebody further on, in every combination."""
        async with system(log=None) as s:
            refs = await team(s, "abcdef")

            def further(number: int) -> Deed:
                asks = [(refs[n], Deeds.do, further(n)) for n in (number + 1, number + 2) if n < len(refs)]
                return ask_all(*asks) if asks else ask(refs[-1], "end") if number < len(refs) - 1 else leaf

            async def leaf(_: Any) -> str:
                await asyncio.sleep(0.1)
                return "end"

            said = str(await refs[0].ask(Deeds.do, further(0)))
            assert "Error" not in said
            assert "end" in said

    async def test_one_who_has_its_answer_of_two_and_waits_for_another_may_be_asked_by_the_first(
        self, system: Make
    ) -> None:
        end = asyncio.Event()
        async with system(log=None) as s:
            a, b, c = await team(s)
            first, second = await later(
                a.ask(Deeds.do, ask_all((b, Deeds.reply, "of b"), (c, Deeds.hold, end))),
                b.ask(Deeds.do, ask(a, "b too")),
            )
            await settle()
            assert not second.done()
            end.set()
            assert await first == ["of b", None]
            assert await second == "b too"

    async def test_one_of_several_asks_that_was_given_up_is_no_circle(self, system: Make) -> None:
        gate = asyncio.Event()
        async with system(log=None) as s:
            a, b, c = await team(s)

            async def ask_both(_: Any) -> list[Any]:
                asks = (b.within(1).ask(Deeds.reply, 1), c.ask(Deeds.sleep, 5.0, "of c"))
                return [*await asyncio.gather(*asks, return_exceptions=True)]

            second, first = await later(b.ask(Deeds.do, after(gate, ask(a, "b too"))), a.ask(Deeds.do, ask_both))
            await advance(2)
            gate.set()
            assert await second == "b too"
            assert (await first)[1] == "of c"

    async def test_asks_leave_nothing_behind_in_the_one_who_asks(self, system: Make) -> None:
        async with system(log=None) as s:
            a, b, c = await team(s)

            async def hand_on_late(me: Any) -> Any:
                await asyncio.sleep(1)
                return await me.ctx.forward(c, Deeds.reply)

            async def ask_in_all_ways(_: Any) -> Any:
                await ask_all((b, Deeds.reply, 1), (c, Deeds.crash, "on purpose"), (b, Deeds.refuse, "no"))(None)
                await raised_by(c.within(0.5).ask(Deeds.sleep, 1.0))
                await raised_by(b.within(0.5).ask(Deeds.do, hand_on_late))
                await b.ask(Deeds.do, hand_on(c))
                asking = asyncio.create_task(b.ask(Deeds.sleep, 1.0))
                await settle()
                asking.cancel()
                await asyncio.wait({asking})
                asker = a.recipient
                assert asker is not None
                assert asker.link is not None
                return dict(asker.link.waits_for)

            assert await a.ask(Deeds.do, ask_in_all_ways) == {}
