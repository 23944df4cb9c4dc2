"""How many calls does a dependency get, and when are all done, if its clients try again with this jitter or that one?

Nothing is timed: it is a simulation, each round is a seed, and a run gives the same figures on every machine.

`100: …`, `1000: …`: so many clients who contend for one row.
`outage: …`: 1,000 clients during and after 60 seconds in which every call fails.
`cut: …`: 1,000 who already wait at the cap, when a restart of one second cuts all off at once.

`done_s` counts from the first call; in the last two, from when the dependency is back. `peak_10ms` is the most calls
within 10 ms after it is back; among contenders, once they have had time to come to the cap.

`--plot docs/img` draws the pictures of docs/jitter.md instead.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

from jitter import Course, Delay, at_once, contention, outage, peak, per_second, policies
from report import AtLeast, AtMost, Figures, Trials, report

MANY, FEW = 1_000, 100
DOWN, RESTART = 60.0, 1.0
CAPACITY = 50.0
"""Calls a second, for a thousand clients."""
FAILURES = 10
"""So many in a row, and each delay of `CALLERS` is at the cap: 1, 2, 4, 8, 16, 30, 30, … seconds."""
SETTLED = 3.0
"""After so many seconds whoever has only failed is at the cap of `CONTENDERS`: 5 ms, doubled up to 2 s."""

CONTENDERS = policies(0.005, 2.0) | {"at once": at_once}
"""With Brooker's base and cap, and without any back-off as he also has it."""
CALLERS = policies(1.0, 30.0)


def contend(clients: int, delay: Delay, rng: random.Random) -> Figures:
    course = contention(clients, delay, rng)
    late = [call for call in course.calls if call >= SETTLED]
    return {"done_s": course.done, "calls": len(course.calls), "peak_10ms": peak(late, 0.010)}


def away(clients: int, delay: Delay, rng: random.Random) -> Course:
    """The outage: all clients fail for the first time in the same instant."""
    return outage(clients, delay, rng, down=DOWN, capacity=CAPACITY * clients / MANY)


def cut(clients: int, delay: Delay, rng: random.Random) -> Course:
    """The restart: all clients fail once more in the same instant."""
    return outage(clients, delay, rng, down=RESTART, capacity=CAPACITY * clients / MANY, failures=FAILURES)


def call(course: Callable[[random.Random], Course], down: float, rng: random.Random) -> Figures:
    calls, done = course(rng)
    after = [one for one in calls if one >= down]
    figures = {"done_s": done - down, "calls_down": len(calls) - len(after), "calls_after": len(after)}
    return figures | {"peak_1s": peak(after, 1.0), "peak_10ms": peak(after, 0.010)}


def simulate(rounds: int, scale: float) -> Trials:
    """Each contender with each seed."""
    few, many = (max(2, round(clients * scale)) for clients in (FEW, MANY))
    work: dict[str, Callable[[random.Random], Figures]] = {}
    for clients, prefix in ((few, FEW), (many, MANY)):
        work |= {f"{prefix}: {name}": partial(contend, clients, delay) for name, delay in CONTENDERS.items()}
    work |= {f"outage: {name}": partial(call, partial(away, many, delay), DOWN) for name, delay in CALLERS.items()}
    work |= {f"cut: {name}": partial(call, partial(cut, many, delay), RESTART) for name, delay in CALLERS.items()}
    return Trials({name: [once(random.Random(seed)) for seed in range(rounds)] for name, once in work.items()}, {}, {})


GOALS: list[AtLeast | AtMost] = [
    *(AtLeast(f"{MANY}: none", 5, ours=f"{MANY}: {name}") for name in ("equal", "full", "decorrelated")),
    *(AtLeast("outage: sum, clamped", 3, ours=f"outage: {name}") for name in ("equal", "full", "decorrelated")),
    *(AtLeast(f"cut: {name}, clamped", 3, ours=f"cut: {name}") for name in ("equal", "full", "decorrelated")),
    *(AtMost("peak_10ms", MANY / 50, ours=f"cut: {name}") for name in ("equal", "full", "decorrelated")),
]


