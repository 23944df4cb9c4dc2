"""Running and seeing: logs."""

from .logs import add_turn, configure_logs

__all__ = ["add_turn", "configure_logs"]
