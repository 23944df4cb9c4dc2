"""The laws of the admin socket: for its owner alone, never in the way of the service, whatever comes over it."""

import asyncio
import contextlib
import os
import random
import socket
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from tests.operations.bank import filled, system_on
from upright.operations.admin import LONGEST, Admin
from upright.operations.admin_client import call, calling
from upright.operations.answers import Progress
from upright.operations.controls import Controls
from upright.operations.errors import Failed, NotFound, SocketRefused, Unreachable, Wrong

pytestmark = pytest.mark.anyio


class Deeds:
    """Controls that do what the test needs."""

    def __init__(self) -> None:
        self.begun, self.ended, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def do(self, name: str, given: Any = None) -> AsyncIterator[dict[str, Any]]:
        match name:
            case "echo":
                yield {"given": given}
            case "count":
                for number in range(3):
                    yield Progress(done=number)
                yield {"counted": 3}
            case "big":
                yield {"text": "x" * 10_000_000}
            case "hang":
                self.begun.set()
                try:
                    await self.go.wait()
                    while True:
                        yield Progress(text="x" * 100_000)
                        await asyncio.sleep(0)
                finally:
                    self.ended.set()
            case "lost":
                raise NotFound("nobody")
            case "reset":
                raise ConnectionResetError("somebody else's connection")
            case "no_json":
                yield {"what": object()}
            case "none":
                return
            case _:
                raise KeyError(name)


@pytest.fixture
def deeds() -> Deeds:
    return Deeds()


@pytest.fixture
async def admin(tmp_path: Path, deeds: Deeds) -> AsyncGenerator[Admin]:
    async with Admin(tmp_path / "a.sock", deeds) as admin, asyncio.timeout(30):
        yield admin


async def is_well(admin: Admin) -> bool:
    return await call(admin.path, "echo", a=1) == {"given": {"a": 1}}


async def told(admin: Admin, *chunks: bytes, ends: bool = True) -> list[dict[str, Any]]:
    """All that is answered to these bytes."""
    reader, writer = await asyncio.open_unix_connection(admin.path, limit=2**26)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
    if ends:
        writer.write_eof()
    lines = (await reader.read()).splitlines()
    writer.close()
    await writer.wait_closed()
    return [msgspec.json.decode(line) for line in lines]


class TestTheFile:
    async def test_it_is_for_its_owner_alone_from_the_first_instant(
        self, tmp_path: Path, deeds: Deeds, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        modes: list[int] = []

        class Watched(socket.socket):
            def listen(self, backlog: int = 0, /) -> None:
                modes.append(stat.S_IMODE(os.stat(tmp_path / "a.sock").st_mode))
                super().listen(backlog)

        before = os.umask(0)
        monkeypatch.setattr("upright.operations.admin_socket.socket.socket", Watched)
        try:
            async with Admin(tmp_path / "a.sock", deeds) as admin:
                assert set(modes) == {0o600}
                assert stat.S_IMODE(os.stat(admin.path).st_mode) == 0o600
                assert os.umask(0) == 0
        finally:
            os.umask(before)
        assert list(tmp_path.iterdir()) == []

    async def test_that_of_a_living_service_is_left_to_it(self, admin: Admin, deeds: Deeds) -> None:
        with pytest.raises(SocketRefused, match="--admin"):
            await Admin(admin.path, deeds).start()
        assert await is_well(admin)

    async def test_that_of_a_dead_process_is_removed(self, tmp_path: Path, deeds: Deeds) -> None:
        path = tmp_path / "a.sock"
        program = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"
        dead = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path))
        assert await dead.wait() == 0
        assert path.is_socket()
        with pytest.raises(Unreachable, match="has ended"):
            await call(path, "echo")
        async with Admin(path, deeds) as admin:
            assert await is_well(admin)

    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    async def test_anything_else_that_is_there_is_left_alone(self, tmp_path: Path, deeds: Deeds, kind: str) -> None:
        path = tmp_path / "a.sock"
        match kind:
            case "file":
                path.write_text("mine")
            case "folder":
                path.mkdir()
            case _:
                path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(SocketRefused, match="a file is there"):
            await Admin(path, deeds).start()
        assert os.path.lexists(path)

    async def test_a_path_that_is_too_long_or_in_no_folder_is_refused_in_words(
        self, tmp_path: Path, deeds: Deeds
    ) -> None:
        with pytest.raises(SocketRefused, match="about 100 bytes, got"):
            await Admin(tmp_path / ("x" * 120), deeds).start()
        with pytest.raises(SocketRefused, match=r"none to be there .* --admin"):
            await Admin(tmp_path / "none" / "a.sock", deeds).start()
        with pytest.raises(Unreachable, match="cannot be reached"):
            await call(tmp_path / ("x" * 120), "echo")

    async def test_of_many_that_start_at_once_one_gets_it(self, tmp_path: Path, deeds: Deeds) -> None:
        path = tmp_path / "a.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(path))
        all_of_them = [Admin(path, deeds) for _ in range(20)]
        ended = await asyncio.gather(*(one.start() for one in all_of_them), return_exceptions=True)
        assert sum(isinstance(one, Admin) for one in ended) == 1
        assert await call(path, "echo") == {"given": {}}
        for one in all_of_them:
            await one.stop()
        assert not path.exists()

    async def test_one_that_another_has_made_there_meanwhile_is_not_removed(self, tmp_path: Path, deeds: Deeds) -> None:
        first, second = Admin(tmp_path / "a.sock", deeds), Admin(tmp_path / "a.sock", deeds)
        await first.start()
        os.unlink(first.path)
        await second.start()
        await first.stop()
        assert await is_well(second)
        await second.stop()
        await second.stop()
        assert list(tmp_path.iterdir()) == []


