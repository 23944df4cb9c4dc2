"""A run on a terminal: the tree, queues, circuits, services, throughput and the last events, four times a second."""

import asyncio
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from upright.actors.system import ActorSystem
from upright.actors.tree import Node

from .scene import Scene
from .setting import Setting

EVERY = 0.25
BLOCKS = " ▁▂▃▄▅▆▇█"
COLOURS = {"closed": "green", "half-open": "yellow", "open": "bold red"}
OURS = "upright/"
"""Addresses that the library keeps for itself begin so."""
WIDE = 122
"""Columns from which on all of it stands beside each other; else what matters most comes first."""
TALL = 30
"""Lines below which the list of events is short."""


def sparkline(values: list[int]) -> str:
    """Numbers as a row of blocks.

    >>> sparkline([0, 1, 4, 8])
    ' ▁▄█'
    """
    most = max([*values, 1])
    return "".join(BLOCKS[-(-value * (len(BLOCKS) - 1) // most)] for value in values)


class View:
    """Draws the scene. `system`: the parent's own, for its tree."""

    def __init__(self, scene: Scene, setting: Setting, system: ActorSystem, console: Console) -> None:
        self._scene, self._setting, self._system, self._console = scene, setting, system, console

    async def show(self) -> None:
        """Go on until cancelled; then what was drawn goes away."""
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self.draw(), refresh=True)
                await asyncio.sleep(EVERY)

    def draw(self) -> RenderableType:
        """All of it, as it is now."""
        scene = self._scene
        is_wide = self._console.width >= WIDE
        room = max(3, min(8, self._console.height - TALL + 8))
        events = Text("\n".join(f"{at:6.1f} s  {what}" for at, what in list(scene.events)[-room:]), overflow="ellipsis")
        events.no_wrap = True
        happened = Panel(events, title="what happened", title_align="left", border_style="dim")
        if is_wide:
            beside = Columns([self._processes(), self._queues(), self._services()], padding=(0, 1))
            return Group(self._head(), beside, happened)
        return Group(self._head(), self._services(), happened, self._queues(), self._processes())

    def _head(self) -> RenderableType:
        scene = self._scene
        title = Text.assemble(
            ("orders that reach their end", "bold"), f"   {scene.elapsed:5.1f} s   ",
            (f"chaos: the worker was killed {scene.kills} times", "red")
            if self._setting.chaos else "",
        )  # fmt: skip
        figures = Text.assemble(
            f"accepted {scene.accepted}   ", (f"completed {scene.completed}", "green"), "   ",
            f"called off {scene.called_off}   ", (f"quarantined {scene.quarantined}", "magenta"),
            f"   refused {scene.refused.count}   duplicates {scene.duplicates.count}",
        )  # fmt: skip
        bar = ProgressBar(total=max(scene.accepted, 1), completed=min(scene.ended, scene.accepted), width=48)
        rate = Text.assemble(f"ended each second, {scene.done[-1]:4d}  ", (sparkline(list(scene.done)), "cyan"))
        post = Text(f"POST {scene.url}/orders" if scene.url else "", style="dim")
        return Group(title, figures, bar, rate, post)

    def _processes(self) -> RenderableType:
        scene = self._scene
        tree = Tree("processes and actors", style="bold")
        if self._system.running:
            grow(tree, self._system.tree(), scene)
        return tree

    def _queues(self) -> RenderableType:
        scene = self._scene
        table = Table(title="queues", title_justify="left", box=None, padding=(0, 1, 0, 0))
        for name, width in (("mailbox", 17), ("waits", 5), ("quarantine", 10)):
            table.add_column(name, min_width=width)
        for address, (open, kept) in scene.depths.items():
            if address.startswith(OURS):
                continue
            table.add_row(address, str(open), Text(str(kept), "magenta" if kept else ""))
        for status in ("running", "retrying", "compensating", "completed", "rejected", "failed"):
            if status in scene.runs:
                table.add_row(f"runs {status}", str(scene.runs[status]), "")
        return table

    def _services(self) -> RenderableType:
        scene = self._scene
        table = Table(title="services", title_justify="left", box=None, padding=(0, 1, 0, 0))
        for name, width in (("service", 9), ("is", 13), ("circuit", 9), ("calls", 5), ("done", 5)):
            table.add_column(name, min_width=width)
        for name, service in scene.services.items():
            circuit = scene.circuits.get(name, "closed")
            table.add_row(
                name,
                Text(service.trouble or "well", "red" if service.trouble else "green"),
                Text(circuit, COLOURS.get(circuit, "yellow")),
                str(service.calls),
                str(service.effects),
            )
        return table


def grow(tree: Tree, node: Node, scene: Scene) -> None:
    """The parent's actors, and below the worker's process those that it runs."""
    for one in node.children:
        name = one.path.rpartition("/")[2]
        if name == "dead-letters":
            continue
        branch = tree.add(label(name, one.state, one.restarts), style="")
        grow(branch, one, scene)
        if one.path == "/demo/worker" and scene.worker_tree:
            plant(branch, scene.worker_tree)


def plant(branch: Tree, node: dict[str, Any]) -> None:
    """The actors of the worker, as it reported them."""
    for one in node["children"]:
        name = one["path"].rpartition("/")[2]
        if name != "dead-letters":
            plant(branch.add(label(name, one["state"], one["restarts"])), one)


def label(name: str, state: str, restarts: int) -> Text:
    """An actor in a line."""
    colour = "green" if state == "running" else "yellow"
    again = (f"  {restarts} restart{'s' if restarts > 1 else ''}", "red") if restarts else ("", "")
    return Text.assemble(name, " ", (state, colour), again)
