"""Where the boxes of a diagram stand, and how the lines between them run: pure geometry, which knows no state machine.

The method is that of Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system structures",
1981): circles are cut, nodes stand in layers by their longest path, the layers are put in an order with few crossings
by barycenters, and places along a layer are averaged under the condition that nothing overlaps. The label of an edge is
an item of a layer of its own, so that no label lies on anything else. A layout depends on its input alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

Point = tuple[float, float]
GAP_X, GAP_Y, LANE = 28.0, 30.0, 14.0
SWEEPS = 12


class Node(msgspec.Struct, frozen=True):
    """A box by its name, and its size."""

    name: str
    width: float
    height: float
    last: bool = False
    """Whether it stands at the end, if nothing leads to it."""


class Link(msgspec.Struct, frozen=True):
    """A line from one box to another, and the size of its label; 0 for none."""

    source: str
    target: str
    width: float = 0.0
    height: float = 0.0


class Box(msgspec.Struct, frozen=True):
    """Something at its place; `x`, `y`: of its middle."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def top(self) -> float:
        return self.y - self.height / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height / 2

    def overlaps(self, other: "Box") -> bool:
        """Whether both have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Route(msgspec.Struct, frozen=True):
    """A line: its pieces, each through points that lie on or between the layers, and where its label is."""

    pieces: tuple[tuple[Point, ...], ...]
    label: Box


class Layout(msgspec.Struct, frozen=True):
    """Everything at its place, from (0, 0) to (`width`, `height`). `routes`: in the order of the links."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    routes: Sequence[Route]


class Item:
    """What stands in a layer: a box, a label, or a line that passes."""

    __slots__ = ("above", "below", "box", "height", "layer", "width", "x")

    def __init__(self, width: float, height: float, layer: int) -> None:
        self.width, self.height, self.layer = width, height, layer
        self.above: list[Item] = []
        self.below: list[Item] = []
        self.x = 0.0
        self.box = Box(0.0, 0.0, width, height)


def layout(nodes: Sequence[Node], links: Sequence[Link]) -> Layout:
    """Place them. `links` name nodes that are there."""
    turned = backward(nodes, links)
    layers = layered(nodes, links, turned)
    loops = {node.name: [link for link in links if link.source == link.target == node.name] for node in nodes}
    items = {node.name: item_of(node, loops[node.name], layers[node.name]) for node in nodes}
    chains = [chain(link, at in turned, items) for at, link in enumerate(links)]
    rows: list[list[Item]] = [[] for _ in range(1 + max((item.layer for item in items.values()), default=0))]
    for item in items.values():
        rows[item.layer].append(item)
    for found in chains:
        for item in found[1:-1]:
            rows[item.layer].append(item)
    rows = ordered(rows)
    place_across(rows)
    height = place_down(rows)
    width = max((item.x + item.width / 2 for row in rows for item in row), default=0.0)
    boxes = {node.name: box_of(node, items[node.name]) for node in nodes}
    return Layout(width, height, boxes, routes_of(links, turned, chains, items, boxes))


def backward(nodes: Sequence[Node], links: Sequence[Link]) -> frozenset[int]:
    """The links that close a circle, by their places; without them there is none."""
    out: dict[str, list[tuple[int, str]]] = {node.name: [] for node in nodes}
    for at, link in enumerate(links):
        out[link.source].append((at, link.target))
    found: set[int] = set()
    done: set[str] = set()
    for node in nodes:
        if node.name in done:
            continue
        open_, ways = {node.name}, [(node.name, iter(out[node.name]))]
        while ways:
            name, ahead = ways[-1]
            for at, target in ahead:
                if target in open_:
                    found.add(at)
                elif target not in done:
                    open_.add(target)
                    ways.append((target, iter(out[target])))
                    break
            else:
                done.add(name)
                open_.discard(name)
                ways.pop()
    return frozenset(found)


def layered(nodes: Sequence[Node], links: Sequence[Link], turned: frozenset[int]) -> dict[str, int]:
    """The layer of each node, an even number: those between are for labels."""
    ahead: dict[str, list[str]] = {node.name: [] for node in nodes}
    waits = dict.fromkeys(ahead, 0)
    for at, link in enumerate(links):
        if link.source != link.target:
            above, below = (link.target, link.source) if at in turned else (link.source, link.target)
            ahead[above].append(below)
            waits[below] += 1
    layers = dict.fromkeys(ahead, 0)
    alone = [name for name, count in waits.items() if not count]
    ready = list(alone)
    while ready:
        above = ready.pop()
        for below in ahead[above]:
            layers[below] = max(layers[below], layers[above] + 2)
            waits[below] -= 1
            if not waits[below]:
                ready.append(below)
    last = max(layers.values(), default=0)
    for node in nodes:
        if node.last and node.name in alone and not ahead[node.name]:
            layers[node.name] = last
    return layers


LOOP = 26.0
"""The room for the line between a box and the label of what leads from it to itself."""


def item_of(node: Node, loops: Sequence[Link], layer: int) -> Item:
    """A box with room on both sides for the labels of what leads from it to itself."""
    if not loops:
        return Item(node.width, node.height, layer)
    side = LOOP + max(link.width for link in loops)
    return Item(node.width + 2 * side, max(node.height, sum(link.height + 6 for link in loops)), layer)


def chain(link: Link, turned: bool, items: Mapping[str, Item]) -> list[Item]:
    """The items from the upper end of a link to the lower one, joined to each other."""
    upper, lower = items[link.source], items[link.target]
    if upper is lower:
        return [upper, lower]
    if turned:
        upper, lower = lower, upper
    labelled = lower.layer - 1 if turned else upper.layer + 1
    found = [upper]
    for layer in range(upper.layer + 1, lower.layer):
        found.append(Item(link.width, link.height, layer) if layer == labelled else Item(0.0, 0.0, layer))
    found.append(lower)
    for one, other in pairwise(found):
        one.below.append(other)
        other.above.append(one)
    return found


