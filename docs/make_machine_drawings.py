"""Write the pictures of docs/machines.md into docs/img: `python docs/make_machine_drawings.py`.

The page's own program draws them, on virtual time, so that they show the code that stands above them. `--check` writes
nothing and fails if a picture is not what it would write.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "machines.md"
IMAGES = PAGE.parent / "img"
NAMES = ("machine.svg", "machine_run.svg")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def drawn() -> dict[str, str]:
    """Each picture by its name, as the page draws it."""
    program = "\n".join(BLOCK.findall(PAGE.read_text("utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return {name: Path(folder, name).read_text("utf-8") for name in NAMES}


def main() -> None:
    """Write them, or compare."""
    parser = argparse.ArgumentParser(description="Write the pictures of docs/machines.md")
    parser.add_argument("--check", action="store_true", help="fail if a picture is not up to date")
    options = parser.parse_args()
    for name, content in drawn().items():
        path = IMAGES / name
        if not options.check:
            path.write_text(content, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != content:
            sys.exit(f"{name} is not what the page draws: python docs/make_machine_drawings.py")


if __name__ == "__main__":
    main()
