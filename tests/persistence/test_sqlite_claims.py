"""The SQLite store: what a claim costs depends on what it gets, not on how much waits behind that."""

from pathlib import Path

import pytest

from tests.persistence.contract import INBOX, Session, SetClock, SqliteRig, bodies, message
from upright.persistence.records import ORDERS, Order
from upright.persistence.sqlite_engine import SqliteEngine

pytestmark = pytest.mark.anyio
STEP = 100
"""Instructions of SQLite's machine between two that are counted."""


async def work_of_a_claim(folder: Path, order: Order, waiting: int) -> int:
    """How many times `STEP` instructions the claim of twenty messages takes, where so many of one key wait."""
    clock = SetClock()
    session = await Session(SqliteRig(folder).session(clock), clock).open()
    assert isinstance(session.engine, SqliteEngine)
    await session.receipts(*(message(str(number), INBOX, key="k") for number in range(waiting)))
    counted = [0]

    def count() -> None:
        counted[0] += 1

    session.engine._open_connection.set_progress_handler(count, STEP)
    assert bodies(await session.claim(order, 20)) == [str(number) for number in range(20)]
    await session.close()
    return counted[0]


@pytest.mark.parametrize("order", ORDERS)
async def test_a_claim_takes_no_longer_where_thousands_with_the_same_key_wait(tmp_path: Path, order: Order) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    assert await work_of_a_claim(many, order, 4000) < 2 * await work_of_a_claim(few, order, 40)
