"""The tree of a running system in a form that can be sent: of so many nodes at most, and made a few at a time.

A house of a million entities must hold up nobody. Those above and beside it are shown before its own.
"""

import asyncio
import heapq
from itertools import islice
from typing import Any

from upright.actors.system import ActorSystem
from upright.actors.tree import Drawn

from .answers import BREATH

DEEPEST = 100
"""Levels that are shown: JSON that is nested deeper is read by few."""


async def live_tree(system: ActorSystem, most: int) -> dict[str, Any]:
    """The root, with all below it: those with the fewest children first, until there are `most` nodes. One with more
    children than are shown says how many more, as `more`. Raises `SystemNotRunning`.
    """
    top: Any = system.ref("/", object).recipient
    root, left, count = node_of(top), most - 1, 0
    ahead: list[tuple[int, int, int, Drawn, dict[str, Any]]] = [(len(top.children), 0, 1, top, root)]
    while ahead:
        size, _, level, actor, node = heapq.heappop(ahead)
        shown = list(islice(actor.children.values(), left if level < DEEPEST else 0))
        left -= len(shown)
        if len(shown) < size:
            node["more"] = size - len(shown)
        for child in shown:
            below = node_of(child)
            node["children"].append(below)
            count += 1
            if child.children:
                heapq.heappush(ahead, (len(child.children), count, level + 1, child, below))
            if count % BREATH == 0:
                await asyncio.sleep(0)
    return root


def node_of(actor: Drawn) -> dict[str, Any]:
    """One actor in the tree."""
    mailbox = actor.mailbox
    return {
        "path": actor.path, "kind": actor.kind, "state": actor.state, "depth": len(mailbox), "limit": mailbox.limit,
        "restarts": max(actor.incarnation - 1, 0), "children": [],
    }  # fmt: skip


def listed(root: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The nodes of a tree in a row, from the top, without their children; and how many more there are."""
    found: list[dict[str, Any]] = []
    more, ahead = 0, [root]
    while ahead:
        node = ahead.pop()
        below: list[dict[str, Any]] = node["children"]
        more += node.get("more", 0)
        ahead += reversed(below)
        found.append({name: value for name, value in node.items() if name not in ("children", "more")})
    return found, more
