"""Erlang/OTP as a contender: the modules in `erlang/` do the same work as ours and measure it themselves."""

import shutil
import subprocess
from pathlib import Path

from report import Figures
from support import Absent, Contender

MODULES = Path(__file__).parent / "erlang"
# The module is compiled in memory, outside of what is measured; +S 1 gives it one scheduler, as we have one loop.
COMMAND = ["erl", "+S", "1", "-noshell", "-noinput", "-eval"]
PROGRAM = """
    [File, Function | Numbers] = init:get_plain_arguments(),
    {ok, Module, Code} = compile:file(File, [binary]),
    {module, Module} = code:load_binary(Module, File, Code),
    Figures = apply(Module, list_to_atom(Function), [list_to_integer(Number) || Number <- Numbers]),
    [io:format("~s ~w~n", [Name, Figure]) || {Name, Figure} <- Figures],
    halt().
"""


def erlang(module: str, function: str, *numbers: int) -> Contender:
    """A contender that runs `module:function(Number, …)`, which returns a list of `{Figure, Value}`."""

    def run() -> Figures:
        if not shutil.which("erl"):
            raise Absent("no erl on this machine")
        words = [str(MODULES / f"{module}.erl"), function, *map(str, numbers)]
        done = subprocess.run([*COMMAND, PROGRAM, "-extra", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{module}:{function} failed: {done.stdout.strip()[-500:]}")
        return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}

    return run
