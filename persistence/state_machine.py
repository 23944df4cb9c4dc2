"""`StateMachine`: what users subclass for work of many steps, which is resumed at exactly the step that failed."""

import contextlib
import enum
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar, Generic, TypeVar, cast, get_args, get_origin

import msgspec

from upright.actors.context import Context
from upright.actors.errors import WrongArguments
from upright.actors.policies import Policy
from upright.actors.refs import Ref

from .branches import item_form
from .codec import Undecodable
from .definition import Definition, DefinitionError
from .door import hand_now
from .errors import RunNotFound
from .forms import Form, Misfit, Unresolved
from .hand import Hand
from .machine_drawing import mermaid, svg
from .reports import RecordFilter
from .run import Machines, Place, Run, RunInfo, machines_in
from .run_record import ENDED, RunRecord, Status
from .steps import Transition, transition_of
from .store import Store

D = TypeVar("D")
A = TypeVar("A")


class StepContext:
    """What a step sees of its surroundings, as `self.ctx`.

    `run`: the id of the run. `step`: the method's name. `attempt`: from 1. `idempotency_key`: the same at each attempt
    of this step in this run, and at no other; hand it to third parties.
    """

    __slots__ = ("_context", "_hand", "attempt", "idempotency_key", "run", "step")

    def __init__(self, context: Context, run: str, step: str, hand: Hand, idempotency_key: str) -> None:
        self._context, self._hand = context, hand
        self.run, self.step, self.attempt, self.idempotency_key = run, step, hand.record.attempt, idempotency_key

    @property
    def progress(self) -> Any:
        """What the attempt before told with `heartbeat`; None if it told nothing."""
        return self._hand.delivery.progress

    def ref(self, path: str, actor: type[A]) -> Ref[A]:
        """See `Context.ref`. What is told to a durable actor is stored with the end of the step, or never."""
        return self._context.ref(path, actor)

    def find(self, wanted: Callable[[type[Any]], object]) -> list[tuple[str, type[Any]]]:
        """See `Context.find`: so that a step can start runs of other machines, or send them signals."""
        return self._context.find(wanted)

    def guard(self, *policies: Policy) -> Any:
        """See `Context.guard`. A step that is refused is put off, and no attempt is used."""
        return self._context.guard(*policies)

    @property
    def guards(self) -> Any:
        """See `Context.guards`."""
        return self._context.guards

    async def heartbeat(self, progress: object = None) -> None:
        """See `Context.heartbeat`."""
        await self._context.heartbeat(progress)


