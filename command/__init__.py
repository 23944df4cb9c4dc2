"""The command line: `upright`. A wing of its own, whose face is light: a probe must answer within 100 ms."""

from .main import main

__all__ = ["main"]
