"""How a service does, as values: the checks, and what each probe makes of them. Nothing here waits or looks around.

What each probe asks, and what it must not ask, is what keeps an orchestrator from making an outage worse: a process is
restarted only for what a restart can heal. No remote system is ever asked.
"""

from typing import Any, Literal

import msgspec

Status = Literal["ok", "degraded", "failed"]
Probe = Literal["startup", "live", "ready"]
PROBES: tuple[Probe, ...] = ("startup", "live", "ready")


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at: its `name`, how it does, and `why` if it is not well."""

    name: str
    status: Status = "ok"
    why: str = ""


class HealthReport(msgspec.Struct, frozen=True):
    """What a probe says. `ok`: whether it passes; a degraded service does. `checks`: what that rests on."""

    status: Status
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether the probe passes."""
        return self.status != "failed"

    @property
    def why(self) -> str:
        """What is not well, in one line; "" if all is."""
        return "; ".join(f"{check.name}: {check.why}" for check in self.checks if check.status != "ok")

    def plain(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {"ok": self.ok, "status": self.status, "checks": [msgspec.to_builtins(check) for check in self.checks]}


class Findings(msgspec.Struct, frozen=True):
    """What was found out about a service at one moment.

    `started`, `draining`: whether it was, and is. `gave_up`: why its tree did, "" if it did not. `silent_s`: for how
    long its event loop has not answered; `stack`: where it stands, if that is long. `store_s`: for how long the store
    has not answered, 0 if it did; `trouble`: why the last write failed. `depth`: messages that wait. `open_guards`:
    circuits that are not closed. `parked`: mailboxes that wait for an outage to end. `zombies`: actors that swallowed
    their cancellation.
    """

    started: bool = False
    draining: bool = False
    gave_up: str = ""
    silent_s: float = 0.0
    stack: str = ""
    store_s: float = 0.0
    trouble: str = ""
    depth: int = 0
    open_guards: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    zombies: int = 0
    more: tuple[Check, ...] = ()


class HealthLimits(msgspec.Struct, frozen=True):
    """From when on what was found counts.

    `silent`: seconds without an answer of the event loop, after which the process is taken for dead. `store`: seconds
    without an answer of the store, after which it is not ready; after `store_dead` it is taken for dead. `high_water`:
    messages that wait, from which on it is not ready for more; None for any number.
    """

    silent: float = 10.0
    store: float = 5.0
    store_dead: float = 60.0
    high_water: int | None = None


def judged(probe: Probe | None, found: Findings, limits: HealthLimits) -> HealthReport:
    """What a probe says of that; None for all that is known.

    | probe | fails when |
    | --- | --- |
    | startup | the tree is not up yet, or what fails `live` |
    | live | the tree gave up; the event loop, or the store, has not answered for long |
    | ready | not started; draining; the store does not take anything; too much waits; or what fails `live` |

    >>> judged("ready", Findings(started=True, draining=True), HealthLimits()).why
    'draining: it takes no new work'
    >>> judged("live", Findings(started=True, draining=True), HealthLimits()).ok
    True
    """
    checks = [_tree(found), _loop(found, limits), _store_lives(found, limits)]
    if probe in ("startup", "ready", None):
        checks.append(_started(found))
    if probe in ("ready", None):
        checks += [_draining(found), _store(found, limits), _backlog(found, limits), *found.more]
    if probe is None:
        checks += [_guards(found), _mailboxes(found), _zombies(found)]
    order: tuple[Status, ...] = ("ok", "degraded", "failed")
    worst = order[max(order.index(check.status) for check in checks)]
    return HealthReport(worst, tuple(checks))


def _tree(found: Findings) -> Check:
    return Check("tree", "failed", f"it gave up: {found.gave_up}") if found.gave_up else Check("tree")


def _loop(found: Findings, limits: HealthLimits) -> Check:
    if found.silent_s < limits.silent:
        return Check("loop")
    where = f"; it stands in\n{found.stack}" if found.stack else ""
    return Check("loop", "failed", f"it has not answered for {found.silent_s:.1f} s{where}")


def _store_lives(found: Findings, limits: HealthLimits) -> Check:
    if found.store_s < limits.store_dead:
        return Check("store process")
    return Check("store process", "failed", f"it has not answered for {found.store_s:.1f} s")


def _started(found: Findings) -> Check:
    return Check("started") if found.started else Check("started", "failed", "the tree is not up yet")


def _draining(found: Findings) -> Check:
    return Check("draining", "failed", "it takes no new work") if found.draining else Check("draining")


def _store(found: Findings, limits: HealthLimits) -> Check:
    if found.trouble:
        return Check("store", "failed", found.trouble)
    if found.store_s >= limits.store:
        return Check("store", "failed", f"it has not answered for {found.store_s:.1f} s")
    return Check("store")


def _backlog(found: Findings, limits: HealthLimits) -> Check:
    if limits.high_water is None or found.depth < limits.high_water:
        return Check("backlog")
    return Check("backlog", "failed", f"{found.depth} messages wait, of {limits.high_water} at most")


def _guards(found: Findings) -> Check:
    named = ", ".join(found.open_guards)
    return Check("guards", "degraded", f"not closed: {named}") if named else Check("guards")


def _mailboxes(found: Findings) -> Check:
    named = ", ".join(found.parked)
    return Check("mailboxes", "degraded", f"parked: {named}") if named else Check("mailboxes")


def _zombies(found: Findings) -> Check:
    if not found.zombies:
        return Check("zombies")
    return Check("zombies", "degraded", f"{found.zombies} swallowed their cancellation and were left behind")
