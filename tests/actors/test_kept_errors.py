"""The laws of errors that dead letters keep: equal to what was raised, and holding nothing alive."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from tests.actors.deeds import Deeds
from upright.actors import ActorFailed, ActorSystem, AskCycle, DeadLetters, MailboxFull, Message, StartFailed
from upright.actors.dead_letters import light


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class Spoken(Exception):
    """What a user writes: a constructor that makes a sentence of its argument."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nobody is called {name}")
        self.name = name


class Pair(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.one, self.two = one, two


class Same(Exception):
    def __copy__(self) -> "Same":
        return self


@pytest.mark.parametrize(
    "error",
    [
        Spoken("x"),
        Pair(1, 2),
        AskCycle(("/a", "/b")),
        ActorFailed("no", "/a", handled=True),
        StartFailed("/a", "no"),
        FileNotFoundError(2, "no", "a"),
        MailboxFull("/a", Message("note", ())),
    ],
    ids=repr,
)
def test_a_kept_error_with_a_constructor_of_its_own_is_equal(error: Exception) -> None:
    error.add_note("a note")
    kept = light(error)
    assert kept is not None
    assert type(kept) is type(error)
    assert (kept.args, vars(kept), str(kept)) == (error.args, vars(error), str(error))


@pytest.mark.anyio
async def test_no_crashed_instance_is_kept_alive_by_the_errors_of_a_task_group() -> None:
    made: list[weakref.ref[Deeds]] = []

    class Mortal(Deeds):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    async def crash_in_a_group(me: Deeds) -> None:
        async def part() -> None:
            await me.crash()

        async with asyncio.TaskGroup() as group:
            group.create_task(part())

    async with ActorSystem(log=None) as s:
        actor = await s.spawn("actor", Mortal)
        for _ in range(5):
            await actor.tell(Deeds.do, crash_in_a_group)
            await s.idle()
        assert len(await s.ref("/dead-letters", DeadLetters).ask(DeadLetters.latest)) == 5
        gc.collect()
        assert [one() is not None for one in made[:4]] == [False] * 4


def test_the_error_that_was_raised_is_never_changed() -> None:
    try:
        raise Same("no") from LookupError()
    except Same as caught:
        error = caught
    light(error)
    assert error.__traceback__ is not None
    assert error.__cause__ is not None
