"""What can be asked of a store, and done to it: whether a service runs on it or not.

What only looks works on the store as it lies there. What changes something is done by a system that has it open; if
none has, one without actors is started for the time of one operation.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from upright.actors.system import ActorSystem
from upright.persistence.codec import packed
from upright.persistence.quarantine import PAGE
from upright.persistence.records import Outgoing
from upright.persistence.reports import REASONS, Filter, Letter, Record, RecordFilter, grouped
from upright.persistence.run_record import RunRecord, decoded
from upright.persistence.runner import KIND
from upright.persistence.store import Store

from . import questions
from .answers import breathing, following, plain
from .errors import NotFound, Wrong
from .questions import near, read
from .stored_tree import stored_tree

Q = TypeVar("Q", bound=msgspec.Struct)
Given = Mapping[str, Any]
Answers = AsyncIterator[dict[str, Any]]
MOST = 10_000
"""Items of a list in one answer, at most."""


class StoreControls:
    """The operations on a `store`: `async for answer in StoreControls(Sqlite("jobs.db")).do("letters", {})`.

    `do` yields `Progress`, where there is any, and last the result.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._writing = asyncio.Lock()
        self._opened = False
        self.operations: dict[str, Callable[[Given], Answers]] = {
            "tree": self._tree, "ps": self._ps, "send": self._send, "letters": self._letters, "letter": self._letter,
            "redrive": self._redrive, "discard": self._discard, "story": self._story, "machines": self._machines,
            "runs": self._runs, "run": self._run,
        }  # fmt: skip

    async def do(self, name: str, given: Given | None = None) -> Answers:
        """Do the operation of that name. Raises `NotFound`, `Wrong`, and what the store raises."""
        operation = self.operations.get(name)
        if operation is None:
            raise Wrong(
                f"expected one of {', '.join(self.operations)}, got {name!r}: on a store alone there is nothing else"
            )
        async with contextlib.aclosing(_generator(operation({} if given is None else given))) as answers:
            async for answer in answers:
                yield answer

    async def mailboxes(self) -> list[dict[str, Any]]:
        """How many messages each address has."""
        counts = await self.store.counts()
        return [
            {"address": address, "waiting": one.waiting, "running": one.claimed, "quarantined": one.quarantined}
            async for address, one in breathing(sorted(counts.items()))
        ]

    async def machines(self) -> list[dict[str, Any]]:
        """How many runs each machine has, by their status."""
        kinds = await self.store.desk.kinds()
        return [{"machine": kind, "status": statuses} for kind, statuses in sorted(kinds.items())]

    async def _tree(self, given: Given) -> Answers:
        read(questions.Nothing, "tree", given)
        yield {"tree": await stored_tree(await self.store.addresses(), await self.store.counts(), MOST)}

    async def _ps(self, given: Given) -> Answers:
        read(questions.Nothing, "ps", given)
        sessions = [plain(one) for one in await self.store.sessions()]
        yield {"mailboxes": await self.mailboxes(), "machines": await self.machines(), "sessions": sessions}

    async def _send(self, given: Given) -> Answers:
        asked = read(questions.Send, "send", given)
        if asked.ask:
            raise Wrong(
                "expected a service that runs to wait for a reply of: on the store alone a message is only sent"
            )
        if not asked.handler:
            raise Wrong("expected the name of a handler, got ''")
        if asked.once and asked.key:
            raise Wrong(
                f"expected once or key, got {asked.once!r} for {asked.key!r}: only a service that runs knows whether"
                " each key is an entity, of whose messages alone one is a repetition"
            )
        known = await self.store.addresses()
        if asked.to not in known:
            raise NotFound(
                f"expected an address that the store knows, got {asked.to!r}; there are {near(asked.to, known)}"
            )
        try:
            body = packed("arguments", asked.arguments)
        except TypeError as error:
            raise Wrong(str(error)) from error
        message = Outgoing(asked.to, asked.handler, body, once=asked.once, key=asked.key)
        async with self.opened():
            (receipt,) = await self.store.put([message])
        yield {"id": receipt.id, "duplicate": receipt.duplicate}

    async def _letters(self, given: Given) -> Answers:
        asked = read(questions.Letters, "letters", given)
        only = Filter(asked.address, asked.reason, asked.error)
        shown: list[dict[str, Any]] = []

        async def all_of_them() -> AsyncIterator[Letter]:
            async with contextlib.aclosing(_generator(breathing(self.store.desk.letters(only)))) as letters:
                async for letter in letters:
                    if len(shown) < min(asked.limit, MOST):
                        shown.append(_line_of(letter))
                    yield letter

        groups = await grouped(all_of_them())
        more = sum(group.count for group in groups) - len(shown)
        yield {"letters": shown, "more": more, "groups": plain(groups[:MOST])}

    async def _letter(self, given: Given) -> Answers:
        id = read(questions.OfMessage, "letter", given).id
        # To the end: a look that is left half-way is still open when the loop ends.
        found = [letter async for letter in self.store.desk.letters(Filter(only=id))]
        if found:
            yield {"letter": plain(found[0].plain()), "story": plain(await self.store.story(id))}
            return
        story = await self.store.story(id)
        known = f"its story ends with {story[-1].name}" if story else "the store knows nothing of it"
        raise NotFound(f"expected a message in quarantine, got {id}: {known}")

    def _redrive(self, given: Given) -> Answers:
        asked = read(questions.Chosen, "redrive", given)
        quarantine = self.store.quarantine

        async def work(progress: Callable[[int], object]) -> int:
            async with self.opened():
                if asked.ids is not None:
                    return await _paged(quarantine.redrive, asked.ids, progress)
                return await quarantine.redrive_all(
                    asked.address, asked.reason, asked.error, rate=asked.rate, progress=progress
                )

        return self._chosen(asked, work, "redriven")

    def _discard(self, given: Given) -> Answers:
        asked = read(questions.Chosen, "discard", given)
        quarantine = self.store.quarantine
        if asked.rate is not None:
            raise Wrong("expected no rate of what is dropped: it is all dropped at once")

        async def work(progress: Callable[[int], object]) -> int:
            async with self.opened():
                if asked.ids is not None:
                    return await _paged(quarantine.discard, asked.ids, progress)
                return await quarantine.discard_all(asked.address, asked.reason, asked.error, progress=progress)

        return self._chosen(asked, work, "discarded")

    async def _chosen(self, asked: questions.Chosen, work: Callable[..., Any], name: str) -> Answers:
        others = (asked.address, asked.reason, asked.error, asked.rate)
        if asked.ids is not None and others != (None, None, None, None):
            raise Wrong("expected either ids, or an address, a reason, an error or a rate, got both")
        await self.store.story(0)  # where there is no store, none is to be made by opening it
        async with contextlib.aclosing(_generator(following(work, name))) as answers:
            async for answer in answers:
                yield answer

    async def _story(self, given: Given) -> Answers:
        id = read(questions.OfMessage, "story", given).id
        story = await self.store.story(id)
        if not story:
            raise NotFound(
                f"expected the id of a message, got {id}: the store knows nothing of it, or has forgotten it"
            )
        yield {"story": plain(story)}

    async def _machines(self, given: Given) -> Answers:
        read(questions.Nothing, "machines", given)
        yield {"machines": await self.machines()}

    async def _runs(self, given: Given) -> Answers:
        asked = read(questions.Runs, "runs", given)
        kind, found = await self._kind_of(asked.machine), list[dict[str, Any]]()
        only = RecordFilter(kind, asked.status, asked.state, after=asked.after)
        left = min(asked.limit, MOST)
        while left > 0:
            page = msgspec.structs.replace(only, limit=min(left, PAGE))
            records = await self.store.desk.records(page)
            found += [_entry_of(record) for record in records]
            left -= len(records)
            if len(records) < page.limit:
                break
            only = msgspec.structs.replace(only, after=records[-1].name)
            await asyncio.sleep(0)
        yield {"runs": found}

    async def _run(self, given: Given) -> Answers:
        asked = read(questions.OfRun, "run", given)
        kind = await self._kind_of(asked.machine)
        for record in await self.store.desk.records(RecordFilter(kind, name=asked.id, limit=1)):
            run = decoded(record.body)
            yield {"run": _shown(record, run)}
            return
        raise NotFound(f"expected a run of {kind}, got {asked.id!r}: there is none, or it was forgotten")

    async def _kind_of(self, machine: str) -> str:
        """The kind of the records of that machine, which may be named without what its address begins with."""
        kinds = await self.store.desk.kinds()
        for kind in (machine, f"{KIND}{machine}"):
            if kind in kinds:
                return kind
        raise NotFound(f"expected a machine that has runs, got {machine!r}; there are {near(machine, sorted(kinds))}")

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Have it open: as it is, or by a system of its own."""
        if self.store.is_open and not self._opened:
            yield
            return
        async with self._writing:
            self._opened = True
            try:
                async with ActorSystem(store=self.store, log=None):
                    yield
            finally:
                self._opened = False


def _generator(answers: Any) -> AsyncGenerator[Any]:
    """Its own type: all of these are generators, and must be closed by whoever stops listening."""
    found: AsyncGenerator[Any] = answers
    return found


async def _paged(act: Callable[..., Any], ids: list[int], progress: Callable[[int], object]) -> int:
    done = 0
    for start in range(0, len(ids), PAGE):
        done += await act(*ids[start : start + PAGE])
        progress(done)
    return done


def _line_of(letter: Letter) -> dict[str, Any]:
    """A letter in a list, which shows no arguments."""
    return {
        "id": letter.id, "address": letter.address, "handler": letter.handler, "reason": letter.reason,
        "error": letter.error or REASONS.get(letter.reason, ""), "attempts": len(letter.attempts),
        "stored": letter.stored, "quarantined": letter.quarantined,
    }  # fmt: skip


def _entry_of(record: Record) -> dict[str, Any]:
    """A run in a list."""
    return {
        "id": record.name, "status": record.status, "state": record.position, "started": record.made,
        "changed": record.changed,
    }  # fmt: skip


def _shown(record: Record, run: RunRecord) -> dict[str, Any]:
    """All of a run."""
    return {
        "id": record.name, "machine": record.kind, "status": record.status, "state": run.state, "version": run.version,
        "started": run.started, "changed": record.changed, "finished": run.finished, "error": run.error,
        "letters": run.letters, "history": plain(run.history), "data": _data_of(run.data),
    }  # fmt: skip


def _data_of(body: bytes) -> Any:
    """The data of a run as plain values, without the class that they are of; None where they cannot be read."""
    try:
        return plain(msgspec.msgpack.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
