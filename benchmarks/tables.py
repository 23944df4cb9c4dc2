"""The report of all benchmarks, from their results: tables as Markdown, the same as JSON, a picture for each question.

`make bench` writes it into `results/`; by itself: `python benchmarks/tables.py`.
"""

import json
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from report import RESULTS, shown

Result = Mapping[str, Any]
WIDTH, LEFT, RIGHT, BAR, GAP = 860, 250, 190, 18, 8
STYLE = """
  text { font: 13px "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1f2933 } .head { font-weight: bold }
  .right { text-anchor: end } .paper { fill: #ffffff } .bar { fill: #9fb3c8 } .ours { fill: #2f80c3 }
  .spread { stroke: #3e4c59; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .paper { fill: #161b22 } .bar { fill: #52606d } .ours { fill: #4098d7 }
    .spread { stroke: #cbd2d9 }
  }
"""


def main() -> None:
    """Write `README.md`, `results.json` and the pictures beside the results."""
    found = {path.stem.removeprefix("bench_"): read(path) for path in sorted(RESULTS.glob("bench_*.json"))}
    if not found:
        print("no results yet: run a benchmark first, such as `python benchmarks/bench_tell.py`")
        return
    for name, result in found.items():
        (RESULTS / f"{name}.svg").write_text(picture(result), "utf-8")
    (RESULTS / "README.md").write_text(page(found), "utf-8")
    (RESULTS / "results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"{RESULTS / 'README.md'}: {len(found)} questions")


def read(path: Path) -> Result:
    """One result."""
    result: Result = json.loads(path.read_text("utf-8"))
    return result


def page(found: Mapping[str, Result]) -> str:
    """All of it in Markdown: the goals first, then each question."""
    lines = ["# Results", "", next(iter(found.values()))["machine"], "", *goals(found)]
    for name, result in found.items():
        question: str = result["question"]
        lines += ["", f"## {question}", "", f"![{escape(question)}]({name}.svg)", "", *table(result)]
        for who, why in {**result["left_out"], **result["failed"]}.items():
            lines += ["", f"{who}: {first_line(why)}"]
    return "\n".join(lines) + "\n"


def goals(found: Mapping[str, Result]) -> list[str]:
    """A table of all goals, met and missed."""
    rows = ["| question | goal | reached | |", "| --- | --- | ---: | --- |"]
    for name, result in found.items():
        for goal in result["goals"]:
            reached = "–" if goal["reached"] is None else shown(goal["reached"])
            rows.append(f"| {name} | {goal['goal']} | {reached} | {goal['verdict']} |")
    return rows


def table(result: Result) -> list[str]:
    """One question: a row for each contender, medians with the least and the most of the figure compared."""
    figure: str = result["figure"]
    others = list(dict.fromkeys(key for row in result["rows"].values() for key in row if key != figure))
    rows = [f"| | {figure} | least … most | ours × | {' | '.join(others)} |".replace("|  |", "|")]
    rows.append(f"| --- | ---: | --- | ---: |{' ---: |' * len(others)}")
    for name, row in result["rows"].items():
        main, ratio = row[figure], result["ours_to_theirs"].get(name)
        compared = "" if ratio is None else f"{ratio:.2f}"
        cells = [shown(row[key]["median"]) if key in row else "" for key in others]
        spread = f"{shown(main['least'])} … {shown(main['most'])}"
        rows.append(f"| {' | '.join([name, shown(main['median']), spread, compared, *cells])} |")
    return rows


def picture(result: Result) -> str:
    """Bars of the figure compared, ours in colour, with the spread over the rounds as a line."""
    figure: str = result["figure"]
    rows: list[tuple[str, Mapping[str, float]]] = [(name, row[figure]) for name, row in result["rows"].items()]
    longest = max((row["most"] for _, row in rows), default=1.0) or 1.0
    height = 46 + len(rows) * (BAR + GAP)
    better = "more is better" if figure.endswith("per_s") else "less is better"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
            f"<title>{escape(result['question'])}</title><style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
            f'<text class="head" x="12" y="24">{escape(result["question"])} ({escape(figure)}; {better})</text>',
            *bars(rows, longest, result["ours"]),
            "</svg>\n",
        )
    )


def bars(rows: Iterable[tuple[str, Mapping[str, float]]], longest: float, ours: str | None) -> Iterable[str]:
    """A line of the picture for each contender."""
    room = WIDTH - LEFT - RIGHT
    for place, (name, row) in enumerate(rows):
        y = 40 + place * (BAR + GAP)
        long, least, most = (LEFT + room * row[key] / longest for key in ("median", "least", "most"))
        kind = "ours" if ours is not None and name.startswith(ours) else "bar"
        middle = y + BAR / 2
        yield f'<text class="right" x="{LEFT - 8}" y="{y + 14}">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{max(long - LEFT, 1):.1f}" height="{BAR}" rx="2"/>'
        yield f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{middle}" y2="{middle}"/>'
        yield f'<text x="{max(long, most) + 8:.1f}" y="{y + 14}">{shown(row["median"])}</text>'


def first_line(text: str) -> str:
    """The first line of a reason."""
    return text.strip().splitlines()[0] if text.strip() else "no reason was given"


if __name__ == "__main__":
    main()
