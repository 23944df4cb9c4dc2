"""How many actors per second come up when there are soon a hundred thousand?"""

from functools import partial

from beam import erlang
from report import AtLeast
from spawning import upright
from support import compare, on_asyncio, scaled

COUNT = scaled(100_000)

if __name__ == "__main__":
    compare(
        "spawn: actors per second, 100,000 in a row, and bytes of an idle one",
        {"upright": on_asyncio(partial(upright, COUNT)), "Erlang/OTP": erlang("lives", "start", COUNT)},
        goals=[AtLeast("Erlang/OTP", 0.7)],
    )
