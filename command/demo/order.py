"""An order, and what is looked at before it is accepted. Pure: no file, no loop."""

import re
from typing import Annotated

import msgspec

UNPLUG = "unplug me"
"""The note of an order whose shipping ends the process that works on it."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants: `cents` in all for `quantity` times `item`, that weigh `kilograms`.

    A weight of 0 is let through: nobody thought of it, and the step that divides by it fails each time.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}\Z")]
    customer: Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
    item: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    quantity: Annotated[int, msgspec.Meta(ge=1, le=1_000)]
    cents: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
    kilograms: Annotated[float, msgspec.Meta(ge=0, le=10_000)]
    card: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}\Z")] = "DE"
    note: Annotated[str, msgspec.Meta(max_length=200)] = ""

    @property
    def is_poison(self) -> bool:
        """Whether a step of it fails at every attempt."""
        return self.kilograms == 0

    @property
    def is_killer(self) -> bool:
        """Whether a step of it ends its process."""
        return self.note == UNPLUG


class Refused(ValueError):
    """It cannot be accepted, and why."""


_decoder = msgspec.json.Decoder(Order)
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


def read_order(line: bytes) -> Order:
    """The order of one line of JSON. Raises `Refused`.

    >>> read_order(b'{"id": 7}')
    Traceback (most recent call last):
    ...
    upright.command.demo.order.Refused: id: expected `str`, got `int`
    """
    if b"\0" in line:
        raise Refused("a NUL byte")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start}") from error
    try:
        order = _decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise Refused(told(error)) from error
    except RecursionError as error:
        raise Refused("nested too deeply") from error
    if "@" not in order.customer:
        raise Refused("customer: expected an address with an @")
    return order


def told(error: msgspec.MsgspecError) -> str:
    """The words of msgspec, with the field in front."""
    text = str(error)
    where = _WHERE.search(text)
    body = text[: where.start()] if where is not None else text
    if body[1:2].islower():
        body = body[0].lower() + body[1:]
    return f"{where[1]}: {body}" if where is not None and where[1] else body
