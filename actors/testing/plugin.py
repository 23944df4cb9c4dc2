"""The pytest plugin: fixtures that work under anyio's plugin and under pytest-asyncio, and force neither.

None of them is asynchronous: a test enters its systems itself, with `async with system() as s`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ..message import DeadLetter
from ..system import ActorSystem
from .chaos import Chaos
from .recorder import Recorder
from .strikes import ChaosStruck
from .virtual_time import VirtualTimeLoop


@pytest.fixture
def virtual_time() -> tuple[str, dict[str, Any]]:
    """What anyio's `anyio_backend` fixture has to return for a test to run on virtual time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
def recorders() -> list[Recorder]:
    """The recorders of all systems that the `system` fixture made, in order."""
    return []


@pytest.fixture
def system(recorders: list[Recorder]) -> Iterator[Callable[..., ActorSystem]]:
    """Makes systems, with the arguments of `ActorSystem`; each is recorded, and must be stopped when the test ends."""
    made: list[ActorSystem] = []

    def make(*args: Any, **options: Any) -> ActorSystem:
        one = ActorSystem(*args, **options)
        recorders.append(Recorder(one))
        made.append(one)
        return one

    yield make
    running = [one for one in made if one.running]
    assert not running, f"expected every system to be stopped at the end of the test, got {running}"


class Letters:
    """The dead letters of all systems of a test."""

    def __init__(self, recorders: list[Recorder]) -> None:
        self._recorders = recorders

    @property
    def all(self) -> list[DeadLetter]:
        """Every dead letter so far, in order."""
        return [letter for recorder in self._recorders for letter in recorder.letters]

    def reasons(self) -> list[str]:
        """Their reasons, in order."""
        return [letter.reason for letter in self.all]


@pytest.fixture
def dead_letters(recorders: list[Recorder]) -> Letters:
    """The dead letters of the systems that the `system` fixture made."""
    return Letters(recorders)


@pytest.fixture
def chaos(recorders: list[Recorder], request: pytest.FixtureRequest) -> Iterator[type[Chaos]]:
    """`Chaos`, for the systems that the `system` fixture makes with `allows_chaos=True`; a test that fails shows all
    that it did, whatever kind of chaos it was.
    """
    yield Chaos
    struck = [event for recorder in recorders for event in recorder.of(ChaosStruck)]
    lines = [f"{one.number}. {one.what} {one.path} ({one.where}), seed {one.seed}" for one in struck]
    if lines:
        request.node.add_report_section("teardown", "chaos", "\n".join(lines))
