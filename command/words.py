"""Words for people: what data may look like on a terminal, times, counts.

Names, errors and replies come from anybody; on a terminal a control character in them could hide a line, move the
cursor, or change the title. So none of them gets there as it is.
"""

import math
import unicodedata
from datetime import datetime
from typing import Final

HIDDEN: Final = frozenset(("Cc", "Cs", "Zl", "Zp", "Cn", "Co"))
"""Kinds of characters that are not shown as they are: control characters, halves of pairs, ends of lines, none."""
TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""What turns the direction of a line round, or has no width."""
STEPS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))


def clean(text: object) -> str:
    r"""A text in one line, as a terminal may have it.

    >>> print(clean("a\x1b[2Jb\nc"))
    a\x1b[2Jb\nc
    """
    whole = str(text)
    if whole.isascii() and whole.isprintable():
        return whole
    return "".join(map(_shown, whole))


def clean_lines(text: str) -> list[str]:
    """A text of several lines, a traceback say, each as a terminal may have it."""
    return [clean(line.expandtabs(4)) for line in text.split("\n")]


def _shown(char: str) -> str:
    if unicodedata.category(char) in HIDDEN or char in TURNING:
        return char.encode("unicode_escape", "backslashreplace").decode("ascii")
    return char


def ago(at: float, now: float) -> str:
    """How long ago that was, or how long until then.

    >>> ago(100.0, 300.0), ago(100.0, 100.2), ago(7300.0, 100.0)
    ('3 min ago', 'now', 'in 2 h')
    """
    distance = abs(now - at)
    for size, unit in STEPS:
        if distance >= size:
            text = f"{int(distance // size)} {unit}"
            return f"{text} ago" if at < now else f"in {text}"
    return "now"


def when(at: object, now: float) -> str:
    """A time, seconds since the epoch, as local time and as how long ago; "" for none."""
    if not isinstance(at, int | float) or not math.isfinite(at) or at <= 0:
        return ""
    try:
        local = datetime.fromtimestamp(at).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"
    return f"{local} ({ago(at, now)})"


def many(count: int, noun: str, nouns: str = "") -> str:
    """So many of them.

    >>> many(1, "letter"), many(2, "letter")
    ('1 letter', '2 letters')
    """
    return f"{count} {noun if count == 1 else nouns or noun + 's'}"
