"""Write the drawings of docs/supervision.md into docs/img: `python docs/make_drawings.py`.

They are made by a program so that all of them look alike, and so that a change of a word is a change of one line.
"""

from pathlib import Path
from xml.sax.saxutils import escape

IMAGES = Path(__file__).resolve().parent / "img"
STYLE = """
  text { font: 14px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1f2933; text-anchor: middle }
  .small { font-size: 12px; fill: #52606d } .head { font-weight: bold } .left { text-anchor: start }
  .paper { fill: #ffffff; stroke: #d5dbe1 } .line { stroke: #7b8794; stroke-width: 1.5; fill: none }
  .box { stroke: #52606d; stroke-width: 1.5 } .up { fill: #e3f1e5 } .fresh { fill: #cfe3fb; stroke-width: 2.5 }
  .failed { fill: #f9d0d0 } .down { fill: #eef0f2; stroke-dasharray: 4 3 } .window { fill: #fbeecb; stroke: #b08900 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small { fill: #b0bac5 } .paper { fill: #161b22; stroke: #3e4c59 }
    .line, .box { stroke: #9aa5b1 } .up { fill: #1d3b26 } .fresh { fill: #1b3f66 } .failed { fill: #6b2229 }
    .down { fill: #2b323a } .window { fill: #4d3f12; stroke: #d6ae1f }
  }
"""
CHILDREN = ("a", "b", "c", "d")
PANEL, BOX = 250, 48

Look = tuple[str, str]
"""How a child is drawn: its class in the style, and the word below it."""

AS_BEFORE = ("up", "1st life")


def drawing(width: int, height: int, title: str, shapes: list[str]) -> str:
    """A whole file."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *shapes,
            "</svg>\n",
        )
    )


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words around a point, or to its right."""
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def line(*points: tuple[float, float]) -> str:
    """A line through points."""
    return f'<polyline class="line" points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, words: str) -> list[str]:
    """A box around a point, with its name in it."""
    left, top = x - width / 2, y - height / 2
    corner = f'<rect class="box {kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="5"/>'
    return [corner, text(x, y + 5, words)]


def panel(left: float, head: str, looks: list[Look], below: str) -> list[str]:
    """A supervisor and its children at one moment."""
    middle = left + PANEL / 2
    shapes = [text(middle, 28, head, "head")]
    for place, (name, (kind, word)) in enumerate(zip(CHILDREN, looks, strict=True)):
        x = left + PANEL / 2 + (place - 1.5) * 58
        shapes += [line((middle, 72), (middle, 96), (x, 96), (x, 120)), *box(x, 138, BOX, 36, kind, name)]
        shapes.append(text(x, 174, word, "small"))
    return [*shapes, *box(middle, 60, 110, 34, "up", "supervisor"), text(middle, 206, below, "small")]


def strategy(name: str, stopped: str, started: str, touched: str) -> str:
    """Before, failure and after: `b` crashes, and the others of `touched` go with it."""
    others = [child for child in reversed(touched) if child != "b"]
    failure = [
        ("failed", "crashed") if child == "b" else ("down", "stopped") if child in others else AS_BEFORE
        for child in CHILDREN
    ]
    after = [("fresh", "2nd life") if child in touched else AS_BEFORE for child in CHILDREN]
    shapes = [
        *panel(5, "before", [AS_BEFORE] * 4, "started in order: a, b, c, d"),
        *panel(5 + PANEL, "failure", failure, stopped),
        *panel(5 + 2 * PANEL, "after", after, started),
    ]
    title = f"{name}: b crashes. {stopped}, then {started}."
    return drawing(3 * PANEL + 10, 222, title, shapes)


def clock(top: float, times: list[float], head: str, window: tuple[float, float], gives_up: bool) -> list[str]:
    """One line of time with its crashes, and the window that ends with the last one."""

    def place(second: float) -> float:
        return 60 + second * 56

    start, end = window
    shapes = [text(30, top, head, "head left")]
    left, width = place(start), place(end) - place(start)
    shapes.append(f'<rect class="window" x="{left:g}" y="{top + 18:g}" width="{width:g}" height="46"/>')
    shapes += [text(place((start + end) / 2), top + 35, "5 s", "small"), line((40, top + 64), (place(12), top + 64))]
    for second in range(0, 12, 2):
        shapes += [
            line((place(second), top + 60), (place(second), top + 68)),
            text(place(second), top + 90, f"{second} s", "small"),
        ]
    for number, second in enumerate(times, 1):
        last = gives_up and number == len(times)
        shapes.append(
            f'<circle class="box {"failed" if last else "fresh"}" cx="{place(second):g}" cy="{top + 64:g}" r="11"/>'
        )
        shapes.append(text(place(second), top + 69, "×" if last else str(number)))
    return shapes


def intensity() -> str:
    """Two lines of time: one that heals, one that is given up."""
    shapes = [
        *clock(34, [1, 4, 7, 10], "every window of 5 s holds 2 restarts at most: all are done", (5, 10), False),
        *clock(160, [1, 3, 5.5], "the third within 5 s is one too many: the supervisor gives up", (0.5, 5.5), True),
    ]
    return drawing(
        760, 266, "max_restarts=2, within=5.0: restarts on a line of time, and the window that counts", shapes
    )


def escalation() -> str:
    """Three levels, and the way that a failure climbs."""
    levels = [
        (52, "system", "4. the tree gave up: the system ends, SystemFailed says why"),
        (122, "station", "3. restarts sensors; when that is needed too often, it gives up as well"),
        (192, "sensors", "2. restarts roof; after too many restarts it stops its children and gives up"),
        (262, "roof", "1. crashes again and again"),
    ]
    shapes: list[str] = []
    for number, (y, name, words) in enumerate(levels):
        kind = "failed" if number == len(levels) - 1 else "up"
        shapes += [*box(95, y, 120, 38, kind, name), text(185, y + 5, words, "left")]
        if number:
            shapes.append(line((95, y - 19), (95, y - 51)))
            shapes.append(line((89, y - 43), (95, y - 51), (101, y - 43)))
    return drawing(
        760, 304, "A failure that restarts do not heal climbs from roof to sensors, to station, to the system", shapes
    )


def main() -> None:
    """Write all of them."""
    IMAGES.mkdir(exist_ok=True)
    drawings = {
        "one_for_one": strategy("one_for_one", "nobody is stopped", "only b is started", "b"),
        "one_for_all": strategy("one_for_all", "d, c, a are stopped in this order", "a, b, c, d are started", "abcd"),
        "rest_for_one": strategy("rest_for_one", "d, c are stopped in this order", "b, c, d are started", "bcd"),
        "intensity": intensity(),
        "escalation": escalation(),
    }
    for name, content in drawings.items():
        (IMAGES / f"{name}.svg").write_text(content, "utf-8")


if __name__ == "__main__":
    main()
