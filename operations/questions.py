"""What may be asked of a service, as values: one class for each operation, whose fields are its arguments.

What comes over a socket is checked against them, so that whoever answers gets what it expects.
"""

import difflib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec

from upright.persistence.forms import explain

from .errors import Wrong
from .health import Probe

Q = TypeVar("Q", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Name = Annotated[str, msgspec.Meta(max_length=1_000)]
Path = Annotated[str, msgspec.Meta(max_length=10_000)]
MANY = 1_000
"""Names among which one looks for those that are near."""
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """Of an operation without arguments."""


class Healthy(msgspec.Struct, forbid_unknown_fields=True):
    """What one `probe` would say; all that is known if none is named."""

    probe: Probe | None = None


class Send(msgspec.Struct, forbid_unknown_fields=True):
    """`to`: a path, on the store alone an address. `arguments`: by the names of the handler's parameters. `once`: its
    idempotency key; `key`: what it keeps its order with. `ask`: wait for the reply, `within` so many seconds.
    """

    to: Path
    handler: Name
    arguments: dict[str, Any] = {}
    once: str = ""
    key: str = ""
    ask: bool = False
    within: Seconds = 5.0


class Letters(msgspec.Struct, forbid_unknown_fields=True):
    """Which letters are shown, and how many at most."""

    address: str | None = None
    reason: str | None = None
    error: str | None = None
    limit: Count = 100


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """Letters to redrive or to drop: by their `ids`, or all that the others say; `rate`: so many a second."""

    ids: list[Count] | None = None
    address: str | None = None
    reason: str | None = None
    error: str | None = None
    rate: Rate | None = None


class OfMessage(msgspec.Struct, forbid_unknown_fields=True):
    """A message, by its id."""

    id: Count


class Runs(msgspec.Struct, forbid_unknown_fields=True):
    """Runs of a machine: `limit` of them at most, in the order of their ids, from the first one behind `after` on."""

    machine: Name
    status: str | None = None
    state: str | None = None
    limit: Count = 100
    after: str = ""


class OfRun(msgspec.Struct, forbid_unknown_fields=True):
    """A run, by its machine and its id."""

    machine: Name
    id: str


def read(kind: type[Q], name: str, given: Mapping[str, Any]) -> Q:
    """The arguments of an operation of that name. Raises `Wrong`."""
    known = kind.__struct_fields__
    for argument in given:
        if argument not in known:
            raise Wrong(f"expected {name} to get {', '.join(known) or 'no arguments'}, got {argument!r}")
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as error:
        raise Wrong(f"{name}: {explain(error, '')}") from error


def near(wanted: str, known: Iterable[str], most: int = 10) -> str:
    """Those names that look like the one that was wanted, of the first thousand; else the first few.

    >>> near("bnk", ["till", "bank"]), near("xyz", ["till", "bank"]), near("x", [])
    ('bank', 'till, bank', 'none')
    """
    names = list(islice(known, MANY))
    found = difflib.get_close_matches(wanted[:200], names, 3, 0.6)
    if found or not names:
        return ", ".join(found) or "none"
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
