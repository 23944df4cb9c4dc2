"""The test kit of durable actors: chaos in a store, and replay of what is in quarantine against new code."""

from .replay import Replayed, Told, replay
from .store_chaos import KILLED_BY, StoreChaos

__all__ = ["KILLED_BY", "Replayed", "StoreChaos", "Told", "replay"]
