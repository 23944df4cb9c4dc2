"""The table of exits, live: what becomes of a child that ended by itself, for every kind and every exit."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import Closer, Diary, Doer, Oops, Systems, cancel_uninvited, crash, no_trace, quiet
from tests.supervision.trees import Book, counts, fell, grown, member, states, top
from upright.actors import Crashed, Killed, Normal, Shutdown
from upright.actors.errors import Ignore
from upright.actors.events import SystemGaveUp
from upright.actors.testing import Recorder, settle
from upright.supervision import Plan, Supervisor, child, supervisor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


CLEAN, UNCLEAN = ("normal", "shutdown"), ("crash", "kill")
EXITS = {"normal": Normal, "shutdown": Shutdown, "crash": Crashed, "kill": Killed}
TABLE = [
    *[("permanent", how, "up") for how in (*CLEAN, *UNCLEAN)],
    *[("transient", how, "down") for how in CLEAN],
    *[("transient", how, "up") for how in UNCLEAN],
    *[("temporary", how, None) for how in (*CLEAN, *UNCLEAN)],
]


@pytest.mark.parametrize("kind", [Doer, Closer])
@pytest.mark.parametrize(("restart", "how", "then"), TABLE)
async def test_what_becomes_of_a_child_that_ends_by_itself(
    system: Systems, restart: Any, how: str, then: str | None, kind: type[Doer]
) -> None:
    book = Book()
    async with grown(system, book.child("a"), book.child("b", kind).options(restart=restart), book.child("c")) as s:
        await fell(s, member(s, "b"), how)
        assert await states(s) == {"a": "up", **({} if then is None else {"b": then}), "c": "up"}
        assert book.lives == {"a": 1, "b": 2 if then == "up" else 1, "c": 1}


@pytest.mark.parametrize(("restart", "how"), [(restart, how) for restart, how, then in TABLE if then != "up"])
async def test_watchers_of_one_that_does_not_come_back_hear_of_its_own_exit_once(
    system: Systems, restart: Any, how: str
) -> None:
    book = Book()

    async def watch(me: Doer) -> None:
        me.ctx.watch(me.ctx.ref("/top/a", Doer), Doer.down)

    async with grown(system, book.child("a").options(restart=restart), book.child("w")) as s:
        await member(s, "w").ask(Doer.do, watch)
        await fell(s, member(s, "a"), how)
        assert [type(down.reason) for down in book.pages["w"].downs] == [EXITS[how]]


async def test_a_clean_exit_of_a_permanent_child_uses_the_budget_too(system: Systems) -> None:
    book = Book()
    inner = supervisor("inner", book.child("a"), max_restarts=1)
    async with grown(system, inner.options(restart="temporary")) as s:
        await fell(s, member(s, "a", "/top/inner"), "normal")
        assert await states(s) == {"inner": "up"}
        await fell(s, member(s, "a", "/top/inner"), "normal")
        assert await states(s) == {}


async def test_exits_that_are_not_followed_by_a_restart_use_no_budget(system: Systems) -> None:
    book = Book()
    kept = [book.child(name).options(restart="transient") for name in "ab"]
    gone = [book.child(name).options(restart="temporary") for name in "cd"]
    async with grown(system, *kept, *gone, book.child("e"), max_restarts=1) as s:
        for name in "abcd":
            await fell(s, member(s, name), "normal" if name in "ab" else "crash")
        await fell(s, member(s, "e"), "crash")
        assert await states(s) == {"a": "down", "b": "down", "e": "up"}
        assert (await counts(s)).active == 1


async def test_a_cancellation_that_nobody_asked_for_is_a_crash(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a").options(restart="transient")) as s:
        await member(s, "a").tell(Doer.do, cancel_uninvited)
        await settle()
        assert book.lives == {"a": 2}


async def test_a_crash_in_stopping_spoils_a_clean_exit(system: Systems) -> None:
    book = Book()
    async with grown(system, book.child("a", stopping=crash).options(restart="transient")) as s:
        await fell(s, member(s, "a"), "normal")
        assert book.lives == {"a": 2}


async def test_a_crash_of_background_work_is_a_crash_of_the_child(system: Systems) -> None:
    book = Book()

    async def fail(me: Doer) -> None:
        async def work() -> None:
            raise Oops("in the background")

        me.ctx.background(work())

    async with grown(system, book.child("a").options(restart="transient")) as s:
        await member(s, "a").tell(Doer.do, fail)
        await settle()
        assert book.lives == {"a": 2}


async def test_a_child_that_somebody_ended_by_hand_is_judged_as_one_that_was_shut_down(system: Systems) -> None:
    book = Book()
    transient, temporary = book.child("b").options(restart="transient"), book.child("c").options(restart="temporary")
    async with grown(system, book.child("a"), transient, temporary) as s:
        for name in "abc":
            await s.end(member(s, name))
        await settle()
        said = await states(s)
        assert {name: member(s, name).recipient is not None for name in "abc"} == {
            name: said.get(name) == "up" for name in "abc"
        }
        assert said == {"a": "up", "b": "down"}
        assert book.lives == {"a": 2, "b": 1, "c": 1}


async def test_a_sub_supervisor_that_gives_up_is_judged_as_one_that_was_shut_down(system: Systems) -> None:
    book = Book()
    kinds: dict[str, Any] = {"p": "permanent", "tr": "transient", "te": "temporary"}
    inners = [
        supervisor(name, book.child(f"{name}-child"), max_restarts=0).options(restart=restart)
        for name, restart in kinds.items()
    ]
    async with grown(system, *inners) as s:
        for name in ("p", "tr", "te"):
            await fell(s, member(s, f"{name}-child", f"/top/{name}"), "crash")
        assert await states(s) == {"p": "up", "tr": "down"}
        assert book.lives == {"p-child": 2, "tr-child": 1, "te-child": 1}


async def test_a_sub_supervisor_that_is_killed_is_restarted_with_all_its_children(system: Systems) -> None:
    book = Book()
    async with grown(system, supervisor("inner", *book.children("a", "b")), book.child("c")) as s:
        await s.kill(top(s, "/top/inner"))
        await settle()
        assert await states(s, "/top/inner") == {"a": "up", "b": "up"}
        assert book.lives == {"a": 2, "b": 2, "c": 1}


class Shy(Supervisor):
    """Has one child, which writes into the book; declines to start again."""

    def __init__(self, book: Book, lives: list[int]) -> None:
        super().__init__()
        self.book, self.lives = book, lives
        lives.append(len(lives) + 1)

    def plan(self) -> Plan:
        return Plan((self.book.child("a"),))

    async def started(self) -> None:
        await super().started()
        if len(self.lives) > 1:
            raise Ignore("not needed any more")

    async def stop(self) -> None:
        self.ctx.stop()

    async def crash(self) -> None:
        raise Oops("on purpose")


@pytest.mark.parametrize("how", ["stops itself", "declines after a kill", "declines after a crash"])
async def test_a_tree_of_the_system_that_stops_itself_or_declines_to_start_again_ends_the_system_in_order(
    system: Systems, recorders: list[Recorder], how: str
) -> None:
    book, elder, lives = Book(), Diary(), list[int]()
    async with quiet(system, tree=child("top", Shy, book, lives)) as s:
        tree = s.ref("/top", Shy)
        await s.spawn("younger", Closer, elder)
        match how:
            case "stops itself":
                await tree.tell(Shy.stop)
            case "declines after a kill":
                await s.kill(tree)
            case _:
                await tree.tell(Shy.crash)
        async with asyncio.timeout(3_600):
            exit = await s.wait()
        assert exit == Shutdown(f"/top {'stopped itself' if how == 'stops itself' else 'declined to start again'}")
        assert not s.running
    assert s.zombies == 0
    assert recorders[0].of(SystemGaveUp) == []
    assert elder.words[-1] == "stopped 1"
    assert lives == ([1] if how == "stops itself" else [1, 2])
    assert book.turns()[-1] == "a stopped"
    assert no_trace()
