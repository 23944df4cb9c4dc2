"""How many hops per second does a message make between two actors?"""

from ring import GOALS, contenders
from support import compare

if __name__ == "__main__":
    compare("ping-pong: hops per second", contenders(nodes=2), goals=GOALS)
