"""`upright demo`: the command, its options, and its exit status.

What it runs is imported when it is wanted: the command line knows it by name without the libraries that it needs.
"""

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import click

from .setting import Setting

WRONG, USAGE = 1, 2
EXTRA = 'this needs more than the command line: pip install "upright[demo]" (there is no module {})'
OF_THE_EXTRA = ("aiohttp",)


def chosen(keep: str | None) -> Path:
    """The folder of a run: a new one, or the one that was asked for, if nothing of another run is in it."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="upright-demo-"))
    folder = Path(keep)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = next(iter(folder.iterdir()), None)
    except OSError as error:
        raise click.BadParameter(f"expected a folder that can be made: {error}", param_hint="--keep") from error
    if taken is not None:
        raise click.BadParameter(f"expected {folder} to be empty, it has {taken.name}", param_hint="--keep")
    return folder


def check_port(port: int) -> None:
    """Raise `click.BadParameter` if somebody listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as door:
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", port))
        except OSError as error:
            why = f"expected port {port} to be free: {error.strerror}"
            raise click.BadParameter(why, param_hint="--port") from error


@click.command()
@click.option("--orders", metavar="FILE|-", help="Orders as JSON lines; - is standard input. Without it: the sample.")
@click.option("--chaos", is_flag=True, help="Kill the worker with SIGKILL every few seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print nothing but the audit, as JSON.")
@click.option("--keep", metavar="DIR", help="Leave all files in this folder, which must be empty or not there.")
@click.option("--seed", type=int, default=Setting().seed, show_default=True, help="Of the sample and of the kills.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of POST /orders; 0 is any free one.")
@click.option("--rate", type=click.FloatRange(0), default=Setting().rate, show_default=True,
              help="Orders a second, for the first thousand; 0 is as fast as it can.")  # fmt: skip
@click.option("--trouble", type=click.Choice(["full", "short", "none"]), default="full", show_default=True,
              help="How much trouble the services have.")  # fmt: skip
def demo(
    orders: str | None, chaos: bool, as_json: bool, keep: str | None, seed: int, port: int, rate: float, trouble: str
) -> None:
    """Process orders through four services that have trouble, and prove that each was treated right.

    Exit status: 0 if the audit is right, 1 if not, 2 for wrong usage, 130 after Ctrl-C.
    """
    setting = Setting(orders, chaos, seed, port=port, rate=rate, trouble=trouble)  # type: ignore[arg-type]
    if setting.path is not None and (setting.path.is_dir() or not os.access(setting.path, os.R_OK)):
        raise click.BadParameter(f"expected a file that can be read, got {orders}", param_hint="--orders")
    if port:
        check_port(port)
    try:
        from .show import played
    except ModuleNotFoundError as error:
        if error.name not in OF_THE_EXTRA:
            raise
        click.echo(f"upright demo: {EXTRA.format(error.name)}", err=True)
        sys.exit(USAGE)
    folder = chosen(keep)
    status, is_right = WRONG, False
    try:
        status, is_right = played(setting, folder, as_json)
    finally:
        if not is_right:
            click.echo(f"upright demo: all files of this run are in {folder}", err=True)
        elif keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)
