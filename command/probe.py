"""`upright health`: asks a service how it is, for probes that run a command.

It stands apart from all other commands because it has to be quick: nothing but small rooms of the standard library, and
sockets without a library above them.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .streams import quiet_end, tell

USAGE: Final = """\
Usage: upright health [--health HOST:PORT | --admin PATH] [OPTIONS]

  Ask a service how it is: one line, and an exit status for a probe.

Options:
  --health HOST:PORT          where its health endpoints are; default UPRIGHT_HEALTH
  --admin PATH                its admin socket; default UPRIGHT_ADMIN, or ./upright.sock
  --probe startup|live|ready  what to ask (default: ready)
  --timeout SECONDS           for all of it (default: 2)
  --json                      print the report as JSON
  --help                      this text

Exit status: 0 it is so, 1 it is not, 2 wrong usage, 3 nobody answers.
"""
PATHS: Final = {"startup": "/startupz", "live": "/livez", "ready": "/readyz"}
SOCKET: Final = "upright.sock"
MOST: Final = 1 << 20
"""Bytes of an answer, at most; no report is as long."""
OK, NOT_SO, WRONG, NOBODY = 0, 1, 2, 3


class WrongUsage(Exception):
    """What was typed cannot be meant."""


class NoAnswer(Exception):
    """There is nobody, or what came is no answer of a service."""


def health(given: Sequence[str]) -> int:
    """Run `upright health` with these arguments; returns the exit status."""
    try:
        options = parse(given)
        if "--help" in options:
            say(USAGE)
            return OK
        return ask(options)
    except WrongUsage as error:
        tell(f"upright health: {error}\n\n{USAGE.rstrip()}")
        return WRONG
    except NoAnswer as error:
        tell(f"upright health: {error}")
        return NOBODY
    except KeyboardInterrupt:
        return 130


def parse(given: Sequence[str]) -> dict[str, str]:
    """The options by name. Raises `WrongUsage`."""
    options, words = dict[str, str](), list(given)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in ("--help", "--json") and not equals:
            options[name] = ""
        elif name in ("--health", "--admin", "--probe", "--timeout"):
            if not equals:
                if not words:
                    raise WrongUsage(f"expected a value after {name}")
                value = words.pop(0)
            options[name] = value
        else:
            raise WrongUsage(f"there is no option {shown(name)}")
    if "--health" in options and "--admin" in options:
        raise WrongUsage("expected --health or --admin, got both")
    return options


def ask(options: dict[str, str]) -> int:
    """Ask, and print what came; returns the exit status."""
    probe = options.get("--probe", "ready")
    if probe not in PATHS:
        raise WrongUsage(f"expected --probe to be startup, live or ready, got {shown(probe)}")
    until = time.monotonic() + seconds(options.get("--timeout", "2"))
    address, path = place(options)
    if address is not None:
        ok, report = over_http(address, PATHS[probe] + ("?verbose" if "--json" in options else ""), until)
    else:
        ok, report = over_socket(path, probe, until)
    if "--json" in options:
        say(json.dumps({"probe": probe, "ok": ok, "report": report}) + "\n")
    else:
        say(f"{probe}: {line_of(ok, report)}\n")
    return OK if ok else NOT_SO


def say(text: str) -> None:
    """Print that. Where nobody reads it, the exit status says all."""
    with quiet_end(sys.stdout):
        sys.stdout.write(text)


def place(options: dict[str, str]) -> tuple[tuple[str, int] | None, str]:
    """Whom to ask: an address, or the path of a socket. Raises `WrongUsage`, `NoAnswer`."""
    if "--health" in options:
        return host_and_port(options["--health"]), ""
    if "--admin" in options:
        return None, options["--admin"]
    if os.environ.get("UPRIGHT_HEALTH"):
        return host_and_port(os.environ["UPRIGHT_HEALTH"]), ""
    path = os.environ.get("UPRIGHT_ADMIN") or (SOCKET if os.path.exists(SOCKET) else "")
    if not path:
        raise NoAnswer("whom to ask? name --health HOST:PORT or --admin PATH of a service that runs")
    return None, path


def seconds(text: str) -> float:
    """A time-out. Raises `WrongUsage`."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:
        raise WrongUsage(f"expected --timeout to be more than 0 seconds, got {shown(text)}")
    return number


