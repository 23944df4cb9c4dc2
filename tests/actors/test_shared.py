"""The laws of what actors share that have none of a thing: nobody ever writes to it, and each gets its own in time."""

import asyncio
import contextlib
from random import Random
from typing import Any

import pytest

from tests.actors.lives import KINDS, Diary, Doer, Systems, crash, no_trace, quiet, sleep, spawn_children, stop
from upright.actors import ActorFailed, ActorGone, ActorSystem, Ref
from upright.actors.events import ActorSpawned
from upright.actors.incarnation import UNUSED
from upright.actors.mailbox import NOTHING
from upright.actors.nursery import CHILDLESS
from upright.actors.options import NO_KWARGS
from upright.actors.testing import Recorder
from upright.actors.tree import Node

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


def is_untouched() -> bool:
    """Whether nothing was ever put into what all share."""
    assert ({*CHILDLESS}, [*NOTHING], [*UNUSED], {*NO_KWARGS}) == (set(), [], [], set())
    return True


def paths(node: Node) -> dict[str, list[str]]:
    """The children of each actor of a tree, by its path."""
    found = {node.path: [child.path for child in node.children]}
    for child in node.children:
        found |= paths(child)
    return found


def own(ref: Ref[Doer]) -> tuple[Any, Any, Any]:
    """The children, the queue and the context of an actor."""
    actor: Any = ref.recipient
    return actor.children, actor.mailbox.queue, actor.life.context


@pytest.mark.parametrize("kind", KINDS)
async def test_what_one_actor_gets_shows_up_at_no_other(system: Systems, kind: type[Doer]) -> None:
    async with quiet(system) as s:
        refs = [await s.spawn(f"a{number}", kind) for number in range(4)]
        for ref in refs[:2]:
            await ref.ask(Doer.do, spawn_children(Diary(), kind, "x", "y"))
        for ref in refs[:2]:
            assert ref.try_tell(Doer.do, sleep(1.0))
            assert ref.try_tell(Doer.note, "waits")
        tree = paths(s.tree())
        assert [tree[ref.path] for ref in refs] == [["/a0/x", "/a0/y"], ["/a1/x", "/a1/y"], [], []]
        assert [len(list(s.peek(ref))) for ref in refs] == [2, 2, 0, 0]
        mine, others = own(refs[0]), own(refs[1])
        assert all(one is not other for one, other in zip(mine, others, strict=True))
        await s.idle()
    assert is_untouched()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_actor_whose_children_have_all_ended_may_have_others(system: Systems, kind: type[Doer]) -> None:
    async with quiet(system) as s:
        parent, other = await s.spawn("parent", kind), await s.spawn("other", kind)
        for _ in range(3):
            children = await parent.ask(Doer.do, spawn_children(Diary(), kind, "x", "y"))
            for ref in children:
                await ref.tell(Doer.do, stop)
                await ref.ended()
            assert paths(s.tree())[parent.path] == paths(s.tree())[other.path] == []
    assert is_untouched()


async def grow_and_fell(s: ActorSystem, random: Random, refs: list[Ref[Doer]]) -> None:
    """One step: an actor gets a child, or a message; or one ends, in some way."""
    refs[:] = [ref for ref in refs if ref.recipient is not None]
    ref = random.choice(refs)
    match random.choice(("spawn", "spawn", "note", "sleep", "crash", "stop", "kill")):
        case "spawn":
            with contextlib.suppress(ActorGone, ActorFailed):  # it was about to end
                refs += await ref.ask(Doer.do, spawn_children(Diary(), random.choice(KINDS), f"c{random.random()}"))
        case "note":
            assert ref.try_tell(Doer.note, "word")
        case "sleep":
            assert ref.try_tell(Doer.do, sleep(0.1))
        case _ if len(ref.path.split("/")) == 2 and len(refs) < 20:
            pass  # somebody must be left to grow from
        case "kill":
            await s.kill(ref)
        case how:
            assert ref.try_tell(Doer.do, crash if how == "crash" else stop)
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(5))
async def test_a_thousand_spawns_messages_and_ends_write_nothing_to_what_is_shared(
    system: Systems, recorders: list[Recorder], seed: int
) -> None:
    random = Random(seed)
    async with quiet(system, grace=0.1) as s:
        refs = [await s.spawn(f"a{number}", random.choice(KINDS)) for number in range(10)]
        for step in range(1_000):
            await grow_and_fell(s, random, refs)
            if not step % 100:
                await s.idle()
                tree = paths(s.tree())
                for path, children in tree.items():
                    assert {child.rpartition("/")[0] or "/" for child in children} <= {path}
        await s.idle()
    assert len(recorders[0].of(ActorSpawned)) > 200
    assert is_untouched()
    assert no_trace()
