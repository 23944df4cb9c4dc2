"""The process that does the work: it opens the store, runs the tree, and reports how it goes.

    python -m upright.command.demo.worker --folder DIR

Any number of them may share one folder. It may be killed at any moment.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import msgspec

from upright.actors.events import Event
from upright.actors.system import ActorSystem
from upright.operations.events import ServiceStarted
from upright.operations.service import Service
from upright.persistence.events import MailboxOpened, MailboxParked, Quarantining
from upright.persistence.sqlite import Sqlite
from upright.supervision.events import BreakerClosed, BreakerHalfOpened, BreakerOpened

from .intake import shop
from .lifeline import left_alone, report
from .machine import BREAKERS
from .services import HttpServices

EVERY = 0.25
STORE, SOCKET = "orders.db", "upright.sock"
LONGEST_PATH = 100
DRAIN = 6.0


def tell(event: Event) -> None:
    """Report what somebody may want to know of."""
    match event:
        case BreakerOpened():
            report(event=f"circuit {event.breaker} opened for {event.wait_s:.1f} s: {event.why}")
        case BreakerHalfOpened():
            report(event=f"circuit {event.breaker} lets {event.permits} calls through to see")
        case BreakerClosed():
            report(event=f"circuit {event.breaker} closed after {event.open_s:.1f} s")
        case Quarantining():
            report(event=f"message {event.message} of {event.address} went to quarantine: {event.reason}")
        case ServiceStarted():
            report(up=event.pid)
        case MailboxParked():
            report(event=f"mailbox {event.address} parked for {event.pause_s:.1f} s")
        case MailboxOpened():
            report(event=f"mailbox {event.address} opened again")
        case _:
            pass


async def look(system: ActorSystem) -> None:
    """Report tree and circuits, again and again."""
    while True:
        if not system.running:
            await asyncio.sleep(EVERY)
            continue
        circuits = {name: str(breaker.on(system).state) for name, breaker in BREAKERS.items()}
        report(tree=msgspec.to_builtins(system.tree()), circuits=circuits)
        await asyncio.sleep(EVERY)


async def work(folder: Path) -> int:
    """Work on what the store holds until somebody says to end; the status to exit with."""
    async with aiohttp.ClientSession() as session:
        system = ActorSystem(shop(HttpServices(session, folder)), store=Sqlite(folder / STORE), log=None)
        system.subscribe(
            tell, BreakerOpened, BreakerHalfOpened, BreakerClosed, Quarantining, MailboxParked, MailboxOpened,
            ServiceStarted,
        )  # fmt: skip
        service = Service(system, drain=DRAIN, admin=admin_of(folder))
        serving = asyncio.create_task(service.run())
        beside = {asyncio.create_task(look(system)), asyncio.create_task(left_alone())}
        try:
            ended, _ = await asyncio.wait((serving, *beside), return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()
            service.begin_drain("nobody is there any more")
            return await serving
        finally:
            for one in beside:
                one.cancel()


def admin_of(folder: Path) -> Path | None:
    """Where `upright tree --admin …` finds it; None where the path is too long for a socket."""
    path = folder.absolute() / SOCKET
    return path if len(os.fsencode(path)) <= LONGEST_PATH else None


def main() -> None:
    """Run it as a program."""
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    sys.exit(asyncio.run(work(given.folder)))


if __name__ == "__main__":
    main()
