"""The live tree, as values and as text.

Drawn here, where the actors are; whoever supervises them makes no difference to it.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from .mailbox import Mailbox


class Node(msgspec.Struct, frozen=True):
    """One actor as it was at the moment of looking.

    `path`, `kind` (its class), `state`, `depth` (messages that wait) of at most `limit`, `restarts` so far,
    `children` in start order.
    """

    path: str
    kind: str
    state: str
    depth: int
    limit: int
    restarts: int
    children: tuple["Node", ...] = ()


class Drawn(Protocol):
    """What the drawing needs of an actor."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def incarnation(self) -> int: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def children(self) -> Mapping[str, "Drawn"]: ...


def look(actor: Drawn) -> Node:
    """The actor and all below it."""
    order, seen = [actor], 0
    while seen < len(order):  # no call of one by its parent: a tree may be deeper than a stack
        order.extend(order[seen].children.values())
        seen += 1
    nodes: dict[int, Node] = {}
    for one in reversed(order):
        below = tuple(nodes.pop(id(child)) for child in one.children.values())
        mailbox, restarts = one.mailbox, max(one.incarnation - 1, 0)
        nodes[id(one)] = Node(one.path, one.kind, one.state, len(mailbox), mailbox.limit, restarts, below)
    return nodes[id(actor)]


def draw(node: Node) -> str:
    """The tree as text, an actor a line.

    >>> a, b = Node("/a", "A", "running", 2, 10, 1), Node("/b", "B", "running", 0, 10, 0)
    >>> print(draw(Node("/", "Root", "running", 0, 10, 0, (a, b))))
    / Root running 0/10
    ├── a A running 2/10, 1 restart
    └── b B running 0/10
    """
    return "\n".join(_lines(node))


def _lines(top: Node) -> Iterable[str]:
    left = [(top, "", "")]
    while left:
        node, here, below = left.pop()
        name = node.path.rpartition("/")[2] or "/"
        restarts = f", {node.restarts} restart{'s' if node.restarts > 1 else ''}" if node.restarts else ""
        yield f"{here}{name} {node.kind} {node.state} {node.depth}/{node.limit}{restarts}"
        for place, child in enumerate(reversed(node.children)):
            line, space = ("├── ", "│   ") if place else ("└── ", "    ")
            left.append((child, below + line, below + space))
