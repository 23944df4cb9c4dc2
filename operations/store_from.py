"""A store from a line of text, as it stands on a command line or in an environment."""

import re

from upright.persistence.memory import Memory
from upright.persistence.sqlite import Sqlite
from upright.persistence.store import Store

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+]+):")
"""What names a kind of store. One letter is a drive, and with a dot or a slash before the colon it is a path."""
MEANT = {"memory": "memory:", ":memory:": "memory:"}
"""What would be files of odd names, and is surely meant otherwise."""


def store_from(text: str) -> Store:
    """The store of `jobs.db`, `sqlite:jobs.db` or `memory:`. Raises `ValueError` for another kind, and for no path.

    A path may be relative or absolute, also as `sqlite:///var/lib/jobs.db`. A file whose name looks like a kind of
    store is named with its folder, as in `./a:b`.

    >>> store_from("memory:")
    <Memory 0 unfinished>
    >>> store_from("mysql:jobs")
    Traceback (most recent call last):
    ...
    ValueError: expected a store such as jobs.db, sqlite:jobs.db or memory:, got 'mysql:jobs'
    """
    if text in MEANT:
        raise ValueError(f"expected a store such as jobs.db, sqlite:jobs.db or memory:, got {text!r}: {MEANT[text]}?")
    scheme = SCHEME.match(text)
    if scheme is None:
        if _is_path(text):
            return Sqlite(text)
    else:
        rest = text[scheme.end() :]
        if scheme[1] == "memory" and not rest:
            return Memory()
        if scheme[1] == "sqlite" and rest.startswith("//"):  # as a URL, with no host; two strokes alone name one
            rest = f"/{rest.lstrip('/')}" if rest.startswith("///") else ""
        if scheme[1] == "sqlite" and _is_path(rest) and rest != ":memory:":
            return Sqlite(rest)
    raise ValueError(f"expected a store such as jobs.db, sqlite:jobs.db or memory:, got {text!r}")


def _is_path(text: str) -> bool:
    return bool(text.strip()) and not text.endswith(("/", "\\")) and "\0" not in text
