"""The definition of a state machine as a diagram, for Mermaid or as SVG, and one run's way through it.

What is drawn stands in `machine_way`, where it stands in `machine_layout`; here is only how it looks.
"""

import unicodedata
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from .definition import Definition
from .machine_layout import Layout, Link, Node, Point, Route, layout
from .machine_way import Edge, State, Way, edges, in_order
from .run_record import RunRecord

STYLE = """
  .machine text { font: 13px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1f2933; text-anchor: middle }
  .machine .name { font-weight: bold } .machine .head { font-size: 16px; font-weight: bold; text-anchor: start }
  .machine .small { font-size: 11px; fill: #52606d } .machine .status { text-anchor: start }
  .machine .error { font-size: 11px; fill: #b42318 }
  .machine .paper { fill: #ffffff; stroke: #d5dbe1 } .machine .box { fill: #f5f7fa; stroke: #52606d; stroke-width: 1.5 }
  .machine .rim { fill: none; stroke: #52606d; stroke-width: 1 } .machine .dot { fill: #52606d }
  .machine .line { fill: none; stroke: #7b8794; stroke-width: 1.5 } .machine .tip { fill: #7b8794 }
  .machine .apart { stroke-dasharray: 5 4 } .machine .passed .box { fill: #cfe3fb }
  .machine .current .box { fill: #fff3d6; stroke: #b25e00; stroke-width: 3.5 }
  .machine .failed .box { fill: #f9d0d0; stroke: #b42318; stroke-width: 3.5 }
  .machine .done .box { fill: #d9f2dd; stroke: #1e7a34; stroke-width: 3.5 }
  .machine .taken .line { stroke: #1f5fa8; stroke-width: 2.5 } .machine .taken .tip { fill: #1f5fa8 }
  @media (prefers-color-scheme: dark) {
    .machine text { fill: #e4e7eb } .machine .small { fill: #b0bac5 } .machine .error { fill: #ff9d94 }
    .machine .paper { fill: #161b22; stroke: #3e4c59 } .machine .box { fill: #222a33; stroke: #9aa5b1 }
    .machine .rim { stroke: #9aa5b1 } .machine .dot { fill: #9aa5b1 }
    .machine .line { stroke: #8a96a3 } .machine .tip { fill: #8a96a3 } .machine .passed .box { fill: #1b3f66 }
    .machine .current .box { fill: #4d3f12; stroke: #f0b429 } .machine .failed .box { fill: #5c1f26; stroke: #ff8a80 }
    .machine .done .box { fill: #1d3b26; stroke: #5fce7b }
    .machine .taken .line { stroke: #6cb0f7 } .machine .taken .tip { fill: #6cb0f7 }
  }
"""
MARGIN, LINE, LONGEST = 24.0, 16.0, 60
START = "start"
"""The name of the dot before the initial state; those of boxes are made by `node_of`."""
RESERVED = frozenset({
    "state", "note", "end", "as", "class", "classdef", "direction", "style", "click", "href", "left", "right", "of",
    "scale", "default", "fork", "join", "choice", "title", "hide", "empty", "description", "statediagram", "over",
})  # fmt: skip
"""Words of Mermaid's that a state's id cannot be."""


def mermaid(definition: Definition, record: RunRecord | None = None) -> str:
    """A Mermaid state diagram, with a record of that run's way."""
    way = Way(definition, record) if record is not None else None
    ids = {state: id_of(state, number) for number, state in enumerate(definition.states)}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{plain(state.name)}" as {id}' for state, id in ids.items() if state.name != id]
    lines.append(f"    [*] --> {ids[definition.initial]}")
    for edge in edges(definition):
        words = f"{edge.transition.name} {edge.why}".rstrip()
        marks = "" if edge.why else " ".join(filter(None, (f"({edge.marks})" if edge.marks else "", edge.guard)))
        undo = undo_of(edge)
        found = [f"{words} {marks}".rstrip(), *([undo] if undo else []), *(way.story(edge) if way is not None else ())]
        lines.append(f"    {ids[edge.source]} --> {ids[edge.to]}: {'<br/>'.join(plain(one) for one in found)}")
    lines += [f"    {ids[state]} --> [*]" for state in definition.states if state in definition.final]
    if definition.cancelled is not None and (way is None or way.here is not definition.cancelled):
        lines.append(f"    note right of {ids[definition.cancelled]}: of runs that were cancelled")
    return "\n".join(lines + (marked(definition, way, ids) if way is not None else []))


def marked(definition: Definition, way: Way, ids: dict[State, str]) -> list[str]:
    """Where the run is, and where it has been."""
    lines: list[str] = []
    if way.here is not None:
        errors = [error for edge in edges(definition) for error in way.errors(edge)]
        note = "<br/>".join(plain(shortened(one)) for one in (way.position(), *errors))
        lines.append(f"    note left of {ids[way.here]}: {note}")
    lines.append("    classDef passed fill:#cfe3fb,stroke:#52606d,color:#1f2933")
    lines.append("    classDef current fill:#fff3d6,stroke:#b25e00,stroke-width:4px,color:#1f2933")
    for kind in ("passed", "current"):
        found = [ids[state] for state, stands in in_order(definition, way) if stands == kind]
        if found:
            lines.append(f"    class {','.join(found)} {kind}")
    return lines


