"""How a worker process tells its parent how it does, beside its signs of life: a line of JSON in the same datagrams.

`X_UPRIGHT_HEALTH={"ready":false,"checks":[{"name":"store","status":"failed","why":"…"}]}`; managers of other kinds pass
over what they do not know.
"""

import time
from collections.abc import Sequence

import msgspec

from .health import Check, HealthReport
from .notify import Notifier
from .plain_json import as_json
from .watch import Health

KEY = "X_UPRIGHT_HEALTH"
EVERY = 2.0
"""Seconds after which it is told again, though nothing has changed: a datagram may be lost."""
MOST = 10
"""Checks that are told of one worker."""
LONGEST = 200
"""Characters that are told of why something is not well."""


class WorkerHealth(msgspec.Struct, frozen=True):
    """What a worker says of itself. `ready`: whether it should be given work. `checks`: what is not well."""

    ready: bool
    checks: tuple[Check, ...] = ()

    @property
    def why(self) -> str:
        """What is not well, in one line."""
        return "; ".join(f"{check.name}: {check.why}" for check in self.checks)


def summed_up(ready: HealthReport, report: HealthReport) -> WorkerHealth:
    """Of these two reports as much as a datagram has room for: what makes it not ready comes first."""
    first: Sequence[Check] = [check for check in ready.checks if check.status != "ok"]
    more = [check for check in report.checks if check.status != "ok" and check not in first]
    return WorkerHealth(ready.ok, tuple(map(_short, [*first, *more][:MOST])))


def line_of(said: WorkerHealth) -> str:
    """The line in which that is told."""
    return f"{KEY}={as_json(said).decode()}"


def read_line(line: str) -> WorkerHealth | None:
    """What was told in that line; None if it is another one, or none that can be read."""
    key, _, text = line.partition("=")
    if key != KEY:
        return None
    try:
        return msgspec.json.decode(text, type=WorkerHealth)
    except msgspec.MsgspecError:
        return None


class HealthNotes:
    """Tells how `health` does: at the beat at which it changes, and every few seconds. From `start` to `stop`."""

    def __init__(self, health: Health, notifier: Notifier) -> None:
        self._health, self._notifier = health, notifier
        self._told: WorkerHealth | None = None
        self._at = 0.0

    def start(self) -> None:
        """Tell from the next beat on."""
        self._health.beaten.append(self._beat)

    def stop(self) -> None:
        """Tell no more."""
        self._health.beaten.remove(self._beat)

    def _beat(self) -> None:
        if not self._health.started:  # that it is not ready while it starts is known
            return
        said, now = summed_up(self._health.ready(), self._health.report()), time.monotonic()
        if (said != self._told or now - self._at >= EVERY) and self._notifier.tell(line_of(said)):
            self._told, self._at = said, now


def _short(check: Check) -> Check:
    why = check.why.partition("\n")[0]
    return Check(check.name[:LONGEST], check.status, f"{why[: LONGEST - 1]}…" if len(why) > LONGEST else why)
