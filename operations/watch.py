"""What looks after the health of a running service: a heartbeat on its event loop, and a look at its store.

The answers can be asked for from any thread, also while the loop is held up: that is when they matter most.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

from upright.actors.bus import Subscriber
from upright.actors.events import Event, SystemGaveUp
from upright.actors.frames import stack_of
from upright.actors.gate import Gate
from upright.actors.message import told
from upright.actors.system import ActorSystem
from upright.persistence.errors import StoreError
from upright.persistence.events import MailboxOpened, MailboxParked, StoreFailing
from upright.persistence.store import Store

from .events import HealthChanged
from .health import PROBES, Check, Findings, HealthLimits, HealthReport, Probe, judged
from .standing import standing

BEAT = 0.5
"""Seconds between two beats of the loop."""
LOOK = 2.0
"""Seconds between two looks at the store."""


def no_more() -> Iterable[Check]:
    """Nothing else is looked at."""
    return ()


class Health:
    """The health of a system. `limits`: from when on it is not well. `more`: other things that readiness depends on, of
    the service itself and never of a remote one; called on the loop, at each beat.

    Every probe returns a `HealthReport` at once. `startup()`: whether the tree is up. `live()`: whether it is worth
    keeping; only what a restart would heal makes it fail. `ready()`: whether it should be given work. `report()`: all
    that is known.
    """

    def __init__(
        self, system: ActorSystem, limits: HealthLimits | None = None, more: Callable[[], Iterable[Check]] = no_more
    ) -> None:
        self._system, self.limits, self._more = system, limits if limits is not None else HealthLimits(), more
        self._store = system.store if isinstance(system.store, Store) else None
        self.started = False
        """Whether the tree is up."""
        self.draining = False
        """Whether it takes no new work."""
        self.beaten: list[Callable[[], object]] = []
        """What is called at each beat of the loop."""
        self._beat = 0.0
        self._asked = 0.0  # when the store was asked that has not answered yet; 0: it has
        self._trouble = self._gave_up = ""
        self._parked: set[str] = set()
        self._seen = Findings()
        self._told: dict[Probe, bool] = {}
        self._thread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        self._listeners: list[tuple[Subscriber, type[Event]]] = [
            (self._note_parked, MailboxParked),
            (self._note_opened, MailboxOpened),
            (self._note_gave_up, SystemGaveUp),
            (self._note_failing, StoreFailing),
        ]

    def start(self) -> None:
        """Begin to look, on the running loop."""
        loop = asyncio.get_running_loop()
        self._thread, self._gave_up, self.draining = threading.get_ident(), "", False
        self._told, self._parked = {}, set()
        for listener, kind in self._listeners:
            self._system.subscribe(listener, kind)
        self._tick(loop)
        if self._store is not None:
            self._look = loop.create_task(self._look_at(self._store), name="upright health")

    async def stop(self) -> None:
        """Look no more."""
        for listener, _ in self._listeners:
            self._system.unsubscribe(listener)
        if self._timer is not None:
            self._timer.cancel()
        self._beat = 0.0  # a loop that nobody looks at any more is not silent
        look, self._look = self._look, None
        if look is not None:
            look.cancel()
            await asyncio.wait({look})
        self._asked, self._trouble, self.started = 0.0, "", False

    def startup(self) -> HealthReport:
        """Whether it has started."""
        return judged("startup", self.findings(), self.limits)

    def live(self) -> HealthReport:
        """Whether it is worth keeping."""
        return judged("live", self.findings(), self.limits)

    def ready(self) -> HealthReport:
        """Whether it should be given work."""
        return judged("ready", self.findings(), self.limits)

    def report(self) -> HealthReport:
        """All that is known."""
        return judged(None, self.findings(), self.limits)

    def probe(self, probe: Probe) -> HealthReport:
        """What that probe says."""
        return judged(probe, self.findings(), self.limits)

    def findings(self) -> Findings:
        """What is known at this moment; from any thread."""
        now, seen, store = time.monotonic(), self._seen, self._store
        silent = max(now - self._beat - BEAT, 0.0) if self._beat else 0.0
        trouble = self._trouble or (str(store.trouble) if store is not None and store.trouble is not None else "")
        asked = self._asked
        stack = stack_of(self._thread) if silent >= self.limits.silent else None
        return Findings(
            self.started, self.draining, self._gave_up, silent, stack or "", now - asked if asked else 0.0, trouble,
            seen.depth, seen.open_guards, tuple(sorted(self._parked)), seen.zombies, seen.more,
        )  # fmt: skip

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        self._timer = loop.call_later(BEAT, self._tick, loop)  # first, so that no error below ends the heartbeat
        depth = self._store.backlog if self._store is not None else 0
        self._seen = Findings(
            depth=depth, open_guards=self._open_guards(), zombies=self._system.zombies, more=self._more_checks()
        )
        for call in tuple(self.beaten):
            call()
        self._tell_changes()

    def _more_checks(self) -> tuple[Check, ...]:
        try:
            return tuple(self._more())
        except Exception as error:  # it is another's: whoever cannot look is not well, and the heart beats on
            return (Check("more", "failed", f"it could not be looked at: {told(error)}"),)

    def _tell_changes(self) -> None:
        found = self.findings()
        for probe in PROBES if self.started else ():  # that it is not well while it starts is no news
            report = judged(probe, found, self.limits)
            if self._told.get(probe, True) != report.ok:
                self._told[probe] = report.ok
                self._system.bus.emit(HealthChanged("/", probe, report.ok, report.why))

    def _open_guards(self) -> tuple[str, ...]:
        gates = [gate for _, gate in self._system.guards if isinstance(gate, Gate)]
        return tuple(f"{gate.label} {state}" for gate in gates if (state := standing(gate)) not in ("", "closed"))

    async def _look_at(self, store: Store) -> None:
        while True:
            if self.started and not self.draining:
                self._asked = time.monotonic()
                try:
                    await store.probe()
                    self._trouble = ""
                except StoreError as error:
                    self._trouble = told(error)
                except Exception as error:  # whatever it is, the store is looked at again
                    self._trouble = f"it could not be asked: {told(error)}"
                finally:
                    self._asked = 0.0
            await asyncio.sleep(LOOK)

    def _note_parked(self, event: MailboxParked) -> None:
        self._parked.add(event.address)

    def _note_opened(self, event: MailboxOpened) -> None:
        self._parked.discard(event.address)

    def _note_failing(self, _: StoreFailing) -> None:
        """A store that says no has answered: it is not ready, and a new process would hear the same from it."""
        if self._asked:
            self._asked = time.monotonic()

    def _note_gave_up(self, event: SystemGaveUp) -> None:
        self._gave_up = event.why
