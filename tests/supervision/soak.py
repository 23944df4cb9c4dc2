"""The actors of the soak, which enter in the ledger what they do, and how they send."""

import asyncio
from typing import Any

from tests.supervision.ledger import IN_HAND, Copy, Ledger, News, Sent, Verb
from upright.actors import Actor, AskFailed, Bounded, MailboxFull, Ref, Refuse, concurrent

VERBS: tuple[Verb, ...] = ("tell", "tell", "ask", "try_tell", "fail_fast", "publish")
Act = tuple[str, Any]


class Crash(Exception):
    """What goes wrong on purpose."""


class Worker(Actor):
    """Does what a message says, and now and then fails to start, or takes too long to stop."""

    mailbox = Bounded(4)
    listens = False

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        ledger.made(self, self.ctx.path)

    async def started(self) -> None:
        random, path = self.ledger.random, self.ctx.path
        with self.ledger.deed(self, "start"):
            await asyncio.sleep(random.choice((0, 0, 0.02)))
            if random.random() < 0.1 and not self.ledger.calm:
                self.ledger.become(path, "failed", "starting")
                raise Crash("it does not start")
            if self.listens:
                self.ctx.subscribe(self.ctx.topic("news", News), Worker.news)
            self.ledger.become(path, "running", "starting")

    async def stopping(self, reason: object) -> None:
        with self.ledger.deed(self, "stop"):
            self.ledger.become(self.ctx.path, "stopping", "running", "killed")  # cut off by a crash, perhaps
            await asyncio.sleep(self.ledger.random.choice((0, 0, 0, 0, 0.02, 1.0)))
            self.ledger.become(self.ctx.path, "stopped", "stopping")

    async def work(self, number: int, sender: str, key: str, acts: list[Act]) -> int:
        return await self._play(self.ledger.begin(self, number, sender, key), acts)

    @concurrent(2)
    async def look(self, number: int, sender: str, key: str, acts: list[Act]) -> int:
        return await self._play(self.ledger.begin(self, number, sender, key), acts)

    async def news(self, news: News) -> None:
        await self._play(self.ledger.begin(self, news.number, news.publisher, ""), [])

    async def _play(self, copy: Copy, acts: list[Act]) -> int:
        with self.ledger.deed(self, "message"):
            for verb, value in acts:
                match verb:
                    case "sleep":
                        await asyncio.sleep(value)
                    case "crash":
                        raise Crash
                    case "refuse":
                        self.ledger.refused[copy] += 1
                        raise Refuse
                    case "stop":
                        self.ctx.stop()
                    case _:
                        await send(self.ledger, self.ctx.path, verb, *value)
            self.ledger.done[copy] += 1
        return copy[0]


class Listener(Worker):
    listens = True


class Choosy(Worker):
    mailbox = Bounded(2, "reject")


class Forgetful(Worker):
    mailbox = Bounded(2, "drop_old")


class Deaf(Worker):
    mailbox = Bounded(2, "drop_new")


async def send(ledger: Ledger, sender: str, verb: Any, to: str, acts: list[Act]) -> None:
    """Send one message, and enter how that ended for its sender."""
    number, key = ledger.number(), f"key {len(acts)}"
    if verb == "publish":
        await publish(ledger, sender, number)
        return
    copy, handler = (number, to), Worker.look if number % 4 == 0 else Worker.work
    ref: Ref[Worker] = ledger.system.ref(to, Worker).within(1.0)
    ledger.sent[copy] = Sent(verb, sender, copies_of(ref) if to in ledger.broadcasts and verb == "try_tell" else 0)
    try:
        match verb:
            case "tell":
                await ref.tell(handler, number, sender, key, acts)
            case "ask":
                ledger.expect(await ref.ask(handler, number, sender, key, acts) == number, f"a wrong answer to {copy}")
            case "fail_fast":
                await ref.fail_fast().ask(handler, number, sender, key, acts)
            case _:
                if not ref.try_tell(handler, number, sender, key, acts):
                    ledger.end(copy, "not sent")
                    return
        ledger.end(copy, "ok")
    except Refuse:
        ledger.end(copy, "refused")
    except AskFailed as error:
        ledger.end(copy, "failed handled" if error.handled else "failed unhandled")
    except MailboxFull:
        ledger.end(copy, "not sent")
    except asyncio.CancelledError:
        ledger.end(copy, "given up")
        raise


async def publish(ledger: Ledger, sender: str, number: int) -> None:
    """Publish to all who listen now; each of them is sent a copy."""
    topic = ledger.system.topic("news", News).within(0.5)
    copies = [(number, ref.path) for ref in topic.subscribers]
    for copy in copies:
        ledger.sent[copy] = Sent("publish", sender)
    how = "given up"
    try:
        taken = await topic.publish(News(number, sender))
        letters = [reason for copy in copies for reason in ledger.letters.get(copy, ()) if reason not in IN_HAND]
        least, most = len(copies) - len(letters), len(copies) - letters.count("no_room")
        ledger.expect(least <= taken <= most, f"{taken} took {number}, and not {least} to {most}")
        how = "ok"
    finally:
        for copy in copies:
            ledger.end(copy, how)


def copies_of(ref: Ref[Any]) -> int:
    """How many workers of a pool get a copy that is sent now; 0 where that is not known."""
    pool: Any = ref.recipient
    if pool is None or pool.state != "running" or not pool.mailbox._open:
        return 0
    return len(pool.mailbox.workers)
