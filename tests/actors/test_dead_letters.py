"""The laws of the usual dead-letter actor: it keeps the latest letters and counts all."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.actors.deeds import Deeds, raised_by
from upright.actors import ActorSystem, DeadLetter, DeadLetters, Message, Ref

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
