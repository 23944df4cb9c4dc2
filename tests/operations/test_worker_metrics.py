"""The metrics of a service of several processes are those of all of them, told apart by the number of the worker."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.operations.crews import APP, REAL, parenting, said
from upright.actors import ActorSystem
from upright.operations import Controls, WorkerEnded, WorkerReady, Wrong, call
from upright.operations.worker_metrics import WorkerMetrics, asked_for_metrics, merged

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program of the workers is."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def samples(text: str, name: str) -> dict[str, float]:
    """The values of one metric, by the number of the worker, "" for the parent's own."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                number = sample.labels.get("worker", "")
                found[number] = found.get(number, 0.0) + sample.value
    return found


def counted(times: int) -> str:
    registry = CollectorRegistry()
    Counter("upright_things", "Things.", ("kind",), registry=registry).labels('a "b"\n').inc(times)
    return generate_latest(registry).decode()


def test_each_family_is_there_once_with_the_samples_of_all() -> None:
    things = next(iter(merged(counted(1), [(1, counted(2)), (2, ""), (3, counted(4))])))
    assert [(one.labels, one.value) for one in things.samples] == [
        ({"kind": 'a "b"\n'}, 1.0),
        ({"kind": 'a "b"\n', "worker": "1"}, 2.0),
        ({"kind": 'a "b"\n', "worker": "3"}, 4.0),
    ]
    assert things.type == "counter"


def test_one_that_is_not_there_or_says_nothing_of_use_is_left_out(folder: Path) -> None:
    path = folder / "one.sock"
    assert asked_for_metrics(path) == ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        assert asked_for_metrics(path, patience=0.01) == ""
        listening.accept()[0].close()
        for said_back in (b"", b"rubbish\n", b'{"error": "no", "kind": "wrong"}\n'):

            def answer(words: bytes = said_back) -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1_000)
                    connection.sendall(words)

            thread = threading.Thread(target=answer)
            thread.start()
            assert asked_for_metrics(path) == ""
            thread.join()


async def test_the_parent_gives_those_of_all_that_answer_and_its_own(folder: Path) -> None:
    async with parenting(REAL, 2, admin="parent.sock") as parent:
        metrics = WorkerMetrics(parent.workers.system, parent.workers.health, parent.crew)
        first, _ = await parent.ready(1, 2)
        await call("parent.sock", "send", to="/shop/clerk", handler="fail", arguments={})
        await said(folder, "failing")
        text = (await asyncio.to_thread(metrics))[1].decode()
        assert samples(text, "upright_workers") == {"": 2.0}
        assert samples(text, "upright_worker_restarts_total") == {"1": 0.0, "2": 0.0}
        assert set(samples(text, "upright_store_backlog")) == {"1", "2"}
        assert set(samples(text, "upright_probe_ok")) == {"", "1", "2"}
        assert text.count("# TYPE upright_probe_ok ") == 1
        os.kill(first, signal.SIGKILL)
        await parent.until(WorkerEnded)
        await parent.until(WorkerReady, times=2, worker=1)
        os.kill(parent.crew.workers[1].pid, signal.SIGSTOP)
        text = (await asyncio.to_thread(metrics))[1].decode()
        os.kill(parent.crew.workers[1].pid, signal.SIGCONT)
        assert samples(text, "upright_worker_restarts_total") == {"1": 1.0, "2": 0.0}
        assert set(samples(text, "upright_probe_ok")) == {"", "1"}


async def test_where_none_are_collected_that_is_said() -> None:
    with pytest.raises(Wrong, match="expected a service that collects metrics"):
        assert [answer async for answer in Controls(ActorSystem()).do("metrics")]
