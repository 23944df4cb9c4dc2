"""How many hops per second does a message make around a ring of a thousand actors?"""

from ring import GOALS, contenders
from support import compare

if __name__ == "__main__":
    compare("ring of 1,000: hops per second", contenders(nodes=1_000), goals=GOALS)
