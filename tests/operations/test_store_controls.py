"""The laws of the controls of a store: they look without changing it, act through a system, and refuse in words."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from tests.operations.bank import SECRET, Clerk, fill, filled, result, said, system_on
from upright.operations.answers import Progress
from upright.operations.controls import Controls
from upright.operations.errors import NotFound, Wrong
from upright.operations.store_controls import StoreControls
from upright.operations.stored_tree import stored_tree
from upright.persistence import Memory, Sqlite, StoreError
from upright.persistence.reports import Counts

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "memory"])
async def alone(request: pytest.FixtureRequest, tmp_path: Path) -> StoreControls:
    """The controls of a store that nobody has open."""
    if request.param == "sqlite":
        return StoreControls(await filled(tmp_path))
    store = Memory()
    await fill(store)
    return StoreControls(store)


async def ids(alone: StoreControls) -> list[int]:
    return [letter["id"] for letter in (await result(alone, "letters", {"address": "clerk"}))["letters"]]


class TestLooking:
    async def test_ps_tells_mailboxes_machines_and_sessions(self, alone: StoreControls) -> None:
        found = await result(alone, "ps")
        assert {"address": "clerk", "waiting": 0, "running": 0, "quarantined": 2} in found["mailboxes"]
        assert found["machines"] == [{"machine": "machine/orders", "status": {"completed": 1, "failed": 1}}]
        assert found["sessions"] == []

    async def test_ps_tells_who_has_the_file_open(self, tmp_path: Path) -> None:
        store = await filled(tmp_path)
        async with system_on(Sqlite(store.path)):
            (session,) = (await result(StoreControls(store), "ps"))["sessions"]
        assert set(session) == {"name", "pid", "opened", "lives"}

    async def test_the_tree_is_made_of_the_addresses(self, alone: StoreControls) -> None:
        root = (await result(alone, "tree"))["tree"]
        names = {node["path"]: node for node in root["children"]}
        assert root["path"] == "/"
        assert names["clerk"]["quarantined"] == 2
        assert [node["path"] for node in names["machine"]["children"]] == ["machine/orders"]

    async def test_letters_show_no_arguments_and_a_letter_does(self, alone: StoreControls) -> None:
        found = await result(alone, "letters", {"address": "clerk", "limit": 1})
        assert SECRET not in str(found)
        (shown,) = found["letters"]
        assert (shown["handler"], shown["reason"], shown["attempts"], found["more"]) == ("pay", "attempts", 1, 1)
        (group,) = found["groups"]
        assert (group["count"], group["ids"]) == (2, await ids(alone))
        letter = (await result(alone, "letter", {"id": shown["id"]}))["letter"]
        assert letter["arguments"] == {"account": "mallory", "cents": 7, "note": SECRET}
        assert "LookupError" in letter["attempts"][0]["traceback"]

    async def test_a_letter_that_is_none_is_not_found_and_its_end_is_told(self, alone: StoreControls) -> None:
        (first, _) = await ids(alone)
        await result(alone, "discard", {"ids": [first]})
        with pytest.raises(NotFound, match="its story ends with discarded"):
            await result(alone, "letter", {"id": first})
        with pytest.raises(NotFound, match="knows nothing"):
            await result(alone, "letter", {"id": 10**9})

    async def test_a_story_is_told_and_one_of_nobody_is_not_found(self, alone: StoreControls) -> None:
        (first, _) = await ids(alone)
        story = (await result(alone, "story", {"id": first}))["story"]
        assert [event["name"] for event in story][-1] == "quarantined"
        with pytest.raises(NotFound, match="the store knows nothing of it"):
            await result(alone, "story", {"id": 10**9})

    async def test_runs_are_listed_by_the_short_name_of_their_machine_a_page_at_a_time(
        self, alone: StoreControls
    ) -> None:
        runs = (await result(alone, "runs", {"machine": "orders"}))["runs"]
        assert [(run["id"], run["status"], run["state"]) for run in runs] == [
            ("o-1", "completed", "paid"),
            ("o-2", "failed", "new"),
        ]
        assert (await result(alone, "runs", {"machine": "machine/orders", "limit": 1, "after": "o-1"}))["runs"] == runs[
            1:
        ]
        assert (await result(alone, "runs", {"machine": "orders", "status": "failed"}))["runs"] == runs[1:]
        assert (await result(alone, "runs", {"machine": "orders", "limit": 0}))["runs"] == []
        with pytest.raises(NotFound, match="there are machine/orders"):
            await result(alone, "runs", {"machine": "order"})

    async def test_a_run_shows_its_data_as_plain_values_and_its_letters(self, alone: StoreControls) -> None:
        run = (await result(alone, "run", {"machine": "orders", "id": "o-2"}))["run"]
        assert (run["status"], run["error"]) == ("failed", "ValueError: less than nothing")
        assert run["data"] == {"cents": -5, "card": SECRET, "blob": "AA=="}
        assert [event["name"] for event in run["history"]][:2] == ["started", "entered"]
        (letter,) = run["letters"]
        assert (await result(alone, "letter", {"id": letter}))["letter"]["address"] == "machine/orders"
        with pytest.raises(NotFound, match="got 'o-3'"):
            await result(alone, "run", {"machine": "orders", "id": "o-3"})


class TestActing:
    async def test_redrive_and_discard_by_ids_and_by_filter(self, alone: StoreControls) -> None:
        first, second = await ids(alone)
        assert await result(alone, "redrive", {"ids": [first, first, 10**9]}) == {"redriven": 1}
        assert await ids(alone) == [second]
        assert await result(alone, "discard", {"address": "clerk", "error": "no account"}) == {"discarded": 1}
        assert await result(alone, "discard", {"address": "clerk"}) == {"discarded": 0}
        assert not alone.store.is_open

    @pytest.mark.parametrize("kind", ["sqlite", "memory"])
    async def test_a_long_redrive_tells_its_progress_and_ends_when_nobody_listens(
        self, tmp_path: Path, kind: str
    ) -> None:
        store = Memory() if kind == "memory" else Sqlite(tmp_path / "jobs.db")
        async with system_on(store) as system:
            await system.ref("/bank/clerk", Clerk).tell_many(Clerk.lose, range(100))
            await system.idle()
        alone = StoreControls(store)
        answers: Any = alone.do("redrive", {"address": "clerk", "rate": 20.0})
        async for answer in answers:
            assert isinstance(answer, Progress)
            break
        await answers.aclose()
        assert not store.is_open
        assert 1 < (await store.counts())["clerk"].quarantined < 100
        *progress, last = await said(alone.do("redrive", {"rate": 1_000.0}))
        assert [answer["done"] for answer in progress] == sorted(answer["done"] for answer in progress)
        assert last["redriven"] > 1

    async def test_a_message_is_sent_to_an_address_that_is_known(self, alone: StoreControls) -> None:
        given = {"to": "clerk", "handler": "pay", "arguments": {"account": "ada", "cents": 1}, "once": "o"}
        sent = await result(alone, "send", given)
        assert await result(alone, "send", given) == {"id": sent["id"], "duplicate": True}
        async with system_on(alone.store) as system:
            await system.idle()
        assert [event["name"] for event in (await result(alone, "story", {"id": sent["id"]}))["story"]][-1] == "acked"

    async def test_one_of_an_entity_goes_by_its_key(self, alone: StoreControls) -> None:
        await result(alone, "send", {"to": "tills", "handler": "add", "arguments": {"cents": 4}, "key": "a/b"})
        async with system_on(alone.store) as system:
            await system.idle()
            given = {"to": "/bank/tills/a%2Fb", "handler": "add", "arguments": {"cents": 0}, "ask": True}
            assert await result(Controls(system, alone.store), "send", given) == {"reply": 7}

    async def test_no_message_goes_to_an_address_that_nobody_knows(self, alone: StoreControls) -> None:
        with pytest.raises(NotFound, match="got 'clrk'; there are clerk"):
            await result(alone, "send", {"to": "clrk", "handler": "pay"})
        with pytest.raises(Wrong, match="service that runs"):
            await result(alone, "send", {"to": "clerk", "handler": "pay", "ask": True})

    async def test_the_open_store_is_used_where_a_system_has_it_open(self, alone: StoreControls) -> None:
        async with system_on(alone.store) as system:
            assert await result(alone, "redrive", {"address": "clerk"}) == {"redriven": 2}
            assert alone.store.is_open
            await system.idle()
        assert len(await ids(alone)) == 2

    async def test_two_at_once_open_it_one_after_the_other(self, alone: StoreControls) -> None:
        first, second = await ids(alone)
        asked = [result(alone, "redrive", {"ids": [first]}), result(alone, "discard", {"ids": [second]})]
        assert await asyncio.gather(*asked) == [{"redriven": 1}, {"discarded": 1}]

    @pytest.mark.parametrize(
        ("name", "given"),
        [("redrive", {"ids": [1]}), ("discard", {}), ("send", {"to": "a", "handler": "b"}), ("ps", {}), ("tree", {})],
    )
    async def test_where_there_is_no_file_none_is_made(self, tmp_path: Path, name: str, given: dict[str, Any]) -> None:
        with pytest.raises(StoreError):
            await result(StoreControls(Sqlite(tmp_path / "none.db")), name, given)
        assert list(tmp_path.iterdir()) == []

    async def test_a_service_on_the_same_file_gets_what_is_sent(self, tmp_path: Path) -> None:
        store = await filled(tmp_path)
        async with system_on(store) as system, asyncio.timeout(20):
            other = StoreControls(Sqlite(store.path))
            sent = await result(
                other, "send", {"to": "clerk", "handler": "pay", "arguments": {"account": "a", "cents": 1}}
            )
            while (await store.story(sent["id"]))[-1].name != "acked":
                await system.idle()
                await asyncio.sleep(0.01)


class TestQuestions:
    @pytest.mark.parametrize(
        ("name", "given", "says"),
        [
            ("nothing", {}, "expected one of tree, ps"),
            ("story", {}, "expected id, got nothing"),
            ("story", {"id": "1"}, "story: expected id to be int, got str"),
            ("story", {"id": -1}, "expected id to be int >= 0"),
            ("story", {"id": 2**70}, "expected id to be"),
            ("story", {"id": 1, "x": 2}, "expected story to get id, got 'x'"),
            ("tree", {"x": 1}, "expected tree to get no arguments, got 'x'"),
            ("redrive", {"ids": [1], "address": "clerk"}, "either ids, or"),
            ("redrive", {"rate": 0}, "expected rate to be"),
            ("redrive", {"rate": math.inf}, "expected rate to be"),
            ("discard", {"rate": 1.0}, "no rate"),
            ("send", {"to": "clerk", "handler": ""}, "name of a handler"),
            ("send", {"to": "clerk", "handler": "x", "arguments": [1]}, "expected arguments to be object"),
            ("send", {"to": "x" * 10**6, "handler": "x"}, "expected to to be str of length"),
            ("health", {}, "on a store alone there is nothing else"),
        ],
    )
    async def test_what_makes_no_sense_is_refused_in_words(self, name: str, given: dict[str, Any], says: str) -> None:
        with pytest.raises(Wrong, match=says) as caught:
            await result(StoreControls(Memory()), name, given)
        assert len(str(caught.value)) < 500


class TestTree:
    async def test_it_holds_so_many_nodes_at_most_and_counts_the_others(self) -> None:
        known = [f"house/{number}" for number in range(100)]
        root = await stored_tree(known, {}, 10)
        (house,) = root["children"]
        assert (len(house["children"]), house["more"]) == (8, 92)

    async def test_addresses_of_any_shape_have_a_place(self) -> None:
        odd = ["", "/", "//", "a/", "/a", "a//b", "a", "x" + "/y" * 5_000]
        root = await stored_tree(odd, {"a//b": Counts(1, 2, 3)}, 1_000)
        found, ahead = dict[str, Any](), [root]
        while ahead:
            node = ahead.pop()
            found[node["path"]] = node
            ahead += node["children"]
        assert {"/", "//", "a/", "/a", "a//b", "a"} <= set(found)
        assert (found["a//b"]["depth"], found["a//b"]["quarantined"]) == (3, 3)
        assert ("x" + "/y" * 5_000) in found
        assert len(found) < 100
