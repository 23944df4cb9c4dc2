"""A diagram of a machine shows every state and every transition, and can be read whatever they are called."""

import enum
import re
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.persistence.parcels import (
    EPOCH,
    SVG,
    Bill,
    Delivery,
    apart,
    boxes_of,
    check_mermaid,
    drawn,
    is_heavy,
    words_of,
)
from upright.persistence.definition import Definition
from upright.persistence.machine_drawing import RESERVED, mermaid, plain, svg
from upright.persistence.machine_way import edges
from upright.persistence.run_record import HistoryEvent, RunRecord
from upright.persistence.steps import Kind, Transition


class TestDefinitions:
    def test_every_state_and_every_transition_stands_in_the_picture(self) -> None:
        words = words_of(Delivery.svg())
        assert {one.name for one in Delivery.State} <= {*words}
        assert {
            "pack",
            "hold",
            "release",
            "remark",
            "expire",
            "bill",
            "ship",
            "ship rejected",
            "ship failed",
            "notify",
        } <= {*words}

    def test_it_says_of_each_transition_what_it_is_and_when_it_is_taken(self) -> None:
        words = words_of(Delivery.svg(), "small")
        for found in ("parallel: weigh, wrap", "undo: unpack", "[is_heavy]", "signal", "after 86400 s", "call: Bill",
                      "each: write, 2 at once", "when cancelled"):  # fmt: skip
            assert found in words

    def test_final_states_have_a_double_rim_and_what_is_rejected_or_failed_a_dashed_line(self) -> None:
        root = drawn(Delivery.svg())
        assert len([one for one in root.iter(f"{SVG}rect") if one.get("class") == "rim"]) == 3
        assert len([one for one in root.iter(f"{SVG}path") if one.get("class") == "line apart"]) == 2
        assert len([one for one in root.iter(f"{SVG}circle") if one.get("class") == "dot"]) == 1
        assert len([one for one in root.iter(f"{SVG}circle") if one.get("class") == "line"]) == 1, "one clock"

    def test_mermaid_has_every_state_and_every_transition(self) -> None:
        lines = Delivery.mermaid().splitlines()
        check_mermaid(Delivery.mermaid())
        assert lines[:2] == ["stateDiagram-v2", "    [*] --> NEW"]
        for line in (
            "NEW --> PACKED: pack (parallel#58; weigh, wrap)<br/>undo#58; unpack",
            "PACKED --> HELD: hold #91;is_heavy#93;",
            "HELD --> PACKED: release (signal)",
            "HELD --> HELD: remark (signal)",
            "HELD --> REFUSED: expire (after 86400 s)",
            "PACKED --> BILLED: bill (call#58; Bill)",
            "BILLED --> SHIPPED: ship",
            "BILLED --> REFUSED: ship rejected",
            "BILLED --> HELD: ship failed",
            "SHIPPED --> DONE: notify (each#58; write, 2 at once)",
            "DONE --> [*]",
            "REFUSED --> [*]",
        ):
            assert f"    {line}" in lines

    def test_a_name_that_means_something_to_mermaid_is_shown_under_another_id(self) -> None:
        states = named_states({"end": 1, 'a "b": c;': 2, "Ende": 3})
        first, second, third = states
        text = mermaid(of(states, [way(first, second), way(second, third, "go_on")]))
        check_mermaid(text)
        assert '    state "end" as state_0' in text.splitlines()
        assert '    state "a #34;b#34;#58; c#59;" as state_1' in text.splitlines()
        assert "    state_1 --> Ende: go_on" in text.splitlines()

    def test_every_word_of_mermaid_is_given_another_id(self) -> None:
        states = named_states({word: word for word in sorted(RESERVED)})
        members = list(states)
        text = mermaid(of(states, [way(one, other, f"t{one.name}") for one, other in pairwise(members)]))
        check_mermaid(text)
        ids = {word for line in text.splitlines() if " --> " in line for word in line.split(":")[0].split(" --> ")}
        assert not {word.strip() for word in ids} & RESERVED

    def test_a_picture_needs_nothing_else_and_has_a_title(self) -> None:
        root = drawn(Delivery.svg())
        assert root.get("role") == "img"
        assert root[0].tag == f"{SVG}title"
        assert root[0].text == "The state machine Delivery"
        text = Delivery.svg()
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "prefers-color-scheme: dark" in text


