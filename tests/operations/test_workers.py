"""Several worker processes below a parent: one that dies, hangs or loops is dealt with, and all end in time."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from tests.operations.crews import APP, QUICK, REAL, holds, is_gone, parenting, said, script
from tests.operations.watching import BOUND
from upright.actors.events import ActorRestarting
from upright.command.ps import sections
from upright.operations import Failed, ServiceHurried, ServiceStopped, WorkerEnded, WorkerHung, WorkerReady, call
from upright.operations.events import WorkerStarted
from upright.persistence import Sqlite
from upright.supervision import Backoff

pytestmark = pytest.mark.anyio
SLEEPS = "import time; time.sleep(3600)"
UP = (
    "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
    "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']);"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program of the workers is."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_worker_that_is_killed_comes_back_and_the_other_goes_on() -> None:
    async with parenting(REAL, 2) as parent:
        first, second = await parent.ready(1, 2)
        os.kill(first, signal.SIGKILL)
        ended = await parent.until(WorkerEnded)
        assert (ended.worker, ended.pid, ended.how) == (1, first, "was killed by SIGKILL")
        back = await parent.until(WorkerReady, times=2, worker=1)
        assert back.pid != first
        assert parent.crew.workers[1].pid == second
    assert await parent.end() == 0


async def test_one_that_crashes_at_once_again_and_again_is_held_back_more_and_more() -> None:
    restarts = Backoff(0.01, 0.08, jitter="none", quiet=3_600.0)
    async with parenting(script(f"{UP} raise SystemExit(3)"), restarts=restarts) as parent:
        await parent.until(ActorRestarting, times=6)
        held = [event.delay_s for event in parent.told if isinstance(event, ActorRestarting)][:6]
        assert held == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.08, 0.08])
        assert parent.workers.health.live().ok
        started = sum(isinstance(event, WorkerStarted) for event in parent.told)
        assert started in (6, 7)
    assert await parent.end() == 0


async def test_a_command_that_cannot_be_run_at_all_ends_it_with_1_and_leaves_no_socket_behind() -> None:
    async with parenting(["/nowhere/at/all"], 2) as parent:
        assert await parent.end() == 1
        assert parent.crew.processes == {}


async def test_one_that_cannot_run_as_it_is_called_ends_all_with_2() -> None:
    async with parenting(script(f"if {{number}} == 2: raise SystemExit(2)\n{SLEEPS}"), 2) as parent:
        assert await parent.end() == 2
        assert parent.crew.processes == {}
        assert (await parent.until(ServiceStopped)).status == 2


async def test_when_each_has_failed_before_any_was_up_it_ends_with_1() -> None:
    async with parenting(script("raise SystemExit(3)"), 2) as parent:
        assert await parent.end() == 1
        assert {event.worker for event in parent.told if isinstance(event, WorkerEnded)} == {1, 2}
        assert (await parent.until(ServiceStopped)).status == 1


async def test_those_that_are_killed_before_any_was_up_come_back() -> None:
    async with parenting(script("import os; os.kill(os.getpid(), 9)"), 2) as parent:
        await parent.until(WorkerStarted, times=3, worker=1)
        await parent.until(WorkerStarted, times=3, worker=2)
    assert await parent.end() == 0


async def test_one_that_was_up_and_ends_with_2_only_comes_back() -> None:
    async with parenting(script(f"{UP} raise SystemExit(2)")) as parent:
        await parent.until(WorkerReady, times=2)
    assert await parent.end() == 0


async def test_when_all_have_ended_by_themselves_it_ends_with_0() -> None:
    async with parenting(script("pass"), 3) as parent:
        assert await parent.end() == 0


async def test_one_that_somebody_else_asks_to_end_comes_back() -> None:
    async with parenting(REAL) as parent:
        (first,) = await parent.ready(1)
        os.kill(first, signal.SIGTERM)
        assert (await parent.until(WorkerEnded)).how == "ended with status 0"
        assert (await parent.until(WorkerReady, times=2)).pid != first
    assert await parent.end() == 0


async def test_one_that_hangs_is_killed_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.operations.worker_process.DUMPING", 0.1)
    async with parenting(REAL, 2, silent=3.0) as parent:
        first, _ = await parent.ready(1, 2)
        os.kill(first, signal.SIGSTOP)
        hung = await parent.until(WorkerHung)
        assert (hung.worker, hung.pid) == (1, first)
        assert (await parent.until(WorkerReady, times=2, worker=1)).pid != first
        assert is_gone(first)


async def test_one_whose_handler_blocks_for_ever_is_killed_and_told_where(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with parenting(REAL, silent=2.0, admin="parent.sock") as parent:
        (first,) = await parent.ready(1)
        words: dict[str, object] = {"to": "/shop/clerk", "handler": "block", "arguments": {}}
        sending = asyncio.ensure_future(call("parent.sock", "send", **words))  # it may block before it has answered
        assert (await parent.until(WorkerHung)).pid == first
        with contextlib.suppress(Failed):
            await sending
        assert (await parent.until(WorkerEnded)).how == "was killed by SIGABRT"
        assert "in block" in capfd.readouterr().err
        parent.crew.silent = 60.0


async def test_a_signal_asks_all_of_them_once_and_what_runs_comes_to_its_end(folder: Path) -> None:
    async with parenting(REAL, 2, admin="parent.sock") as parent:
        pids = await parent.ready(1, 2)
        await call("parent.sock", "send", to="/shop/clerk", handler="hold", arguments={"gate": "gate"})
        (holding,) = await said(folder, "holding")
        assert int(holding.split()[1]) in pids
        os.kill(os.getpid(), signal.SIGTERM)
        await parent.workers.service.wait_draining()
        await holds(lambda: parent.crew.workers[pids.index(int(holding.split()[1]))].draining)
        (folder / "gate").touch()
        assert await parent.end() == 0
        assert len(await said(folder, "held")) == 1
        assert all(is_gone(pid) for pid in pids)
    store = Sqlite("jobs.db")
    assert not [one async for one in store.quarantine.letters()]


async def test_a_second_signal_hurries_all_of_them_and_nothing_is_lost(folder: Path) -> None:
    async with parenting(REAL, 2, admin="parent.sock") as parent:
        pids = await parent.ready(1, 2)
        await call("parent.sock", "send", to="/shop/clerk", handler="hold", arguments={"gate": "gate"})
        (holding,) = await said(folder, "holding")
        os.kill(os.getpid(), signal.SIGTERM)
        await parent.workers.service.wait_draining()
        # One that has not dealt with the first signal yet would take both for one.
        await holds(lambda: parent.crew.workers[pids.index(int(holding.split()[1]))].draining)
        os.kill(os.getpid(), signal.SIGTERM)
        await parent.until(ServiceHurried)
        assert await parent.end() == 0
        assert all(is_gone(pid) for pid in pids)
    (folder / "gate").touch()
    async with parenting(REAL) as parent:
        assert len(await said(folder, "held")) == 1


async def test_of_those_that_do_not_end_in_time_none_is_left() -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); {SLEEPS}"
    async with parenting(script(stubborn), 3, drain=0.5, patience=0.2) as parent:
        for number in (1, 2, 3):
            await parent.until(WorkerStarted, worker=number)
        pids = [worker.pid for worker in parent.crew.workers]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        parent.workers.service.begin_drain("a test")
        assert await parent.end() == 0
        assert all(is_gone(pid) for pid in pids)


async def test_over_its_socket_the_parent_answers_for_all(folder: Path) -> None:
    async with parenting(REAL, 2, admin="parent.sock") as parent:
        pids = await parent.ready(1, 2)
        tree = (await call("parent.sock", "tree"))["tree"]
        workers = next(node for node in tree["children"] if node["path"] == "/workers")
        assert [node["path"] for node in workers["children"]] == ["/workers/worker-1", "/workers/worker-2"]
        assert all("/shop" in [below["path"] for below in node["children"]] for node in workers["children"])
        ps = await call("parent.sock", "ps")
        assert [(one["worker"], one["pid"], one["ready"]) for one in ps["workers"]] == [
            (1, pids[0], True),
            (2, pids[1], True),
        ]
        assert {one.get("worker") for one in ps["actors"] if one["path"] == "/shop/clerk"} == {1, 2}
        health = (await call("parent.sock", "health"))["health"]
        assert [one["ok"] for one in health["workers"]] == [True, True]
        asked = await call("parent.sock", "send", to="/shop/clerk", handler="note", arguments={"word": "x"}, ask=True)
        assert asked["reply"] == "x"
        await call("parent.sock", "send", to="/shop/clerk", handler="fail", arguments={})
        async with asyncio.timeout(BOUND):
            while not (found := (await call("parent.sock", "letters"))["letters"]):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [letter["handler"] for letter in found] == ["fail"]
        assert (await call("parent.sock", "discard"))["discarded"] == 1


async def test_while_it_drains_it_is_answered_as_before(folder: Path) -> None:
    async with parenting(REAL, 2, admin="parent.sock", store="jobs.db") as parent:
        await parent.ready(1, 2)
        await call("parent.sock", "send", to="/shop/clerk", handler="hold", arguments={"gate": "gate"})
        await said(folder, "holding")
        parent.workers.service.begin_drain("a test")
        await holds(lambda: sum(worker.pid > 0 for worker in parent.crew.workers) == 1)
        ps = await call("parent.sock", "ps")
        assert (ps["process"]["draining"], ps["process"]["store"]) == (True, "jobs.db")
        assert "/shop/clerk" in [one["path"] for one in ps["actors"]]
        assert ps["mailboxes"][0]["running"] == 1
        assert "/workers" in [node["path"] for node in (await call("parent.sock", "tree"))["tree"]["children"]]
        assert (await call("parent.sock", "letters"))["letters"] == []
        (folder / "gate").touch()
        assert await parent.end() == 0


async def test_while_no_worker_is_ready_that_is_said() -> None:
    async with parenting(script(SLEEPS), admin="parent.sock") as parent:
        await parent.until(WorkerStarted)
        with pytest.raises(Failed, match="no worker is ready to answer"):
            await call("parent.sock", "letters")
        health = (await call("parent.sock", "health"))["health"]
        assert (health["ok"], health["workers"][0]["ready"]) == (False, False)


async def test_a_worker_that_hangs_hangs_no_answer_of_the_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upright.operations.workers.ANSWERING", 0.1)
    async with parenting(REAL, 2, admin="parent.sock") as parent:
        first, _ = await parent.ready(1, 2)
        os.kill(first, signal.SIGSTOP)
        health = (await asyncio.wait_for(call("parent.sock", "health"), 60))["health"]
        assert ["checks" in one for one in health["workers"]] in ([False, True], [False, False])
        os.kill(first, signal.SIGCONT)


async def test_of_a_worker_that_has_told_nothing_it_is_told_as_at_the_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parenting(REAL, 1, admin="parent.sock") as parent:
        await parent.ready(1)
        monkeypatch.setattr("upright.operations.crew.STILL", -1.0)  # what it told just now is too long ago
        ps, health = await call("parent.sock", "ps"), (await call("parent.sock", "health"))["health"]
        for worker in (*ps["workers"], *health["workers"]):
            assert not worker["ready"]
            assert worker["why"].startswith("it has told nothing for ")
        shown = {title: [*rows] for title, _, rows in sections(ps, 0.0)}
        assert shown["WORKERS"][0][2] is False


async def test_its_folder_is_for_the_user_alone_and_gone_afterwards() -> None:
    async with parenting(script(SLEEPS), restarts=QUICK) as parent:
        await parent.until(WorkerStarted)
        place = parent.crew.folder
        assert place.stat().st_mode & 0o077 == 0
        assert parent.crew.notes_of(1).exists()
    assert await parent.end() == 0
    assert not place.exists()
