"""Write the pictures of docs/resilience.md into docs/img: `python docs/make_traces.py`.

They show what was recorded (see `traces`), and are drawn without a library so that they look like the other drawings.
`--check` writes nothing and fails if a picture is not what it would write.
"""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import traces
from recording import Call, Outage, Point

IMAGES = Path(__file__).resolve().parent / "img"
STYLE = """
  text { font: 14px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1f2933; text-anchor: middle }
  .small { font-size: 12px; fill: #52606d } .tick { font-size: 11px; fill: #52606d } .head { font-weight: bold }
  .left { text-anchor: start } .right { text-anchor: end }
  .paper { fill: #ffffff; stroke: #d5dbe1 } .axis { stroke: #7b8794; fill: none } .grid { stroke: #e4e7eb; fill: none }
  .down { fill: #f9d0d0 } .slow { fill: #fbeecb } .closed { fill: #cfe6d3 } .open { fill: #e8a09a }
  .half { fill: #f2d478 } .mark { fill: none; stroke-width: 1.2 } .curve { fill: none; stroke-width: 2 }
  .ok { stroke: #2f6fb3 } .bad { stroke: #b3261e } .late { stroke: #9a7700 } .dash { stroke-dasharray: 5 3 }
  .fill-ok { fill: #2f6fb3 } .fill-bad { fill: #b3261e } .fill-late { fill: #c79a00 } .pale { fill: #9fc0e3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small, .tick { fill: #b0bac5 } .paper { fill: #161b22; stroke: #3e4c59 }
    .axis { stroke: #9aa5b1 } .grid { stroke: #2b323a } .down { fill: #55202a } .slow { fill: #453a14 }
    .closed { fill: #1d3b26 } .open { fill: #8c2f2a } .half { fill: #7d6410 }
    .ok { stroke: #6aa9e9 } .bad { stroke: #ff8a80 } .late { stroke: #e0b93a }
    .fill-ok { fill: #6aa9e9 } .fill-bad { fill: #ff8a80 } .fill-late { fill: #e0b93a } .pale { fill: #2c4f75 }
  }
"""
LEFT, RIGHT, WIDTH = 62, 432, 300
"""Where the two columns begin, and how wide each is."""


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """Words around a point, or to one side of it."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def line(points: Iterable[Point], kind: str) -> str:
    """A line through points."""
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def block(x: float, y: float, width: float, height: float, kind: str) -> str:
    """A rectangle."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"/>'


