"""What a manager is told: one datagram each, to a path or an abstract name, and never a wait or an error."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from upright.operations import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The name of a socket, and who listens there."""
    named = f"@{tmp_path}" if request.param == "abstract" else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{tmp_path}" if request.param == "abstract" else named)
        listening.settimeout(30)
        yield named, listening


def test_what_is_told_comes_as_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    assert Notifier({"NOTIFY_SOCKET": name}).tell("READY=1", "STATUS=läuft")
    assert listening.recv(4_096).decode() == "READY=1\nSTATUS=läuft"


def test_nobody_is_told_where_nobody_asked() -> None:
    notifier = Notifier({})
    assert not notifier.tell("READY=1")
    assert (notifier.trouble, notifier.watchdog_s) == ("", 0.0)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "@nobody-has-this-name", "/" + "x" * 200, "vsock:2:1234"])
def test_a_manager_that_is_gone_is_no_error_but_remembered(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert not notifier.tell("READY=1")
    assert "Error" in notifier.trouble


def test_a_manager_that_does_not_read_is_not_waited_for(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    while notifier.tell("WATCHDOG=1"):
        pass
    assert "BlockingIOError" in notifier.trouble
    listening.recv(4_096)
    assert notifier.tell("WATCHDOG=1")
    assert notifier.trouble == ""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "often"}, 0.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "me"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({}, 0.0),
    ],
)
def test_signs_of_life_are_expected_of_the_process_that_is_meant_alone(given: dict[str, str], wanted: float) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/n", **given}).watchdog_s == wanted


def test_signs_of_life_are_expected_only_where_somebody_listens() -> None:
    assert Notifier({"WATCHDOG_USEC": "1500000"}).watchdog_s == 0.0
