"""The laws of the seam on which supervisors stand: a judging parent hears of each end once, and decides."""

import asyncio
from typing import Any

import pytest

from tests.actors.lives import (
    KINDS,
    Closer,
    Deed,
    Diary,
    Doer,
    Starter,
    Systems,
    crash,
    quiet,
    rest,
    sleep,
    stop,
)
from upright.actors import Actor, Crashed, Down, Exit, Killed, Normal, Ref, Shutdown, StartFailed
from upright.actors.parent import Child, Parent
from upright.actors.testing import settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Judge(Parent):
    """Keeps whoever ended down until it is told what to do."""

    def __init__(self, ends: list[tuple[str, Exit]]) -> None:
        self.ends = ends
        self.down: dict[str, Child] = {}

    async def child_ended(self, child: Child, exit: Exit) -> None:
        self.ends.append((child.path, exit))
        self.down[child.path] = child

    async def do(self, deed: Deed) -> Any:
        return await deed(self)


class Hasty(Parent):
    """A parent with no judgement of its own."""

    async def do(self, deed: Deed) -> Any:
        return await deed(self)


def spawn(kind: type[Doer], diary: Diary, **plans: Any) -> Deed:
    async def deed(me: Actor) -> Ref[Doer]:
        return await me.ctx.spawn("c", kind, diary, **plans)

    return deed


@pytest.mark.parametrize("kind", KINDS)
async def test_a_judging_parent_hears_of_each_end_that_it_did_not_cause_and_the_child_stays_down(
    system: Systems, kind: type[Doer]
) -> None:
    ends: list[tuple[str, Exit]] = []
    diary = Diary()
    async with quiet(system) as s:
        judge = await s.spawn("j", Judge, ends)
        child = await judge.ask(Judge.do, spawn(kind, diary))
        await child.tell(Doer.do, crash)
        await settle()
        assert [(path, type(exit)) for path, exit in ends] == [("/j/c", Crashed)]
        assert child.recipient is not None
        assert child.recipient.state == "restarting"
        await child.tell(Doer.note, "kept")
        await settle()
        assert diary.lives == 1

        async def restart(me: Judge) -> None:
            await me.down["/j/c"].restart()

        await judge.ask(Judge.do, restart)
        await settle()
        assert diary.words[-1] == "kept 2"
        await child.tell(Doer.do, stop)
        await settle()
        assert ends[1:] == [("/j/c", Normal())]
        await judge.ask(Judge.do, restart)
        await s.kill(child)
        await settle()
        assert [type(exit) for _, exit in ends[2:]] == [Killed]
    assert len(ends) == 3, "an end that the parent causes is not told to it"


async def test_an_end_by_the_parent_buries_the_child_and_frees_its_name_before_its_watchers_hear(
    system: Systems,
) -> None:
    ends: list[tuple[str, Exit]] = []
    watcher = Diary()
    async with quiet(system) as s:
        judge = await s.spawn("j", Judge, ends)
        child = await judge.ask(Judge.do, spawn(Closer, Diary()))
        other = await s.spawn("w", Doer, watcher)

        async def watch(me: Doer) -> None:
            me.ctx.watch(child, Doer.down)

        async def end(me: Judge) -> Exit:
            recipient: Any = child.recipient
            exit: Exit = await recipient.end("enough")
            return exit

        await other.ask(Doer.do, watch)
        assert await judge.ask(Judge.do, end) == Shutdown("enough")
        await s.idle()
        assert watcher.downs == [Down(child, Shutdown("enough"))]
        assert child.recipient is None
        assert ends == []


async def test_a_halt_ends_the_incarnation_only_and_keeps_mail_and_watchers(system: Systems) -> None:
    ends: list[tuple[str, Exit]] = []
    diary, watcher = Diary(), Diary()
    async with quiet(system) as s:
        judge = await s.spawn("j", Judge, ends)
        child = await judge.ask(Judge.do, spawn(Closer, diary))
        other = await s.spawn("w", Doer, watcher)

        async def watch(me: Doer) -> None:
            me.ctx.watch(child, Doer.down)

        async def halt_and_restart(me: Judge) -> None:
            recipient: Any = child.recipient
            await recipient.halt("a group restart")
            assert recipient.state == "restarting"
            await recipient.restart()

        await other.ask(Doer.do, watch)
        await child.tell(Doer.do, sleep(1))
        await child.tell(Doer.note, "mail")
        await settle()
        await judge.ask(Judge.do, halt_and_restart)
        await settle()
        assert diary.words == [
            "starting 1",
            "started 1",
            "stopping 1",
            "stopped 1",
            "starting 2",
            "started 2",
            "mail 2",
        ]
        assert (watcher.downs, ends) == ([], [])


async def test_a_restart_that_fails_is_raised_to_the_parent_and_leaves_the_child_down_with_its_mail(
    system: Systems,
) -> None:
    ends: list[tuple[str, Exit]] = []
    diary = Diary()
    async with quiet(system) as s:
        judge = await s.spawn("j", Judge, ends)
        child = await judge.ask(Judge.do, spawn(Starter, diary, started=[rest, crash, rest]))
        await child.tell(Doer.do, crash)
        await child.tell(Doer.note, "kept")
        await settle()

        async def restart(me: Judge) -> None:
            with pytest.raises(StartFailed):
                await me.down["/j/c"].restart()
            assert me.down["/j/c"].state == "restarting"
            await me.down["/j/c"].restart()

        await judge.ask(Judge.do, restart)
        await settle()
        assert diary.words[-1] == "kept 3"
        assert len(ends) == 1


async def test_a_parent_that_does_not_judge_buries_a_child_that_ended(system: Systems) -> None:
    async with quiet(system) as s:
        parent = await s.spawn("h", Hasty)
        child = await parent.ask(Hasty.do, spawn(Closer, Diary()))
        await child.tell(Doer.do, crash)
        assert isinstance(await child.ended(), Crashed)
        assert child.recipient is None


async def test_an_end_that_happens_while_the_parent_itself_ends_is_judged_by_nobody(system: Systems) -> None:
    ends: list[tuple[str, Exit]] = []
    diary = Diary()
    async with quiet(system) as s:
        judge = await s.spawn("j", Judge, ends)
        await judge.ask(Judge.do, spawn(Closer, diary, stopping=crash))
        s_stop = asyncio.create_task(s.stop())
        await s_stop
    assert ends == []
    assert diary.lives == 1
