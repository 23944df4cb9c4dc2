"""The laws of the logs: a line says whose it is, payloads and local variables never enter it, and its form fits."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from upright.actors import Actor, ActorSystem, EventLog
from upright.operations import add_turn, configure_logs

pytestmark = pytest.mark.anyio

SECRET = "4929-0000-1111-2222"
Systems = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return virtual_time


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    """structlog's configuration is the process's; each test gives it back as it was."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


class Clerk(Actor):
    async def work(self, card: str) -> None:
        structlog.get_logger().info("work.done")

    async def claim(self, card: str) -> None:
        structlog.get_logger().info("work.done", actor="mine", handler="own")

    async def beside(self, card: str) -> None:
        _ = self.ctx.background(self.later())
        await asyncio.sleep(1)

    async def later(self) -> None:
        structlog.get_logger().info("work.done")

    async def charge(self, card: str) -> None:
        raise ConnectionError("no route to the bank")


async def test_a_line_written_in_a_handler_names_the_actor_and_the_handler(system: Systems) -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    async with system(log=None) as s:
        await (await s.spawn("clerk", Clerk)).ask(Clerk.work, SECRET)
    (line,) = lines(out)
    assert (line["event"], line["actor"], line["handler"]) == ("work.done", "/clerk", "work")


async def test_keys_that_the_line_has_already_are_kept(system: Systems) -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    async with system(log=None) as s:
        await (await s.spawn("clerk", Clerk)).ask(Clerk.claim, SECRET)
    (line,) = lines(out)
    assert (line["actor"], line["handler"]) == ("mine", "own")


async def test_a_line_of_a_background_task_names_its_actor(system: Systems) -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    async with system(log=None) as s:
        await (await s.spawn("clerk", Clerk)).ask(Clerk.beside, SECRET)
    (line,) = lines(out)
    assert (line["actor"], line["handler"]) == ("/clerk", "background")


def test_a_line_outside_an_actor_names_none() -> None:
    assert add_turn(None, "info", {"event": "x"}) == {"event": "x"}


def test_context_variables_that_the_user_bound_are_on_the_line() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    with structlog.contextvars.bound_contextvars(request="r-1"):
        structlog.get_logger().info("asked")
    assert lines(out)[0]["request"] == "r-1"


def test_a_line_is_one_json_object_with_level_and_time_where_no_terminal_reads_it() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    structlog.get_logger().warning("disk.full", free=0)
    (line,) = lines(out)
    assert (line["event"], line["level"], line["free"]) == ("disk.full", "warning", 0)
    assert line["timestamp"].endswith("Z")


def test_a_value_that_json_does_not_know_is_written_as_its_repr() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    structlog.get_logger().info("seen", what=Clerk)
    assert lines(out)[0]["what"] == repr(Clerk)


def test_people_at_a_terminal_get_lines_that_are_not_json() -> None:
    out = Terminal()
    configure_logs(stream=out)
    structlog.get_logger().info("disk.full", free=0)
    assert not out.getvalue().startswith("{")
    assert "disk.full" in out.getvalue()


@pytest.mark.parametrize(("out", "as_json"), [(io.StringIO(), False), (Terminal(), True)])
def test_either_form_can_be_forced(out: io.StringIO, as_json: bool) -> None:
    configure_logs(stream=out, json=as_json)
    structlog.get_logger().info("disk.full")
    assert out.getvalue().startswith("{") == as_json


def test_lines_go_to_standard_error_unless_a_stream_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    structlog.get_logger().info("disk.full")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "disk.full" in captured.err


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    configure_logs(logging.WARNING, out)
    structlog.get_logger().info("chatter")
    structlog.get_logger().warning("matter")
    assert [line["event"] for line in lines(out)] == ["matter"]


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
def test_a_traceback_that_the_user_logs_holds_no_local_variables(out: io.StringIO) -> None:
    def charge(card: str) -> None:
        raise ConnectionError("no route to the bank")

    configure_logs(stream=out)
    try:
        charge("".join(reversed(SECRET)))
    except ConnectionError:
        structlog.get_logger().exception("charge.failed")
    assert "no route to the bank" in out.getvalue()
    assert "".join(reversed(SECRET)) not in out.getvalue()


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()])
async def test_the_lines_of_a_crash_hold_neither_payload_nor_local_variables(out: io.StringIO, system: Systems) -> None:
    configure_logs(logging.DEBUG, out)
    async with system(log=EventLog(logging.DEBUG)) as s:
        await (await s.spawn("clerk", Clerk)).tell(Clerk.charge, SECRET)
        await s.idle()
    text = out.getvalue()
    assert "actor.crashed" in text
    assert "message.dead_lettered" in text
    assert "no route to the bank" in text
    assert SECRET not in text


def test_configuring_again_takes_the_place_of_what_was_configured() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs(stream=first)
    log = structlog.get_logger()
    log.info("one")
    configure_logs(stream=second)
    log.info("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two"]
