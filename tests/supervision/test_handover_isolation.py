"""The laws of what is bound to a task or to a context, while a supervisor is set aside: it stays where it was."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from tests.actors.lives import Doer, Systems, hang, rest, sleep
from tests.supervision.trees import Book, carriers, fell, grown, is_aside, member, now, slow, up_again
from upright.actors import Exit, current_turn
from upright.actors.events import ActorRestarting, Event, HookFailed
from upright.actors.parent import Child
from upright.actors.testing import Recorder, advance
from upright.supervision import Backoff, Plan, Supervisor, child

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


ALL: Any = "one_for_all"
INNER = "/top/in"


Scope = Callable[[float], AbstractAsyncContextManager[Any]]


class Fenced(Supervisor):
    """Deals with each end inside of a scope that is bound to its task."""

    scope: Scope
    tasks: list[Any] = []

    async def child_ended(self, child: Child, exit: Exit) -> None:
        self.tasks.append(asyncio.current_task())
        async with type(self).scope(5.0):
            await super().child_ended(child, exit)
        self.tasks.append(asyncio.current_task())


class Sheltered:
    """A cancel scope of anyio as an asynchronous context manager."""

    def __init__(self, seconds: float) -> None:
        self.scope = anyio.fail_after(seconds)

    async def __aenter__(self) -> None:
        self.scope.__enter__()

    async def __aexit__(self, *error: Any) -> bool | None:
        return self.scope.__exit__(*error)


def group_of_tasks(_: float) -> Any:
    return asyncio.TaskGroup()


@pytest.mark.parametrize("scope", [asyncio.timeout, Sheltered, group_of_tasks])
async def test_an_override_of_child_ended_keeps_its_task_and_its_scopes(system: Systems, scope: Any) -> None:
    kind: Any = type("Fenced", (Fenced,), {"scope": staticmethod(scope), "tasks": []})
    book = Book()
    plan = Plan((slow(book, "a", sleep(1.0), hang, rest).options(shutdown=2.0),))
    async with grown(system, child("in", kind, plan)) as s:
        found: Any = s.ref(INNER, Supervisor).recipient
        await fell(s, member(s, "a", INNER), "crash")
        assert INNER in carriers()
        await up_again(s, "a")
        assert (now(), found.incarnation) == (1.0, 1)
        before, after = kind.tasks
        assert before is after
        if scope is not group_of_tasks:  # a time-out hits the supervisor, which its own supervisor restarts
            await fell(s, member(s, "a", INNER), "crash")
            await advance(5.0 + 2.0)
            await up_again(s, "a")
            assert (now(), found.incarnation, book.lives) == (1.0 + 5.0 + 2.0, 2, {"a": 4})


async def open_scope(me: Doer) -> None:
    me.memory["scope"] = scope = anyio.CancelScope()
    scope.__enter__()
    await asyncio.sleep(1.0)


async def close_scope(me: Doer) -> None:
    me.memory["scope"].__exit__(None, None, None)


async def test_a_child_with_stopping_comes_up_again_in_the_task_in_which_it_will_stop(
    system: Systems, recorders: list[Recorder]
) -> None:
    book = Book()
    async with grown(system, book.child("a", started=open_scope, stopping=close_scope)) as s:
        for _ in range(2):
            await fell(s, member(s, "a"), "crash")
            await up_again(s, "a", path="/top")
    assert book.acts("stopped") == ["a stopped"] * 3
    assert recorders[0].of(HookFailed) == []


async def test_a_supervisor_with_stopping_may_hold_a_task_group_open_over_slow_restarts(system: Systems) -> None:
    words: list[str] = []

    class Host(Supervisor):
        async def started(self) -> None:
            self.group = asyncio.TaskGroup()
            await self.group.__aenter__()
            await super().started()

        async def stopping(self, reason: Exit) -> None:
            await self.group.__aexit__(None, None, None)
            words.append("closed")

    book = Book()
    plan = Plan((slow(book, "a", sleep(1.0), sleep(1.0)),), strategy=ALL)
    async with grown(system, child("in", Host, plan)) as s:
        for _ in range(2):
            await fell(s, member(s, "a", INNER), "crash")
            await up_again(s, "a")
        assert now() == 2.0
    assert (words, book.lives) == (["closed"], {"a": 3})


WORD: ContextVar[str] = ContextVar("word", default="none")


async def test_neither_the_variables_nor_the_turn_of_a_child_and_its_supervisor_mix(system: Systems) -> None:
    """A subscriber is called where the event happens, so what it sees and sets is the supervisor's."""
    book, seen = Book(), list[tuple[str, str, str]]()

    def look(where: str) -> None:
        turn = current_turn()
        seen.append((where, turn.actor if turn is not None else "nobody", WORD.get()))

    def note(event: Event) -> None:
        look(f"{event.name} {event.path[-1]}")
        WORD.set("the supervisor's")

    async def look_and_set(me: Doer) -> None:
        look("started a")
        WORD.set("the child's")
        await asyncio.sleep(1.0)
        WORD.set("the child's, later")

    held = slow(book, "a", look_and_set).options(backoff=Backoff(1.0, 1.0, jitter="none"))
    async with grown(system, held, slow(book, "b", sleep(1.0)), strategy=ALL) as s:
        s.subscribe(note, ActorRestarting)
        await fell(s, member(s, "a"), "crash")
        await advance(1.0)
        assert is_aside(s, "/top")
        await up_again(s, "a", "b", path="/top")
        look("the test")
    assert seen == [
        ("actor.restarting a", "/top", "none"),
        ("started a", "/top/a", "none"),
        ("actor.restarting b", "/top", "the supervisor's"),
        ("the test", "nobody", "none"),
    ]