def ordered(rows: list[list[Item]]) -> list[list[Item]]:
    """The rows in the order with the fewest crossings that some sweeps by barycenter come to."""
    best, fewest = [list(row) for row in rows], crossings(rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            places = {id(item): at for other in rows for at, item in enumerate(other)}
            wanted: dict[int, float] = {}
            for at, item in enumerate(row):
                near = item.above if down else item.below
                wanted[id(item)] = sum(places[id(one)] for one in near) / len(near) if near else float(at)
            row.sort(key=lambda item: wanted[id(item)])
        count = crossings(rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def crossings(rows: Iterable[Sequence[Item]]) -> int:
    """How many lines between neighbouring rows cross each other."""
    count, places = 0, {id(item): at for row in rows for at, item in enumerate(row)}
    for row in rows:
        ends = [places[id(other)] for item in row for other in sorted(item.below, key=lambda one: places[id(one)])]
        count += sum(ends[first] > later for first in range(len(ends)) for later in ends[first + 1 :])
    return count


def place_across(rows: Sequence[Sequence[Item]]) -> None:
    """Bring each item as near to the middle of its neighbours as the order and the gaps allow."""
    for row in rows:
        spread(row, [0.0] * len(row))
    for sweep in range(4 * SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wanted: list[float] = []
            for item in row:
                near = (item.above if down else item.below) or item.above or item.below
                wanted.append(sum(one.x for one in near) / len(near) if near else item.x)
            spread(row, wanted)
    left = min((item.x - item.width / 2 for row in rows for item in row), default=0.0)
    for row in rows:
        for item in row:
            item.x -= left


def spread(row: Sequence[Item], wanted: Sequence[float]) -> None:
    """The places with the least squares from those wanted that keep the gaps: isotonic regression, by pooling."""
    offset, offsets = 0.0, list[float]()
    for at, item in enumerate(row):
        if at:
            offset += (row[at - 1].width + item.width) / 2 + (GAP_X if item.width and row[at - 1].width else LANE)
        offsets.append(offset)
    pools: list[list[float]] = []  # each: sum, count
    for at in range(len(row)):
        pools.append([wanted[at] - offsets[at], 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    places = [total / count for total, count in pools for _ in range(int(count))]
    for item, place, offset in zip(row, places, offsets, strict=True):
        item.x = place + offset


def place_down(rows: Sequence[Sequence[Item]]) -> float:
    """Give each row its height; that of all."""
    y = 0.0
    for row in rows:
        tall = max((item.height for item in row), default=0.0)
        for item in row:
            item.box = Box(item.x, y + tall / 2, item.width, tall)
        y += tall + GAP_Y
    return max(0.0, y - GAP_Y)


def box_of(node: Node, item: Item) -> Box:
    """The box in the middle of its item."""
    return Box(item.x, item.box.y, node.width, node.height)


def routes_of(
    links: Sequence[Link],
    turned: frozenset[int],
    chains: Sequence[Sequence[Item]],
    items: Mapping[str, Item],
    boxes: Mapping[str, Box],
) -> list[Route]:
    """The lines: each begins and ends at a place of its own on the side of its box."""
    lower_ends: dict[tuple[str, bool], list[tuple[float, int]]] = {}
    for at, link in enumerate(links):
        if link.source != link.target:
            first, last = (link.target, link.source) if at in turned else (link.source, link.target)
            lower_ends.setdefault((first, True), []).append((chains[at][1].x, at))
            lower_ends.setdefault((last, False), []).append((chains[at][-2].x, at))
    ports: dict[tuple[int, bool], Point] = {}
    for (name, is_bottom), ends in lower_ends.items():
        box = boxes[name]
        for place, (_, at) in enumerate(sorted(ends), 1):
            x = box.left + box.width * place / (len(ends) + 1)
            ports[at, is_bottom] = x, box.bottom if is_bottom else box.top
    found: list[Route] = []
    loops: dict[str, float] = {}
    for at, link in enumerate(links):
        if link.source == link.target:
            found.append(loop(link, boxes[link.source], items[link.source], loops))
        else:
            found.append(through(link, chains[at], ports[at, True], ports[at, False], at in turned))
    return found


def through(link: Link, items: Sequence[Item], start: Point, end: Point, turned: bool) -> Route:
    """A line through its items; it leaves out its label."""
    pieces: list[list[Point]] = [[start, (start[0], items[0].box.bottom)]]
    label = Box(start[0], (start[1] + end[1]) / 2, 0.0, 0.0)
    for item in items[1:-1]:
        box = item.box
        pieces[-1].append((item.x, box.top))
        if item.height:
            label = Box(item.x, box.y, link.width, link.height)
            pieces[-1].append((item.x, label.top))
            pieces.append([(item.x, label.bottom)])
        pieces[-1].append((item.x, box.bottom))
    pieces[-1] += [(end[0], items[-1].box.top), end]
    if turned:
        pieces = [piece[::-1] for piece in reversed(pieces)]
    return Route(tuple(tuple(piece) for piece in pieces), label)


def loop(link: Link, box: Box, item: Item, used: dict[str, float]) -> Route:
    """A line from a box to itself, beside it."""
    top = used.get(link.source, item.box.top)
    used[link.source] = top + link.height + 6
    y = top + 3 + link.height / 2
    label = Box(box.right + LOOP + link.width / 2, y, link.width, link.height)
    inside = min(max(y, box.top + 10), box.bottom - 10)
    away = (box.right, inside - 5), (label.left - 4, y - 5)
    return Route((away, ((label.left - 4, y + 5), (box.right, inside + 5))), label)
