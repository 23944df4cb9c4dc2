"""Machines to be drawn, runs of them, and how a test reads a drawing."""

import asyncio
import enum
import re
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from upright.actors import ActorSystem
from upright.persistence import (
    Memory,
    Reject,
    Retry,
    Run,
    StateMachine,
    after,
    call,
    each,
    machine,
    parallel,
    signal,
    step,
)
from upright.supervision import supervisor

SVG = "{http://www.w3.org/2000/svg}"
EPOCH = 1_700_000_000.0
MERMAID = re.compile(
    r"stateDiagram-v2"
    r'|    state "[^":;\n]*" as \w+'
    r"|    (\[\*\]|\w+) --> (\[\*\]|\w+)(: [^:;\n]+)?"
    r"|    note (left|right) of \w+: [^:;\n]+"
    r"|    classDef \w+ [\w#:,-]+"
    r"|    class \w+(,\w+)* \w+",
    re.ASCII,
)
"""What Mermaid's own grammar takes of it, line by line, once its `#codes;` are read."""


class Parcel(msgspec.Struct):
    heavy: bool = False
    flaws: tuple[str, ...] = ()
    label: str = ""
    addresses: tuple[str, ...] = ("a", "b", "c")


def is_heavy(parcel: Parcel) -> bool:
    return parcel.heavy


class Bill(StateMachine[Parcel]):
    class State(enum.StrEnum):
        OPEN = "open"
        PAID = "paid"

    initial = State.OPEN

    @step(State.OPEN, to=State.PAID)
    async def pay(self, parcel: Parcel) -> None: ...


class Delivery(StateMachine[Parcel]):
    class State(enum.StrEnum):
        NEW = "new"
        PACKED = "packed"
        HELD = "held"
        BILLED = "billed"
        SHIPPED = "shipped"
        DONE = "done"
        REFUSED = "refused"
        STOPPED = "stopped"

    initial = State.NEW
    cancelled = State.STOPPED

    async def unpack(self, parcel: Parcel) -> None:
        parcel.label = ""

    async def weigh(self, parcel: Parcel) -> int:
        return 1

    async def wrap(self, parcel: Parcel) -> int:
        return 2

    async def write(self, parcel: Parcel, address: str) -> str:
        return address

    @parallel(State.NEW, weigh, wrap, to=State.PACKED, undo=unpack)
    async def pack(self, parcel: Parcel, found: list[int]) -> None:
        parcel.label = f"l-{sum(found)}"

    @step(State.PACKED, to=State.HELD, when=is_heavy)
    async def hold(self, parcel: Parcel) -> None: ...

    @signal(State.HELD, to=State.PACKED)
    async def release(self, parcel: Parcel, by: str) -> None:
        parcel.heavy = False

    @signal(State.HELD, to=State.HELD)
    async def remark(self, parcel: Parcel, text: str) -> None: ...

    @after(86_400, State.HELD, to=State.REFUSED)
    async def expire(self, parcel: Parcel) -> None: ...

    @call(State.PACKED, Bill, given=lambda parcel: parcel, to=State.BILLED)
    async def bill(self, parcel: Parcel, paid: Parcel) -> None: ...

    @step(State.BILLED, to=State.SHIPPED, on_reject=State.REFUSED, on_failure=State.HELD,
          retry=Retry(max_attempts=3, base=1.0, jitter="none"))  # fmt: skip
    async def ship(self, parcel: Parcel) -> None:
        if "refused" in parcel.flaws:
            raise Reject("no such <street> & no such town")
        if "broken" in parcel.flaws or ("late" in parcel.flaws and self.ctx.attempt < 3):
            raise ConnectionError("no road")

    @each(State.SHIPPED, write, over=lambda parcel: parcel.addresses, to=State.DONE, at_once=2)
    async def notify(self, parcel: Parcel, written: list[str]) -> None: ...


class Lone(StateMachine[Parcel]):
    """A run that fails, and waits for somebody."""

    class State(enum.StrEnum):
        NEW = "new"
        DONE = "done"

    initial = State.NEW

    @step(State.NEW, to=State.DONE, retry=Retry(max_attempts=2, base=1.0, jitter="none"))
    async def go(self, parcel: Parcel) -> None:
        raise ValueError("no & never")


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text)


def words_of(text: str, kind: str = "") -> list[str]:
    """The visible texts, of that class."""
    found = drawn(text).iter(f"{SVG}text")
    return ["".join(one.itertext()) for one in found if kind in one.get("class", "").split() or not kind]


def states_of(text: str, kind: str) -> list[str]:
    """The names of the boxes of that class."""
    groups = [one for one in drawn(text).iter(f"{SVG}g") if {"state", kind} <= {*one.get("class", "").split()}]
    return ["".join(one.itertext()) for group in groups for one in group.findall(f"{SVG}text[@class='name']")]


def boxes_of(text: str) -> list[tuple[float, float, float, float]]:
    """The boxes of the states: left, top, right, bottom."""
    found: list[tuple[float, float, float, float]] = []
    for rect in drawn(text).iter(f"{SVG}rect"):
        if rect.get("class") == "box":
            x, y, width, height = (float(rect.get(name, "nan")) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def apart(boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether no two of them have a point in common."""
    return all(
        one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        for at, one in enumerate(boxes)
        for other in boxes[:at]
    )


def check_mermaid(text: str) -> None:
    for line in text.splitlines():
        assert MERMAID.fullmatch(re.sub(r"#\d+;", "", line)), line


async def after_a_run(
    kind: type[StateMachine[Parcel]], parcel: Parcel, look: Callable[[Run[Parcel]], Awaitable[None]]
) -> None:  # fmt: skip
    store = Memory(clock=lambda: EPOCH + asyncio.get_running_loop().time())
    tree = supervisor("post", machine("runs", kind), machine("bills", Bill))
    async with ActorSystem(tree, store=store, log=None) as system:
        run = await kind.start(system, parcel, id="p-1")
        await asyncio.sleep(60)
        await look(run)
