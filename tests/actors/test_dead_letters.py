"""The laws of the usual dead-letter actor: it keeps the latest letters and counts all."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, Oops, raised_by
from upright.actors import ActorSystem, DeadLetter, DeadLetters, Message, Ref
from upright.actors.dead_letters import light

pytestmark = pytest.mark.anyio

Make = Callable[..., ActorSystem]


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


async def sent(system: ActorSystem, count: int) -> Ref[DeadLetters]:
    office = system.ref("/dead-letters", DeadLetters)
    for number in range(count):
        await office.tell(DeadLetters.letter, DeadLetter("/nobody", Message("note", (number,)), "no_actor"))
    return office


def numbers(letters: list[DeadLetter]) -> list[Any]:
    return [letter.message.args[0] for letter in letters]


async def test_the_latest_letters_are_kept_the_newest_last(system: Make) -> None:
    async with system() as s:
        office = await sent(s, 5)
        assert numbers(await office.ask(DeadLetters.latest)) == [0, 1, 2, 3, 4]
        assert numbers(await office.ask(DeadLetters.latest, 2)) == [3, 4]


@pytest.mark.parametrize("most", [0, -1])
async def test_none_are_shown_where_none_are_wanted(system: Make, most: int) -> None:
    async with system() as s:
        assert await (await sent(s, 3)).ask(DeadLetters.latest, most) == []


async def test_a_thousand_are_kept_and_all_are_counted(system: Make) -> None:
    async with system() as s:
        office = await sent(s, 1_200)
        assert numbers(await office.ask(DeadLetters.latest, 5_000)) == list(range(200, 1_200))
        assert await office.ask(DeadLetters.counts) == {"no_actor": 1_200}


async def test_letters_are_counted_by_reason(system: Make) -> None:
    async with system(log=None) as s:
        office = await sent(s, 3)
        actor = await s.spawn("actor", Deeds)
        await actor.tell(Deeds.refuse)
        await raised_by(actor.ask(Deeds.crash))
        await s.idle()
        assert await office.ask(DeadLetters.counts) == {"no_actor": 3, "rejected": 1, "crashed": 1}


async def test_what_it_hands_out_is_a_copy(system: Make) -> None:
    async with system() as s:
        office = await sent(s, 3)
        (await office.ask(DeadLetters.latest)).clear()
        (await office.ask(DeadLetters.counts)).clear()
        assert len(await office.ask(DeadLetters.latest)) == 3
        assert await office.ask(DeadLetters.counts) == {"no_actor": 3}


class Named(Exception):
    """An error with an attribute, set by its own constructor from what it is made with."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name.upper()


class Stubborn(Exception):
    """An error that cannot be copied."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not this one")


class Mute(Stubborn):
    """An error that cannot even be read."""

    def __str__(self) -> str:
        raise RuntimeError("not this one either")


class Grave(BaseException):
    """One that is no `Exception`."""


def with_more(error: BaseException) -> BaseException:
    """The error with an attribute and notes."""
    error.code = 7  # type: ignore[attr-defined]  # what many libraries do
    error.add_note("while it was tested")
    error.add_note("and again")
    return error


def noted_only(error: BaseException) -> BaseException:
    error.add_note("a note")
    return error


PLAINLY = [ValueError("no"), KeyError("k"), TypeError(), RuntimeError("a", 2), Exception(), IndexError([1]), Oops("x")]
OTHERS = [Named("n"), OSError(2, "no", "file"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), Grave("g")]


def raised(error: BaseException) -> BaseException:
    """The error with a traceback, a cause and a context."""
    try:
        try:
            raise LookupError("before")
        except LookupError as cause:
            raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    "error",
    [raised(error) for error in (*PLAINLY, *OTHERS)]
    + [raised(with_more(error)) for error in (ValueError("more"), Exception(), Named("more"), OSError(2, "no"))]
    + [raised(noted_only(error)) for error in (ValueError("noted"), Oops("noted"))],
    ids=repr,
)
def test_a_kept_error_is_equal_to_the_one_that_was_raised_but_bears_no_traceback(error: BaseException) -> None:
    kept = light(error)
    assert kept is not None
    assert kept is not error
    assert type(kept) is type(error)
    assert (kept.args, vars(kept), str(kept), repr(kept)) == (error.args, vars(error), str(error), repr(error))
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)


def test_the_error_that_was_raised_stays_as_it_was() -> None:
    for error in (raised(ValueError("no")), raised(with_more(Named("n"))), raised(Stubborn("no"))):
        light(error)
        assert error.__traceback__ is not None
        assert isinstance(error.__cause__, LookupError)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Stubborn("no"), "Stubborn: no"),
        (with_more(Stubborn()), "Stubborn"),
        (Mute("no"), "Mute: (its text cannot be read: RuntimeError)"),
    ],
)
def test_of_an_error_that_cannot_be_copied_its_type_and_text_are_kept(error: BaseException, said: str) -> None:
    kept = light(raised(error))
    assert type(kept) is RuntimeError
    assert str(kept) == said
    assert kept.__traceback__ is None
    assert (kept.__cause__, kept.__context__) == (None, None)


def test_no_error_is_none() -> None:
    assert light(None) is None


async def crash_plainly(_: Deeds) -> None:
    raise ValueError("on purpose")


async def crash_otherwise(_: Deeds) -> None:
    raise Named("on purpose")


async def crash_for_good(_: Deeds) -> None:
    raise Stubborn("on purpose")


@pytest.mark.parametrize("deed", [crash_plainly, crash_otherwise, crash_for_good])
async def test_no_crashed_instance_is_kept_alive_by_the_letters_of_its_crashes(deed: Any) -> None:
    """The latest one may be: its exit holds the error as it was raised."""
    made: list[weakref.ref[Deeds]] = []

    class Mortal(Deeds):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    async with ActorSystem(log=None) as s:
        actor = await s.spawn("actor", Mortal)
        for _ in range(5):
            await actor.tell(Deeds.do, deed)
            await s.idle()
        letters = await s.ref("/dead-letters", DeadLetters).ask(DeadLetters.latest)
        assert [letter.reason for letter in letters] == ["crashed"] * 5
        gc.collect()
        assert [one() is not None for one in made[:4]] == [False] * 4
        assert len(made) == 6
