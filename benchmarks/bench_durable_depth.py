"""Does a message cost the same however many wait, and however many finished ones are kept?

A hundred producers tell while the actor handles, so that the depth stays what it is. The actor begins and ends with a
gate: only what is between them is measured. `cpu_us_each`, the processor's time in our process, is what is compared:
the wall clock's, `us_each`, hangs on what the disk is doing just now.
"""

import asyncio
import time

from durable import BODY, Tally, Worker, durable_system, full_store, on_all_cores, sharing, stored
from report import AtLeast, Figures
from support import Contender, Stopwatch, check, compare, on_asyncio, scaled

from upright.supervision import child

PRODUCERS = 100
EACH = max(1, scaled(4_000) // PRODUCERS)
COUNT = PRODUCERS * EACH


class Gate(Tally):
    """Lets so many messages through once it is opened, and then no more."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened, self.done, self.never = (asyncio.Event() for _ in range(4))


class Gated(Worker):
    """Waits at the gate with its first message, and for ever with its last."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(gate)
        self.gate = gate

    async def work(self, number: int, body: bytes) -> None:
        gate = self.gate
        if not gate.count:
            gate.reached.set()
            await gate.opened.wait()
        if gate.count == COUNT:
            await gate.never.wait()
        gate.count += 1
        if gate.count == COUNT:
            gate.done.set()


def upright(waiting: int, finished: int = 0) -> Contender:
    """So many wait, or are finished, when it begins."""

    async def run() -> Figures:
        path = full_store(finished or waiting, "finished" if finished else "waiting")
        before, gate = stored(path), Gate()
        done = stored(path, "sum(state = 2)")
        async with durable_system(path, child("worker", Gated, gate)) as system:
            worker = system.ref("/bench/worker", Gated)

            async def produce(first: int) -> None:
                for number in range(first, first + EACH):
                    await worker.tell(Gated.work, number, BODY)

            if finished:
                await worker.tell(Gated.work, COUNT, BODY)
            await gate.reached.wait()
            with Stopwatch() as watch:
                since = time.process_time()
                gate.opened.set()
                await asyncio.gather(*(produce(producer * EACH) for producer in range(PRODUCERS)))
                await gate.done.wait()
                spent = time.process_time() - since
        check(stored(path), before + COUNT + bool(finished))
        check(stored(path, "sum(state = 2)"), done + COUNT)
        return {"cpu_us_each": spent / COUNT * 1e6, "us_each": watch.seconds / COUNT * 1e6}

    return on_all_cores(on_asyncio(run))


FEW, MANY, KEPT = "1,000 waiting", "1,000,000 waiting", "1,000,000 finished kept"

if __name__ == "__main__":
    with sharing():
        compare(
            "durable depth: cost of a message, told and handled, beside others that are stored",
            {
                FEW: upright(1_000),
                "10,000 waiting": upright(10_000),
                "100,000 waiting": upright(100_000),
                MANY: upright(1_000_000),
                KEPT: upright(0, finished=1_000_000),
            },
            figure="cpu_us_each",
            ours=FEW,
            goals=[AtLeast(FEW, 0.8, ours=MANY), AtLeast(FEW, 0.8, ours=KEPT)],
        )
