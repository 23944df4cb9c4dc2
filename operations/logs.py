"""Logs: which actor and message a line belongs to, and a ready-made setup for command lines.

A library never configures structlog; an application may take `add_turn` into its own processors, or call
`configure_logs`.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from upright.actors.seat import current_turn

from .log_lines import LineStream, sure
from .plain_json import as_json as encoded


def add_turn(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: adds `actor` and `handler` of the turn in which the line is written, where there is one.

    It reads them only for lines that are really written; keys that the line already has are kept.
    """
    turn = current_turn()
    if turn is not None:
        line.setdefault("actor", turn.actor)
        line.setdefault("handler", turn.handler)
    return line


def configure_logs(level: int = logging.INFO, stream: TextIO | None = None, json: bool | None = None) -> None:
    """Configure structlog for a program: lines for people on a terminal, JSON otherwise.

    `level`: the least level that is written, a number of `logging`. `stream`: where to (default: standard error).
    `json`: force one form. Tracebacks are written without local variables, since those hold payloads.

    To log never fails: of what cannot be written as it is, a line says so in a word, and a line that cannot be written
    at all, on a full disk say, is dropped.
    """
    out = LineStream(sys.stderr if stream is None else stream)
    as_json = not out.isatty() if json is None else json
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_turn,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if as_json:
        processors.append(structlog.processors.format_exc_info)
        render: Any = structlog.processors.JSONRenderer(serializer=_encode)
    else:
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[*processors, sure(render)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", out)),
        cache_logger_on_first_use=False,
    )


def _encode(line: Any, **_: Any) -> str:
    return encoded(line).decode()