class StateMachine(Generic[D]):
    """Work of several steps on data `D`, each step small and idempotent.

    A subclass has a `State` enum, an `initial` state, and methods that are marked with `step`, `signal`, `after`,
    `parallel`, `each` or `call`: what is done in a state, and where it leads. A state that none leaves is final. Data,
    position, what a step told to durable actors, and the acknowledgement commit together; a step that raises is
    retried from exactly there, over restarts of the program too. `machine("orders", ProcessOrder)` runs them.

    `version`: of the definition, to be raised with it; see `upgrade`. `cancelled`: the state of a run that was
    cancelled. `uses`: policies that every step must pass. A definition that cannot work is refused when the class is
    made, with a `DefinitionError`.
    """

    State: ClassVar[type[enum.Enum]]
    initial: ClassVar[Any]
    version: ClassVar[int] = 1
    cancelled: ClassVar[Any] = None
    uses: ClassVar[tuple[Policy, ...]] = ()
    definition: ClassVar[Definition]
    form: ClassVar[Form]
    ctx: StepContext

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        title = cls.__name__
        if not isinstance(getattr(cls, "State", None), type) or "initial" not in dir(cls):
            return  # one that others are derived from
        if not issubclass(cls.State, enum.Enum):
            raise DefinitionError(f"expected {title}.State to be an enum, got {cls.State!r}")
        version: object = cls.version
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise DefinitionError(f"expected {title}.version to be 1 or more, got {version!r}")
        cls.definition = Definition(title, cls.State, cls.initial, transitions_of(cls), cls.cancelled)
        check_items(cls.definition)
        kind = data_of(cls)
        if kind is None:
            raise DefinitionError(f"expected the type of the data of {title}, as in class {title}(StateMachine[Order])")
        cls.form = Form(title, "data", kind, "give it fields of types that msgspec supports")

    @staticmethod
    def upgrade(data: dict[str, Any], from_version: int) -> Any:
        """The data of this version, made of the fields of an older one's, as plain values. Override it where they
        differ; here they are taken as they are.
        """
        return data

    @classmethod
    def read_data(cls, body: bytes, version: int, locate: Any) -> Any:
        """The data of a run, of this version or an older one. Raises `Undecodable`."""
        if version > cls.version:
            raise Undecodable(
                f"the data of {cls.__name__} were stored by version {version}, and this is version {cls.version}"
            )
        try:
            if version != cls.version:
                body = msgspec.msgpack.encode(cls.upgrade(msgspec.msgpack.decode(body), version))
            return cls.form.decode(body, locate)
        except Misfit as error:
            why = f"the data of {cls.__name__}, stored by version {version}, does not fit: {error}"
            raise Undecodable(why) from error
        except Exception as error:
            why = f"{cls.__name__}.upgrade from version {version} failed: {type(error).__name__}"
            raise Undecodable(why) from error

    @classmethod
    async def start(cls, place: Place, data: D, *, id: str, name: str | None = None) -> Run[D]:
        """Start a run with that `id`, and return when it is stored; if there is one of that id already, this is it.

        `place`: a system, or `self.ctx` of an actor; inside a delivery the run starts with its end, or never. `name`:
        of one of several machines of this class. Raises `LookupError` if there is none, `WrongArguments` for data that
        are not of their type.
        """
        given: object = id
        if not isinstance(given, str) or not given:
            raise ValueError(f"expected id to be a string that is not empty, got {id!r}")
        machines = Machines(place, cls, name)
        try:
            body = cls.form.encode(data)
        except Misfit as error:
            raise WrongArguments(f"{cls.__name__}: {error}") from error
        # With the end of a delivery nobody could say that it is a duplicate of a run that is forgotten by now. There it
        # has no key: it changes nothing where there is such a run.
        once = id if hand_now(machines.store) is None else ""
        receipt = await machines.tell("begin", id, body, cls.version, None, once=once)
        if receipt is not None and receipt.duplicate and await machines.was_forgotten(id, receipt.id):
            await machines.tell("begin", id, body, cls.version, None)
        return Run(machines, id)

    @classmethod
    def run(cls, place: Place | Store, id: str, *, name: str | None = None) -> Run[Any]:
        """The run of that id, whether there is one or not.

        `place`: a system, `self.ctx`, or a store, open or not, for a run that is only looked at: `Sqlite("jobs.db")`.
        `name`: of one of several machines of this class; for a store, its address or the last part of that.
        """
        return Run(machines_in(place, cls, name), id)

    @classmethod
    async def runs(
        cls, place: Place | Store, *, status: Status | None = None, state: Any = None, limit: int = 1_000_000,
        name: str | None = None,
    ) -> AsyncIterator[RunInfo]:  # fmt: skip
        """The runs in the order of their ids: those of that status, in that state; `limit` of them at most. `place` and
        `name`: see `run`. Raises `LookupError` if a store has those of several machines that this may be, or of none.
        """
        machines = machines_in(place, cls, name)
        if state is not None and not isinstance(state, cls.State):
            raise ValueError(f"expected state to be one of {cls.State.__qualname__}, got {state!r}")
        position = str(state.value) if state is not None else None
        async for one in machines.runs(RecordFilter(machines.kind, status, position, limit=limit)):
            yield RunInfo(one.name, cast(Status, one.status), one.position, one.made, one.changed)

    @classmethod
    async def redrive(cls, place: Place, *, state: Any = None, step: Any = None, name: str | None = None) -> int:
        """Redrive all runs that have failed, in that state if one is given, from that `step` if one is given; how many
        there were.
        """
        done = 0
        async for one in cls.runs(place, status="failed", state=state, name=name):
            with contextlib.suppress(RunNotFound):  # somebody was faster
                await cls.run(place, one.id, name=name).redrive(step)
                done += 1
        return done

    @classmethod
    async def forget(cls, place: Place, *, older_than: float, name: str | None = None) -> int:
        """Drop the records of runs that have been over for so many seconds; how many there were."""
        machines, dropped = Machines(place, cls, name), 0
        before = machines.store.now() - older_than
        for status in sorted(ENDED):
            only = RecordFilter(machines.kind, status, before=before, limit=1_000_000)
            names = [one.name async for one in machines.runs(only)]
            dropped += await machines.store.desk.forget(machines.kind, names)
        return dropped

    @classmethod
    def mermaid(cls, record: RunRecord | None = None) -> str:
        """The definition as a Mermaid diagram; with a record, how that run went through it."""
        return mermaid(cls.definition, record)

    @classmethod
    def svg(cls, record: RunRecord | None = None) -> str:
        """The definition as an SVG picture; with a record, how that run went through it."""
        return svg(cls.definition, record)


def transitions_of(cls: type[Any]) -> list[Transition]:
    """The marked methods of a class, in the order of their definition; an override has to be marked again."""
    found: dict[str, Transition | None] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if name in found or transition_of(member) is not None:
                found[name] = transition_of(member)
    return [one for one in found.values() if one is not None]


def check_items(definition: Definition) -> None:
    """Raise `DefinitionError` where the items of an `each` are of a type that cannot be stored."""
    for one in definition.transitions.values():
        if one.over is not None:
            try:
                item_form(one.branches[0])
            except (NameError, Unresolved, ValueError):
                pass  # defined later, it may be; or what has no signature
            except TypeError as error:
                raise DefinitionError(str(error)) from error


def data_of(cls: type[Any]) -> Any:
    """The type of the data that a class declares; None for none."""
    for base in cls.__mro__:
        for generic in getattr(base, "__orig_bases__", ()):
            args, origin = get_args(generic), get_origin(generic)
            if not isinstance(origin, type) or not issubclass(origin, StateMachine):
                continue  # of another kind of base
            if len(args) == 1 and not isinstance(args[0], TypeVar):
                return args[0]
    return None
