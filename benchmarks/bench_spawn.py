"""How many actors per second come up, ten thousand in a row, and how much memory does one that idles take?"""

from functools import partial

from beam import erlang
from report import AtLeast, AtMost
from spawning import actio, pykka, supervised, task_and_queue, thespian, upright, xoscar
from support import compare, on_asyncio, on_uvloop, scaled

COUNT = scaled(10_000)

if __name__ == "__main__":
    compare(
        "spawn: actors per second, 10,000 in a row, and bytes of an idle one",
        {
            "upright": on_asyncio(partial(upright, COUNT)),
            "upright on uvloop": on_uvloop(partial(upright, COUNT)),
            "upright, supervised": on_asyncio(partial(supervised, COUNT)),
            "task and queue": on_asyncio(partial(task_and_queue, COUNT)),
            "pykka": partial(pykka, COUNT // 10),
            "thespian": partial(thespian, COUNT // 2),
            "actio": on_asyncio(partial(actio, COUNT // 2)),
            "xoscar": on_asyncio(partial(xoscar, COUNT // 4)),
            "Erlang/OTP": erlang("lives", "start", COUNT),
            "Erlang/OTP, supervised": erlang("lives", "start_supervised", COUNT),
        },
        goals=[
            AtLeast("Erlang/OTP", 1),
            AtMost("bytes_each", 2_000, ours="upright, supervised"),
        ],
    )
