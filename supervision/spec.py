"""Child specs: what to start, and what to do when it ends, as values that are checked where they are written."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, cast

import msgspec

from upright.actors.mailbox import MailboxSpec
from upright.actors.options import Blueprint

from .backoff import Backoff
from .checks import at_least, more_than, one_of
from .decision import RESTARTS, Restart

A = TypeVar("A")


class Options(TypedDict, total=False):
    """What `ChildSpec.options` takes."""

    restart: Restart
    shutdown: float | Literal["brutal"]
    significant: bool
    backoff: Backoff | None
    start_timeout: float


class ChildSpec(msgspec.Struct, Generic[A], frozen=True):
    """One child. Make it with `child(…)` or `supervisor(…)`, and change its options with `options(…)`.

    `id`: unique within its supervisor, the last part of the child's path. `actor`, `args`, `kwargs`: what is made at
    *every* start, so that state is fresh. `restart`: `permanent` (always), `transient` (unless it ended cleanly),
    `temporary` (never). `shutdown`: seconds it has to end when asked, 0 or more, or `"brutal"`; None means 5 for a
    worker and no limit for a supervisor. `significant`: see `auto_shutdown`. `backoff`: how long restarts are held
    back; None means not at all. `start_timeout`: seconds that its start may take. `mailbox`, `serves`: in place of the
    class's own mailbox, and for whom it stands in; set by `pool(…)` and `partitioned(…)`.
    """

    id: str
    actor: type[A]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    restart: Restart = "permanent"
    shutdown: float | Literal["brutal"] | None = None
    significant: bool = False
    backoff: Backoff | None = None
    start_timeout: float = math.inf
    supervises: bool = False
    mailbox: MailboxSpec | None = None
    serves: type[Any] | None = None

    def __post_init__(self) -> None:
        id: object = self.id
        if not isinstance(id, str) or not id or "/" in id:
            raise ValueError(f"expected id to be a string that is not empty and has no '/', got {id!r}")
        one_of(f"restart of {self.id!r}", self.restart, RESTARTS)
        significant: object = self.significant
        if not isinstance(significant, bool):
            raise ValueError(f"expected significant of {self.id!r} to be True or False, got {significant!r}")
        if self.shutdown is not None and self.shutdown != "brutal":
            at_least(f"shutdown of {self.id!r}", self.shutdown, 0, " seconds, or 'brutal'")
        more_than(f"start_timeout of {self.id!r}", self.start_timeout, 0, " seconds")
        if self.significant and self.restart == "permanent":
            raise ValueError(f"expected the significant child {self.id!r} to be transient or temporary, got permanent")
        if self.backoff is not None and not isinstance(cast("object", self.backoff), Backoff):
            raise TypeError(f"expected backoff of {self.id!r} to be a Backoff, got {self.backoff!r}")
        self.blueprint()

    def options(self, **changes: Unpack[Options]) -> "ChildSpec[A]":
        """This spec with other options. Raises `ValueError` for a wrong value, `TypeError` for an unknown name."""
        unknown = set(changes) - set(Options.__annotations__)
        if unknown:
            raise TypeError(
                f"expected options among {', '.join(Options.__annotations__)}, got {', '.join(sorted(unknown))}"
            )
        return msgspec.structs.replace(self, **changes)

    def members(self, above: str = "") -> Iterator[tuple[str, type[Any], Any]]:
        """The paths, classes and mailboxes of all actors that it would start; a pool counts as its workers' class."""
        path = f"{above}/{self.id}"
        if self.serves is not None:
            yield path, self.serves, self.serves.mailbox
            return
        actor: Any = self.actor
        yield path, self.actor, self.mailbox if self.mailbox is not None else actor.mailbox
        for given in self.args:
            for child in getattr(given, "children", ()):
                yield from child.members(path)

    def blueprint(self) -> Blueprint:
        """What the runtime needs to make it."""
        shutdown = self.shutdown
        if shutdown is None:
            shutdown = math.inf if self.supervises else 5.0
        return Blueprint(
            self.id,
            self.actor,
            self.args,
            self.kwargs,
            shutdown,
            self.start_timeout,
            mailbox=self.mailbox,
            serves=self.serves,
        )
