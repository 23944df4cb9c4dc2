"""Where orders come in: by lines, and by HTTP. What is accepted is stored, and written down."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.command.demo.orders import line
from upright.actors import ActorSystem
from upright.command.demo.desk import AcceptedFile, Desk
from upright.command.demo.feeder import Feeder, given_lines, read_lines
from upright.command.demo.intake import PATH, Intake, Nobody, shop
from upright.command.demo.lines import LONGEST, Line
from upright.command.demo.reception import Reception
from upright.command.demo.scene import Scene
from upright.persistence import Memory

pytestmark = pytest.mark.anyio


class Place:
    def __init__(self, desk: Desk, store: Memory, path: Path) -> None:
        self.desk, self.store, self._path, self.scene = desk, store, path, Scene()

    async def stored(self) -> int:
        counts = (await self.store.counts())["intake"]
        return counts.waiting + counts.claimed

    @property
    def written(self) -> list[str]:
        return [json.loads(text)["id"] for text in self._path.read_text().splitlines()]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A desk on a store that nobody works on."""
    path, store = tmp_path / "accepted.jsonl", Memory()
    accepted = AcceptedFile(path)
    async with ActorSystem(shop(Nobody()), store=store, only=(), log=None) as system:
        yield Place(Desk(system.ref(PATH, Intake), accepted), store, path)
    accepted.close()


async def test_an_order_is_accepted_once(place: Place) -> None:
    await Feeder(place.desk, place.scene, 0).feed(given_lines([line(), line(cents=1), line(id="o-2")]))
    assert place.written == ["o-1", "o-2"]
    assert (await place.stored(), place.scene.accepted) == (2, 2)
    assert [one.line for one in place.scene.duplicates.first] == [2]


async def test_a_malformed_line_is_told_with_its_number_and_the_rest_goes_on(place: Place) -> None:
    await Feeder(place.desk, place.scene, 1_000).feed(given_lines([b"", b"{", line(), b"  ", line(id="o-2", cents=-1)]))
    assert place.written == ["o-1"]
    assert [(one.line, one.why) for one in place.scene.refused.first] == [
        (2, "input data was truncated"),
        (5, "cents: expected `int` >= 1"),
    ]
    assert (place.scene.read, place.scene.empty, place.scene.input_ended) == (3, 2, True)


async def test_a_file_is_read_with_its_lines_that_are_too_long(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "orders"
    file.write_bytes(b"x" * (LONGEST + 5) + b"\n" + line() + b"\n" + line(id="o-2"))
    await Feeder(place.desk, place.scene, 0).feed(read_lines(file))
    assert place.written == ["o-1", "o-2"]
    assert [one.why for one in place.scene.refused.first] == ["longer than 1048576 bytes"]


async def test_a_file_that_is_not_there_is_an_error(place: Place, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Feeder(place.desk, place.scene, 0).feed(read_lines(tmp_path / "none"))


async def test_one_that_is_to_leave_finishes_the_line_in_hand_and_takes_no_other(place: Place) -> None:
    feeder = Feeder(place.desk, place.scene, 0.001)

    async def endless() -> AsyncIterator[list[Line]]:
        yield [Line(number, line(id=f"o-{number}")) for number in (1, 2, 3)]
        await asyncio.sleep(3600)

    feeding = asyncio.create_task(feeder.feed(endless()))
    while True:
        await asyncio.sleep(0)
        if place.scene.read == 2:
            break
    await feeder.leave()
    assert place.written == ["o-1", "o-2"]
    assert place.scene.read == place.scene.accepted == 2
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)


async def test_orders_that_come_together_are_all_written_down(place: Place) -> None:
    await Feeder(place.desk, place.scene, 0).feed(given_lines([line(id=f"o-{number}") for number in range(200)]))
    assert sorted(place.written) == sorted(f"o-{number}" for number in range(200))


async def test_the_reception_answers_as_it_says(place: Place) -> None:
    reception = Reception(place.desk, place.scene, 0)
    await reception.start()
    try:
        async with aiohttp.ClientSession(place.scene.url) as session:

            async def post(body: bytes) -> tuple[int, dict[str, object]]:
                async with session.post("/orders", data=io.BytesIO(body)) as answer:
                    return answer.status, await answer.json()

            assert await post(line()) == (202, {"id": "o-1"})
            assert await post(line()) == (200, {"id": "o-1", "duplicate": True})
            assert await post(b"{") == (400, {"error": "input data was truncated"})
            assert (await post(b"x" * (LONGEST + 1)))[0] == 413
            async with session.get("/") as answer:
                assert (await answer.json())["accepted"] == 1
    finally:
        await reception.stop()
    assert place.written == ["o-1"]
    assert (place.scene.posted, place.scene.posts_refused, place.scene.duplicates.count) == (2, 2, 1)


async def test_an_order_that_cannot_be_stored_is_refused_and_the_reception_goes_on(place: Place) -> None:
    await place.store.close()
    reception = Reception(place.desk, place.scene, 0)
    await reception.start()
    async with aiohttp.ClientSession(place.scene.url) as session, session.post("/orders", data=line()) as answer:
        assert answer.status == 503
    await reception.stop()
    assert place.scene.posted == 0
    assert place.written == []
