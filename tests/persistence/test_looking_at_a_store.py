"""A store tells who has it open, and which addresses there are, to those who only look at it."""

import os
from pathlib import Path

import pytest

from tests.persistence.jobs import Stores
from upright.actors import Actor, ActorSystem
from upright.persistence import Durable, Memory, Sqlite
from upright.supervision import child

pytestmark = pytest.mark.anyio


class Clerk(Actor):
    mailbox = Durable("clerk")

    async def work(self) -> None: ...


async def test_an_address_is_known_when_its_messages_are_done(stores: Stores) -> None:
    store = stores()
    async with ActorSystem(child("clerk", Clerk), store=store, log=None) as system:
        await system.ref("/clerk", Clerk).tell(Clerk.work)
        await system.idle()
        assert store.is_open
    assert await store.counts() == {}
    assert "clerk" in await store.addresses()
    assert not store.is_open


async def test_sessions_tell_who_has_a_file_open_and_who_had_and_died(tmp_path: Path) -> None:
    store, other = Sqlite(tmp_path / "jobs.db"), Sqlite(tmp_path / "jobs.db")
    async with ActorSystem(store=store, log=None):
        assert [(one.pid, one.lives) for one in await other.sessions()] == [(os.getpid(), True)]
        (session,) = await other.sessions()
        async with ActorSystem(store=other, log=None):
            assert len(await store.sessions()) == 2
        (tmp_path / f"jobs.db-session-{session.name}").rename(tmp_path / "elsewhere")  # as if its process had died
        assert [(one.name, one.lives) for one in await other.sessions()] == [(session.name, False)]
        (tmp_path / "elsewhere").rename(tmp_path / f"jobs.db-session-{session.name}")
    assert await other.sessions() == []


async def test_a_store_in_memory_knows_of_no_sessions() -> None:
    assert await Memory().sessions() == []
