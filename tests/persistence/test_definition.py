"""The laws of definitions: what cannot work is refused when the class is made, each fault with an error of its own."""

import enum
import re
import types
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from upright.persistence import Retry, StateMachine, machine
from upright.persistence.definition import (
    AmbiguousSteps,
    Definition,
    DefinitionError,
    NoWayOut,
    UnknownState,
    UnreachableState,
)
from upright.persistence.steps import after, call, each, parallel, signal, step, transition_of

T = TypeVar("T")


class Data(msgspec.Struct):
    n: int = 0


class S(enum.StrEnum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"


class Two(enum.StrEnum):
    A = "a"
    B = "b"


class Stranger(enum.StrEnum):
    A = "a"


async def work(self: Any, data: Data) -> None: ...


async def joins(self: Any, data: Data, results: list[Any]) -> None: ...


def named(name: str, mark: Callable[[Any], Any]) -> Any:
    """A method of that name with that mark."""

    async def method(self: Any, data: Data) -> None: ...

    method.__name__ = name
    return mark(method)


def define(states: Any = Two, initial: Any = None, cancelled: Any = None, **marks: Any) -> Definition:
    """The definition of a class with methods of these names and marks."""
    methods = [transition_of(named(name, mark)) for name, mark in marks.items()]
    return Definition(
        "M", states, next(iter(states)) if initial is None else initial, [one for one in methods if one], cancelled
    )


class TestStates:
    @pytest.mark.parametrize(
        ("where", "made"),
        [
            ("initial", lambda: define(initial=Stranger.A)),
            ("initial", lambda: define(initial="a")),
            ("cancelled", lambda: define(cancelled=Stranger.A, go=step(Two.A, to=Two.B))),
            ("go", lambda: define(go=step(Stranger.A, to=Two.B))),
            ("go", lambda: define(go=step(Two.A, to=Stranger.A))),
            ("go", lambda: define(go=step(Two.A, to=Two.B, on_reject=Stranger.A))),
            ("go", lambda: define(go=step(Two.A, to=Two.B, on_failure=Stranger.A))),
            ("go", lambda: define(go=signal(Stranger.A, to=Two.B))),
            ("go", lambda: define(go=after(1.0, Two.A, to=Stranger.A))),
            ("go", lambda: define(go=parallel(Two.A, work, to=Two.B, on_reject=Stranger.A))),
        ],
    )
    def test_a_state_of_another_enum_is_unknown_wherever_it_stands(
        self, where: str, made: Callable[[], Definition]
    ) -> None:
        with pytest.raises(UnknownState, match=f"expected {where} of M to name one of A, B, got "):
            made()

    def test_a_state_to_which_nothing_leads_is_refused(self) -> None:
        with pytest.raises(UnreachableState, match="expected a transition to C and D of M: none leads there"):
            define(S, go=step(S.A, to=S.B))

    def test_a_state_that_only_an_unreachable_one_leads_to_is_unreachable_too(self) -> None:
        with pytest.raises(UnreachableState, match="to C and D of M"):
            define(S, go=step(S.A, to=S.B), on=step(S.C, to=S.D))

    @pytest.mark.parametrize("way", ["on_reject", "on_failure"])
    def test_a_way_for_what_went_wrong_leads_there(self, way: str) -> None:
        define(S, go=step(S.A, to=S.B, **{way: S.C}), on=after(1.0, S.B, to=S.D))  # type: ignore[arg-type]

    def test_the_state_of_the_cancelled_needs_no_transition(self) -> None:
        definition = define(S, cancelled=S.D, go=step(S.A, to=S.B), on=step(S.B, to=S.C))
        assert definition.final == {S.C, S.D}

    def test_states_without_a_way_to_a_final_one_are_refused(self) -> None:
        with pytest.raises(NoWayOut, match="expected a way from B and C of M to a final state"):
            define(
                S, go=step(S.A, to=S.B, on_reject=S.D), on=step(S.B, to=S.C), back=after(1.0, S.C, to=S.B)
            )  # fmt: skip

    def test_a_machine_that_only_goes_round_is_refused(self) -> None:
        with pytest.raises(NoWayOut, match="A and B"):
            define(Two, go=step(Two.A, to=Two.B), back=step(Two.B, to=Two.A))

    def test_circles_with_a_way_out_are_allowed(self) -> None:
        define(S, go=step(S.A, to=S.B), back=step(S.B, to=S.A, when=bool), on=step(S.B, to=S.C), off=step(S.C, to=S.D))

    def test_a_machine_of_one_state_and_no_step_is_over_at_once(self) -> None:
        assert define(Stranger).final == {Stranger.A}

    def test_two_states_of_the_same_spelling_are_refused(self) -> None:
        class Spelled(enum.Enum):
            ONE = 1
            WORD = "1"

        with pytest.raises(DefinitionError, match="expected the values of ONE and WORD of M to be spelled differently"):
            define(Spelled, go=step(Spelled.ONE, to=Spelled.WORD))

    def test_states_may_have_numbers_and_other_names(self) -> None:
        class Numbers(enum.IntEnum):
            A = 1
            B = 2
            ALSO_B = 2

        definition = define(Numbers, go=step(Numbers.A, to=Numbers.ALSO_B))
        assert definition.state("2") is Numbers.B
        assert definition.state("B") is None
        assert definition.final == {Numbers.B}


class TestSteps:
    def test_two_steps_without_a_guard_out_of_one_state_are_refused(self) -> None:
        with pytest.raises(
            AmbiguousSteps, match="expected one step without a guard out of A of M, got go and on: give all but one"
        ):
            define(Two, go=step(Two.A, to=Two.B), on=step(Two.A, to=Two.B))

    @pytest.mark.parametrize(
        "other",
        [
            parallel(Two.A, work, to=Two.B),
            each(Two.A, joins, over=list, to=Two.B),
            call(Two.A, 1, given=list, to=Two.B),
        ],
    )
    def test_what_joins_is_such_a_step_too(self, other: Any) -> None:
        with pytest.raises(AmbiguousSteps):
            define(Two, go=step(Two.A, to=Two.B), on=other)

    def test_many_with_guards_and_one_without_are_allowed_and_that_one_stands_last(self) -> None:
        definition = define(
            Two, go=step(Two.A, to=Two.B), on=step(Two.A, to=Two.B, when=bool), off=step(Two.A, to=Two.B, when=bool)
        )
        assert [one.name for one in definition.out[Two.A]] == ["on", "off", "go"]

    @pytest.mark.parametrize("waits", [signal(Two.A, to=Two.B), after(1.0, Two.A, to=Two.B)])
    def test_a_step_that_is_begun_at_once_leaves_nothing_to_wait_for(self, waits: Any) -> None:
        with pytest.raises(AmbiguousSteps, match="expected M to wait in A for on, but go is begun there at once"):
            define(Two, go=step(Two.A, to=Two.B), on=waits)
        define(Two, go=step(Two.A, to=Two.B, when=bool), on=waits)
        define(Two, go=parallel(Two.A, work, to=Two.B), on=waits)


class TestMarks:
    def test_one_method_has_one_mark(self) -> None:
        with pytest.raises(TypeError, match="expected one transition for m, got two: give each a method of its own"):
            named("m", lambda method: step(Two.A, to=Two.B)(signal(Two.A, to=Two.B)(method)))

    @pytest.mark.parametrize(
        "mark",
        [step(Two.A, to=Two.B), signal(Two.A, to=Two.B), after(1.0, Two.A, to=Two.B), parallel(Two.A, work, to=Two.B)],
    )
    def test_a_method_that_is_not_async_is_refused(self, mark: Any) -> None:
        def plain(self: Any, data: Data) -> None: ...

        with pytest.raises(TypeError, match="expected plain to be an async method"):
            mark(plain)

    @pytest.mark.parametrize(
        ("mark", "said"),
        [
            (lambda: step(Two.A, to=Two.B, when=1), "expected when to be a function, got 1"),  # type: ignore[arg-type]
            (lambda: step(Two.A, to=Two.B, undo="x"), "expected undo to be a function, got 'x'"),  # type: ignore[arg-type]
            (lambda: step(Two.A, to=Two.B, retry=3), "expected retry to be a Retry, got 3"),  # type: ignore[arg-type]
            (lambda: step(Two.A, to=Two.B, timeout=0), "expected timeout to be more than 0 seconds, got 0"),
            (lambda: after(0, Two.A, to=Two.B), "expected delay to be more than 0 seconds, got 0"),
            (lambda: after(-1, Two.A, to=Two.B), "expected delay to be more than 0 seconds, got -1"),
            (lambda: each(Two.A, joins, over=[1], to=Two.B), "expected over to be a function"),  # type: ignore[arg-type]
            (lambda: each(Two.A, joins, over=list, to=Two.B, at_once=0), "expected at_once to be 1 or more, got 0"),
            (lambda: parallel(Two.A, to=Two.B), "expected parallel to get the methods that run beside each other"),
            (lambda: parallel(Two.A, print, to=Two.B), "expected print to be an async method"),  # type: ignore[arg-type]
            (lambda: each(Two.A, print, over=list, to=Two.B), "expected print to be an async method"),  # type: ignore[arg-type]
            (lambda: step(Two.A, to=Two.B, undo=print), "expected print to be an async method"),  # type: ignore[arg-type]
        ],
    )
    def test_an_option_that_cannot_be_is_refused_where_it_is_written(self, mark: Callable[[], Any], said: str) -> None:
        with pytest.raises((TypeError, ValueError), match=re.escape(said)):
            mark()

    def test_a_signal_with_arguments_that_cannot_be_told_apart_when_stored_is_refused(self) -> None:
        async def paid(self: Any, data: Data, *cents: int) -> None: ...

        async def told(self: Any, data: Data, *, cents: int) -> None: ...

        for method in (paid, told):
            with pytest.raises(TypeError, match="expected plain parameters of"):
                signal(Two.A, to=Two.B)(method)

    @pytest.mark.parametrize("retry", [Retry(max_attempts=1), Retry()])
    def test_the_mark_is_kept_on_the_method(self, retry: Retry) -> None:
        found = transition_of(named("m", step(Two.A, to=Two.B, retry=retry)))
        assert found is not None
        assert (found.name, found.kind, found.source, found.to, found.retry) == ("m", "step", Two.A, Two.B, retry)
        assert transition_of(work) is None


def classed(**members: Any) -> Any:
    """A machine with these members."""
    namespace = {
        "State": Two,
        "initial": Two.A,
        "go": named("go", step(Two.A, to=Two.B)),
        "__orig_bases__": (StateMachine[Data],),
        **members,
    }
    return made_of(namespace)


def made_of(namespace: dict[str, Any]) -> Any:
    return types.new_class("M", (StateMachine,), {}, lambda empty: empty.update(namespace))


class TestClasses:
    def test_it_is_checked_when_the_class_is_made(self) -> None:
        with pytest.raises(AmbiguousSteps):
            classed(on=named("on", step(Two.A, to=Two.B)))

    @pytest.mark.parametrize("version", [0, -1, "1", 1.5, True])
    def test_a_version_is_a_whole_number_from_1_on(self, version: Any) -> None:
        with pytest.raises(DefinitionError, match=f"expected M.version to be 1 or more, got {version!r}"):
            classed(version=version)

    def test_states_are_an_enum(self) -> None:
        with pytest.raises(DefinitionError, match=r"expected M\.State to be an enum"):
            classed(State=str)

    def test_the_type_of_the_data_is_named(self) -> None:
        with pytest.raises(DefinitionError, match=r"expected the type of the data of M, as in class M\(StateMachine\["):
            classed(__orig_bases__=(StateMachine,))

    def test_data_that_cannot_be_stored_are_refused(self) -> None:
        class Odd:
            pass

        with pytest.raises(TypeError, match="expected the data of M to have a type that can be stored, got "):
            classed(__orig_bases__=(StateMachine[Odd],))

    def test_the_data_are_those_of_the_machine_and_of_no_other_generic_base(self) -> None:
        class Tool(Generic[T]):
            pass

        class Mixed(Tool[int], StateMachine[Data]):
            State = Two
            initial = Two.A

            @step(Two.A, to=Two.B)
            async def go(self, data: Data) -> None: ...

        assert Mixed.form.decode(Mixed.form.encode(Data(3))) == Data(3)

    def test_a_base_with_its_data_open_may_be_filled_in_below(self) -> None:
        class Base(StateMachine[T], Generic[T]):
            State = Two

            @step(Two.A, to=Two.B)
            async def go(self, data: T) -> None: ...

        class Filled(Base[Data]):
            initial = Two.A

        assert Filled.definition.final == {Two.B}
        assert Filled.form.decode(Filled.form.encode(Data(3))) == Data(3)

    def test_a_class_without_states_is_one_to_derive_from_and_no_machine(self) -> None:
        class Base(StateMachine[Data]):
            pass

        for kind in (Base, StateMachine, int):
            with pytest.raises(TypeError, match="expected a subclass of StateMachine with states and steps, got"):
                machine("m", kind)  # type: ignore[arg-type]

    def test_an_override_has_to_be_marked_again(self) -> None:
        base: Any = classed(on=named("on", step(Two.A, to=Two.B, when=bool)))

        class Plain(base):  # type: ignore[misc]
            async def on(self, data: Data) -> None: ...

        class Marked(base):  # type: ignore[misc]
            @step(Two.A, to=Two.B, when=bool, timeout=3.0)
            async def on(self, data: Data) -> None: ...

        assert list(Plain.definition.transitions) == ["go"]
        assert Marked.definition.transitions["on"].timeout == 3.0
        assert base.definition.transitions["on"].timeout != 3.0

    @pytest.mark.parametrize("at_once", [0, -1, True, 2.5])
    def test_how_many_run_at_once_is_a_whole_number_from_1_on(self, at_once: Any) -> None:
        with pytest.raises((ValueError, TypeError), match="expected at_once"):
            machine("m", classed(), at_once=at_once)