STYLE = """
  text { font: 14px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1f2933; text-anchor: middle }
  .small { font-size: 12px; fill: #52606d } .tick { font-size: 11px; fill: #52606d } .head { font-weight: bold }
  .left { text-anchor: start } .right { text-anchor: end }
  .paper { fill: #ffffff; stroke: #d5dbe1 } .axis { stroke: #7b8794; fill: none }
  .grid { stroke: #d5dbe1; fill: none } .down { fill: #f9d0d0 }
  .ours { fill: #2f6fb3 } .theirs { fill: #b08900 } .able { stroke: #2e7d3a; stroke-dasharray: 5 3; fill: none }
  .curve { fill: none; stroke-width: 2; stroke: #1f2933 } .none { stroke: #b3261e } .equal { stroke: #2f6fb3 }
  .full { stroke: #2e7d3a; stroke-dasharray: 7 3 } .decorrelated { stroke: #b08900; stroke-dasharray: 2 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small, .tick { fill: #b0bac5 } .paper { fill: #161b22; stroke: #3e4c59 }
    .axis { stroke: #9aa5b1 } .grid { stroke: #323f4b } .down { fill: #6b2229 }
    .ours { fill: #6aa9e9 } .theirs { fill: #d6ae1f } .able { stroke: #7fcf8c } .curve { stroke: #e4e7eb }
    .none { stroke: #ff8a80 } .equal { stroke: #6aa9e9 } .full { stroke: #7fcf8c } .decorrelated { stroke: #d6ae1f }
  }
"""
STRIP, HEIGHT = 62, 40
"""From one strip to the next, and how high its bars may be."""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(words)}</text>'


