"""`upright run`: a tree as a service."""

from typing import cast

import click

from upright.operations.launch import Launch, LogFormat, LoopKind, launch

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command()
@click.argument("tree", metavar="MODULE:TREE")
@click.option("--store", metavar="STORE", envvar="UPRIGHT_STORE", help="jobs.db, sqlite:jobs.db or memory:.")
@click.option(
    "--workers", type=click.IntRange(1, 1_000), envvar="UPRIGHT_WORKERS", metavar="N",
    help="So many processes on one store, below a parent that restarts them. Without it, this process alone.",
)  # fmt: skip
@click.option(
    "--health", metavar="[HOST]:PORT", envvar="UPRIGHT_HEALTH",
    help="Answer /startupz, /livez, /readyz, /healthz and /metrics there; 8080 on this machine alone, :8080 for all.",
)  # fmt: skip
@click.option(
    "--admin", metavar="PATH", envvar="UPRIGHT_ADMIN", default="upright.sock", show_default=True,
    help="The socket at which the other commands find it; an empty one for none.",
)  # fmt: skip
@click.option(
    "--drain", type=click.FloatRange(0.0, 86_400.0), default=25.0, show_default=True, metavar="SECONDS",
    help="In which it ends after SIGTERM. A second signal cancels what runs; a third ends it at once.",
)  # fmt: skip
@click.option(
    "--high-water", type=click.IntRange(1), metavar="N", help="Not ready while so many messages or more wait."
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
@click.option("--log-format", type=click.Choice(("auto", "json", "text")), default="auto", show_default=True)
@click.option("--loop", type=click.Choice(("asyncio", "uvloop")), default="asyncio", show_default=True)
def run(
    tree: str, store: str | None, workers: int | None, health: str | None, admin: str, drain: float,
    high_water: int | None, log_level: str, log_format: str, loop: str,
) -> None:  # fmt: skip
    """Run a tree as a service: MODULE:TREE names it, or a function that makes it.

    Exits with 0 after a drain, 1 if the tree gave up or did not come up, 2 if it cannot run as it was called.
    """
    wanted = Launch(
        tree, store, workers, health, admin, drain, high_water, log_level,
        cast("LogFormat", log_format), cast("LoopKind", loop),
    )  # fmt: skip
    raise SystemExit(launch(wanted))
