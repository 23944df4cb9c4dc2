"""A durable mailbox that is paused shows it: in the tree, and as events."""

from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, MailboxPaused, MailboxResumed, Memory
from upright.supervision import CircuitBreaker, child, pool, supervisor

pytestmark = pytest.mark.anyio
SMTP = CircuitBreaker("smtp")


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Mailer(Actor):
    mailbox = Durable("mailer", order="free")
    uses = (SMTP,)

    async def send(self, number: int) -> None: ...


@pytest.mark.parametrize("tree", [child("mailer", Mailer), pool("mailer", Mailer, size=2)], ids=["actor", "pool"])
async def test_it_says_by_whom_it_is_paused_and_for_how_long_it_was(tree: Any) -> None:
    events: list[object] = []
    async with ActorSystem(supervisor("top", tree), store=Memory(), log=None) as system:
        system.subscribe(events.append, MailboxPaused, MailboxResumed)
        circuit, mailer = SMTP.on(system), system.ref("/top/mailer", Mailer)
        circuit.force_open(who="ada", why="a test")
        began = system.guards.now()
        await mailer.tell(Mailer.send, 1)
        while not events:
            await system.ref("/top/mailer", Mailer).tell(Mailer.send, 2)
        (found,) = system.tree().children[-1].children
        assert found.state == "paused"
        circuit.automatic(who="ada", why="enough")
        await system.idle()
        paused_s = system.guards.now() - began
        assert events == [
            MailboxPaused("/top/mailer", "mailer", "smtp"), MailboxResumed("/top/mailer", "mailer", paused_s),
        ]  # fmt: skip
        (found,) = system.tree().children[-1].children
        assert found.state == "running"
