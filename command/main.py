"""Where the command line begins: it imports no more than the command needs."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    print("upright: nothing here yet", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
