"""Errors that are not an actor's to judge."""

import asyncio

FATAL = (KeyboardInterrupt, SystemExit)
"""They end the loop itself."""


def is_fatal(error: BaseException, carrier: object) -> bool:
    """Whether an error that left the code of an actor is not the actor's to judge.

    A `GeneratorExit` is one where it came from outside, because the code was closed where it waited: the `carrier`
    stays with it then, or no loop runs any more. One that the code raised itself is an error like any other.
    """
    if isinstance(error, GeneratorExit):
        return carrier is not None or asyncio._get_running_loop() is None
    return isinstance(error, FATAL)
