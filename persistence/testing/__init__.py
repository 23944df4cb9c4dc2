"""The test kit of durable actors: chaos in a store."""

from .store_chaos import KILLED_BY, StoreChaos

__all__ = ["KILLED_BY", "StoreChaos"]
