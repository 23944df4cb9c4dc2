"""Nobody hears of what a power cut may take back: who reads an answer in the file waits until that is on disk."""

from pathlib import Path

import pytest

from upright.persistence.records import Batch, Outgoing, Step, Want
from upright.persistence.sqlite_engine import SqliteEngine, Synchronous
from upright.persistence.syncer import Syncer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("synchronous", "most"), [("full", 1), ("normal", 0)])
async def test_a_reply_is_told_when_it_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: Synchronous, most: int
) -> None:
    engine, synced = SqliteEngine(tmp_path / "jobs.db", synchronous), 0
    await engine.open(lambda _: None)
    put = await engine.write(Batch(puts=[Outgoing("work", "do", b"", asked=True)], wants=[Want("work", "free", 1)]))
    (delivery,), sync = put.deliveries, Syncer.sync

    def counted(self: Syncer) -> object:
        nonlocal synced
        synced += 1
        return sync(self)

    monkeypatch.setattr(Syncer, "sync", counted)
    assert (await engine.replies([delivery.id]), synced) == ({}, 0)  # there is nothing to hear
    await engine.write(Batch([Step(delivery, "ack", 1, reply=b"a")]))
    synced = 0
    assert (await engine.replies([delivery.id]), synced) == ({delivery.id: b"a"}, most)
    await engine.close()