def drawing(height: int, title: str, shapes: Sequence[str]) -> str:
    """A whole file, in the looks of make_drawings.py."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" width="760" role="img">'
    paper = f'<rect class="paper" x="0.5" y="0.5" width="759" height="{height - 1}" rx="8"/>'
    return "\n".join((head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", paper, *shapes, "</svg>\n"))


def head(left: float, words: str) -> str:
    """What stands above a column."""
    return text(left + WIDTH / 2, 28, words, "head")


def below(left: float, y: float, words: str) -> str:
    """What a column comes to."""
    return text(left + WIDTH / 2, y, words, "small")


def legend(y: float, words: str) -> str:
    """What the colours mean."""
    return text(16, y, words, "small left")


class Chart:
    """A figure over time. `until`: seconds on its width; `most`: what its height stands for."""

    def __init__(self, left: float, top: float, height: float, until: float, most: float, width: float = WIDTH) -> None:
        self.left, self.top, self.width, self.height, self.until, self.most = left, top, width, height, until, most
        self.bottom = top + height

    def x(self, second: float) -> float:
        return self.left + self.width * min(second, self.until) / self.until

    def y(self, figure: float) -> float:
        return self.bottom - self.height * min(figure, self.most) / self.most

    def name(self, words: str) -> str:
        """What stands before a narrow strip."""
        return text(self.left - 6, self.bottom - 3, words, "tick right")

    def spell(self, start: float, end: float, kind: str) -> str:
        """A time in which something was so."""
        return block(self.x(start), self.top, self.x(end) - self.x(start), self.height, kind)

    def frame(self, marks: Iterable[float], unit: str) -> list[str]:
        """Its axes, with a line at each mark, and what they count."""
        shapes = [text(self.left - 46, self.top - 8, unit, "small left")]
        for mark in marks:
            y = self.y(mark)
            shapes += [line([(self.left, y), (self.left + self.width, y)], "grid")]
            shapes += [text(self.left - 6, y + 4, f"{mark:g}", "tick right")]
        return [*shapes, line([(self.left, self.bottom), (self.left + self.width, self.bottom)], "axis")]

    def seconds(self, step: int) -> list[str]:
        """The axis of time below it."""
        marks = range(0, int(self.until) + 1, step)
        shapes = [text(self.x(second), self.bottom + 16, f"{second}", "tick") for second in marks]
        return [*shapes, text(self.left + self.width / 2, self.bottom + 33, "seconds", "small")]

    def steps(self, points: Sequence[Point], kind: str) -> str:
        """What holds until it changes."""
        path: list[Point] = []
        for second, figure in points:
            if path:
                path.append((self.x(second), path[-1][1]))
            path.append((self.x(second), self.y(figure)))
        return line(path, f"curve {kind}")

    def bars(self, figures: dict[int, int], kind: str, above: dict[int, int] | None = None) -> str:
        """One bar for each second, above another one."""
        each, above = self.width / self.until, above or {}
        path = " ".join(
            f"M{self.x(second):.1f},{self.y(above.get(second, 0)):.1f}h{each:.2f}"
            f"V{self.y(above.get(second, 0) + figure):.1f}h-{each:.2f}z"
            for second, figure in sorted(figures.items())
            if second < self.until
        )
        return f'<path class="{kind}" d="{path}"/>'

    def dots(self, calls: Iterable[Call], kind: str, radius: float = 2.6) -> list[str]:
        """A dot for each call, as high as it took long."""
        return [
            f'<circle class="{kind}" cx="{self.x(call.start):.1f}" cy="{self.y(call.took):.1f}" r="{radius}"/>'
            for call in calls
        ]

    def ticks(self, seconds: Iterable[float], kind: str) -> str:
        """A stroke for each of these times, over the whole height."""
        path = " ".join(f"M{self.x(second):.1f},{self.bottom:.1f}v-{self.height:.1f}" for second in seconds)
        return f'<path class="mark {kind}" d="{path}"/>'


def of_kind(calls: Iterable[Call], *kinds: str) -> list[Call]:
    """Those of which that became."""
    return [call for call in calls if call.kind in kinds]


def each_second(calls: Iterable[Call]) -> dict[int, int]:
    """How many began in each second."""
    return dict(Counter(int(call.start) for call in calls))


def mailbox(left: float, words: str, trace: Outage) -> list[str]:
    """What became of one mailbox in an outage."""
    until = 120.0
    ok, bad, states = (Chart(left, top, 14, until, 1) for top in (46, 66, 92))
    depth, used = Chart(left, 134, 80, until, 120), Chart(left, 246, 60, until, 20)
    shapes = [head(left, words)]
    for row in (ok, bad, depth, used):
        shapes += [row.spell(20, 30, "slow"), row.spell(30, 80, "down")]
    shapes += [ok.ticks([call.start for call in of_kind(trace.calls, "ok")], "ok")]
    shapes += [bad.ticks([call.start for call in of_kind(trace.calls, "failed")], "bad")]
    shapes += [ok.name("ok"), bad.name("failed")]
    if len(trace.states) > 1:
        ends = [start for start, _ in trace.states[1:]] + [until]
        for (start, state), end in zip(trace.states, ends, strict=True):
            shapes.append(states.spell(start, end, state.split("-")[0]))
        shapes.append(states.name("circuit"))
    shapes += [*depth.frame((0, 50, 100), "messages that wait"), depth.steps(trace.depth, "ok")]
    shapes += [*used.frame((0, 10, 20), "attempts used up"), used.steps(trace.used, "bad"), *used.seconds(20)]
    failed = len(of_kind(trace.calls, "failed"))
    used_up, lost = f"{trace.used[-1][1]:.0f} attempts used up", f"{trace.lost or 'none'} in quarantine"
    return [*shapes, below(left, 364, f"{failed} calls failed, {used_up}, {lost}")]


def breaker() -> str:
    """A mailbox that pauses, and one that does not."""
    shapes = [
        *mailbox(LEFT, "without a breaker", traces.outage()),
        *mailbox(RIGHT, "with one", traces.outage(traces.SMTP)),
        legend(390, "yellow: slow; red: failing. The circuit: green closed, red open, yellow half-open"),
    ]
    return drawing(406, "A durable mailbox during an outage of 50 s, without and with a circuit breaker", shapes)


def rate_limit() -> str:
    """Bursts, and what a limit makes of them."""
    shapes: list[str] = []
    for left, words, policies in ((LEFT, "without a limit", ()), (RIGHT, "5 calls a second", (traces.GEOCODER,))):
        calls, waiting = traces.bursts(*policies)
        chart, line_up = Chart(left, 60, 100, 20, 40), Chart(left, 196, 50, 20, 40)
        shapes += [head(left, words), *chart.frame((0, 5, 20, 40), "calls in each second")]
        shapes += [chart.bars(each_second(calls), "fill-ok")]
        shapes += [
            *line_up.frame((0, 20, 40), "messages that wait"),
            line_up.steps(waiting, "late"),
            *line_up.seconds(5),
        ]
    return drawing(292, "Two bursts of 40 and 30 messages, without and with a rate limit of 5 a second", shapes)


def bulkhead() -> str:
    """Two dependencies, one of which hangs."""
    shapes: list[str] = []
    for left, words, policies in ((LEFT, "without a bulkhead", ()), (RIGHT, "running=4, waiting=0", (traces.REPORTS,))):
        trace = traces.hanging(*policies)
        running, prices, refused = (
            Chart(left, 60, 70, 40, 10),
            Chart(left, 200, 80, 40, 10),
            Chart(left, 150, 12, 40, 1),
        )
        shapes += [head(left, words)]
        shapes += [chart.spell(10, 20, "slow") for chart in (running, prices)]
        shapes += [*running.frame((0, 4, 10), "reports that run, of 10 workers"), running.steps(trace.running, "late")]
        if policies:
            shapes += [refused.ticks(trace.refused, "bad"), refused.name("refused")]
        shapes += [*prices.frame((0, 5, 10), "seconds until a price is answered")]
        shapes += [*prices.dots(trace.prices, "fill-ok"), *prices.seconds(10)]
    shapes.append(legend(336, "yellow: a report takes 8 s and not 0.3 s"))
    return drawing(352, "One of two dependencies hangs for 10 s, without and with a bulkhead around it", shapes)


def timeout() -> str:
    """Calls that hang, and are cut off or not."""
    shapes: list[str] = []
    for top, words, policies in ((50, "without a time-out", ()), (126, "2 s for each attempt", (traces.QUOTES,))):
        calls = traces.hung(*policies)
        chart = Chart(62, top, 26, 40, 1, width=670)
        shapes += [text(62, top - 8, words, "small left"), line([(62, top + 26), (732, top + 26)], "axis")]
        for call in calls:
            kind = "fill-bad" if call.kind == "cut" else "fill-late" if call.took > 5 else "fill-ok"
            width = chart.x(call.start + call.took) - chart.x(call.start) - 0.8
            shapes.append(block(chart.x(call.start), top, width, 26, kind))
        end = max(call.start + call.took for call in calls)
        done = sum(call.kind == "ok" for call in calls)
        shapes.append(text(732, top - 8, f"{done} of 16 messages are done after {end:.0f} s", "small right"))
        if policies:
            shapes += chart.seconds(5)
    shapes.insert(0, text(397, 24, "the calls of one actor, one after the other", "head"))
    shapes.append(legend(212, "blue: an answer; yellow: one after 10 s; red: cut off, and tried again 3 s later"))
    return drawing(226, "Each sixth call hangs for 10 s, without and with a time-out of 2 s", shapes)


def retry_budget() -> str:
    """A brown-out, and the retries that come of it."""
    shapes: list[str] = []
    for left, words, policies in ((LEFT, "without a budget", ()), (RIGHT, "ratio=0.1, per_second=3", (traces.BUDGET,))):
        calls, lost = traces.brown_out(*policies)
        chart = Chart(left, 60, 130, 120, 40)
        first, again = (each_second(of_kind(calls, kind)) for kind in ("first", "again"))
        shapes += [head(left, words), chart.spell(20, 50, "down")]
        shapes += [*chart.frame((0, 10, 20, 30, 40), "calls in each second"), chart.bars(first, "fill-ok")]
        shapes += [chart.bars(again, "fill-late", first), *chart.seconds(20)]
        retries = f"{sum(again.values())} retries, {max(again.values())} at most in a second, {lost} in quarantine"
        shapes.append(below(left, 248, retries))
    shapes.append(legend(272, "red: three of four calls fail; blue: first attempts; yellow: retries"))
    return drawing(288, "Ten messages a second, and a brown-out of 30 s, without and with a retry budget", shapes)


def hedge() -> str:
    """Slow answers, and those of the call beside them."""
    left, top, width, height = 90.0, 60.0, 620.0, 180.0
    chart = Chart(left, top, height, 3.0, 1.2, width)
    shapes = [text(400, 28, "seconds until the answer, at each percentile", "head")]
    shapes += chart.frame((0, 0.3, 0.6, 0.9, 1.2), "seconds")
    for share, word in ((0.0, "0"), (0.5, "50"), (0.9, "90"), (0.95, "95"), (0.99, "99"), (0.999, "99.9")):
        shapes.append(text(chart.x(-math.log10(1 - share)), chart.bottom + 16, word, "tick"))
    shapes.append(text(left + width / 2, chart.bottom + 33, "percent of the answers are there", "small"))
    for y, kind, words, policies in (
        (84, "bad", "without a hedge", ()),
        (128, "ok", "after=0.08, a second call after 80 ms", (traces.HEDGE,)),
    ):
        times, calls = traces.answers(*policies)
        points = {round(-math.log10(1 - place / len(times)), 2): took for place, took in enumerate(times)}
        shown = [(chart.x(share), chart.y(took)) for share, took in points.items() if share <= chart.until]
        shapes += [line(shown, f"curve {kind}"), line([(104, y - 4), (130, y - 4)], f"curve {kind}")]
        shapes += [text(138, y, f"{words}:", "small left"), text(138, y + 16, f"{calls:,} calls", "small left")]
    return drawing(
        290, "The time of 5,000 answers by percentile, two in a hundred slow, without and with a hedge", shapes
    )


def fallback() -> str:
    """What is shown while the dependency is away."""
    shapes: list[str] = []
    for left, words, policy in ((LEFT, "breaker alone", None), (RIGHT, "fallback around the breaker", traces.PRICES)):
        calls = traces.shown(policy)
        chart = Chart(left, 60, 90, 60, 1.2)
        shapes += [head(left, words), chart.spell(10, 40, "down")]
        shapes += chart.frame((0, 0.2, 1.0), "seconds until the answer")
        for kind, look in (("ok", "fill-ok"), ("degraded", "fill-late"), ("failed", "fill-bad")):
            shapes += chart.dots(of_kind(calls, kind), look)
        counts = Counter(call.kind for call in calls)
        named = {"ok": "fresh", "degraded": "degraded", "failed": "errors"}
        counted = ", ".join(f"{counts[kind]} {name}" for kind, name in named.items() if counts[kind])
        shapes += [*chart.seconds(10), below(left, 208, counted)]
    shapes.append(
        legend(232, "ground: the shop fails after 1 s. Blue: a fresh price; yellow: one in its place; red: an error")
    )
    return drawing(248, "Prices shown while the shop is away, without and with a fallback", shapes)


def chaos() -> str:
    """One seed twice, and another one."""
    shapes = [text(397, 26, "sixty calls under chaos: seconds that each took", "head")]
    for top, words, seed in ((56, "seed 1", 1), (116, "seed 1", 1), (176, "seed 2", 2)):
        calls = traces.struck(seed)
        chart = Chart(82, top, 40, 180, 2.5, width=650)
        shapes += [text(16, top + 26, words, "left"), *chart.frame((0, 2), "")]
        for call in calls:
            kind = {"ok": "pale", "latency": "fill-ok", "fault": "fill-bad", "outcome": "fill-late"}[call.kind]
            high = max(chart.bottom - chart.y(call.took), 4)
            shapes.append(block(chart.x(call.start + 0.6), chart.bottom - high, 6, high, kind))
    shapes += chart.seconds(30)
    shapes.append(
        legend(268, "pale: as ever; blue: late; red: fault, nothing was called; yellow: called, and then an error")
    )
    return drawing(284, "Sixty calls under chaos, twice with the same seed and once with another one", shapes)


def main() -> None:
    """Write all of them, or compare them."""
    parser = argparse.ArgumentParser(description="Write the traces of docs/resilience.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture is not up to date")
    check: bool = parser.parse_args().check
    makers = (breaker, rate_limit, bulkhead, timeout, retry_budget, hedge, fallback, chaos)
    pictures = {IMAGES / f"{maker.__name__}.svg": maker() for maker in makers}
    stale = [path for path, drawn in pictures.items() if not path.is_file() or path.read_text("utf-8") != drawn]
    if check and stale:
        names = ", ".join(path.name for path in stale)
        sys.exit(f"expected docs/img to be what docs/make_traces.py records; run it. Not up to date: {names}")
    for path in [] if check else stale:
        path.write_text(pictures[path], "utf-8")


if __name__ == "__main__":
    main()
