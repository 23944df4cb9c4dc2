"""Entities: many actors of one class behind one address, each known by an id, of which only those are awake that have
something to do.

Each is an actor like any other, at `<path>/<id>`, with its own queue and its own durable state. It is started by its
first message, ends when it has been idle for a while, and is started by the next one with the state that it had.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import quote

from upright.actors.context import as_class
from upright.actors.exits import Exit
from upright.actors.options import Blueprint
from upright.actors.parent import Child, Parent
from upright.supervision.checks import more_than, whole
from upright.supervision.spec import ChildSpec

from .durable import Durable
from .entity_house import EntitiesMailbox, EntitiesSpec
from .entity_mailbox import EntityMailbox, EntityMailboxSpec
from .reports import RecordFilter

A = TypeVar("A")
NOTHING: Mapping[str, Any] = {}


class Entities(Parent):
    """Runs the entities of one class; `entities("accounts", Account)` makes one.

    Messages for an entity are sent by its ref: `system.ref("/bank/accounts", Account).entity("a-17")`. Its own handlers
    are asked through a ref of this class: `system.ref("/bank/accounts", Entities).ask(Entities.known)`. For an entity,
    `ctx.ref("name")` finds a sibling of this actor.
    """

    children_stand_beside: ClassVar[bool] = True
    ends_children_together: ClassVar[bool] = True

    def __init__(self, entity: ChildSpec[Any]) -> None:
        self._entity = entity

    async def started(self) -> None:
        """Let messages come."""
        found: Any = self.ctx.self_ref.recipient
        self._mailbox: EntitiesMailbox = found.mailbox
        self._mailbox.open(self)

    async def awake(self) -> list[str]:
        """The ids of those that are awake."""
        return self._mailbox.awake

    async def known(self, after: str = "", limit: int = 1_000) -> list[str]:
        """The ids of those that have durable state, in order, from the first one behind `after` on; `limit` at most."""
        front = self._mailbox.front
        found = await front.store.desk.records(RecordFilter(front.address, after=after, limit=limit))
        return [record.name for record in found]

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """One has stopped itself, crashed outside of a message, or was killed: the next message starts it anew."""
        await child.end("it ended")
        ended: Any = child
        self._mailbox.gone(ended.mailbox.entity, ended.mailbox)

    def wake(self, id: str) -> None:
        """Start that entity."""
        self.ctx.background(self._wake(id))

    async def _wake(self, id: str) -> None:
        spec, mailbox = self._entity, self._mailbox
        blueprint = spec.blueprint()
        try:
            await self.ctx.spawn_from(
                Blueprint(
                    quote(id, safe=""), blueprint.actor, blueprint.args, blueprint.kwargs, blueprint.shutdown,
                    blueprint.start_timeout, mailbox=EntityMailboxSpec(mailbox, id),
                )
            )  # fmt: skip
        except Exception as error:
            mailbox.not_woken(id, error.__cause__ or error)
        else:
            mailbox.woken(id)

    def put_to_sleep(self, id: str, mailbox: EntityMailbox) -> None:
        """End that entity, which has nothing to do."""
        self.ctx.background(self._put_to_sleep(id, mailbox))

    async def _put_to_sleep(self, id: str, mailbox: EntityMailbox) -> None:
        await mailbox.owner.end("it was idle")
        self._mailbox.gone(id, mailbox)


def entities(id: str, entity: Callable[[], A], /, *, idle: float = 60.0, at_most: int = 1_000) -> ChildSpec[A]:
    """A child that runs one actor of the class for each id that messages are sent to: `entities("accounts", Account)`.

    `entity`: a class with `mailbox = Durable("accounts", order="keyed")`, or `functools.partial(Account, client)` where
    its constructor needs arguments. `idle`: seconds without a message until one is put to sleep. `at_most`: how many
    are awake at once, 1 or more; when all of them are busy the messages for others wait. Raises `TypeError` and
    `ValueError` for what cannot be.
    """
    more_than("idle", idle, 0, " seconds")
    whole("at_most", at_most, 1)
    given: Any = entity
    in_part = isinstance(entity, functools.partial)
    args, kwargs = (given.args, given.keywords) if in_part else ((), NOTHING)
    kind: Any = as_class(given.func if in_part else given)
    durable: object = kind.mailbox
    if not isinstance(durable, Durable) or durable.order != "keyed":
        raise TypeError(
            f'expected {kind.__name__}.mailbox to be Durable("…", order="keyed"), since each entity has an order of its'
            f" own, got {durable!r}"
        )
    spec = ChildSpec(id, kind, args, kwargs)
    made: ChildSpec[Any] = ChildSpec(
        id, Entities, (spec,), supervises=True, mailbox=EntitiesSpec(durable, idle, at_most), serves=kind
    )
    return cast("ChildSpec[A]", made)
