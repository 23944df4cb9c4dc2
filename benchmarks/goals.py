"""All goals and what became of them in the last run of each benchmark, as one table: run it after `make bench`."""

import json

from report import RESULTS, shown


def main() -> None:
    rows = [("benchmark", "goal", "reached", "")]
    for path in sorted(RESULTS.glob("bench_*.json")):
        for goal in json.loads(path.read_text())["goals"]:
            reached = "-" if goal["reached"] is None else shown(goal["reached"])
            rows.append((path.stem.removeprefix("bench_"), goal["goal"], reached, goal["verdict"]))
    if len(rows) == 1:
        print("no results yet: run a benchmark first, such as `python benchmarks/bench_tell.py`")
        return
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    for name, goal, reached, verdict in rows:
        print(f"{name:{first}}  {goal:{second}}  {reached:>{third}}  {verdict}".rstrip())


if __name__ == "__main__":
    main()