def id_of(state: State, number: int) -> str:
    """The state's name where Mermaid can read it as an id, or else one that it can."""
    name = state.name
    is_word = name.isascii() and name.isidentifier() and not name.startswith("_")
    return name if is_word and name.lower() not in RESERVED else f"state_{number}"


def plain(words: str) -> str:
    """Words without what means something to Mermaid, which has codes for that."""
    return "".join(one if one.isalnum() or one in " _-.,()+/'" else f"#{ord(one)};" for one in printable(words))


def svg(definition: Definition, record: RunRecord | None = None) -> str:
    """An SVG picture that needs nothing else, with a record of that run's way."""
    way = Way(definition, record) if record is not None else None
    found = edges(definition)
    texts = [lines_of(edge, way) for edge in found]
    boxes = {state: box_lines(definition, state, way) for state in definition.states}
    nodes = [Node(START, 14, 14)]
    nodes += [
        Node(node_of(state), max(96.0, width_of(lines) + 28), 24 + LINE * len(lines), state is definition.cancelled)
        for state, lines in boxes.items()
    ]
    links = [Link(START, node_of(definition.initial))]
    links += [
        Link(node_of(edge.source), node_of(edge.to), width_of(lines) + (18 if edge.transition.kind == "after" else 4),
             LINE * len(lines) + 4)
        for edge, lines in zip(found, texts, strict=True)
    ]  # fmt: skip
    placed = layout(nodes, links)
    head = heading(definition, way)
    shapes = [line_of(placed.routes[0], "edge" if way is None else "edge taken", "", [], False)]
    for edge, lines, route in zip(found, texts, placed.routes[1:], strict=True):
        kind = "edge taken" if way is not None and way.taken.get(edge.key) else "edge"
        shapes.append(line_of(route, kind, told(edge, way), lines, edge.transition.kind == "after", bool(edge.why)))
    shapes += [box_of(definition, state, placed, lines, way) for state, lines in boxes.items()]
    dot = placed.boxes[START]
    shapes.append(f'<circle class="dot" cx="{dot.x:.1f}" cy="{dot.y:.1f}" r="7"/>')
    return document(definition, way, head, placed, shapes)


Text = tuple[str, str]
"""A line of text: the class that says how it looks, and its words."""


def node_of(state: State) -> str:
    """Its name in the layout."""
    return f"state {state.name}"


def lines_of(edge: Edge, way: Way | None) -> list[Text]:
    """What stands beside a line."""
    lines = [("edge-name", f"{edge.transition.name} {edge.why}".rstrip())]
    if not edge.why:
        lines += [("small", words) for words in (edge.marks, edge.guard, undo_of(edge)) if words]
    if way is not None:
        lines += [("small", words) for words in (*way.story(edge), way.progress(edge)) if words]
        lines += [("error", words) for words in way.errors(edge)]
    return [(kind, shortened(words)) for kind, words in lines]


def undo_of(edge: Edge) -> str:
    """What takes it back, in words; empty if nothing does, or if it is not about that."""
    undo = None if edge.why else edge.transition.undo
    return "" if undo is None else f"undo: {getattr(undo, '__name__', 'a function')}"


def box_lines(definition: Definition, state: State, way: Way | None) -> list[Text]:
    """What stands in a box."""
    lines = [("name", shortened(state.name))]
    if state is definition.cancelled:
        lines.append(("small", "when cancelled"))
    if way is not None and str(state.value) in way.entered:
        at = way.time(way.entered[str(state.value)])
        lines.append(("small", f"{way.status} since {at}" if state is way.here and not way.is_over else at))
    return lines


def heading(definition: Definition, way: Way | None) -> list[Text]:
    """What stands above the picture."""
    lines = [("head", shortened(definition.title))]
    if way is not None:
        lines.append(("small status", way.position()))
        if way.record.error:
            lines.append(("error status", shortened(way.record.error, 2 * LONGEST)))
    return lines


def box_of(definition: Definition, state: State, placed: Layout, lines: list[Text], way: Way | None) -> str:
    """A state; one in which a run ends has a double rim."""
    box = placed.boxes[node_of(state)]
    kind = "state"
    if way is not None and state is way.here:
        kind += " current" + (" failed" if way.status == "failed" else " done" if way.status == "completed" else "")
    elif way is not None and way.passed(state):
        kind += " passed"
    shapes = [f'<g class="{kind}">', f"<title>{clean(state.name)}: {clean(str(state.value))}</title>"]
    shapes.append(rect("box", box.left, box.top, box.width, box.height, 8))
    if state in definition.final:
        shapes.append(rect("rim", box.left + 4, box.top + 4, box.width - 8, box.height - 8, 5))
    return "".join([*shapes, *texts_at(lines, box.x, box.y), "</g>"])


