"""How branches that run beside each other begin, and what follows when they are done: the rest of `run_steps`.

Each branch is a message with a key of its own, so that it has attempts of its own and waits for no other. It changes
nothing of the run; what it returns comes back as a message to the run, which is handled in the run's own order.
"""

from collections.abc import Callable, Iterable
from typing import Any

from upright.actors.message import said

from .branches import item_of, named, result_form, stored_items
from .forms import Misfit
from .judge import storable
from .records import Outgoing
from .run_plan import DEFINITION, REJECTED, BranchPlan, DefinitionChanged, RunPlan, is_last_life, not_yet
from .run_record import Joining, Parent
from .run_steps import check_attempt
from .run_waits import RunWaits
from .state_machine import StateMachine
from .steps import Reject, Transition, consulted


class RunJoins(RunWaits):
    """Makes all moves of one runner's runs, those that join others too."""

    async def _begin_joining(self, plan: RunPlan, transition: Transition) -> None:
        """Have the branches begin, as many at once as may."""
        record = plan.record
        plan.step = transition.name
        plan.data()
        plan.retry = transition.retry
        names, items = list(named(transition.branches)), None
        try:
            if transition.kind == "call":
                self._begin_child(plan, transition)
                return
            if transition.over is not None:
                names, items = [], self._items(plan, transition, transition.over)
        except Reject as error:
            self._rejected(plan, transition, error)
            return
        size = len(names if items is None else items)
        record.joining = Joining(transition.name, size, names=names, items=items)
        if size:
            self._begin_branches(plan, transition)
        else:
            record.joining = None
            await self._perform(plan, transition, [])

    def _items(self, plan: RunPlan, transition: Transition, over: Callable[[Any], Iterable[Any]]) -> list[bytes]:
        """The items for which a branch is to run, as they are from now on. A set may have another order tomorrow."""
        items = consulted(lambda data: list(over(data)), plan.data())
        try:
            return stored_items(transition.branches[0], items)
        except (TypeError, NameError):
            plan.retry = DEFINITION
            raise

    def _begin_branches(self, plan: RunPlan, transition: Transition) -> None:
        record = plan.record
        joining = record.joining
        assert joining is not None
        under_way = joining.begun - len(joining.results) - len(joining.failed) - joining.refused
        first = joining.begun
        joining.begun = min(joining.size, first + max(0, transition.at_once - under_way))
        plan.hand.stage(
            self._runner.message(
                "branch", f"{plan.id}#{transition.name}#{index}", plan.id, record.entry, transition.name, index
            )
            for index in range(first, joining.begun)
        )

    def _begin_child(self, plan: RunPlan, transition: Transition) -> None:
        child: type[StateMachine[Any]] = transition.machine

        def runs_it(kind: type[Any]) -> bool:
            return getattr(kind, "machine", None) is child

        found = self._runner.ctx.find(runs_it)
        if len(found) != 1:
            raise LookupError(f"expected one machine of {child.__name__} in this system, found {len(found)}")
        assert transition.given is not None
        record, kind, address = plan.record, self._runner.kind, found[0][1].mailbox.address
        parent = Parent(kind, plan.id, record.entry, transition.name)
        data = child.form.encode(consulted(transition.given, plan.data()))
        id = f"{kind}/{plan.id}/{transition.name}/{record.entry}"  # another one each time that the state is entered
        record.joining = Joining(transition.name, 1, begun=1, child=(address, id))
        begin = self._runner.message("begin", id, id, data, child.version, parent, address=address)
        plan.hand.stage((begin,))

    async def branch(self, plan: RunPlan, entry: int, name: str, index: int) -> None:
        """Run one branch, if it is still waited for."""
        joining = plan.record.joining
        if joining is None or plan.record.entry != entry or index in joining.results:
            return

        def news(result: bytes, rejected: str, failed: str) -> Outgoing:
            letter = plan.hand.record.id if failed else 0
            return self._runner.message(
                "joined", plan.id, plan.id, entry, name, index, result, rejected, failed, letter
            )

        transition = self._definition.transitions.get(name)
        retry = transition.retry if transition is not None else DEFINITION
        plan.hand.plan = ours = BranchPlan(retry, plan.hand, news)
        if is_last_life(plan.hand):  # if it dies of this too, nobody else will tell the run
            await plan.hand.front.store.put([news(b"", "", "its process died with it in hand")])
        try:
            plan.check_version(ours)
            if transition is None:
                raise DefinitionChanged(f"{self._definition.title} has no step {name!r} any more")
            function, result = await self._call_branch(plan, ours, transition, joining, index)
            ours.result = result_form(function).encode(result)
        except Reject as error:
            if plan.hand._is_cut_off(error):
                raise
            plan.undo_changes()
            ours.rejected = storable(said(error)) or "rejected"
        except DefinitionChanged:
            ours.retry = DEFINITION
            raise

    async def _call_branch(
        self, plan: RunPlan, ours: BranchPlan, transition: Transition, joining: Joining, index: int
    ) -> tuple[Callable[..., Any], Any]:
        visit, args = plan.record.visits.get(transition.name, 0), tuple[Any, ...]()
        self._check_kind(transition, joining)
        if joining.items is not None:
            function, args = transition.branches[0], (self._item(plan, transition, joining.items[index]),)
        else:
            name, known = joining.names[index], named(transition.branches)
            if name not in known:
                raise DefinitionChanged(f"{self._definition.title} has no {name!r} any more beside {transition.name!r}")
            function = known[name]
        check_attempt(ours, plan.hand)
        result = await self._call(plan, transition.name, function, transition.limit, f"{visit}-{index}", *args)
        return function, result

    async def joined(
        self, plan: RunPlan, index: int, result: bytes, rejected: str, failed: str, letter: int, version: int
    ) -> None:  # fmt: skip
        """One of what was waited for has ended."""
        plan.check_version()
        record, joining = plan.record, plan.record.joining
        assert joining is not None
        transition = self._definition.transitions.get(joining.step)
        if transition is None:
            plan.retry = DEFINITION
            raise DefinitionChanged(f"{self._definition.title} has no step {joining.step!r} any more")
        if index in joining.results:
            return
        joining.failed.pop(index, None)
        joining.letters.pop(index, None)
        if rejected:
            joining.rejected, joining.refused = joining.rejected or rejected, joining.refused + 1
        elif failed:
            joining.failed[index], joining.letters[index] = failed, letter
        else:
            joining.results[index], joining.version = result, version
        plan.tell("joined", joining.step, error=rejected or failed)
        if joining.begun < joining.size and not joining.rejected and record.cancel is None:
            self._begin_branches(plan, transition)
        if len(joining.results) == joining.size:
            await self._perform(plan, transition, self._results(plan, transition, joining))
        elif self._is_joining(plan):
            plan.change()
            return
        elif record.cancel is not None:
            pass
        elif joining.rejected:
            if transition.on_reject is None:
                plan.step, plan.retry = transition.name, REJECTED
                raise Reject(joining.rejected)
            record.visits[transition.name] = record.visits.get(transition.name, 0) + 1
            plan.tell("rejected", transition.name, error=joining.rejected)
            self._divert(plan, transition.on_reject)
        else:  # what failed waits in quarantine
            record.status, record.error = "failed", next(iter(joining.failed.values()), "")
            plan.change()
            return
        await (self._follow(plan) if record.cancel is None else self.advance(plan))

    def _results(self, plan: RunPlan, transition: Transition, joining: Joining) -> Any:
        """What the method gets, in the order that the definition has now."""
        locate = self._runner.locate
        plan.step, plan.retry = transition.name, DEFINITION
        self._check_kind(transition, joining)
        if transition.kind == "call":
            return self._child_data(plan, transition.machine, joining)
        if transition.over is not None:
            form = result_form(transition.branches[0])
            return [form.decode(joining.results[index], locate) for index in range(joining.size)]
        known = named(transition.branches)
        if known.keys() != set(joining.names):
            now, then = ", ".join(known), ", ".join(joining.names)
            raise DefinitionChanged(
                f"{self._definition.title} has the branches {now} in {transition.name!r}, and this run began {then}"
            )
        bodies = {name: joining.results[index] for index, name in enumerate(joining.names)}
        return [result_form(branch).decode(bodies[name], locate) for name, branch in known.items()]

    def _child_data(self, plan: RunPlan, child: type[StateMachine[Any]], joining: Joining) -> Any:
        """What the other run has made, which may have ended under another version."""
        if joining.version > child.version:
            ours, theirs = child.version, joining.version
            why = f"a run of version {theirs} of {child.__name__} is waited for, and this is version {ours}"
            raise not_yet(plan, plan.hand, why)
        return child.read_data(joining.results[0], joining.version or child.version, self._runner.locate)

    def _item(self, plan: RunPlan, transition: Transition, body: bytes) -> Any:
        def over() -> Any:
            assert transition.over is not None
            return transition.over(plan.data())

        try:
            return item_of(transition.branches[0], body, over, self._runner.locate)
        except Misfit as error:
            raise DefinitionChanged(f"an item of {transition.name!r} does not fit any more: {error}") from error

    def _check_kind(self, transition: Transition, joining: Joining) -> None:
        """Raise `DefinitionChanged` if the step joins something else now than what began."""
        began = "call" if joining.child is not None else "parallel" if joining.items is None else "each"
        if transition.kind != began:
            raise DefinitionChanged(
                f"{self._definition.title} has {transition.name!r} as {transition.kind} now, and this run began {began}"
            )
