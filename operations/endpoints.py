"""The health endpoints, as one function of the path: what any server, whatever it is, answers.

`/startupz`, `/livez` and `/readyz` are for probes: 200 or 503. `/healthz` says all that is known. `?verbose` adds the
checks to each. `/metrics` is for Prometheus.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from .health import HealthReport
from .plain_json import as_json

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
PATHS = ("/startupz", "/livez", "/readyz", "/healthz", "/metrics")


class Answer(NamedTuple):
    """What is sent back: an HTTP status, the type of the body, and the body."""

    status: int
    kind: str
    body: bytes


class Probed(Protocol):
    """Whose health is asked for."""

    def startup(self) -> HealthReport: ...
    def live(self) -> HealthReport: ...
    def ready(self) -> HealthReport: ...
    def report(self) -> HealthReport: ...


Metrics = Callable[[], tuple[str, bytes]]
"""The metrics as they are now: the type of the text, and the text."""


def answer(health: Probed, path: str, query: str, metrics: Metrics | None = None) -> Answer:
    """What to answer to a GET of that path; wherever it is mounted, only its last part counts."""
    reports = {"startupz": health.startup, "livez": health.live, "readyz": health.ready, "healthz": health.report}
    name = path.rstrip("/").rpartition("/")[2]
    if name == "metrics":
        if metrics is None:
            return Answer(404, TEXT, b'no metrics are collected here; pip install "upright[metrics]" gives them\n')
        kind, body = metrics()
        return Answer(200, kind, body)
    if name not in reports:
        return Answer(404, TEXT, f"expected one of {', '.join(PATHS)}\n".encode())
    report = reports[name]()
    status = 200 if report.ok else 503
    if name == "healthz" or asks_for_more(query):
        return Answer(status, JSON, msgspec.json.format(as_json(report.plain())) + b"\n")
    why = f": {report.why.splitlines()[0]}" if report.why else ""
    return Answer(status, TEXT, f"{report.status}{why}\n".encode("utf-8", "backslashreplace"))


def asks_for_more(query: str) -> bool:
    """Whether `verbose` is among the parameters, and is not switched off.

    >>> [asks_for_more(query) for query in ("verbose", "a=1&verbose=1", "verbose=0", "verbosely", "")]
    [True, True, False, False, False]
    """
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if name == "verbose":
            return value.lower() not in ("0", "false", "no")
    return False
