"""Every store: a state that only whoever has the strict address may write is nobody else's to change."""

import msgspec
import pytest

from tests.persistence.contract import INBOX, Bench, bodies, state
from upright.persistence.records import NOBODYS, Batch, Step, Want

pytestmark = pytest.mark.anyio


def save(expected: int, body: str) -> Step:
    """What a timer did to the state of the inbox."""
    return Step(NOBODYS, "save", state=msgspec.structs.replace(state(expected, body), owned=True))


@pytest.mark.parametrize("first", [0, 1])
async def test_it_is_refused_while_another_session_has_the_address(bench: Bench, first: int) -> None:
    one, two = await bench.session(), await bench.session()
    await one.put("a")
    await one.one("strict")
    for version in range(first):
        assert await one.settle(save(version, "one")) == ["ok"]
    before = await one.engine.read(INBOX)
    assert await two.settle(save(first, "two"), save(first + 1, "three"), save(9, "four")) == ["lost"] * 3
    assert await one.engine.read(INBOX) == before
    assert await one.settle(save(first, "one")) == ["ok"]


async def test_who_writes_one_of_an_address_that_nobody_has_has_it_from_then_on(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    written = await one.write([save(0, "one"), save(1, "two")])
    assert (written.verdicts, written.gained) == (["ok", "ok"], [INBOX])
    await two.put("a")
    assert await two.claim("strict") == []
    assert await two.settle(save(2, "three")) == ["lost"]
    written = await one.write([save(2, "three")], wants=[Want(INBOX, "strict", 9)])
    assert (bodies(written.deliveries), written.gained) == (["a"], [])


async def test_who_does_not_write_it_since_another_state_is_there_does_not_get_the_address(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    written = await one.write([save(1, "one")])
    assert (written.verdicts, written.gained) == (["conflict"], [])
    assert await two.settle(save(0, "two")) == ["ok"]


@pytest.mark.parametrize("died", [False, True])
async def test_it_may_be_written_by_the_next_one_when_the_first_has_gone(bench: Bench, died: bool) -> None:
    one = await bench.session()
    assert await one.settle(save(0, "one")) == ["ok"]
    if died:
        one.kill()
    else:
        await one.close()
    two = await bench.session()
    assert await two.settle(save(1, "two")) == ["ok"]


async def test_it_may_be_written_by_another_when_the_address_was_given_up(bench: Bench) -> None:
    one, two = await bench.session(), await bench.session()
    await one.engine.write(Batch([save(0, "one")], left=[INBOX]))
    assert await two.settle(save(1, "two")) == ["ok"]