class TestAnswers:
    async def test_progress_comes_first_and_then_the_result(self, admin: Admin) -> None:
        found = [answer async for answer in calling(admin.path, "count")]
        assert found == [{"done": 0}, {"done": 1}, {"done": 2}, {"counted": 3}]
        assert [isinstance(answer, Progress) for answer in found] == [True, True, True, False]

    async def test_one_connection_may_ask_again_and_again(self, admin: Admin) -> None:
        lines = [b'{"do":"echo"}\n', b"\n", b'{"do":"lost"}\n', b'{"do":"echo","with":{"a":2}}']
        assert await told(admin, *lines) == [
            {"result": {"given": {}}},
            {"error": "nobody", "kind": "not_found"},
            {"result": {"given": {"a": 2}}},
        ]

    async def test_a_big_answer_comes_whole(self, admin: Admin) -> None:
        assert len((await call(admin.path, "big"))["text"]) == 10_000_000

    async def test_errors_are_raised_on_the_other_side(self, admin: Admin) -> None:
        with pytest.raises(NotFound, match="nobody"):
            await call(admin.path, "lost")
        with pytest.raises(Failed, match="ConnectionResetError: somebody else's"):
            await call(admin.path, "reset")
        assert await is_well(admin)

    async def test_a_bug_is_told_and_logged_without_payloads(self, admin: Admin) -> None:
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(Failed, match="KeyError: 'bug'"):
                await call(admin.path, "bug", secret="4929")
            with pytest.raises(Failed, match="TypeError"):
                await call(admin.path, "no_json")
        assert [line["operation"] for line in logs] == ["bug", "no_json"]
        assert "4929" not in str(logs)
        assert await is_well(admin)


