"""The command line as a whole: its commands, what they end with, and what is said of errors.

Everything that a command may raise ends here, as a line on standard error and an exit status; no traceback is shown for
what the user, or the state of the world, is the cause of.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import click

from upright.actors.errors import ActorError
from upright.operations.errors import Unreachable, Wrong
from upright.persistence.errors import StoreCorrupt, StoreTooNew, StoreUnavailable

from .commands import Commands
from .demo.command import demo
from .dlq import dlq
from .doctor import doctor
from .health import health
from .machine import machine
from .ps import ps
from .run import run
from .send import send
from .story import story
from .streams import quiet_end, tell
from .tree import tree
from .words import clean

DONE, NOT_SO, WRONG, NOBODY, INTERRUPTED = 0, 1, 2, 3, 130
COMPLETING = "_UPRIGHT_COMPLETE"
COMMANDS = (run, demo, tree, ps, send, dlq, story, machine, health, doctor)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("upright"), prog_name="upright")
def app() -> None:
    """Actors that stay up: run them, look at them, and mend what could not be handled.

    Exit status: 0 done, 1 it is not so, 2 wrong usage, 3 no service and no store could be reached, 130 after Ctrl-C.
    """


for command in COMMANDS:
    app.add_command(command)


def command_line(given: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    ended = DONE  # where whoever reads has gone before the end
    with quiet_end(sys.stdout):
        ended = ending(given)
    return ended


def ending(given: Sequence[str]) -> int:
    """Run a command, and say what went wrong; returns the exit status."""
    try:
        if COMPLETING in os.environ:  # a shell asks how a line may go on
            app.main(prog_name="upright")
        # Not `main`: it makes an error of whoever stops reading.
        with app.make_context("upright", list(given)) as context:
            app.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or DONE
        tell(str(end.code))  # what the interpreter does with it
        return NOT_SO
    except click.ClickException as error:
        with contextlib.suppress(OSError):  # nobody reads it
            error.show()
        return error.exit_code
    except Wrong as error:
        return say(error, WRONG)
    except (Unreachable, StoreUnavailable, StoreCorrupt, StoreTooNew) as error:
        return say(error, NOBODY)
    except ActorError as error:
        return say(error, NOT_SO)
    except (click.Abort, KeyboardInterrupt):
        if sys.stderr.isatty():
            click.echo(err=True)  # the terminal has shown ^C
        return INTERRUPTED
    return DONE


def say(error: Exception, status: int) -> int:
    """Tell of an error; returns the exit status."""
    tell(f"upright: {clean(error)}")
    return status