def line(points: Iterable[tuple[float, float]], kind: str) -> str:
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def drawing(width: int, height: int, title: str, shapes: Sequence[str]) -> str:
    """A whole file, in the looks of docs/make_drawings.py."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    paper = f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>'
    return "\n".join((head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", paper, *shapes, "</svg>\n"))


def rise(calls: float) -> float:
    """How high so many calls a second stand: the scale is that of square roots, so that few can be seen beside many."""
    return HEIGHT * math.sqrt(calls / (2 * MANY))


def strip(left: float, width: float, bottom: float, course: Course, down: float, until: float, kind: str) -> list[str]:
    """The calls of each second, over the time in which all fail, with a line at what the dependency can do."""
    each = width / until
    bars = " ".join(
        f"M{left + second * each:.1f},{bottom:g}v{-rise(calls):.1f}h{each:.2f}v{rise(calls):.1f}z"
        for second, calls in enumerate(per_second(course.calls, until))
        if calls
    )
    shapes = [
        f'<rect class="down" x="{left:g}" y="{bottom - HEIGHT:g}" width="{down * each:g}" height="{HEIGHT}"/>',
        f'<path class="{kind}" d="{bars}"/>',
    ]
    able = bottom - rise(CAPACITY)
    shapes += [
        line([(left, able), (left + width, able)], "able"),
        line([(left, bottom), (left + width, bottom)], "axis"),
    ]
    return shapes


def waves() -> str:
    """One strip a jitter: on the left the outage, on the right those who were cut off at the cap."""
    columns = ((210, 290, 120, 20, away, DOWN), (530, 200, 60, 10, cut, RESTART))
    shapes = [
        text(355, 28, "an outage of 60 s", "head"),
        text(630, 28, "cut off at the cap", "head"),
        text(20, 28, "calls in each second", "small left"),
        text(20, 44, "(square-root scale)", "small left"),
    ]
    bottom = 0.0
    for place, (name, delay) in enumerate(CALLERS.items()):
        bottom = 110.0 + place * STRIP
        shapes.append(text(20, bottom - 12, name, "left"))
        for calls in (50, 500, 2_000):
            shapes.append(text(202, bottom - rise(calls) + 4, f"{calls:,}", "tick right"))
        for left, width, until, _, course, down in columns:
            found = course(MANY, delay, random.Random(0))
            shapes += strip(left, width, bottom, found, down, until, "theirs" if "clamped" in name else "ours")
            shapes.append(text(left + width, bottom - HEIGHT - 4, f"all done after {found.done:.0f} s", "tick right"))
    for left, width, until, step, _, _ in columns:
        for second in range(0, until + 1, step):
            shapes.append(text(left + second * width / until, bottom + 18, str(second), "tick"))
        shapes.append(text(left + width / 2, bottom + 36, "seconds", "small"))
    below = (
        f"dashes: the {CAPACITY:g} calls a second that it can do; red: every call fails; blue: ours; yellow: clamped"
    )
    shapes.append(text(20, bottom + 62, below, "small left"))
    title = "Calls in each second of 1,000 clients with 8 jitters: an outage of 60 s, and all cut off at the cap"
    return drawing(760, round(bottom) + 80, title, shapes)


def chart(left: float, head: str, unit: str, powers: range, curves: dict[str, list[tuple[int, float]]]) -> list[str]:
    """One figure over the number of clients, by powers of ten."""
    width, top, bottom = 270.0, 70.0, 320.0

    def place(clients: float, figure: float) -> tuple[float, float]:
        share = (math.log10(figure) - powers[0]) / (powers[-1] - powers[0])
        return left + width * clients / MANY, bottom - (bottom - top) * share

    shapes = [text(left + width / 2, 34, head, "head"), text(left - 8, 56, unit, "small")]
    for power in powers:
        _, y = place(0, 10**power)
        shapes += [line([(left, y), (left + width, y)], "grid"), text(left - 6, y + 4, f"{10**power:,}", "tick right")]
    for clients in range(0, MANY + 1, 200):
        shapes.append(text(place(clients, 10)[0], bottom + 18, f"{clients:,}", "tick"))
    shapes += [line([(left, top), (left, bottom), (left + width, bottom)], "axis")]
    shapes.append(text(left + width / 2, bottom + 38, "clients", "small"))
    return shapes + [line([place(*point) for point in points], f"curve {name}") for name, points in curves.items()]


def contest(seeds: int) -> str:
    """Brooker's two graphs, for our jitters."""
    calls: dict[str, list[tuple[int, float]]] = {}
    seconds: dict[str, list[tuple[int, float]]] = {}
    shapes: list[str] = []
    for place, name in enumerate(("none", "equal", "full", "decorrelated")):
        for clients in range(FEW, MANY + 1, FEW):
            found = [contend(clients, CONTENDERS[name], random.Random(seed)) for seed in range(seeds)]
            for figure, curves in (("calls", calls), ("done_s", seconds)):
                median = statistics.median(one[figure] for one in found)
                curves.setdefault(name, []).append((clients, median))
        x = 190 + place * 110
        shapes += [line([(x, 386), (x + 30, 386)], f"curve {name}"), text(x + 36, 390, name, "small left")]
    shapes += chart(90, "calls until all are done", "calls", range(2, 6), calls)
    shapes += chart(450, "time until all are done", "seconds", range(4), seconds)
    title = "Calls and seconds until all clients have written one row, from 100 to 1,000 clients, for each jitter"
    return drawing(760, 410, title, shapes)


def main() -> None:
    parser = argparse.ArgumentParser(description="jitter: calls, and time until all are done")
    parser.add_argument("--rounds", type=int, default=11, help="so many seeds")
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the clients (0.1 for a quick look)")
    parser.add_argument("--plot", type=Path, help="draw the pictures into that folder, and print no table")
    options = parser.parse_args()
    if options.plot:
        for name, content in {"jitter": waves(), "jitter_contention": contest(options.rounds)}.items():
            (options.plot / f"{name}.svg").write_text(content, "utf-8")
        return
    question = "jitter: calls, and seconds until all are done, of clients who try again (a simulation)"
    report(question, simulate(options.rounds, options.scale), "done_s", None, GOALS)


if __name__ == "__main__":
    main()
