"""The laws of moves: what a run does next follows from its definition and its record alone."""

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors import Refuse
from upright.persistence.definition import AmbiguousSteps, Definition, DefinitionError
from upright.persistence.moves import Arrive, Finish, Lost, Move, Perform, Refused, Undo, Wait, next_move
from upright.persistence.run_record import Done, Joining, RunRecord, decoded, encoded
from upright.persistence.steps import Reject, Transition, after, parallel, signal, step, transition_of


class S(enum.StrEnum):
    A = "a"
    B = "b"
    C = "c"
    D = "d"
    END = "end"


async def undo(self: Any, data: Any) -> None: ...


def named(name: str, mark: Any) -> Transition:
    async def method(self: Any, data: Any) -> None: ...

    method.__name__ = name
    found = transition_of(mark(method))
    assert found is not None
    return found


DEFINITION = Definition(
    "M",
    S,
    S.A,
    [
        named("guarded", step(S.A, to=S.B, when=lambda data: data == "guarded", undo=undo)),
        named("plain", step(S.A, to=S.B, undo=undo)),
        named("sent", signal(S.B, to=S.C, when=lambda data: data != "deaf")),
        named("other", signal(S.B, to=S.D)),
        named("soon", after(1.0, S.B, to=S.D)),
        named("late", after(9.0, S.B, to=S.D)),
        named("both", parallel(S.C, undo, to=S.D)),
        named("stop", signal(S.C, to=S.D)),
        named("end", step(S.D, to=S.END)),
    ],
)


def move(record: RunRecord, data: Any = None) -> Move:
    return next_move(DEFINITION, record, lambda: data)


def at(state: str, **fields: Any) -> RunRecord:
    return RunRecord(1, state, b"", **fields)


def performed(found: Move) -> str:
    assert isinstance(found, Perform)
    return found.transition.name


class TestTable:
    def test_in_a_final_state_it_finishes(self) -> None:
        assert move(at("end")) == Finish()
        assert move(at("end", inbox=[("sent", b"")], cancel="x")) == Finish()

    def test_the_first_step_whose_guard_is_true_is_performed(self) -> None:
        assert performed(move(at("a"), "guarded")) == "guarded"
        assert performed(move(at("a"), "x")) == "plain"

    def test_the_data_are_read_once_and_only_for_a_guard(self) -> None:
        read: list[int] = []

        def data() -> str:
            read.append(1)
            return "deaf"

        next_move(DEFINITION, at("d"), data)
        assert read == []
        next_move(DEFINITION, at("b", inbox=[("sent", b"")] * 3), data)
        assert read == [1]

    def test_what_a_guard_raises_is_raised(self) -> None:
        def data() -> str:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            next_move(DEFINITION, at("a"), data)

    @pytest.mark.parametrize("error", [Reject("no"), Refuse("no")])
    def test_a_guard_that_refuses_is_a_reject_of_its_step(self, error: Exception) -> None:
        def refuse(_: Any) -> bool:
            raise error

        definition = Definition("M", S, S.A, [named("sent", signal(S.A, to=S.END, when=refuse))] + [
            named(f"to {state}", step(state, to=S.END)) for state in (S.B, S.C, S.D)
        ] + [named(f"from {state}", signal(S.A, to=state)) for state in (S.B, S.C, S.D)])  # fmt: skip
        found = next_move(definition, at("a", inbox=[("other", b""), ("sent", b"")]), lambda: None)
        assert isinstance(found, Refused)
        assert (found.transition.name, found.place, str(found.error)) == ("sent", 1, "no")

    def test_of_the_signals_that_came_early_the_first_that_fits_is_taken(self) -> None:
        inbox = [("unknown", b"0"), ("sent", b"1"), ("other", b"2"), ("sent", b"3")]
        found = move(at("b", inbox=inbox))
        assert isinstance(found, Perform)
        assert (found.transition.name, found.signal, found.place) == ("sent", b"1", 1)
        found = move(at("b", inbox=inbox), "deaf")
        assert isinstance(found, Perform)
        assert (found.transition.name, found.signal, found.place) == ("other", b"2", 2)

    def test_without_anything_to_do_it_waits_for_all_times_of_its_state(self) -> None:
        found = move(at("b", inbox=[("stop", b"")]))
        assert isinstance(found, Wait)
        assert [one.name for one in found.timers] == ["soon", "late"]

    def test_what_joins_is_performed_once_and_then_waited_for(self) -> None:
        assert performed(move(at("c"))) == "both"
        assert move(at("c", joining=Joining("both", 1))) == Wait()

    def test_a_signal_is_taken_beside_branches_unless_the_run_is_to_be_cancelled(self) -> None:
        inbox = [("stop", b"")]
        assert performed(move(at("c", joining=Joining("both", 1), inbox=inbox))) == "stop"
        assert move(at("c", joining=Joining("both", 1), inbox=inbox, cancel="x")) == Wait()

    def test_compensation_takes_back_the_latest_that_is_not_taken_back_and_then_arrives(self) -> None:
        done = [Done("plain", 0), Done("guarded", 0), Done("plain", 1, undone=True)]
        record = at("a", status="compensating", goal="end", done=done)
        for name in ("guarded", "plain"):
            found = move(record)
            assert isinstance(found, Undo)
            assert found.done.step == found.transition.name == name
            found.done.undone = True
        assert move(record) == Arrive()

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            (at("gone"), "it has no state 'gone' any more"),
            (at("c", joining=Joining("gone", 1)), "it has no step 'gone' any more, whose branches are waited for"),
            (at("a", status="compensating", done=[Done("gone", 0)]), "it has no step 'gone' with an undo any more"),
            (at("a", status="compensating", done=[Done("end", 0)]), "it has no step 'end' with an undo any more"),
        ],
    )
    def test_where_the_definition_knows_nothing_of_it_it_is_lost(self, record: RunRecord, why: str) -> None:
        found = move(record)
        assert isinstance(found, Lost)
        assert why in found.why


