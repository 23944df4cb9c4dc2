"""The laws of the live tree."""

from typing import Any

import pytest

from tests.actors.lives import Doer, Systems, crash, quiet, sleep
from upright.actors import SystemNotRunning
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def test_the_tree_shows_every_actor_with_its_state_what_waits_and_its_restarts(system: Systems) -> None:
    async def have_a_child(me: Doer) -> None:
        await me.ctx.spawn("child", Doer)

    async with quiet(system) as s:
        ref = await s.spawn("a", Doer)
        await ref.tell(Doer.do, crash)
        await ref.ask(Doer.do, have_a_child)
        await ref.tell(Doer.do, sleep(1))
        await settle()
        await ref.tell(Doer.note, "waits")
        root = s.tree()
        assert [node.path for node in root.children] == ["/dead-letters", "/a"]
        node = root.children[1]
        assert (node.kind, node.state, node.depth, node.limit, node.restarts) == ("Doer", "running", 1, 1_000, 1)
        assert [child.path for child in node.children] == ["/a/child"]
        assert s.draw().splitlines()[1:] == [
            "├── dead-letters DeadLetters running 0/10000",
            "└── a Doer running 1/1000, 1 restart",
            "    └── child Doer running 0/1000",
        ]


async def test_a_system_that_does_not_run_has_no_tree(system: Systems) -> None:
    s = quiet(system)
    with pytest.raises(SystemNotRunning):
        s.tree()
