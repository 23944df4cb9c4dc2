"""Nothing lies on anything else, lines run between the boxes, and a layout is the same each time."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from upright.persistence.machine_layout import Box, Layout, Link, Node, Point, layout


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Node], list[Link]]:
    sizes = st.floats(10, 200)
    nodes = [Node(f"n{at}", draw(sizes), draw(sizes), draw(st.booleans())) for at in range(draw(st.integers(1, 8)))]
    names = st.sampled_from([node.name for node in nodes])
    labels = st.sampled_from([(0.0, 0.0), (30.0, 12.0), (120.0, 60.0)])
    links = [Link(draw(names), draw(names), *draw(labels)) for _ in range(draw(st.integers(0, 14)))]
    return nodes, links


def things(placed: Layout) -> list[Box]:
    return [*placed.boxes.values(), *(route.label for route in placed.routes if route.label.width)]


def inside(box: Box, point: Point) -> bool:
    return box.left + 0.1 < point[0] < box.right - 0.1 and box.top + 0.1 < point[1] < box.bottom - 0.1


def slightly_less(box: Box) -> Box:
    return Box(box.x, box.y, box.width - 0.1, box.height - 0.1)


@given(graphs())
@settings(deadline=None)
def test_no_box_and_no_label_lies_on_another_and_all_are_within_the_picture(
    graph: tuple[list[Node], list[Link]],
) -> None:
    placed = layout(*graph)
    found = things(placed)
    for at, box in enumerate(found):
        assert not [other for other in found[:at] if slightly_less(box).overlaps(other)]
        assert box.left >= -0.1
        assert box.top >= -0.1
        assert box.right <= placed.width + 0.1
        assert box.bottom <= placed.height + 0.1


@given(graphs())
@settings(deadline=None)
def test_every_line_goes_from_its_box_to_its_box_and_through_no_other(graph: tuple[list[Node], list[Link]]) -> None:
    nodes, links = graph
    placed = layout(nodes, links)
    for link, route in zip(links, placed.routes, strict=True):
        (x, y), (to_x, to_y) = route.pieces[0][0], route.pieces[-1][-1]
        source, target = placed.boxes[link.source], placed.boxes[link.target]
        assert source.left <= x <= source.right
        assert y in (source.top, source.bottom) or link.source == link.target
        assert target.left <= to_x <= target.right
        assert to_y in (target.top, target.bottom) or link.source == link.target
        assert not [point for piece in route.pieces for point in piece for box in things(placed) if inside(box, point)]


@given(graphs())
@settings(deadline=None)
def test_it_is_the_same_each_time(graph: tuple[list[Node], list[Link]]) -> None:
    assert layout(*graph) == layout(*graph)


def test_a_chain_stands_in_one_line_from_top_to_bottom() -> None:
    nodes = [Node(name, 50, 20) for name in "abc"]
    placed = layout(nodes, [Link("a", "b", 30, 10), Link("b", "c", 30, 10)])
    tops = [placed.boxes[name].top for name in "abc"]
    assert tops == sorted(tops)
    assert len({round(placed.boxes[name].x, 6) for name in "abc"}) == 1


def test_a_line_back_leads_upwards() -> None:
    placed = layout([Node("a", 50, 20), Node("b", 50, 20)], [Link("a", "b", 30, 10), Link("b", "a", 30, 10)])
    back = placed.routes[1]
    assert back.pieces[0][0][1] == placed.boxes["b"].top
    assert back.pieces[-1][-1][1] == placed.boxes["a"].bottom


def test_one_to_which_nothing_leads_stands_last_if_it_is_said_so() -> None:
    nodes = [Node("a", 50, 20), Node("alone", 50, 20, last=True), Node("b", 50, 20)]
    placed = layout(nodes, [Link("a", "b")])
    assert placed.boxes["alone"].top == placed.boxes["b"].top


def test_a_hundred_states_are_placed_in_seconds() -> None:
    nodes = [Node(str(at), 60, 24) for at in range(100)]
    links = [Link(str(at), str(to % 100), 40, 16) for at in range(99) for to in (at + 1, at * 7 + 3)]
    since = time.perf_counter()
    layout(nodes, links)
    assert time.perf_counter() - since < 30
