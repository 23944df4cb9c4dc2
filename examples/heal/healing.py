"""The run: start the actors, hand each line to a parser, and account for what came of it."""

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from decimal import DecimalException

from account import LOST, REFUSED, Account, Result
from lines import Line, Lines
from orders import Parser, Sums, Totals

from upright.actors import ActorFailed, ActorSystem, AskFailed, DeadLetters, EventLog, Ref, Refuse
from upright.actors.events import ActorCrashed, ActorRestarted, Event

PARSERS = 4
PATIENCE = 30.0
"""Seconds that a line may take; far more than it needs."""


async def heal(name: str, descriptor: int, log: EventLog | None) -> Result:
    """Process all lines of an open file."""
    account, lines = Account(), Lines(descriptor)
    interrupt = Interrupt(lines)
    seen: Counter[type[Event]] = Counter()

    def count(event: Event) -> None:
        seen[type(event)] += 1

    async with ActorSystem(log=log) as system:
        system.subscribe(count, ActorCrashed, ActorRestarted)
        totals = await system.spawn("totals", Totals)
        parsers = [await system.spawn(f"parser-{number}", Parser) for number in range(1, PARSERS + 1)]
        with interrupt:
            ends = await asyncio.gather(*(feed(parser, lines, account) for parser in parsers))
        answering = sum(await asyncio.gather(*(is_answering(parser) for parser in parsers)))
        letters = await system.ref("/dead-letters", DeadLetters).ask(DeadLetters.counts)
        sums = await totals.ask(Totals.sums)
    problems = list(mismatches(account, lines.count, seen, answering, letters, sums))
    return Result(
        file=name,
        read=lines.count,
        handled=account.handled,
        refused=account.counts[REFUSED],
        lost=account.counts[LOST],
        refused_lines=sorted(account.refused, key=lambda entry: entry.line),
        lost_lines=sorted(account.lost, key=lambda entry: entry.line),
        crashes=seen[ActorCrashed],
        restarts=seen[ActorRestarted],
        parsers=PARSERS,
        answering=answering,
        dead_letters=letters,
        sums=sums,
        interrupted=interrupt.came,
        unreadable=next(filter(None, ends), ""),
        problems=problems,
    )


async def feed(parser: Ref[Parser], lines: Lines, account: Account) -> str:
    """Hand lines to one parser until there are no more; returns why reading failed, if it did."""
    try:
        while (line := await lines.next()) is not None:
            await hand(parser, line, account)
    except OSError as error:
        lines.stop()
        return error.strerror or repr(error)
    return ""


async def hand(parser: Ref[Parser], line: Line, account: Account) -> None:
    """Ask the parser to take one line; whatever happens, the line is accounted for once."""
    try:
        await parser.within(PATIENCE).ask(Parser.parse, line)
    except Refuse as refusal:
        account.refuse(line.number, str(refusal))
    except ActorFailed as failure:
        # The next line waits in the mailbox until the root has started a fresh parser behind the same ref.
        account.lose(line.number, f"{parser.path} crashed: {described(failure.__cause__)}")
    except AskFailed as failure:
        account.lose(line.number, str(failure))
    else:
        account.handle(line.number)


async def is_answering(parser: Ref[Parser]) -> bool:
    """Whether a parser serves, after all that came over it."""
    try:
        return await parser.ask(Parser.ready)
    except AskFailed:
        return False


def described(error: BaseException | None) -> str:
    """The kind of an error and what it says, short and safe for a terminal."""
    kind, text = type(error).__name__, ascii(str(error))[1:-1]
    if isinstance(error, DecimalException):
        return kind  # its text only names the same class once more
    return f"{kind}: {text[:60]}{'…' if len(text) > 60 else ''}"


def mismatches(
    account: Account, read: int, seen: Counter[type[Event]], answering: int, letters: dict[str, int], sums: Sums
) -> Iterator[str]:
    """What does not add up. The figures come from four places: the askers, the events, the dead letters, the totals."""
    crashes = seen[ActorCrashed]
    if missing := account.missing(read):
        yield f"{missing} lines are not accounted for"
    if account.twice:
        yield f"{account.twice} lines are accounted for twice"
    if sums.orders != account.handled:
        yield f"{account.handled} lines were handled, but the totals hold {sums.orders} orders"
    if account.counts[LOST] != crashes:
        yield f"{account.counts[LOST]} lines were lost, but there were {crashes} crashes"
    if seen[ActorRestarted] != crashes:
        yield f"there were {crashes} crashes, but {seen[ActorRestarted]} restarts"
    if letters.get("crashed", 0) != crashes or sum(letters.values()) != crashes:
        yield f"there were {crashes} crashes, but {sum(letters.values())} dead letters"
    if answering != PARSERS:
        yield f"{PARSERS - answering} parsers do not answer"


class Interrupt:
    """Ctrl-C while lines are read: no more lines, then the report on those that were. A second one ends at once."""

    def __init__(self, lines: Lines) -> None:
        self.came = False
        self._lines = lines

    def __enter__(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop)

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)

    def _stop(self) -> None:
        self.came = True
        self._lines.stop()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
