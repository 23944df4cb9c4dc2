"""The port for probes: on either kind of address, at once, and an answer also where something of it is broken."""

import http.client
import socket
from typing import NoReturn

import pytest

from tests.operations.bank import Quiet
from upright.actors import ActorSystem
from upright.operations import AddressInUse, Health, HealthServer, health_server


def health() -> Health:
    return Health(ActorSystem(log=None, dead_letters=Quiet))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as trying:
            trying.bind(("::1", 0))
    except OSError:
        return False
    return True


def said(host: str, port: int, path: str = "/livez") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request("GET", path)
        found = connection.getresponse()
        return found.status, found.read()
    finally:
        connection.close()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "asked"), [("::1", ["::1"]), ("", ["127.0.0.1", "::1"])])
def test_it_listens_at_addresses_of_either_kind(host: str, asked: list[str]) -> None:
    server = HealthServer(health(), host)
    server.start()
    try:
        assert [said(one, server.port)[0] for one in asked] == [200] * len(asked)
    finally:
        server.stop()


def test_without_ipv6_it_listens_at_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Only4(health_server._Server):
        def __init__(self, address: tuple[str, int], handler: object, kind: socket.AddressFamily) -> None:
            if kind == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(address, handler, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(health_server, "_Server", Only4)
    server = HealthServer(health(), "")
    server.start()
    try:
        assert said("127.0.0.1", server.port)[0] == 200
    finally:
        server.stop()


def test_the_name_of_the_machine_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> NoReturn:
        raise AssertionError("it would hold the loop up where names are not answered")

    for name in ("getfqdn", "gethostbyaddr"):
        monkeypatch.setattr(socket, name, never)
    server = HealthServer(health())
    server.start()
    server.stop()


@pytest.mark.parametrize("host", ["203.0.113.7", "::1::", "a..b", "x" * 70])
def test_an_address_that_cannot_be_had_is_named(host: str) -> None:
    server = HealthServer(health(), host, 1)
    with pytest.raises(AddressInUse, match=r"expected .*:1 to be free for probes: ."):
        server.start()
    server.stop()


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
def test_a_port_that_is_taken_is_not_shared(host: str) -> None:
    first = HealthServer(health(), host)
    first.start()
    try:
        with pytest.raises(AddressInUse, match="address already in use"):
            HealthServer(health(), host, first.port).start()
    finally:
        first.stop()


def test_metrics_that_are_broken_are_an_answer_and_the_probes_go_on() -> None:
    def broken() -> tuple[str, bytes]:
        raise LookupError("no registry")

    server = HealthServer(health(), metrics=broken)
    server.start()
    try:
        status, body = said("127.0.0.1", server.port, "/metrics")
        assert (status, b"no registry" in body) == (500, True)
        assert said("127.0.0.1", server.port)[0] == 200
    finally:
        server.stop()


def test_it_may_be_started_again() -> None:
    server = HealthServer(health())
    for _ in range(2):
        server.start()
        assert said("127.0.0.1", server.port)[0] == 200
        server.stop()
