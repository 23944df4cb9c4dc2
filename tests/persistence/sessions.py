"""Processes with a session file, for tests that kill them."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

IMPORT = "import os, sys, time\nfrom upright.persistence.session_file import *\n"
OWNER = """
file = SessionFile.create(sys.argv[1])
for number in range(int(sys.argv[2])):
    slot = file.begin(number, 1, 0.5)
    if number % 2:
        file.end(slot)
"""
BUSY = """
file = SessionFile.create(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    slots = [file.begin(number, number % 2**32, float(number)) for _ in range(3)]
    for slot in slots:
        file.end(slot)
"""
CHILD = """
if not os.fork():
    for deed in (lambda: file.begin(2, 1, 1.0), lambda: file.end(slot), file.remove):
        try:
            deed()
        except ValueError:
            pass
    print("ready", flush=True)
    os.close(1)
sys.stdin.read()
"""
READY = "print('ready', flush=True)\nsys.stdin.read()\n"


@contextmanager
def process(program: str, *args: object) -> Generator["subprocess.Popen[bytes]"]:
    """A process that has said that it is ready; it ends with its input."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORT + program, *map(str, args)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline() == b"ready\n"
        try:
            yield running
        finally:
            running.kill()


def kill(running: "subprocess.Popen[bytes]") -> None:
    running.kill()
    running.wait()
