"""The laws of a circuit that an actor uses: a guard in its handler is part of the message's call, and none is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.supervision.circuits import EXACT
from upright.actors import Actor, ActorSystem, Refuse, concurrent
from upright.actors.testing import advance, kill, settle
from upright.supervision import CircuitBreaker, CircuitOpen
from upright.supervision.bulkhead import Bulkhead
from upright.supervision.window import Tally

pytestmark = pytest.mark.anyio
WIDE = CircuitBreaker("wide", slow_call=3.0, minimum_calls=100)
NARROW = CircuitBreaker("narrow", permits=1, minimum_calls=1, wait=EXACT)
FULL = Bulkhead("full", running=1, waiting=0)
Systems = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Post(Actor):
    """Does what the test says, in a message that the circuit of its `policy` has let through."""

    policy = WIDE
    uses = (WIDE,)

    async def do(self, deed: Callable[[Any], Awaitable[Any]]) -> Any:
        return await deed(self)

    @concurrent(limit=10)
    async def beside(self, deed: Callable[[Any], Awaitable[Any]]) -> Any:
        return await deed(self)


class Single(Post):
    policy = NARROW
    uses = (NARROW,)


BOTH = pytest.mark.parametrize("handler", [Post.do, Post.beside])


async def nothing(post: Post) -> None:
    """No guard at all."""


async def hanging(post: Post) -> None:
    await asyncio.get_running_loop().create_future()


async def guarded_and_hanging(post: Post) -> None:
    async with post.ctx.guard(post.policy):
        await hanging(post)


async def failing(post: Post) -> None:
    raise ValueError("our own fault")


async def refusing(post: Post) -> None:
    raise Refuse("no such user")


async def full(post: Post) -> None:
    """Another guard of the handler refuses."""
    async with post.ctx.guard(FULL), post.ctx.guard(FULL):
        raise AssertionError("not reached")


async def calling(post: Post, error: Exception | None = None, took: float = 0.0) -> None:
    async with post.ctx.guard(post.policy):
        await asyncio.sleep(took)
        if error is not None:
            raise error


async def calling_by_function(post: Post) -> None:
    await post.ctx.guards.call(post.policy, nothing, post)


async def catching(post: Post) -> None:
    """A failure that the handler can live with."""
    with pytest.raises(ConnectionError):
        await calling(post, ConnectionError())


async def well_and_then_failing(post: Post) -> None:
    await calling(post)
    await failing(post)


async def catching_and_then_well(post: Post) -> None:
    await catching(post)
    await calling(post)


async def within_itself(post: Post) -> None:
    async with post.ctx.guard(post.policy):
        await calling(post)


async def quick_in_a_long_handler(post: Post) -> None:
    await calling(post, took=1.0)
    await asyncio.sleep(4.0)


async def slow(post: Post) -> None:
    await calling(post, took=4.0)


async def by_a_helper(post: Post) -> None:
    await asyncio.create_task(catching(post))


DEEDS = [
    (nothing, Tally(1, 0, 0)), (failing, Tally(1, 1, 0)), (refusing, Tally()), (full, Tally()),
    (calling, Tally(1, 0, 0)), (calling_by_function, Tally(1, 0, 0)), (catching, Tally(1, 1, 0)),
    (well_and_then_failing, Tally(1, 0, 0)), (catching_and_then_well, Tally(1, 1, 0)),
    (within_itself, Tally(1, 0, 0)), (quick_in_a_long_handler, Tally(1, 0, 0)), (slow, Tally(1, 0, 1)),
    (by_a_helper, Tally(1, 1, 0)),
]  # fmt: skip


async def half_opened(s: ActorSystem) -> None:
    """Its circuit is half-open, with its one permit, and nothing counted."""
    circuit = NARROW.on(s)
    with pytest.raises(ConnectionError):
        async with s.guards.guard(NARROW):
            raise ConnectionError
    await asyncio.sleep(5.0)
    with pytest.raises(Refuse):
        async with s.guards.guard(NARROW):
            raise Refuse
    assert (circuit.state, circuit.lets_through) == ("half-open", True)


@BOTH
@pytest.mark.parametrize(("deed", "tally"), DEEDS, ids=lambda one: getattr(one, "__name__", ""))
async def test_a_message_is_one_call_and_its_outcome_is_that_of_the_guard_in_its_handler(
    system: Systems, handler: Any, deed: Any, tally: Tally
) -> None:
    async with system(log=None) as s:
        post = await s.spawn("post", Post)
        await post.tell(handler, deed)
        await advance(10.0)
        assert WIDE.on(s).tally == tally


async def test_a_guard_in_the_handler_needs_no_permit_of_its_own(system: Systems) -> None:
    async with system(log=None) as s:
        post = await s.spawn("post", Single)
        await half_opened(s)
        await post.ask(Single.do, within_itself)
        assert NARROW.on(s).state == "closed"


async def test_a_guard_in_the_handler_of_an_actor_that_does_not_use_the_policy_is_a_call_of_its_own(
    system: Systems,
) -> None:
    async with system(log=None) as s:
        other = await s.spawn("other", type("Other", (Post,), {"uses": (), "policy": NARROW}))
        await half_opened(s)
        with pytest.raises(Exception, match="narrow is half-open and all permits are taken") as raised:
            await other.ask(Post.do, within_itself)
        assert isinstance(raised.value.__cause__ or raised.value, CircuitOpen)


async def late(post: Post, gate: asyncio.Event) -> None:
    await gate.wait()
    await catching(post)


async def test_a_task_that_outlives_its_message_is_no_part_of_the_next_one(system: Systems) -> None:
    """Its call is one of its own: its message is over, and the next one has nothing to do with it."""
    gate, tasks = asyncio.Event(), list[asyncio.Task[None]]()

    async def leaving_a_task(post: Post) -> None:
        tasks.append(asyncio.create_task(late(post, gate)))

    async def waiting_for_it(post: Post) -> None:
        gate.set()
        await asyncio.wait(tasks)

    async with system(log=None) as s:
        post = await s.spawn("post", Post)
        await post.ask(Post.do, leaving_a_task)
        await post.ask(Post.do, waiting_for_it)
        assert WIDE.on(s).tally == Tally(3, 1, 0)


@BOTH
@pytest.mark.parametrize("deed", [hanging, guarded_and_hanging, nothing])
async def test_a_kill_at_any_step_of_a_message_loses_no_permit(system: Systems, handler: Any, deed: Any) -> None:
    for steps in range(8):
        async with system(log=None) as s:
            post = await s.spawn("post", Single)
            await half_opened(s)
            await post.tell(handler, deed)
            for _ in range(steps):
                await asyncio.sleep(0)
            await kill(s, post)
            circuit = NARROW.on(s)
            assert (circuit.state, circuit.lets_through) in (("half-open", True), ("closed", True))


async def test_of_fifty_actors_one_tries_the_half_open_circuit_and_then_all_go_on(system: Systems) -> None:
    started = list[str]()

    async def noting(post: Post) -> None:
        started.append(post.ctx.path)
        await asyncio.sleep(1.0)

    async with system(log=None) as s:
        posts = [await s.spawn(f"post{number}", Single) for number in range(50)]
        await half_opened(s)
        for post in posts:
            await post.tell(Single.do, noting)
        await settle()
        assert len(started) == 1
        assert NARROW.on(s).waiting == 49
        await advance(1.0)
        assert len(started) == 2, "it has closed, and begins gently, with as many at once as there were permits"
        await advance(20.0)
        assert len(started) == 50
        assert (NARROW.on(s).waiting, len(set(started))) == (0, 50)
