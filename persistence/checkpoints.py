"""Steps inside a handler: each is done once for a message, and its result is kept by its name until the message ends.

So a handler of several effects can be written as straight code. A step is a record of its own in the store, written
under the claim of its message and deleted with the message's end. It stands apart from `Hand` because most handlers
take no steps, and pay nothing for those that do.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, cast, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from upright.actors.durable import text
from upright.actors.errors import Detached
from upright.actors.handlers import describe

from .codec import Undecodable, Unencodable
from .forms import Form, Locate, Misfit, Unresolved, refusal
from .records import Delivery, RecordWrite, StateRecord, Step, Verdict, steps_of
from .staging import STAGE, Stage

WAYS = "annotate it with a type that msgspec supports"


class House(Protocol):
    """What steps need of the store."""

    forms: "StepForms"

    @property
    def locate(self) -> Locate: ...
    def settle(self, step: Step, settled: Callable[[Verdict], None]) -> None: ...
    async def read(self, address: str, kind: str = "") -> StateRecord | None: ...


class StepForms:
    """How the results of functions are encoded, by their annotations; each is worked out once."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, Form] = WeakKeyDictionary()

    def of(self, function: Callable[..., Any]) -> Form:
        """The form of what that returns. Raises `TypeError`, which names the function and the type."""
        plain = plain_function(function)
        form = self._known.get(plain)
        if form is None:
            form = self._known[plain] = _form_of(plain)
        return form


class Checkpoints:
    """The steps of one delivery in hand, by name."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: set[str] = set()

    async def take(
        self, store: House, record: Delivery, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:  # fmt: skip
        """The result of the step, which is run if it was not done before for that message. When this returns, the
        result is on disk. Raises what the function raises, and `Detached` if the message is somebody else's by now.
        """
        name, form = text("step", name), store.forms.of(function)
        if name in self._taken:
            raise ValueError(f"expected each step of a message to have a name of its own, got {name!r} a second time")
        self._taken.add(name)
        try:
            done = await store.read(name, steps_of(record.id))
            if done is not None:
                return _read(form, done.body, record, name, store.locate)
            return await self._do(store, record, name, form, functools.partial(function, *args, **kwargs))
        except BaseException:  # nothing is kept, so that the handler may try it again
            self._taken.discard(name)
            raise

    async def _do(
        self, store: House, record: Delivery, name: str, form: Form, function: Callable[[], Awaitable[Any]]
    ) -> Any:
        stage = Stage(record.token, name)
        outer = STAGE.set(stage)
        try:
            result = await function()
        finally:
            stage.close()
            STAGE.reset(outer)
        try:
            body = form.encode(result)
        except Misfit as error:
            raise Unencodable(f"step {name!r}: {error}") from error
        known: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        write = RecordWrite(steps_of(record.id), name, 0, body)
        step = Step(record, "save", records=(write,), outgoing=tuple(stage.messages))
        store.settle(step, functools.partial(_settled, stage, known))
        verdict = await known
        if verdict != "ok":
            raise Detached(f"the claim of message {record.id} has ended: step {name!r} is not kept")
        return result


def _settled(stage: Stage, known: "asyncio.Future[Verdict]", verdict: Verdict) -> None:
    """Also where nobody waits any more, since the handler has run out of time: it is done, if it is kept."""
    if verdict == "ok":
        stage.send()
    if not known.done():
        known.set_result(verdict)


def _read(form: Form, body: bytes, record: Delivery, name: str, locate: Locate) -> Any:
    try:
        return form.decode(body, locate)
    except Misfit as error:
        raise Undecodable(
            f"the result of step {name!r} of message {record.id} does not fit any more: {error}"
        ) from error


def forgotten(id: int) -> RecordWrite:
    """What deletes the steps of a message that has ended."""
    return RecordWrite(steps_of(id), "", 0, None, lasts=False)


def plain_function(function: Callable[..., Any]) -> Any:
    """The function that was written, of one that is bound, partial, or an object that can be called."""
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    if not inspect.isroutine(plain) and not isinstance(plain, type):
        kind: Any = type(cast("object", plain))
        plain = kind.__call__ if callable(plain) else plain
    return getattr(plain, "__func__", plain)


def _form_of(plain: Any) -> Form:
    title = getattr(plain, "__qualname__", describe(plain))
    hints: dict[str, Any] = getattr(plain, "__annotations__", {})
    if "return" not in hints:
        got = "no annotation (without a result it is `-> None`)"
        raise TypeError(refusal(title, "the result", got, WAYS))
    try:
        hint = _result_of(plain, hints["return"])
        return Form(title, "result", hint, WAYS)
    except Unresolved as error:
        raise TypeError(str(error)) from error
    except NameError as error:
        raise TypeError(refusal(title, "the result", f"a name that is not defined: {error}", WAYS)) from error


def _result_of(plain: Any, hint: Any) -> Any:
    """What one gets who awaits it."""

    def bare() -> None: ...

    bare.__annotations__ = {"return": hint}
    outer: Any = inspect.unwrap(plain)
    hint = get_type_hints(bare, getattr(outer, "__globals__", {}), include_extras=True)["return"]
    awaited = get_origin(hint) in (Awaitable, Coroutine) and not inspect.iscoroutinefunction(plain)
    return get_args(hint)[-1] if awaited else hint
