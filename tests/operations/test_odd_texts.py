"""The laws of texts that have no encoding, as names of files may be: they are told as escapes wherever they get to."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.operations.processes import ran
from upright.actors import Actor, ActorSystem
from upright.operations.admin import Admin
from upright.operations.admin_client import call
from upright.operations.controls import Controls
from upright.operations.endpoints import answer
from upright.operations.errors import Failed
from upright.operations.health import Check, Findings, HealthLimits, judged
from upright.operations.worker_health import WorkerHealth, line_of, read_line

pytestmark = pytest.mark.anyio

HALF, WHOLE = "caf\udce9.txt", "caf\\udce9.txt"
TREES = f"""
def text():
    raise ValueError({HALF!r})

def odd():
    class Odd(BaseException): pass
    raise Odd({HALF!r})
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Reader(Actor):
    async def read(self) -> dict[str, Any]:
        return {HALF: [HALF]}

    async def fail(self) -> None:
        raise ValueError(HALF)


@pytest.fixture
async def socket(tmp_path: Path) -> AsyncGenerator[Path]:
    async with ActorSystem(log=None) as system:
        await system.spawn("reader", Reader)
        async with Admin(tmp_path / "a.sock", Controls(system)):
            yield tmp_path / "a.sock"


async def asked(socket: Path, handler: str) -> Any:
    return (await call(socket, "send", to="/reader", handler=handler, ask=True))["reply"]


async def test_a_reply_over_the_admin_socket_has_escapes(socket: Path) -> None:
    assert await asked(socket, "read") == {WHOLE: [WHOLE]}


async def test_an_ask_that_ends_in_such_an_error_is_answered_with_it(socket: Path) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(Failed) as caught:
        await asked(socket, "fail")
    assert str(caught.value).endswith(f"ValueError: {WHOLE}")
    assert logs == []
    assert await asked(socket, "read")


def test_what_a_worker_tells_its_parent_gets_there() -> None:
    read = read_line(line_of(WorkerHealth(False, (Check("store", "failed", HALF),))))
    assert read == WorkerHealth(False, (Check("store", "failed", WHOLE),))


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_a_probe_answers_with_it(path: str) -> None:
    class Told:
        def report(self) -> Any:
            return judged(None, Findings(started=True, more=(Check("disk", "failed", HALF),)), HealthLimits())

        startup = live = ready = report

    assert WHOLE.encode() in answer(Told(), path, "").body.replace(b"\\\\", b"\\")


@pytest.mark.parametrize("tree", ["text", "odd"])
def test_a_tree_that_raises_it_ends_the_service_with_one_line(tmp_path: Path, tree: str) -> None:
    (tmp_path / "app.py").write_text(TREES)
    done = ran(tmp_path, f"app:{tree}", "--log-format", "json", "--admin", "")
    (line,) = map(json.loads, done.said.splitlines())
    assert (done.status, line["event"]) == (1, "service.failed")
    assert str(line["error_text"]).endswith(WHOLE)