def named_states(values: dict[str, Any]) -> type[enum.Enum]:
    """States with names that no Python code could write."""
    make: Any = enum.Enum
    made: type[enum.Enum] = make("states", values)
    return made


async def nothing(*_: Any) -> None: ...


def of(states: type[enum.Enum], transitions: list[Transition]) -> Definition:
    return Definition("Odd", states, next(iter(states)), transitions)


def way(source: enum.Enum, to: enum.Enum, name: str = "go", **more: Any) -> Transition:
    return Transition(name, more.pop("kind", "step"), source, to, nothing, **more)


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: not name.startswith("_") and name != "mro")
KINDS: tuple[Kind, ...] = ("step", "signal", "after", "parallel", "each", "call")


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any definition that can be made, with names of any letters: a chain of states, and whatever edges beside it."""
    names = draw(st.lists(NAMES, min_size=2, max_size=9, unique=True))
    states = named_states({name: f"value of {name}" for name in names})
    members = list(states)
    chain = enumerate(pairwise(members))
    transitions = [way(one, other, f"t{at}", kind="parallel", branches=(nothing,)) for at, (one, other) in chain]
    for at, name in enumerate(draw(st.lists(NAMES, max_size=12, unique=True))):
        to, rejected, failed = (draw(st.sampled_from(members)) for _ in range(3))
        more: dict[str, Any] = {"when": is_heavy, "on_reject": rejected, "on_failure": failed, "undo": nothing}
        more |= {"branches": (nothing, nothing), "machine": Bill, "delay": draw(st.floats(0.001, 1e9))}
        source, kind = draw(st.sampled_from(members[:-1])), draw(st.sampled_from(KINDS))
        transitions.append(way(source, to, f"{name}{at}", kind=kind, **more))
    return of(states, transitions)


@st.composite
def records(draw: st.DrawFn, definition: Definition) -> RunRecord:
    """A record with any lines of history, of a run in any state, or in one that is not known."""
    values = [str(state.value) for state in definition.states] + ["elsewhere"]
    record = RunRecord(1, draw(st.sampled_from(values)), b"", started=EPOCH, error=draw(st.text(max_size=80)))
    kinds = st.sampled_from(["entered", "completed", "failed", "rejected", "compensated", "redriven", "signalled"])
    for _ in range(draw(st.integers(0, 12))):
        step = draw(st.sampled_from([*definition.transitions, "gone"]))
        record.tell(HistoryEvent(draw(kinds), EPOCH + draw(st.integers(0, 10**6)), step, draw(st.sampled_from(values)),
                                 draw(st.integers(0, 9)), error=draw(st.text(max_size=80))))  # fmt: skip
    return record


class TestAnyNames:
    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_both_can_be_read_show_all_are_the_same_each_time_and_no_boxes_overlap(self, data: st.DataObject) -> None:
        definition = data.draw(definitions())
        record = data.draw(st.none() | records(definition))
        text, lines = svg(definition, record), mermaid(definition, record)
        assert text == svg(definition, record)
        assert lines == mermaid(definition, record)
        root = drawn(text)
        boxes = boxes_of(text)
        assert len(boxes) == len(definition.states)
        assert apart(boxes)
        width, height = (float(number) for number in root.get("viewBox", "").split()[2:])
        assert all(left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in boxes)
        lines_drawn = [one for one in root.iter(f"{SVG}polygon") if one.get("class") == "tip"]
        assert len(lines_drawn) == len(edges(definition)) + 1
        check_mermaid(lines)
        assert len([line for line in lines.splitlines() if " --> " in line]) == (
            len(edges(definition)) + len(definition.final) + 1
        )

    @given(st.text())
    def test_words_for_mermaid_hold_nothing_that_it_reads(self, words: str) -> None:
        assert not set(re.sub(r"#\d+;", "", plain(words))) & set('":;#<>{}[]\n\\%')
