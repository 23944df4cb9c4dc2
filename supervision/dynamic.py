"""The dynamic supervisor: many children of a kind, started on demand, addressed by ref, ended all at once.

It is Elixir's `DynamicSupervisor`: no order, `one_for_one` only, and starting or ending one child costs the same
however many there are.
"""

import random
from typing import Any, TypeVar

from upright.actors.errors import Ignore, NameTaken, StartFailed
from upright.actors.exits import Crashed, Exit
from upright.actors.message import told
from upright.actors.parent import Child, Parent
from upright.actors.refs import Ref

from .charge import Charge, ChildInfo, Counts, count
from .decision import Verdict, judge
from .errors import AlreadyStarted, InvalidSpec, NotFound, NotStarted, TooManyChildren
from .intensity import Intensity, Restarts
from .spec import ChildSpec

A = TypeVar("A")


class DynamicSupervisor(Parent):
    """Keeps children up that were started while it runs; `dynamic("sessions", max_children=10_000)` makes one.

    A child's spec is forgotten when it has ended for good, and when this supervisor ends: it comes back without
    children.
    """

    ends_children_together = True

    def __init__(self, intensity: Intensity, max_children: int | None = None) -> None:
        self._intensity, self._max_children = intensity, max_children
        self._restarts = Restarts(intensity)
        self._charges: dict[str, Charge] = {}
        self._rng = random.Random()

    async def start_child(self, spec: ChildSpec[A]) -> Ref[A]:
        """Start a child at `<path>/<id>`.

        Raises `TooManyChildren`, `AlreadyStarted`, `NotStarted`; nothing is kept then.
        """
        given: object = spec
        if not isinstance(given, ChildSpec):
            raise InvalidSpec(f"expected a child spec, such as child('s-1', Session), got {given!r}", "")
        if self._max_children is not None and len(self._charges) >= self._max_children:
            raise TooManyChildren(f"expected at most {self._max_children} children at {self.ctx.path}", spec.id)
        known = self._charges.get(spec.id)
        if known is not None and known.child is not None:
            raise AlreadyStarted(spec.id, known.child.self_ref)
        if spec.significant:
            raise NotStarted(StartFailed(f"{self.ctx.path}/{spec.id}", "no child here can be significant"), spec.id)
        charge = self._charges[spec.id] = Charge(spec)
        try:
            ref = await self.ctx.spawn_from(spec.blueprint())
        except (StartFailed, Ignore, NameTaken) as error:
            del self._charges[spec.id]
            failure = (
                error if isinstance(error, StartFailed) else StartFailed(f"{self.ctx.path}/{spec.id}", told(error))
            )
            raise NotStarted(failure, spec.id) from error.__cause__
        charge.child, charge.standing = ref.recipient, "running"  # type: ignore[assignment]  # as its parent sees it
        found: Ref[A] = ref
        return found

    async def terminate_child(self, ref: Ref[Any]) -> None:
        """End a child, or its attempts to come back. Raises `NotFound`."""
        id = ref.path.rpartition("/")[2]
        charge = self._charges.get(id)
        if charge is None or charge.child is None or charge.child.self_ref != ref:
            raise NotFound(f"expected the ref of a child of {self.ctx.path}, got {ref.path}", id)
        await self._let_go(charge)

    async def which_children(self) -> list[ChildInfo]:
        """All children, the newest first."""
        return [charge.info() for charge in reversed(self._charges.values())]

    async def count_children(self) -> Counts:
        """How many children there are, run, and of which kind; one that is restarting counts as a child."""
        return count(list(self._charges.values()))

    async def child_ended(self, child: Child, exit: Exit) -> None:
        """A child has ended by itself: restart it, or forget it."""
        charge = self._charges.get(child.path.rpartition("/")[2])
        if charge is None or charge.child is not child:
            return
        if judge(charge.spec.restart, exit) is Verdict.RESTART:
            await self._restart(charge, exit)
        else:
            await self._let_go(charge)

    async def retry(self, id: str, child: Child | None) -> None:
        """The delay of a restart is over."""
        charge = self._charges.get(id)
        if charge is not None and charge.child is child and charge.standing == "restarting":
            await self._bring_back(charge)

    async def _restart(self, charge: Charge, exit: Exit) -> None:
        """Restart a child, at once or after its back-off, unless that is one restart too many."""
        now = self.ctx.now()
        if self._restarts.would_exceed(now):
            self.ctx.shut_down(charge.last_words(self._restarts, now, exit), gave_up=True)
            return
        self._restarts.record(now)
        charge.standing = "restarting"
        delay = charge.delay(now, self._rng)
        if delay:
            self.ctx.after(delay, DynamicSupervisor.retry, charge.spec.id, charge.child)
        else:
            await self._bring_back(charge)

    async def _bring_back(self, charge: Charge) -> None:
        child = charge.child
        if child is None or self.ctx.ending:
            return
        try:
            await child.restart()
        except StartFailed as error:
            self.ctx.after(0.0, DynamicSupervisor.try_again, charge.spec.id, child, error.__cause__ or error)
        except Ignore:
            await self._let_go(charge)
        else:
            charge.standing = "running"

    async def try_again(self, id: str, child: Child, error: BaseException) -> None:
        """A restart failed; this next attempt counts as a restart too."""
        charge = self._charges.get(id)
        if charge is not None and charge.child is child and charge.standing == "restarting":
            await self._restart(charge, Crashed(error))

    async def _let_go(self, charge: Charge) -> None:
        self._charges.pop(charge.spec.id, None)
        child, charge.child, charge.standing = charge.child, None, "down"
        if child is not None:
            await child.end(f"its supervisor {self.ctx.path} lets it go")
