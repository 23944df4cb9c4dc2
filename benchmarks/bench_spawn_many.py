"""How many actors per second come up when there are soon a hundred thousand?"""

import gc
from functools import partial

from beam import erlang
from report import AtLeast, Figures
from spawning import upright
from support import compare, on_asyncio, scaled

COUNT = scaled(100_000)


async def without_collector() -> Figures:
    """Python's garbage collector goes through all that lives again and again while so much is made."""
    gc.disable()
    return await upright(COUNT)


if __name__ == "__main__":
    compare(
        "spawn: actors per second, 100,000 in a row, and bytes of an idle one",
        {
            "upright": on_asyncio(partial(upright, COUNT)),
            "upright, collector off meanwhile": on_asyncio(without_collector),
            "Erlang/OTP": erlang("lives", "start", COUNT),
        },
        goals=[AtLeast("Erlang/OTP", 0.7)],
    )
