"""The laws of a line of a log: to log never fails, and what cannot be written now does not end the log."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from upright.actors import Actor, ActorSystem, EventLog
from upright.operations import configure_logs
from upright.operations.log_lines import sure

pytestmark = pytest.mark.anyio

HALF = "caf\udce9.txt"
Systems = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Broken:
    def __repr__(self) -> str:
        raise LookupError("no text today")


class Disk(io.StringIO):
    """A stream that is full, until there is room."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


class Reader(Actor):
    async def read(self, name: str) -> str:
        structlog.get_logger().info("file.read", file=name, what=Broken())
        return "done"

    async def fail(self, name: str) -> None:
        error = ValueError(f"cannot parse {name}")
        error.add_note(f"the file {name}")
        raise ExceptionGroup("all of them", [error])


def ascii_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)


def written(out: io.StringIO | io.TextIOWrapper) -> str:
    out.seek(0)
    return out.read()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("make", [io.StringIO, ascii_stream])
async def test_half_a_character_in_an_error_or_a_line_costs_neither_the_line_nor_the_log(
    as_json: bool, make: Callable[[], io.StringIO | io.TextIOWrapper], system: Systems
) -> None:
    out = make()
    configure_logs(stream=out, json=as_json)
    async with system(log=EventLog(logging.INFO)) as s:
        reader = await s.spawn("reader", Reader)
        assert await reader.ask(Reader.read, HALF) == "done"
        for _ in range(2):
            await reader.tell(Reader.fail, HALF)
            await s.idle()
    text = written(out)
    assert [text.count(name) for name in ("file.read", "actor.crashed", "actor.restarted")] == [1, 2, 2]
    assert "its repr raised LookupError" in text


async def test_each_line_of_it_is_json(system: Systems) -> None:
    out = io.StringIO()
    configure_logs(stream=out, json=True)
    async with system(log=EventLog(logging.INFO)) as s:
        reader = await s.spawn("reader", Reader)
        await reader.tell(Reader.fail, HALF)
        await s.idle()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    crashed = next(line for line in lines if line["event"] == "actor.crashed")
    assert "the file caf\\udce9.txt" in crashed["stack"]


async def test_a_disk_that_is_full_fails_nobody_and_the_log_goes_on_when_there_is_room(system: Systems) -> None:
    out = Disk()
    configure_logs(stream=out, json=True)
    async with system(log=EventLog(logging.INFO)) as s:
        reader = await s.spawn("reader", Reader)
        assert await reader.ask(Reader.read, "a") == "done"
        await reader.tell(Reader.fail, "a")
        await s.idle()
        out.full = False
        await reader.ask(Reader.read, "b")
        await reader.tell(Reader.fail, "b")
        await s.idle()
    events = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    assert [events.count(name) for name in ("file.read", "actor.crashed", "actor.restarted")] == [1, 1, 1]


def test_a_stream_that_is_closed_or_none_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    out.close()
    configure_logs(stream=out)
    structlog.get_logger().info("told")
    monkeypatch.setattr("sys.stderr", None)
    configure_logs()
    structlog.get_logger().info("told")


def test_a_line_that_cannot_be_rendered_at_all_still_names_its_event() -> None:
    def render(*_: object) -> str:
        raise MemoryError

    assert (
        sure(render)(None, "info", {"event": "disk.full"}) == "'disk.full' (its line cannot be rendered: MemoryError)"
    )


async def test_a_log_whose_processors_fail_once_is_not_removed(system: Systems) -> None:
    """Of an application's own, say."""
    lines: list[str] = []
    failing = [True, True]

    def process(_logger: Any, _method: str, line: Any) -> Any:
        if failing:
            failing.pop()
            raise ValueError("expected none of these")
        lines.append(line["event"])
        raise structlog.DropEvent

    structlog.configure(processors=[process])
    async with system(log=EventLog(logging.INFO)) as s:
        reader = await s.spawn("reader", Reader)
        await reader.tell(Reader.fail, "a")
        await s.idle()
    assert "actor.restarted" in lines
    assert "subscriber.removed" not in lines