def line_of(
    route: Route, kind: str, words: str, lines: list[Text], has_clock: bool, is_apart: bool = False
) -> str:  # fmt: skip
    """An edge, with its label."""
    path = " ".join(curve(piece) for piece in route.pieces)
    shapes = [f'<g class="{kind}">', f"<title>{clean(words)}</title>" if words else ""]
    shapes.append(f'<path class="line{" apart" if is_apart else ""}" d="{path}"/>')
    shapes.append(tip(route.pieces[-1]))
    label = route.label
    if has_clock:
        x, y = label.x - width_of(lines[:1]) / 2 - 6, label.top + 2 + LINE / 2
        shapes.append(f'<g><circle class="line" cx="{x:.1f}" cy="{y:.1f}" r="6"/>')
        shapes.append(f'<path class="line" d="M {x:.1f} {y - 4:.1f} v 4 h 3"/></g>')
    shapes += texts_at(lines, label.x + (7 if has_clock else 0), label.y)
    return "".join([*shapes, "</g>"])


def curve(points: tuple[Point, ...]) -> str:
    """A path through points that leaves and reaches each of them straight down, or up."""
    words = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < 0.05 or abs(y - to_y) < 12:
            words.append(f"L {to_x:.1f} {to_y:.1f}")
        else:
            half = (y + to_y) / 2
            words.append(f"C {x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
    return " ".join(words)


def tip(points: tuple[Point, ...]) -> str:
    """The head of an arrow at the last of the points, in the direction from which the line comes."""
    (from_x, from_y), (x, y) = points[0], points[-1]
    if abs(y - from_y) < 12:
        side = 9 if from_x > x else -9
        corners = (x, y), (x + side, y - 5), (x + side, y + 5)
    else:
        back = -9 if y > from_y else 9
        corners = (x, y), (x - 5, y + back), (x + 5, y + back)
    return f'<polygon class="tip" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}"/>'


def document(definition: Definition, way: Way | None, head: list[Text], placed: Layout, shapes: list[str]) -> str:
    """The whole file."""
    top = MARGIN + 20 * len(head)
    width = max(placed.width, width_of(head)) + 2 * MARGIN
    height = placed.height + top + MARGIN + 6
    title = f"The state machine {definition.title}"
    if way is not None:
        title += f" and one of its runs: {way.position()}"
        title += f", in {way.here.name}" if way.here is not None else ""
    above = [
        f'<text class="{kind}" x="{MARGIN:g}" y="{MARGIN + 8 + 20 * at:g}">{clean(words)}</text>'
        for at, (kind, words) in enumerate(head)
    ]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
            f' height="{height:.0f}" role="img" aria-label={quoteattr(printable(title))} class="machine">',
            f"<title>{clean(title)}</title>",
            f"<style>{STYLE}</style>",
            rect("paper", 0.5, 0.5, round(width) - 1, round(height) - 1, 8),
            *above,
            f'<g transform="translate({(width - placed.width) / 2:.1f} {top:.1f})">',
            *shapes,
            "</g>",
            "</svg>\n",
        )
    )


def told(edge: Edge, way: Way | None) -> str:
    """All that is known of an edge, for those who point at it or hear it read."""
    one = edge.transition
    words = [f"{one.name} {edge.why}".rstrip(), f"from {edge.source.name} to {edge.to.name}"]
    words += [found for found in (edge.marks, edge.guard, undo_of(edge)) if found and not edge.why]
    if way is not None:
        words += [*way.story(edge), *way.errors(edge)]
    return ", ".join(words)


def texts_at(lines: list[Text], x: float, y: float) -> list[str]:
    """Lines of text around a point."""
    top = y - LINE * len(lines) / 2
    return [
        f'<text class="{kind}" x="{x:.1f}" y="{top + LINE * at + 12:.1f}">{clean(words)}</text>'
        for at, (kind, words) in enumerate(lines)
    ]


def rect(kind: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    """A rectangle with round corners."""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"/>'
    )  # fmt: skip


def width_of(lines: list[Text]) -> float:
    """How much room these lines take, rather too much than too little: the font is not known."""
    return max((sum(width_in(kind, one) for one in words) for kind, words in lines), default=0.0)


def width_in(kind: str, letter: str) -> float:
    """How much room that letter takes."""
    size = 16 if kind == "head" else 11 if "small" in kind or "error" in kind else 13
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.1 * size
    return size * (0.9 if letter in "MWmw@%" else 0.74 if letter.isupper() else 0.58)


def shortened(words: str, longest: int = LONGEST) -> str:
    """The beginning of what is too long."""
    return words if len(words) <= longest else words[: longest - 1] + "…"


def printable(words: str) -> str:
    """Words without line breaks, and without what no XML may hold."""
    return "".join(" " if one.isspace() else one if one.isprintable() else "\ufffd" for one in words)


def clean(words: str) -> str:
    """Words as the text of XML."""
    return escape(printable(words))
