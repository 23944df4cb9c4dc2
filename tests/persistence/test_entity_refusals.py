"""The laws of entities that say what is refused, and how."""

import functools
from typing import Any

import pytest

from tests.actors.lives import Systems
from tests.persistence.jobs import (
    Book,
    Plain,
    Stores,
    Worker,
    letters,
    running,
    worker,
)
from tests.persistence.tills import Till, tills
from upright.actors import Actor, NotInHand, StartFailed
from upright.persistence import (
    Durable,
    NoEntity,
    entities,
)
from upright.supervision import child, pool

pytestmark = pytest.mark.anyio


class TestRefusals:
    def test_another_order_is_refused(self) -> None:
        class Strict(Actor):
            mailbox = Durable("strict")

        kinds: list[Any] = [Strict, Plain, functools.partial(Strict)]
        for kind in kinds:
            with pytest.raises(TypeError, match=r'order="keyed"'):
                entities("tills", kind)
        for wrong in (5, dict):
            with pytest.raises(TypeError, match="subclass of Actor"):
                entities("tills", wrong)  # type: ignore[arg-type]  # on purpose

    @pytest.mark.parametrize("options", [{"idle": 0.0}, {"at_most": 0}])
    def test_a_wrong_value_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            tills(Book(), **options)

    async def test_state_in_keyed_order_is_for_entities_alone(self, system: Systems, stores: Stores) -> None:
        with pytest.raises(StartFailed, match=r"Till to be run by entities"):
            async with running(system, child("tills", Till, Book()), store=stores()):
                pass
        with pytest.raises(TypeError, match="without durable state"):
            pool("tills", functools.partial(Till, Book()), size=2)

    async def test_a_message_that_is_for_none_of_them_is_refused(self, system: Systems, stores: Stores) -> None:
        async with running(system, tills(Book()), store=stores()) as s:
            ref = s.ref("/top/tills", Till)
            with pytest.raises(NoEntity, match=r'ref.entity\("a-17"\)'):
                await ref.tell(Till.note, "x")
            with pytest.raises(NoEntity):
                await ref.ask(Till.deposit, 5)

    async def test_an_entity_of_one_actor_is_refused(self, system: Systems, stores: Stores) -> None:
        async with running(system, worker(Book()), store=stores()) as s:
            with pytest.raises(NoEntity, match="one actor"):
                await s.ref("/top/a", Worker).entity("x").tell(Worker.note, "x")

    async def test_a_stored_message_that_names_none_goes_to_quarantine(self, system: Systems, stores: Stores) -> None:
        class Loose(Actor):
            mailbox = Durable("tills", order="keyed")

            async def note(self, word: str) -> None: ...

        store = stores()
        async with system(store=store) as s:
            await s.ref("/top/tills", Loose).tell(Loose.note, "x")
        async with running(system, tills(Book()), store=stores()) as s:
            await s.idle()
            assert [letter.reason for letter in await letters(store)] == ["unroutable"]

    async def test_others_have_no_id(self, system: Systems, stores: Stores) -> None:
        book = Book()

        @book.deed
        async def look(me: Worker) -> None:
            with pytest.raises(NotInHand, match="entities"):
                _ = me.ctx.entity

        async with running(system, worker(book), store=stores()) as s:
            await s.ref("/top/a", Worker).ask(Worker.do, look)
