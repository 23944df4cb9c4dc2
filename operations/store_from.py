"""A store from a line of text, as it stands on a command line or in an environment."""

from upright.persistence.memory import Memory
from upright.persistence.sqlite import Sqlite
from upright.persistence.store import Store

KINDS = ("sqlite", "memory")


def store_from(text: str) -> Store:
    """The store of `jobs.db`, `sqlite:jobs.db` or `memory:`. Raises `ValueError` for another kind, and for no path.

    >>> store_from("memory:")
    <Memory 0 unfinished>
    >>> store_from("mysql:jobs")
    Traceback (most recent call last):
    ...
    ValueError: expected a store such as jobs.db, sqlite:jobs.db or memory:, got 'mysql:jobs'
    """
    kind, colon, rest = text.partition(":")
    if colon and kind.isalpha() and len(kind) > 1:
        if kind == "memory" and not rest:
            return Memory()
        if kind == "sqlite" and rest.strip("/"):
            return Sqlite(rest.removeprefix("//") if rest.startswith("///") else rest)
    elif text.strip() and not text.endswith("/"):
        return Sqlite(text)
    raise ValueError(f"expected a store such as jobs.db, sqlite:jobs.db or memory:, got {text!r}")
