"""Lines of a log, made and written so that whoever logs never hears of a failure: a handler must not fail because the
disk of its log is full, or because the name of a file in it is no UTF-8.
"""

from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

from upright.persistence.judge import storable as escaped

from .plain_json import shown

Line = MutableMapping[str, Any]
Render = Callable[[Any, str, Line], str]
"""The last processor of structlog: makes a text of a line."""


def sure(render: Render) -> Render:
    """The same, but that it does not raise: a value that it cannot render is told in a word."""

    def rendered(logger: Any, method: str, line: Line) -> str:
        kept = dict(line)  # a renderer may take away what it has rendered
        try:
            return render(logger, method, line)
        except Exception:
            try:
                return render(logger, method, _plain(kept))
            except Exception as error:
                return f"{shown(kept.get('event'))} (its line cannot be rendered: {type(error).__name__})"

    return rendered


def _plain(line: Line) -> Line:
    """The line with texts alone, but for the error whose traceback belongs to it."""
    return {
        escaped(key): value if key == "exc_info" else escaped(value) if isinstance(value, str) else shown(value)
        for key, value in line.items()
    }


class LineStream:
    """The stream that lines go to; None, or one that is closed, is nowhere.

    A line that cannot be written is dropped, as `logging` does too. The next one is written when that works again.
    """

    def __init__(self, out: TextIO | None) -> None:
        self._out = out

    def isatty(self) -> bool:
        """Whether people read it."""
        try:
            return self._out is not None and self._out.isatty()
        except ValueError:  # it is closed
            return False

    def write(self, text: str) -> None:
        """Write that, with escapes for what its encoding does not know."""
        out = self._out
        if out is None:
            return
        try:
            try:
                out.write(text)
            except UnicodeEncodeError:
                encoding = out.encoding or "ascii"
                out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except Exception:
            return  # there is nobody left to tell

    def flush(self) -> None:
        """What was written is on its way."""
        try:
            if self._out is not None:
                self._out.flush()
        except Exception:
            return  # it stays in the buffer, and goes with the next line
