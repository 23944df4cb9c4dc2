"""The service that all files of this folder run: `upright run app:tree`.

It takes jobs from a durable mailbox and lets each take as long as it says, so that you can watch a drain: send a job of
ten seconds, stop the service, and see that it waits. A job that says `fail` is tried three times and quarantined.

    upright run app:tree --store jobs.db --health :8080
    upright send /service/jobs do name=first seconds=10
"""

import asyncio

from upright.actors import Actor, Refuse
from upright.persistence import Durable, Retry
from upright.supervision import child, supervisor


class Jobs(Actor):
    """Does one job after the other; what it has accepted survives the end of the process."""

    mailbox = Durable("jobs", retry=Retry(max_attempts=3, base=1.0))

    async def do(self, name: str, seconds: float = 0.0, fail: bool = False) -> str:
        """A job that takes so many seconds; its reply is its name."""
        if not 0.0 <= seconds <= 3_600.0:
            raise Refuse(f"expected seconds to be from 0 to 3600, got {seconds:g}")
        await asyncio.sleep(seconds)
        if fail:
            raise RuntimeError(f"{name} was told to fail")
        return name


tree = supervisor("service", child("jobs", Jobs))
