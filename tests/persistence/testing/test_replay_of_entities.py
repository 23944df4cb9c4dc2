"""The law of a replay for entities: the letter finds the state of the one that it was for."""

import pytest

from tests.actors.lives import Systems, quiet
from tests.persistence.jobs import Stores, Tally
from upright.actors import Actor
from upright.persistence import Durable, Retry, entities
from upright.persistence.testing import replay
from upright.supervision import supervisor

pytestmark = pytest.mark.anyio


class Old(Actor[Tally]):
    mailbox = Durable("tills", order="keyed", retry=Retry(max_attempts=1))

    async def book(self, number: int) -> None:
        if number > 10:
            raise OverflowError(f"{number} is too much")
        self.state.total += number


class New(Actor[Tally]):
    mailbox = Durable("tills", order="keyed")

    async def book(self, number: int) -> str:
        self.state.total += number
        return f"{self.ctx.entity} has {self.state.total}"


async def test_it_is_tried_with_the_id_and_the_state_of_its_entity(system: Systems, stores: Stores) -> None:
    store, tree = stores(), supervisor("top", entities("tills", Old))
    async with quiet(system, tree=tree, store=store) as s:
        for id, number in (("a", 5), ("b", 7)):
            await s.ref("/top/tills", Old).entity(id).tell(Old.book, number)
        receipt = await s.ref("/top/tills", Old).entity("a").tell(Old.book, 20)
        await s.idle()
        assert receipt is not None
        done = await replay(receipt.id, New, store=store)
    assert (done.outcome, done.result) == ("done", "a has 25")
    assert (done.before, done.after) == (Tally(5), Tally(25))
