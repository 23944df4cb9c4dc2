"""The laws of the controls of a running system: what there is is shown, what is sent fits, and nobody is held up."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.operations.bank import Entry, Ledger, Quiet, filled, result, system_on
from upright.actors import Actor, ActorSystem, AskTimedOut, Blueprint, Refuse
from upright.operations.controls import Controls
from upright.operations.errors import NotFound, Wrong
from upright.operations.live_tree import live_tree
from upright.persistence import Memory
from upright.supervision import Circuit, CircuitBreaker

pytestmark = pytest.mark.anyio

ENTRY = {"cents": 5, "day": "2024-05-03"}


class House(Actor):
    """Has as many children as it is told."""

    def __init__(self, size: int, deep: int = 0) -> None:
        self.size, self.deep = size, deep

    async def started(self) -> None:
        for number in range(self.size):
            if self.deep:
                await self.ctx.spawn(str(number), House, self.size, self.deep - 1)
            else:
                await self.ctx.spawn(str(number), Quiet)


class Fine:
    """Health, as the controls see it."""

    def report(self) -> "Fine":
        return self

    def probe(self, probe: str) -> "Fine":
        return self

    def plain(self) -> dict[str, Any]:
        return {"ok": True}


class TestLooking:
    async def test_the_tree_is_whole_and_like_that_of_the_system(self) -> None:
        async with system_on(Memory()) as system:
            root = (await result(Controls(system), "tree"))["tree"]
            (bank,) = [node for node in root["children"] if node["path"] == "/bank"]
            there = system.tree()
            (node,) = [one for one in there.children if one.path == "/bank"]
            assert [one["path"] for one in bank["children"]] == [one.path for one in node.children]
            assert set(bank) == {"path", "kind", "state", "depth", "limit", "restarts", "children"}

    async def test_of_a_great_house_only_so_many_are_shown_and_all_beside_it(self) -> None:
        async with ActorSystem(log=None) as system:
            await system.spawn("great", House, 300)
            await system.spawn("small", House, 3, 1)
            root = await live_tree(system, 50)
            nodes = {node["path"]: node for node in root["children"]}
            assert [len(node["children"]) for node in nodes["/small"]["children"]] == [3, 3, 3]
            great = nodes["/great"]
            assert len(great["children"]) + great["more"] == 300
            assert len(str(root).split("'path'")) - 1 == 50

    async def test_a_house_of_many_does_not_hold_the_loop(self) -> None:
        async with ActorSystem(log=None) as system:
            await system.spawn("great", House, 3_000)
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            counting = asyncio.ensure_future(count())
            found = await result(Controls(system), "ps")
            counting.cancel()
            assert len(found["actors"]) > 3_000
            assert turns > 10

    async def test_ps_tells_the_process_the_actors_and_what_the_store_has(self, tmp_path: Path) -> None:
        store = await filled(tmp_path)
        async with system_on(store) as system:
            found = await result(Controls(system, store, draining=lambda: True, started=5.0), "ps")
            assert found["process"]["pid"] == os.getpid()
            assert (found["process"]["started"], found["process"]["draining"], found["more"]) == (5.0, True, 0)
            (ledger,) = [actor for actor in found["actors"] if actor["path"] == "/bank/ledger"]
            assert (ledger["kind"], ledger["state"], ledger["depth"], ledger["restarts"]) == ("Ledger", "running", 0, 0)
            assert {"address": "clerk", "waiting": 0, "running": 0, "quarantined": 2} in found["mailboxes"]
            assert found["breakers"] == [{"name": "smtp", "kind": "CircuitBreaker", "state": "closed"}]
            assert found["machines"][0]["machine"] == "machine/orders"

    async def test_guards_tell_where_they_stand_and_where_they_were_put_by_hand(self) -> None:
        breaker = CircuitBreaker("imap")
        async with ActorSystem(log=None) as system:
            controls = Controls(system)
            assert (await result(controls, "guards"))["guards"] == []
            Circuit(breaker, system.guards).force_open(who="ada", why="a test")
            (guard,) = (await result(controls, "guards"))["guards"]
            assert guard == {"name": "imap", "kind": "CircuitBreaker", "state": "forced-open"}

    async def test_health_is_that_of_whoever_knows_it(self) -> None:
        async with ActorSystem(log=None) as system:
            assert await result(Controls(system, None, Fine()), "health") == {"health": {"ok": True}}
            with pytest.raises(Wrong, match="started without"):
                await result(Controls(system), "health")

    async def test_what_needs_a_store_is_refused_without_one(self) -> None:
        async with ActorSystem(log=None) as system:
            with pytest.raises(Wrong, match="this service has no store"):
                await result(Controls(system), "letters")

    async def test_the_operations_of_the_store_work_on_the_one_that_is_open(self, tmp_path: Path) -> None:
        store = await filled(tmp_path)
        async with system_on(store) as system:
            controls = Controls(system, store)
            assert await result(controls, "redrive", {"address": "clerk"}) == {"redriven": 2}
            await system.idle()
            assert len((await result(controls, "letters", {"address": "clerk"}))["letters"]) == 2
            with pytest.raises(Wrong, match="expected one of tree, ps, send, health, guards, metrics, letters"):
                await result(controls, "tea")


async def asked(handler: str, arguments: dict[str, Any], to: str = "/bank/ledger", **more: Any) -> Any:
    """What the bank replies."""
    store = Memory()
    async with system_on(store) as system:
        given = {"to": to, "handler": handler, "arguments": arguments, "ask": True, **more}
        return (await result(Controls(system, store), "send", given))["reply"]


class TestSending:
    async def test_arguments_become_what_the_handler_expects(self) -> None:
        assert await asked("append", {"entry": ENTRY}) == 5
        async with ActorSystem(log=None) as system:
            said: list[Any] = []
            await system.spawn("ledger", Ledger, said)
            given = {"to": "/ledger", "handler": "append", "arguments": {"entry": ENTRY, "tags": ["a", "a"]}}
            assert await result(Controls(system), "send", given) == {"sent": True}
            await system.idle()
            ((entry, note, tags),) = said
            assert (type(entry), note, tags) == (Entry, "none", {"a"})

    @pytest.mark.parametrize(
        ("arguments", "reply"),
        [
            ('{"first": 1}', "[1,[],{}]"),
            ('{"first": 1, "rest": [2, 3]}', "[1,[2,3],{}]"),
            ('{"first": 1, "rest": [2], "named": {"x": 0.5}}', '[1,[2],{"x":0.5}]'),
        ],
    )
    async def test_rows_and_dicts_of_arguments_have_the_names_of_their_parameters(
        self, arguments: str, reply: str
    ) -> None:
        assert await asked("many", msgspec.json.decode(arguments)) == msgspec.json.decode(reply)

    async def test_a_ref_is_its_path_and_what_has_no_annotation_is_as_it_came(self) -> None:
        assert await asked("meet", {"other": "/bank/ledger"}) == "/bank/ledger"
        assert await asked("anything", {"what": {"a": [1]}}) == {"a": [1]}

    async def test_any_reply_becomes_plain(self) -> None:
        assert await asked("odd", {}) == {"1": "eA==", "me": "/bank/ledger", "what": "<object>", "at": "2024-05-03"}

    async def test_a_pool_an_entity_that_sleeps_and_a_durable_actor_can_be_asked(self) -> None:
        assert await asked("append", {"entry": ENTRY}, "/bank/ledgers") == 5
        assert await asked("add", {"cents": 2}, "/bank/tills/a%2Fb") == 2
        assert await asked("pay", {"account": "ada", "cents": 3}, "/bank/clerk", once="o") == 3

    async def test_a_durable_actor_gives_a_receipt_and_takes_one_message_for_each_key(self) -> None:
        store = Memory()
        async with system_on(store) as system:
            given = {"to": "/bank/clerk", "handler": "pay", "arguments": {"account": "a", "cents": 3}, "once": "o"}
            controls = Controls(system, store)
            sent = await result(controls, "send", given)
            assert await result(controls, "send", given) == {"id": sent["id"], "duplicate": True}

    @pytest.mark.parametrize(
        ("handler", "arguments", "says"),
        [
            ("append", {}, "expected Ledger.append to get entry: Entry, got nothing"),
            ("append", {"entry": 5}, "entry: Entry; expected entry to be object, got int"),
            ("append", {"entry": {"cents": "5", "day": "x"}}, "expected entry.cents to be int, got str"),
            ("append", {"entry": ENTRY, "cents": 5}, "expected Ledger.append to get entry, note, tags, got 'cents'"),
            ("append", {"entry": ENTRY, "note": 5}, "note: str; expected note to be str, got int"),
            ("many", {"first": 1, "rest": 5}, "expected Ledger.many to get rest: int"),
            ("meet", {"other": 5}, "expected Ledger.meet to get other: Ref"),
            ("meet", {"other": "ledger"}, "expected Ledger.meet to get other: Ref"),
            ("apend", {}, "expected a handler of Ledger, got 'apend'; there are append"),
            ("_secret", {}, "expected a handler of Ledger"),
            ("plain", {}, "expected a handler of Ledger"),
            ("started", {}, "only the runtime calls"),
            ("__init__", {}, "expected a handler"),
            ("", {}, "expected a handler of Ledger, got ''"),
        ],
    )
    async def test_what_does_not_fit_is_refused_with_handler_parameter_and_type(
        self, handler: str, arguments: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(Wrong, match=says.replace("(", r"\(")):
            await asked(handler, arguments)

    async def test_what_only_a_durable_actor_can_do_is_refused_of_another(self) -> None:
        with pytest.raises(Wrong, match="can keep no promise"):
            await asked("no", {}, once="o")

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("/bank/leger", "below /bank there are ledger"),
            ("/bnk/ledger/x", "below / there are bank"),
            ("/" + "x/" * 4_000, "below / there are"),
            ("/bank/", "below /bank there are"),
        ],
    )
    async def test_nobody_is_found_and_those_near_are_named(self, path: str, says: str) -> None:
        with pytest.raises(NotFound, match=says):
            await asked("append", {}, path)

    async def test_what_is_no_path_is_refused(self) -> None:
        with pytest.raises(Wrong, match="absolute path"):
            await asked("append", {}, "bank")

    async def test_a_refusal_and_a_time_out_are_raised_as_they_are(self) -> None:
        with pytest.raises(Refuse, match="not today"):
            await asked("no", {})
        async with ActorSystem(log=None) as system:
            await system.spawn_from(Blueprint("ledger", Ledger, shutdown="brutal"))
            with pytest.raises(AskTimedOut):
                given = {"to": "/ledger", "handler": "hang", "ask": True, "within": 0.01}
                await result(Controls(system), "send", given)