class TestHostileInput:
    @pytest.mark.parametrize(
        "line",
        [
            b"tree", b"[]", b"5", b"null", b"{", b'{"do":5}', b'{"with":{}}', b'{"do":"echo","with":[]}',
            b'{"do":"echo","x":1}', b'{"do":"\xff"}', b"[" * 100_000, b'{"do":"echo","with":' + b'{"a":' * 100_000,
            b"\0" * 100, b'{"do":"\\ud800"}',
        ],
    )  # fmt: skip
    async def test_what_is_no_request_gets_an_error_and_the_next_one_its_answer(
        self, admin: Admin, line: bytes
    ) -> None:
        first, second = await told(admin, line + b'\n{"do":"echo"}\n')
        assert (first["kind"], second) == ("wrong", {"result": {"given": {}}})
        assert len(first["error"]) < 500

    async def test_a_line_that_is_too_long_gets_an_error_and_the_next_one_its_answer(self, admin: Admin) -> None:
        first, second = await told(admin, b"x" * (3 * LONGEST) + b"\n", b'{"do":"echo"}\n')
        assert (first["kind"], second) == ("wrong", {"result": {"given": {}}})
        assert str(LONGEST) in first["error"]

    async def test_one_that_never_ends_gets_an_error_when_the_other_side_stops(self, admin: Admin) -> None:
        (answer,) = await told(admin, *[b"x" * LONGEST] * 4)
        assert answer["kind"] == "wrong"

    async def test_random_bytes_harm_nobody(self, admin: Admin) -> None:
        chance = random.Random(8)
        for _ in range(200):
            for answer in await told(admin, chance.randbytes(chance.randrange(2_000))):
                assert answer["kind"] == "wrong"
        assert await is_well(admin)

    async def test_a_hundred_connections_at_once_are_all_answered(self, admin: Admin) -> None:
        results = await asyncio.gather(*(call(admin.path, "echo", number=number) for number in range(100)))
        assert results == [{"given": {"number": number}} for number in range(100)]

    async def test_those_who_say_half_a_line_or_nothing_hold_up_nobody(self, admin: Admin) -> None:
        idle = [await asyncio.open_unix_connection(admin.path) for _ in range(100)]
        for number, (_, writer) in enumerate(idle):
            writer.write(b'{"do":"ec'[: number % 10])
        assert await is_well(admin)
        for _, writer in idle:
            writer.transport.abort()
        assert await is_well(admin)

    async def test_many_requests_in_one_packet_leave_the_loop_to_others(self, admin: Admin) -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count())
        assert len(await told(admin, b"x\n" * 5_000)) == 5_000
        counting.cancel()
        assert turns > 5_000


class TestEnds:
    async def test_whoever_leaves_in_the_middle_of_an_answer_ends_it(self, admin: Admin, deeds: Deeds) -> None:
        _, writer = await asyncio.open_unix_connection(admin.path)
        writer.write(b'{"do":"hang"}\n')
        await deeds.begun.wait()
        writer.transport.abort()
        deeds.go.set()
        await deeds.ended.wait()
        assert await is_well(admin)

    async def test_whoever_stops_listening_ends_the_operation(self, admin: Admin, deeds: Deeds) -> None:
        deeds.go.set()
        answers: Any = calling(admin.path, "hang")
        await anext(answers)
        await answers.aclose()
        await deeds.ended.wait()

    async def test_whoever_reads_nothing_holds_up_nobody(self, admin: Admin, deeds: Deeds) -> None:
        deeds.go.set()
        _, writer = await asyncio.open_unix_connection(admin.path, limit=1)
        writer.write(b'{"do":"hang"}\n')
        await deeds.begun.wait()
        assert await is_well(admin)
        writer.transport.abort()
        await deeds.ended.wait()

    async def test_a_stop_cuts_off_those_who_are_connected(self, tmp_path: Path, deeds: Deeds) -> None:
        admin = await Admin(tmp_path / "a.sock", deeds).start()
        asking = asyncio.ensure_future(call(admin.path, "hang"))
        idle = await asyncio.open_unix_connection(admin.path)
        await deeds.begun.wait()
        await admin.stop()
        assert deeds.ended.is_set()
        with pytest.raises(Unreachable, match="went away"):
            await asking
        assert await idle[0].read() == b""
        idle[1].close()
        with contextlib.suppress(ConnectionError):
            await idle[1].wait_closed()
        with pytest.raises(Unreachable, match="is it running"):
            await call(admin.path, "echo")

    async def test_an_operation_without_a_result_is_told_as_failed(self, admin: Admin) -> None:
        with pytest.raises(Failed, match="without a result"):
            await call(admin.path, "none")


async def test_two_processes_speak_over_it(tmp_path: Path) -> None:
    store = await filled(tmp_path)
    program = (
        "import asyncio, json, sys\n"
        "from upright.operations.admin_client import call\n"
        "async def main():\n"
        "    sent = await call(sys.argv[1], 'send', to='/bank/clerk', handler='pay', ask=True,\n"
        "                      arguments={'account': 'ada', 'cents': 5})\n"
        "    print(json.dumps([sent, await call(sys.argv[1], 'redrive', address='clerk')]))\n"
        "asyncio.run(main())\n"
    )
    async with system_on(store) as system, Admin(tmp_path / "a.sock", Controls(system, store)) as admin:
        other = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, admin.path, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await other.communicate()
        assert msgspec.json.decode(out) == [{"reply": 5}, {"redriven": 2}]
        with pytest.raises(Wrong, match="expected id"):
            await call(admin.path, "story")