def host_and_port(text: str) -> tuple[str, int]:
    """Where to connect to for what a service was told to listen on. Raises `WrongUsage`.

    >>> host_and_port(":8080"), host_and_port("[::]:80"), host_and_port("ada.example:81")
    (('127.0.0.1', 8080), ('::1', 80), ('ada.example', 81))
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise WrongUsage(f"expected HOST:PORT, got {shown(text)}")
    # What listens everywhere is asked here.
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port)


def over_http(address: tuple[str, int], path: str, until: float) -> tuple[bool, Any]:
    """GET that path; whether the status is 200, and the body: of JSON its value, else text. Raises `NoAnswer`."""
    name = "{}:{}".format(*address)
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{address[1]}\r\nAccept: application/json\r\n\r\n"
    try:
        with socket.create_connection(address, left(until)) as connection:
            connection.settimeout(left(until))
            connection.sendall(request.encode())
            answer = received(connection, until)
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"nobody answers at {name}: {why(error)}") from error
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise NoAnswer(f"what listens at {name} does not speak HTTP")
    status = int(words[1])
    if status not in (200, 503):
        raise NoAnswer(f"{name} answers {path} with {status}: expected the health port of a service")
    return status == 200, value_of(body)


def over_socket(path: str, probe: str, until: float) -> tuple[bool, Any]:
    """Ask over the admin socket. Raises `NoAnswer`."""
    request = json.dumps({"do": "health", "with": {"probe": probe}}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(left(until))
            connection.connect(path)
            connection.sendall(request.encode())
            answer = value_of(received(connection, until, b"\n"))
    except OSError as error:
        raise NoAnswer(f"nobody answers at {shown(path)}: {why(error)}") from error
    match answer:
        case {"result": {"health": {"ok": bool(ok)} as report}}:
            return ok, report
        case {"error": str(text)}:
            raise NoAnswer(f"the service at {shown(path)} says: {shown(text)}")
        case _:
            raise NoAnswer(f"what listens at {shown(path)} is no admin socket of a service")


def received(connection: socket.socket, until: float, end: bytes = b"") -> bytes:
    """What comes until the other side ends, or until `end` comes. Raises `OSError`, `TimeoutError` too."""
    parts, length = list[bytes](), 0
    while length < MOST:
        connection.settimeout(left(until))
        part = connection.recv(65536)
        if not part:
            break
        parts.append(part)
        length += len(part)
        if end and end in part:
            break
    return b"".join(parts)


def left(until: float) -> float:
    """Seconds until then. Raises `TimeoutError` if it is past."""
    rest = until - time.monotonic()
    if rest <= 0.0:
        raise TimeoutError("timed out")
    return rest


def value_of(body: bytes) -> Any:
    """What a body of JSON says; another one as text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").strip()


def line_of(ok: bool, report: Any) -> str:
    """A report in one line: how it is, and what is not well."""
    match report:
        case {"status": str(status), "checks": [*checks]}:
            return shown("; ".join([status, *said_of(checks)]))
        case str(text) if text:
            return shown(text.split("\n", 1)[0])
        case _:
            return "ok" if ok else "failed"


def said_of(checks: Sequence[Any]) -> Iterator[str]:
    """What the checks of a report found that is not well."""
    for check in checks:
        match check:
            case {"name": name, "status": status, "why": why} if status != "ok":
                yield f"{name}: {why}"
            case _:
                pass


def why(error: Exception) -> str:
    """An error of the system in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def shown(text: str) -> str:
    """A text from elsewhere, as a terminal may have it."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
