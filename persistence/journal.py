"""Group commit: what a turn of the loop brings is written in one go, and everybody is answered together.

While a batch is being written, the next one gathers. So the disk is never asked more often than it can answer, and the
more there is to do the more is done at once. What is written and not on disk yet is under way in `flights`; much that
has gathered is written meanwhile.

What a failed write means: new messages were not accepted, and their senders hear of it. Steps are different: their
handlers have run. They are written again, first in the next batch, until they are in or their claims have ended.
"""

import asyncio
from collections.abc import Callable

from upright.actors.durable import Receipt
from upright.actors.message import told
from upright.actors.waking import Waker

from .consumers import Consumers
from .errors import OutcomeUnknown, StoreError, StoreUnavailable
from .flights import Flights, Heard, Puts, Settled, Steps, fail, pass_on
from .port import Engine, Stirred
from .records import Batch, Outgoing, Step, Verdict, Written

PAUSE = 0.05
"""Seconds before a write that failed is tried again; doubles up to `LONGEST_PAUSE`."""
LONGEST_PAUSE = 5.0
GROUP = 1_000
"""Messages and steps in one batch, at most: a batch holds up the loop."""


WORTH = 32
"""Messages and steps that are written while the disk is busy with those before; fewer wait until it is not."""


class Journal:
    """Gathers what is to be written, and has the engine write it."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, waker: Waker, failed: Callable[[StoreError], None],
        stirred: Stirred, shuts_out: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._engine, self._loop, self._failed, self._stirred = engine, loop, failed, stirred
        self._puts: Puts = []
        self._under_way: Puts = []
        self._flights = Flights(loop, waker, self._landed)
        self._unknown: StoreError | None = None
        self._steps: Steps = []
        self._pardons: list[int] = []
        self._taken = self._writing = 0
        """How many steps were written or given up, and how many are being written."""
        self._barriers: list[tuple[asyncio.Future[None], int]] = []
        """Who waits for so many steps to be `taken`."""
        self._looks: list[asyncio.Future[None]] = []
        self.consumers = Consumers(loop, lambda: engine.now(), self._rouse, shuts_out)
        self._work: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._pause = PAUSE
        self._closing = False
        self.trouble: StoreError | None = None
        """Why the last write failed; None if it did not."""
        self._singly = 0  # how many are to be written one by one, since one of them fails whatever it is written with

    def start(self) -> None:
        """Begin to write."""
        self._task = self._loop.create_task(self._run(), name="upright journal")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Cancelled by somebody, say: nobody may wait for it. What was decided by then is still written, if the loop
        goes on for so long: where a handler has ended the program, it cancels all tasks, and has them come to an end.
        """
        if task.cancelled() and self._steps and not self._closing:
            self._closing = True
            self.start()
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(StoreUnavailable(f"the store's journal has ended: {told(error)}"))
        self._let_go()
        puts, self._puts, steps, self._steps = self._puts, [], self._steps, []
        fail([stored for _, stored, _ in puts + self._under_way], StoreUnavailable("the store's journal has ended"))
        self._flights.lose(steps)

    async def stop(self) -> None:
        """Write what is left, once, and end."""
        self._closing = True
        self.consumers.close()
        self._rouse()
        if self._task is not None:
            await asyncio.wait({self._task})

    def put(self, messages: list[Outgoing], heard: Heard | None = None) -> asyncio.Future[list[Receipt]]:
        """Store new messages; the result comes when they are on disk. `heard` is called with it as soon as it is known,
        and so before any of them can be answered.
        """
        if self._task is None or self._closing:
            raise StoreUnavailable("expected an open store: its system is not running")
        if self._task.done():
            raise StoreUnavailable("the store's journal has ended: start the system anew")
        stored: asyncio.Future[list[Receipt]] = asyncio.Future(loop=self._loop)  # `create_future`, without the call
        self._puts.append((messages, stored, heard))
        if self._work is not None and self._may_write:
            self._rouse()
        return stored

    def settle(self, step: Step, settled: Settled) -> None:
        """Write what becomes of a delivery, and call `settled` with the verdict."""
        self._steps.append((step, settled))
        if self._work is not None and self._may_write:
            self._rouse()

    def flushed(self) -> asyncio.Future[None]:
        """Done when all steps that were given before are written, or refused."""
        barrier: asyncio.Future[None] = self._loop.create_future()
        self._barriers.append((barrier, self._taken + self._writing + len(self._steps)))
        self._come()
        return barrier

    def looked(self) -> asyncio.Future[None]:
        """Done when what is to be looked at now was looked at."""
        look: asyncio.Future[None] = self._loop.create_future()
        self._looks.append(look)
        self._come()
        return look

    def _come(self) -> None:
        """Somebody waits: go on, or say that nothing follows any more. It may have been cancelled, say."""
        if self._task is None or self._task.done():
            self._let_go()
        else:
            self._rouse()

    def _let_go(self) -> None:
        barriers, self._barriers, looks, self._looks = self._barriers, [], self._looks, []
        pass_on([barrier for barrier, _ in barriers])
        pass_on(looks)

    def pardon(self, ids: list[int]) -> None:
        """Have one attempt given back to these messages."""
        self._pardons += ids
        self._rouse()

    def _rouse(self) -> None:
        work, self._work = self._work, None
        if work is not None and not work.done():
            work.set_result(None)

    async def _run(self) -> None:
        while True:
            if self._unknown is not None and not self._flights:
                self._unknown = None
                if not self._closing:
                    await self._reopen()
                    await self._wait()
            self._pass_barriers()
            if not (self._has_work and self._may_write):
                if self._closing and not self._flights and not self._has_work:
                    return
                self._work = self._loop.create_future()
                await self._work  # and by the time that this task goes on, the turn has brought what it brings
                continue
            puts, steps = self._take_puts(), self._take_steps()
            self._under_way, self._writing = puts, len(steps)
            batch = Batch([step for step, _ in steps], [one for messages, _, _ in puts for one in messages])
            alone = bool(self._singly)
            if alone:
                self._singly -= 1
            else:
                self.consumers.join(batch)
            batch.pardons, self._pardons = self._pardons, []
            if not self._steps:
                self.consumers.leave(batch)
            looks, self._looks = self._looks, []
            if not (batch.steps or batch.puts or batch.wants or batch.pardons or batch.left):
                pass_on(looks)
                continue
            try:
                try:
                    written = await self._engine.write(batch)
                except asyncio.CancelledError:
                    self._steps = steps + self._steps  # see `_ended`
                    raise
                finally:
                    self._writing = 0
            except StoreError as error:
                pass_on(looks)
                await self._write_failed(error, batch, puts, steps)
            except Exception as error:  # whatever it is, nobody may wait for an answer that never comes
                pass_on(looks)
                known = StoreUnavailable(f"the store failed: {told(error)}")
                if len(puts) + len(steps) > 1:
                    self._separate(batch, puts, steps)
                elif alone:
                    self._drop(known, puts, steps)
                else:
                    await self._write_failed(known, batch, puts, steps)
                    self._singly = len(steps)
            else:
                wrote = bool(puts or steps)  # who only looks writes nothing, which a full disk lets them do
                if wrote and written.lasting is None:
                    self._pause, self.trouble = PAUSE, None
                self._under_way, self._taken = [], self._taken + len(steps)
                self._flights.take(written, puts, steps)
                self._hand_out(written, batch)
                pass_on(looks)
                await asyncio.sleep(0)  # what need not be synced was written without a wait: let others run too

    @property
    def _may_write(self) -> bool:
        """Whether the disk is not busy with what was written before, or enough has come to be written meanwhile."""
        flights = self._flights
        return not flights or (len(self._puts) + len(self._steps) >= WORTH and not flights.is_full)

    @property
    def _has_work(self) -> bool:
        return bool(
            self._puts or self._steps or self._pardons or self._barriers or self._looks or self.consumers.has_work
        )

    def _take_puts(self) -> Puts:
        """As many of the waiting puts as fit into a group; those whose sender has gone are left out."""
        taken, room = 0, 1 if self._singly else GROUP
        if self._singly and self._steps:
            return []
        while taken < len(self._puts) and room > 0:
            room -= len(self._puts[taken][0])
            taken += 1
        puts, self._puts = self._puts[:taken], self._puts[taken:]
        return [put for put in puts if not put[1].done()]

    def _take_steps(self) -> Steps:
        most = 1 if self._singly else GROUP
        steps, self._steps = self._steps[:most], self._steps[most:]
        return steps

    def _landed(self, error: StoreError | None) -> None:
        """What was under way to the disk is there, or nobody knows whether it is."""
        if error is None and self._unknown is None:
            self._pause, self.trouble = PAUSE, None
        elif error is not None and self._unknown is None:
            self._unknown = self.trouble = error
            self._failed(error)
        self._rouse()

    def _hand_out(self, written: Written, batch: Batch) -> None:
        for delivery in self.consumers.take(batch, written):  # its mailbox was detached while this was written
            self.settle(Step(delivery, "release", attempt=delivery.attempt - 1), _unheard)

    def _pass_barriers(self) -> None:
        if self._barriers:
            passed = [barrier for barrier, steps in self._barriers if steps <= self._taken]
            self._barriers = [(barrier, steps) for barrier, steps in self._barriers if steps > self._taken]
            self._flights.after(passed)

    def _separate(self, batch: Batch, puts: Puts, steps: Steps) -> None:
        """The batch failed in a way that is no weather: find out which of it is to blame, and write the rest."""
        self._puts, self._steps = puts + self._puts, steps + self._steps
        self.consumers.undo(batch)
        self._pardons = batch.pardons + self._pardons
        self._singly = len(puts) + len(steps)

    def _drop(self, error: StoreError, puts: Puts, steps: Steps) -> None:
        """What cannot be written even alone fails alone. A delivery that cannot end is handed out at the next start."""
        self._failed(error)
        fail([stored for _, stored, _ in puts], error)
        self._give_up(steps)

    def _give_up(self, steps: Steps) -> None:
        self._taken += len(steps)
        self._flights.lose(steps)

    async def _write_failed(self, error: StoreError, batch: Batch, puts: Puts, steps: Steps) -> None:
        fail([stored for _, stored, _ in puts], error)
        self.trouble = error
        self._failed(error)
        if self._closing or isinstance(error, OutcomeUnknown):
            self._give_up(steps)
            if not self._closing:
                await self._reopen()
        else:
            self._steps = steps + self._steps
            self.consumers.undo(batch)
            self._pardons = batch.pardons + self._pardons
        if not self._closing:
            await self._wait()

    async def _wait(self) -> None:
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _reopen(self) -> None:
        """A failed sync is never tried again, for the system may have dropped what was to be written. All that this
        session had claimed is handed out anew, also what it does not know of.
        """
        while not self._closing:
            try:
                await self._engine.close()
                await self._engine.open(self._stirred)
            except Exception as error:
                self._failed(StoreUnavailable(f"the store could not be opened again: {told(error)}"))
                await self._wait()
            else:
                self._stirred(None)
                return


def _unheard(_: Verdict) -> None:
    """Nobody wants to know."""
