"""The laws that hold on every event loop, in real time: asyncio, in debug mode too, with eager tasks, and uvloop."""

import asyncio

import pytest

from tests.actors.lives import Doer, Oops, crash
from tests.actors.loops import LOOPS, MakeLoop, run
from upright.actors import Actor, ActorFailed, ActorSystem


class Relay(Actor):
    """Passes a number on until it is used up."""

    async def pass_on(self, left: int, done: "asyncio.Future[str]") -> None:
        if left:
            await self.ctx.ref("b" if self.ctx.path == "/a" else "a", Relay).tell(Relay.pass_on, left - 1, done)
        else:
            done.set_result(self.ctx.path)

    async def hold(self, gate: asyncio.Event) -> str:
        async with asyncio.timeout(10):
            await gate.wait()
        return self.ctx.path

    async def leave(self) -> None:
        raise SystemExit(3)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_two_actors_hand_a_message_back_and_forth(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        for name in ("a", "b"):
            await system.spawn(name, Relay)
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await system.ref("/a", Relay).tell(Relay.pass_on, 1_001, done)
        assert await done == "/b"

    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_an_actor_that_waits_holds_up_no_other(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        gate = asyncio.Event()
        held = [await system.spawn(f"held-{number}", Relay) for number in range(20)]
        asking = [asyncio.ensure_future(ref.ask(Relay.hold, gate)) for ref in held]
        free = await system.spawn("free", Doer)
        assert await free.ask(Doer.note, "here") == "here"
        assert not any(ask.done() for ask in asking)
        gate.set()
        assert await asyncio.gather(*asking) == [ref.path for ref in held]

    run(make_loop, scene)


@pytest.mark.parametrize("make_loop", LOOPS)
def test_a_crash_is_told_and_healed(make_loop: MakeLoop) -> None:
    async def scene(system: ActorSystem) -> None:
        ref = await system.spawn("a", Doer)
        with pytest.raises(ActorFailed) as failure:
            await ref.ask(Doer.do, crash)
        assert isinstance(failure.value.__cause__, Oops)
        assert await ref.ask(Doer.note, "again") == "again"

    run(make_loop, scene)


def test_a_system_exit_in_a_handler_ends_the_program_with_its_status_and_the_system_with_it() -> None:
    systems: list[ActorSystem] = []

    async def main() -> None:
        async with ActorSystem(log=None) as system:
            systems.append(system)
            ref = await system.spawn("a", Relay)
            await ref.tell(Relay.leave)
            await asyncio.Event().wait()

    with pytest.raises(SystemExit) as exit:
        asyncio.run(main())
    assert exit.value.code == 3
    assert not systems[0].running
    assert systems[0].zombies == 0
