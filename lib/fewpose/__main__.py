"""`python -m fewpose`: the one place in this package that knows a sibling, the command line."""

import sys

from fewpose_runs.cli import main

if __name__ == "__main__":
    sys.exit(main())
