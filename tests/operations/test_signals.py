"""A signal that asks a process to end is heard on the loop, and by whoever had it before; then all is as it was."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from upright.operations.signals import Signals

pytestmark = pytest.mark.anyio
BOTH = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def before() -> Iterator[list[int]]:
    """Handlers that somebody has before: the signals that they heard."""
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    held = {number: signal.signal(number, hear) for number in BOTH}
    yield heard
    for number, handler in held.items():
        signal.signal(number, handler)


class Heard:
    """What came over the loop."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []
        self._came = asyncio.Event()

    def __call__(self, name: str, number: int) -> None:
        self.said.append((name, number))
        self._came.set()

    async def times(self, count: int) -> list[tuple[str, int]]:
        while len(self.said) < count:
            self._came.clear()
            await asyncio.wait_for(self._came.wait(), 60)
        return self.said


def come(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_each_signal_is_heard_on_the_loop_with_its_name_and_number() -> None:
    heard = Heard()
    signals = Signals(heard, chain=False)
    signals.install()
    try:
        come(signal.SIGTERM)
        await heard.times(1)
        come(signal.SIGINT)
        assert await heard.times(2) == [("SIGTERM", 1), ("SIGINT", 2)]
        assert (signals.count, signals.first) == (2, signal.SIGTERM)
    finally:
        signals.restore()


async def test_a_loop_that_waits_is_woken_by_a_signal_from_outside() -> None:
    heard = Heard()
    signals = Signals(heard, chain=False)
    signals.install()
    try:
        threading.Timer(0.05, come, [signal.SIGTERM]).start()
        assert await heard.times(1) == [("SIGTERM", 1)]
    finally:
        signals.restore()


async def test_whoever_had_them_before_hears_the_first_and_the_third_and_the_second_when_it_is_forwarded(
    before: list[int],
) -> None:
    heard = Heard()
    signals = Signals(heard, chain=True)
    signals.install()
    try:
        for count in (1, 2, 3):
            come(signal.SIGTERM)
            await heard.times(count)
        assert before == [signal.SIGTERM, signal.SIGTERM]
        signals.forward(signal.SIGINT)
        assert before[-1] == signal.SIGINT
    finally:
        signals.restore()


async def test_without_a_chain_nobody_else_hears_of_them(before: list[int]) -> None:
    heard = Heard()
    signals = Signals(heard, chain=False)
    signals.install()
    try:
        come(signal.SIGTERM)
        await heard.times(1)
        assert before == []
    finally:
        signals.restore()


async def test_what_was_there_before_is_put_back(before: list[int]) -> None:
    held = [signal.getsignal(number) for number in BOTH]
    signals = Signals(Heard(), chain=True)
    signals.install()
    assert all(signal.getsignal(number) != handler for number, handler in zip(BOTH, held, strict=True))
    signals.restore()
    signals.restore()
    assert [signal.getsignal(number) for number in BOTH] == held
    come(signal.SIGINT)
    assert before == [signal.SIGINT]


async def test_installed_twice_it_does_not_hear_itself(before: list[int]) -> None:
    held = [signal.getsignal(number) for number in BOTH]
    heard = Heard()
    signals = Signals(heard, chain=True)
    signals.install()
    signals.install()
    come(signal.SIGTERM)
    assert await heard.times(1) == [("SIGTERM", 1)]
    assert before == [signal.SIGTERM]
    signals.restore()
    assert [signal.getsignal(number) for number in BOTH] == held


async def test_what_somebody_else_has_installed_since_is_left() -> None:
    signals = Signals(Heard(), chain=True)
    signals.install()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) != signals._handle


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
async def test_what_cannot_be_called_is_not_called_and_put_back(handler: signal.Handlers) -> None:
    signal.signal(signal.SIGTERM, handler)
    heard = Heard()
    signals = Signals(heard, chain=True)
    signals.install()
    come(signal.SIGTERM)
    await heard.times(1)
    signals.forward(signal.SIGTERM)
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == handler


async def test_a_handler_that_a_library_in_c_had_is_replaced_by_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = Signals(Heard(), chain=True)
    signals.install()
    signals._before[signal.SIGTERM] = None  # what `signal.signal` gives then
    signals.restore()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_a_signal_that_comes_when_the_loop_is_closed_harms_nobody() -> None:
    signals = Signals(Heard(), chain=False)

    signals.install()
    loop = asyncio.new_event_loop()
    signals._loop = loop
    loop.close()
    come(signal.SIGTERM)
    assert signals.count == 1
    signals.restore()


async def test_in_another_thread_nothing_is_installed_and_nothing_breaks() -> None:
    held = [signal.getsignal(number) for number in BOTH]

    async def both() -> list[object]:
        signals = Signals(Heard(), chain=True)
        signals.install()
        found: list[object] = [signal.getsignal(number) for number in BOTH]
        signals.restore()
        return found

    assert await asyncio.to_thread(asyncio.run, both()) == held


async def test_what_was_installed_for_the_loop_hears_too() -> None:
    loop, came, heard = asyncio.get_running_loop(), asyncio.Event(), Heard()
    loop.add_signal_handler(signal.SIGTERM, came.set)
    signals = Signals(heard, chain=True)
    signals.install()
    try:
        come(signal.SIGTERM)
        await heard.times(1)
        await asyncio.wait_for(came.wait(), 60)
    finally:
        signals.restore()
        loop.remove_signal_handler(signal.SIGTERM)
