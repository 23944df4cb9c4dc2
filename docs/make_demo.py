"""Draws the picture of the demo: a real run with chaos, as a terminal shows it while a circuit is open.

.venv/bin/python docs/make_demo.py
"""

import asyncio
import io
import re
import tempfile
from pathlib import Path

from rich.console import Console

from upright.command.demo.run import Run
from upright.command.demo.scene import Scene
from upright.command.demo.setting import Setting
from upright.command.demo.view import View

AFTER, AT_MOST, LOOK = 15.0, 30.0, 0.05
FONTS = re.compile(r"\s*@font-face \{.*?\n    \}", re.DOTALL)
"""What would be fetched from elsewhere; a monospaced font is on every machine."""
PICTURE = Path(__file__).parent / "img" / "demo.svg"


async def taken(folder: Path) -> str:
    """What is to be seen then, as SVG."""
    scene, setting, over = Scene(), Setting(chaos=True), asyncio.Event()
    run = Run(setting, folder, scene)
    console = Console(file=io.StringIO(), record=True, width=124, height=40, force_terminal=True)
    playing = asyncio.create_task(run.play(over))
    for _ in range(int(AT_MOST / LOOK)):
        await asyncio.sleep(LOOK)
        if scene.elapsed > AFTER and scene.worker_tree and "open" in scene.circuits.values():
            break
    console.print(View(scene, setting, run.system, console).draw())
    over.set()
    await playing
    return FONTS.sub("", console.export_svg(title="upright demo --chaos"))


def main() -> None:
    """Write it anew."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(asyncio.run(taken(Path(folder))), "utf-8")


if __name__ == "__main__":
    main()
