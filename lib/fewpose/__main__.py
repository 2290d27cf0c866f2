"""`python -m fewpose`, the command line: the only module of this package that imports a sibling."""

import sys

from fewpose_runs.cli import main

if __name__ == "__main__":
    sys.exit(main())
