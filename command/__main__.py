"""`python -m upright.command`: the same as `upright`."""

import sys

from .main import main

sys.exit(main())
