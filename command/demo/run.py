"""A run of the demo, as a row of steps: services, store, reception, worker; feed and watch; stop; then the audit."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from upright.actors.actor import Actor
from upright.actors.message import DeadLetter
from upright.actors.system import ActorSystem
from upright.persistence.sqlite import Sqlite
from upright.supervision.backoff import Backoff
from upright.supervision.build import child, supervisor
from upright.supervision.spec import ChildSpec

from .chaos import Chaos
from .desk import ACCEPTED, AcceptedFile, Desk
from .feeder import Feeder, given_lines, read_lines
from .intake import PATH, Intake, Nobody, shop
from .process import Process
from .reception import Reception
from .sample import sample
from .scene import Scene
from .setting import Setting
from .trouble import SERVICES
from .watch import Watch
from .worker import STORE

COMES_UP = 30.0
"""Seconds that the services may take to listen."""
LEAVES = 5.0
"""Seconds in which the orders in hand are accepted when it is to end."""
BACKOFF = Backoff(0.2, 1.0, quiet=2.0)


class Unheard(Actor):
    """In the place of the dead-letter actor: the scene tells what happened."""

    async def letter(self, letter: DeadLetter) -> None:
        """Nobody is told."""


class Run:
    """One run in a folder. `system` has the processes, `shop` stores the orders and runs none of them."""

    def __init__(self, setting: Setting, folder: Path, scene: Scene) -> None:
        self.setting, self.folder, self.scene = setting, folder, scene
        self.system = ActorSystem(self.tree(), log=None, dead_letters=Unheard, blocked_after=None)

    def tree(self) -> ChildSpec[Any]:
        """The processes: they are restarted however often they die."""
        children = [self.process(name, "downstream", name, "--trouble", self.setting.trouble) for name in SERVICES]
        worker = self.process("worker", "worker").options(shutdown=12.0)
        services = supervisor("services", *children, max_restarts=1_000)
        return supervisor("demo", services, worker, max_restarts=100_000)

    def process(self, name: str, module: str, *words: str) -> ChildSpec[Any]:
        """A child that is a process: one of the rooms of this folder, run as a program."""
        argv = sys.executable, "-m", f"upright.command.demo.{module}", *words, "--folder", str(self.folder)
        heard, errors = self.scene.heard, self.folder / f"{name}.err"
        return child(name, Process, name, argv, heard, errors).options(backoff=BACKOFF, shutdown=10.0)

    async def play(self, over: asyncio.Event) -> bool:
        """All of it, until there is no more to do, or until `over`: then it ends in order. Whether it came to its end.

        Raises `OSError`, `StoreError`, `Stalled`.
        """
        async with contextlib.AsyncExitStack() as stack:
            desk = await self._open(stack)
            reception = Reception(desk, self.scene, self.setting.port)
            stack.push_async_callback(reception.stop)
            await reception.start()
            await stack.enter_async_context(self.system)
            await self._come_up()
            worker = self.system.ref("/demo/worker", Process)
            watch = Watch(self.folder / STORE, self.scene, self.setting.patience)
            feeder = Feeder(desk, self.scene, self.setting.rate)
            beside = [feeder.feed(self._source())]
            if self.setting.chaos:
                beside.append(Chaos(worker, self.scene, random.Random(self.setting.seed)).strike())
            came_to_end = await first_of(self._done(watch, reception), self._asked_to_end(over, feeder), *beside)
            self.scene.tell("all is done: the worker is asked to end" if came_to_end else "it is to end: draining")
            await reception.stop()
            return came_to_end

    async def _open(self, stack: contextlib.AsyncExitStack) -> Desk:
        accepted = AcceptedFile(self.folder / ACCEPTED)
        stack.callback(accepted.close)
        store = Sqlite(self.folder / STORE)
        producer = ActorSystem(shop(Nobody()), store=store, only=(), log=None, blocked_after=None)
        await stack.enter_async_context(producer)
        return Desk(producer.ref(PATH, Intake), accepted)

    async def _come_up(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + COMES_UP
        while not all((self.folder / f"{name}.port").exists() for name in SERVICES):
            if loop.time() > until:
                raise OSError(
                    f"expected the services to listen within {COMES_UP:g} seconds: look at {self.folder}/*.err"
                )
            await asyncio.sleep(0.05)

    async def _done(self, watch: Watch, reception: Reception) -> None:
        """Wait until there is no more to do, also of what came by HTTP at the last moment."""
        await watch.until_done()
        await reception.stop()
        await watch.until_done()

    async def _asked_to_end(self, over: asyncio.Event, feeder: Feeder) -> None:
        """Wait until somebody says so, and until what is in hand of the input is accepted."""
        await over.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(feeder.leave(), LEAVES)

    def _source(self) -> Any:
        if self.setting.orders is None:
            return given_lines(sample(self.setting.seed, self.setting.lines))
        return read_lines(self.setting.path)


async def first_of(done: Coroutine[Any, Any, Any], over: Coroutine[Any, Any, Any], *beside: Any) -> bool:
    """Run all of these beside each other until `done` is (True) or `over` is (False); then cancel the others. An error
    of any of them is raised.
    """
    ends = [asyncio.create_task(done), asyncio.create_task(over)]
    tasks = [*ends, *(asyncio.create_task(one) for one in beside)]
    try:
        pending = set(tasks)
        while not any(end.done() for end in ends):
            ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    del results
    return ends[0].done() and not ends[0].cancelled()
