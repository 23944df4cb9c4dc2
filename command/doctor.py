"""`upright doctor`: is everything as it should be, and if not, what to do. The checks are in `upright.operations`."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from upright.actors.errors import ActorError
from upright.operations.doctor import Finding, examine, examine_store, of_health

from .options import ADMIN, JSON, STORE
from .page import Page, state
from .target import Live, file_of, socket_of
from .words import clean


@click.command()
@ADMIN
@STORE
@JSON
def doctor(admin: str | None, store: str | None, as_json: bool) -> None:
    """Examine this machine, and the store or the service that is named; both may be.

    Exit status 1 if anything fails.
    """
    page = Page(as_json)
    path = file_of(store).path if store else None
    if store is None:
        admin = socket_of(admin)
    findings = list[Finding]()
    for finding in found(path, admin):
        findings.append(finding)
        if not as_json:
            told(finding, page)
    if as_json:
        page.document({"findings": msgspec.to_builtins(findings)})
    if any(one.verdict == "fail" for one in findings):
        raise click.exceptions.Exit(1)


def found(path: Path | None, admin: str | None) -> Iterator[Finding]:
    """All findings, and what the service says."""
    for finding in examine(path, Path(admin) if admin else None):
        yield finding
        if finding.name == "service" and finding.verdict == "ok" and admin:
            try:
                yield from of_health(Live(admin).call("health")["health"])
                file = Live(admin).call("ps")["process"].get("store") if path is None else None
                yield from examine_store(Path(file)) if file else ()
            except ActorError as error:
                yield Finding("health", "fail", str(error), "see its logs")
    if path is None and admin is None:
        advice = "name a store by --store, or a service by --admin"
        yield Finding("service", "warn", "neither a service nor a store was looked at", advice)


def told(finding: Finding, page: Page) -> None:
    """Print a finding, and what to do."""
    page.line(state(finding.verdict.ljust(4)), f"{finding.name}: {clean(finding.found)}")
    if finding.advice:
        page.line(f"     {finding.advice}")
