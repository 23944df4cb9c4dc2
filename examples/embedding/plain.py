"""The same shop without a web framework: a script that works, and the same one that orders from a process of its own.

python plain.py               # works until SIGTERM or Ctrl-C
python plain.py tea coffee    # orders, from another terminal, whether or not the first one runs
"""

import asyncio
import os
import sys

from shop import DRAIN, ORDERS, Orders, tree

from upright.actors import ActorSystem
from upright.operations import configure_logs, run
from upright.persistence import Sqlite

DB = os.environ.get("SHOP_DB", "shop.db")


async def order(items: list[str]) -> None:
    """Store an order for each, and run none of the actors: `only=()`."""
    async with ActorSystem(tree, store=Sqlite(DB), only=()) as system:
        for receipt in await system.ref(ORDERS, Orders).tell_many(Orders.ship, items):
            print(receipt.id)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(order(sys.argv[1:]))
    else:
        configure_logs()  # on standard error: text on a terminal, JSON otherwise
        sys.exit(run(ActorSystem(tree, store=Sqlite(DB)), drain=DRAIN))
