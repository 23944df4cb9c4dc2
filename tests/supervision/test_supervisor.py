"""The laws of a supervisor whose children are computed, and of the system above it."""

from typing import Any

import pytest

from tests.actors.lives import Diary, Doer, Systems, crash, quiet
from upright.actors import Shutdown, SystemFailed
from upright.actors.testing import settle
from upright.supervision import Intensity, Plan, Supervisor, child, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Shards(Supervisor):
    """As many children as it is told."""

    def __init__(self, count: int, diary: Diary) -> None:
        super().__init__()
        self.count, self.diary = count, diary

    def plan(self) -> Plan:
        shards = tuple(child(f"shard-{number}", Doer, self.diary) for number in range(self.count))
        return Plan(shards, "one_for_all", Intensity(1, 5.0))


async def test_a_subclass_computes_its_children_at_every_start(system: Systems) -> None:
    diary = Diary()
    async with quiet(system, tree=supervisor("top", child("shards", Shards, 3, diary))) as s:
        assert [node.path for node in s.tree().children[1].children[0].children] == [
            f"/top/shards/shard-{number}" for number in range(3)
        ]
        for _ in range(2):
            await s.ref("/top/shards/shard-1", Doer).tell(Doer.do, crash)
            await s.idle()
        assert diary.lives == 9
        assert s.tree().children[1].children[0].restarts == 1


async def test_a_subclass_is_a_supervisor_to_its_parent(system: Systems) -> None:
    spec = child("shards", Shards, 1, Diary())
    assert spec.supervises
    assert spec.blueprint().shutdown == float("inf")


async def test_the_system_ends_when_its_tree_gives_up_and_says_why(system: Systems) -> None:
    s = quiet(system, tree=supervisor("top", child("a", Doer), max_restarts=0))
    with pytest.raises(SystemFailed, match=r"/top: a failed after 0 restarts within 5 s.*; last: Oops: on purpose"):
        async with s:
            await s.ref("/top/a", Doer).tell(Doer.do, crash)
            exit = await s.wait()
            assert isinstance(exit, Shutdown)
            assert exit.gave_up
    assert not s.running


async def test_an_error_of_the_block_itself_is_not_hidden_by_the_end_of_the_tree(system: Systems) -> None:
    with pytest.raises(KeyError):
        async with quiet(system, tree=supervisor("top", child("a", Doer), max_restarts=0)) as s:
            await s.ref("/top/a", Doer).tell(Doer.do, crash)
            await settle()
            raise KeyError("mine")


async def test_wait_returns_the_end_of_a_system_that_was_stopped(system: Systems) -> None:
    s = quiet(system, tree=supervisor("top", child("a", Doer)))
    async with s:
        pass
    assert await s.wait() == Shutdown("the system stops")
