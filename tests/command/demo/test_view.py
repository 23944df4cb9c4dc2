"""What is shown of a run: drawn on a terminal, and told as lines."""

import io
from typing import Any

import pytest
from rich.console import Console

from upright.actors import ActorSystem
from upright.command.demo.plain import Plain, summary
from upright.command.demo.scene import KEPT, Scene
from upright.command.demo.setting import Setting
from upright.command.demo.view import View, sparkline

TREE: dict[str, Any] = {
    "path": "/",
    "children": [
        {"path": "/dead-letters", "state": "running", "restarts": 0, "children": []},
        {
            "path": "/shop",
            "state": "running",
            "restarts": 0,
            "children": [{"path": "/shop/intake", "state": "paused", "restarts": 2, "children": []}],
        },
    ],
}


def busy() -> Scene:
    scene = Scene()
    scene.accepted, scene.kills = 40, 2
    scene.runs = {"completed": 21, "rejected": 3, "running": 9}
    scene.depths = {"intake": (4, 0), "machine/orders": (9, 2)}
    scene.heard("worker", {"started": 17})
    scene.heard("worker", {"up": 17})
    scene.heard("worker", {"tree": TREE, "circuits": {"payments": "open", "mail": "closed"}})
    scene.heard("carrier", {"trouble": "hanging", "calls": 12, "effects": 7})
    scene.refused.add(7, "cents: expected `int` >= 1")
    return scene


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("height", [8, 24, 60])
def test_all_that_there_is_to_see_is_drawn_on_any_terminal(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(View(busy(), Setting(chaos=True), ActorSystem(log=None), console).draw())
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for word in ("completed", "hanging", "open", "machine/orders", "chaos"):
        assert word in text


def test_the_figures_are_those_of_the_scene() -> None:
    ends = "accepted 40, completed 21, called off 3, quarantined 2, waiting 13, refused 1"
    assert summary(busy()) == f"{ends}, kills 2, circuits: payments open"


def test_plain_lines_tell_each_event_once() -> None:
    scene, lines = busy(), list[str]()
    plain = Plain(scene, lines.append)
    plain.line()
    plain.line()
    scene.heard("worker", {"ended": -9})
    scene.heard("worker", {"started": 18})
    plain.line()
    told = [line.partition(" s    ")[2] for line in lines if " s    " in line]
    assert told == ["carrier is hanging", "worker 17 died of SIGKILL", "worker started again as process 18"]


def test_a_sparkline_shows_the_least_that_is_not_nothing() -> None:
    assert sparkline([0, 1, 1_000]) == " ▁█"
    assert sparkline([]) == ""


def test_of_very_many_lines_that_are_refused_the_first_are_kept() -> None:
    scene = Scene()
    for number in range(KEPT + 5):
        scene.refused.add(number, "no")
    assert (scene.refused.count, len(scene.refused.first)) == (KEPT + 5, KEPT)