def yes(data: Any) -> bool:
    return True


def no(data: Any) -> bool:
    return False


NAMES = [f"t{number}" for number in range(8)]
KINDS = st.sampled_from(["step", "signal", "after", "parallel"])


@st.composite
def definitions(draw: st.DrawFn) -> Definition | None:
    """Any definition that may be; None for one that is refused."""
    made: list[Transition] = []
    for name in NAMES[: draw(st.integers(0, 8))]:
        source, to = draw(st.sampled_from(list(S)[:4])), draw(st.sampled_from(S))
        truth = draw(st.sampled_from([None, True, False]))
        options: dict[str, Any] = {"to": to, "undo": draw(st.sampled_from([None, undo]))}
        if truth is not None:
            options["when"] = yes if truth else no
        match draw(KINDS):
            case "step":
                rejected = draw(st.sampled_from([None, *S]))
                made.append(named(name, step(source, on_reject=rejected, **options)))
            case "signal":
                made.append(named(name, signal(source, **options)))
            case "after":
                made.append(named(name, after(1.0, source, **options)))
            case _:
                made.append(named(name, parallel(source, undo, **options)))
    try:
        return Definition("M", S, draw(st.sampled_from(S)), made, draw(st.sampled_from([None, *S])))
    except DefinitionError:
        return None


ANY_NAME = st.sampled_from([*NAMES, "gone"])
RECORDS = st.builds(
    RunRecord,
    version=st.just(1),
    state=st.sampled_from([*(state.value for state in S), "gone"]),
    data=st.just(b""),
    status=st.sampled_from(["running", "retrying", "waiting", "compensating", "failed"]),
    done=st.lists(st.builds(Done, ANY_NAME, st.integers(0, 3), st.booleans()), max_size=5),
    inbox=st.lists(st.tuples(ANY_NAME, st.binary(max_size=2)), max_size=4),
    joining=st.none() | st.builds(Joining, ANY_NAME, st.integers(1, 3)),
    goal=st.sampled_from(["", "end", "gone"]),
    cancel=st.none() | st.just("x"),
)


@given(definitions(), RECORDS)
def test_there_is_always_a_next_move_and_it_changes_nothing(definition: Definition | None, record: RunRecord) -> None:
    if definition is None:
        return
    before = encoded(record)
    first = next_move(definition, record, lambda: None)
    assert next_move(definition, record, lambda: None) == first
    assert encoded(record) == before
    assert decoded(before) == record
    match first:
        case Perform(transition, payload, place):
            assert str(transition.source.value) == record.state
            assert transition.when is None or transition.when(None)
            assert (payload is None) == (place == -1) == (transition.kind != "signal")
            assert transition.kind != "after"
            assert payload is None or record.inbox[place] == (transition.name, payload)
            assert record.joining is None or transition.kind == "signal"
        case Refused():
            pytest.fail("no guard of these refuses")
        case Undo(done, transition):
            assert not done.undone
            assert transition.undo is not None
            assert record.status == "compensating"
            later = record.done[[one is done for one in record.done].index(True) + 1 :]  # two may be equal
            assert all(one.undone for one in later)
        case Arrive():
            assert all(one.undone for one in record.done)
        case Finish():
            assert definition.state(record.state) in definition.final
        case Wait(timers):
            assert {one.name for one in timers} <= set(definition.transitions)
        case Lost(why):
            assert "any more" in why


@given(definitions(), RECORDS)
def test_taking_back_ends_after_as_many_moves_as_there_is_to_take_back(
    definition: Definition | None, record: RunRecord
) -> None:
    if definition is None:
        return
    record.status = "compensating"
    for _ in range(sum(not one.undone for one in record.done) + 1):
        found = next_move(definition, record, lambda: None)
        if isinstance(found, Arrive | Lost):
            return
        assert isinstance(found, Undo)
        found.done.undone = True
    raise AssertionError("it does not end")


@given(definitions())
def test_every_state_of_a_definition_that_is_taken_has_a_way_to_its_end(definition: Definition | None) -> None:
    if definition is None:
        return
    for state in S:
        seen: set[enum.Enum] = {state}
        ahead: list[enum.Enum] = [state]
        while ahead:
            for way in definition.out[ahead.pop()]:
                for to in way.targets:
                    if to not in seen:
                        seen.add(to)
                        ahead.append(to)
        assert seen & definition.final


def test_a_definition_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(AmbiguousSteps):
        Definition("M", S, S.A, [named("x", step(S.A, to=S.END)), named("y", step(S.A, to=S.END))])
