"""A service on which the orders depend: a real HTTP server in a process of its own, with its books and its trouble.

    python -m upright.command.demo.downstream payments --folder DIR --trouble full

It writes the port on which it listens to `DIR/payments.port`, and takes the same one again when it is started anew.
"""

import argparse
import asyncio
import contextlib
import random
import socket
from pathlib import Path

import msgspec
from aiohttp import web

from .ledger import Ledger
from .lifeline import report, told_to_end
from .trouble import SERVICES, Kind, Schedule, schedule_of, trouble_at

LATENCY = (0.002, 0.008)
SLOW = (0.2, 0.3)
HANGS = 3600.0
TICK = 0.05
VERBS = {
    "payments": ("charge", "refund"),
    "warehouse": ("reserve", "release"),
    "carrier": ("ship",),
    "mail": ("notify",),
}
"""What each service does: POST /charge, …"""


class Wanted(msgspec.Struct, frozen=True):
    """What a call asks for."""

    order_id: str
    cents: int = 0
    card: str = ""
    item: str = ""
    country: str = ""


def objection(verb: str, wanted: Wanted) -> tuple[int, str] | None:
    """Why the business says no to it: a status and a word; None if it does not."""
    if verb == "charge" and wanted.card.startswith("4000"):
        return 402, "card declined"
    if verb == "reserve" and wanted.item == "moon lamp":
        return 409, "sold out"
    if verb == "ship" and wanted.country == "AQ":
        return 422, "nobody drives there"
    return None


class Downstream:
    """One service. `schedule`: its trouble, counted from the first request on."""

    def __init__(self, name: str, folder: Path, schedule: Schedule) -> None:
        self.name = name
        self._folder, self._schedule = folder, schedule
        self._ledger = Ledger(folder / f"{name}.db")
        self._rng = random.Random(name)
        self._first: float | None = None
        self._hung = 0
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None
        self._port = 0

    async def start(self) -> None:
        """Listen, and write down where."""
        app = web.Application(client_max_size=1 << 16)
        app.router.add_post("/{verb}", self.call)
        app.router.add_get("/", self.look)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        place = self._folder / f"{self.name}.port"
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._port = int(place.read_text())
        await self._listen()
        written = place.with_suffix(".new")
        written.write_text(f"{self._port}\n")
        written.replace(place)

    async def stop(self) -> None:
        """Listen no more, and close the books."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._ledger.close()

    @property
    def trouble(self) -> Kind | None:
        """What ails it now."""
        elapsed = asyncio.get_running_loop().time() - self._first if self._first is not None else None
        return trouble_at(self._schedule, elapsed)

    async def watch(self) -> None:
        """Open and close the door as the schedule says, and report what changes."""
        told: object = None
        while True:
            trouble = self.trouble
            if trouble == "refusing" and self._site is not None:
                await self._site.stop()
                self._site = None
            elif trouble != "refusing" and self._site is None:
                await self._listen()
            now = (trouble, self._ledger.calls, self._ledger.effects)
            if now != told:
                told = now
                report(trouble=trouble, calls=now[1], effects=now[2])
            await asyncio.sleep(TICK)

    async def _listen(self) -> None:
        assert self._runner is not None, "it was started"
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", self._port))
            self._port = int(door.getsockname()[1])
            self._site = web.SockSite(self._runner, door)
            await self._site.start()
        except BaseException:
            door.close()
            raise

    async def look(self, _: web.Request) -> web.Response:
        """Who it is and how it does; for people."""
        return web.json_response(
            {
                "service": self.name,
                "trouble": self.trouble,
                "calls": self._ledger.calls,
                "effects": self._ledger.effects,
            }
        )

    async def call(self, request: web.Request) -> web.Response:
        """Do what is asked for, once for each key, unless there is trouble."""
        if self._first is None:
            self._first = asyncio.get_running_loop().time()
        verb, key = request.match_info["verb"], request.headers.get("Idempotency-Key", "")
        if verb not in VERBS[self.name]:
            return web.json_response({"error": f"expected one of {', '.join(VERBS[self.name])}"}, status=404)
        try:
            wanted = msgspec.json.decode(await request.read(), type=Wanted)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if not key:
            return web.json_response({"error": "expected an Idempotency-Key"}, status=400)
        trouble = self.trouble
        match trouble:
            case "refusing" | "failing" | "down":
                return self._turn_away(request, verb, wanted, trouble)
            case "hanging":
                await self._hang(verb, wanted, key)
            case _:
                await asyncio.sleep(self._rng.uniform(*(SLOW if trouble == "slow" else LATENCY)))
        no = objection(verb, wanted)
        if no is not None:
            self._ledger.note(verb, wanted.order_id, f"no: {no[1]}")
            return web.json_response({"error": no[1]}, status=no[0])
        try:
            number, _ = self._ledger.book(key, verb, wanted.order_id, wanted.cents)
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=409)
        if trouble == "failing after":
            return web.json_response({"error": "it broke after it was done"}, status=500)
        return web.json_response({"number": number})

    def _turn_away(self, request: web.Request, verb: str, wanted: Wanted, trouble: Kind) -> web.Response:
        self._ledger.note(verb, wanted.order_id, trouble)
        if trouble == "refusing" and request.transport is not None:  # it came by a connection from before
            request.transport.close()
        if trouble == "down":
            return web.json_response({"error": "down"}, status=503, headers={"Retry-After": "1"})
        return web.json_response({"error": "it broke before anything was done"}, status=500)

    async def _hang(self, verb: str, wanted: Wanted, key: str) -> None:
        self._hung += 1
        if self._hung % 2 and objection(verb, wanted) is None:
            self._ledger.book(key, verb, wanted.order_id, wanted.cents)
        else:
            self._ledger.note(verb, wanted.order_id, "hanging")
        await asyncio.sleep(HANGS)


async def serve(name: str, folder: Path, schedule: Schedule) -> None:
    """Be that service until somebody says to end."""
    service = Downstream(name, folder, schedule)
    watching: asyncio.Task[None] | None = None
    try:
        await service.start()
        watching = asyncio.create_task(service.watch())
        ending = asyncio.create_task(told_to_end())
        await asyncio.wait((watching, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if watching.done():
            watching.result()
    finally:
        if watching is not None:
            watching.cancel()
        await service.stop()


def main() -> None:
    """Run it as a program."""
    parser = argparse.ArgumentParser(prog="downstream")
    parser.add_argument("name", choices=SERVICES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--trouble", choices=("full", "short", "none"), default="full")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.name, given.folder, schedule_of(given.name, given.trouble)))


if __name__ == "__main__":
    main()
