"""With what a service exits: whoever starts it decides by these whether to start it again."""

CLEAN = 0
"""It was asked to end, and has."""
FAILED = 1
"""It gave up or did not come up: another start may mend that."""
USAGE = 2
"""It cannot run as it was called, and would not the next time."""
