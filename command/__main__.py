"""`python -m upright.command`: the same as `upright`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
