"""The tree that the addresses of a store make: `bank/till` stands below `bank`."""

from collections.abc import Iterable, Mapping
from typing import Any

from upright.persistence.reports import Counts

from .answers import breathing

DEEPEST = 50
"""Levels of a tree. What an address holds beyond that is one name."""


async def stored_tree(known: Iterable[str], counts: Mapping[str, Counts], most: int) -> dict[str, Any]:
    """The root of that tree, of `most` nodes; a node that has more below it says how many addresses these are.

    What stands above an address need not be one; it counts what is below it in none of its numbers.
    """
    root = node_of("/", Counts())
    nodes = {"": root}
    async for address in breathing(sorted({*known, *counts})):
        parts = address.split("/", DEEPEST)
        parent = root
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            found = nodes.get(path)
            if found is None and len(nodes) >= most:
                parent["more"] = parent.get("more", 0) + 1
                break
            if found is None:
                found = nodes[path] = node_of(path, counts.get(path, Counts()))
                parent["children"].append(found)
            parent = found
    return root


def node_of(path: str, counts: Counts) -> dict[str, Any]:
    """One address in the tree."""
    return {
        "path": path, "kind": "", "state": "stored", "depth": counts.waiting + counts.claimed, "limit": 0,
        "restarts": 0, "quarantined": counts.quarantined, "children": [],
    }  # fmt: skip
