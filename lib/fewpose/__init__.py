"""Human pose estimation from few or no labels: two papers as notebooks over this thin library."""

import os

__version__ = "0.1.0"
LAYOUT = 2  # version of run folders, run.json and columns; a run.json without it has layout 1

if os.environ.get("FEWPOSE_RUN"):
    # in a batch progress bars are text: a terminal shows no widgets
    import tqdm.auto
    import tqdm.std

    tqdm.auto.tqdm, tqdm.auto.trange = tqdm.std.tqdm, tqdm.std.trange


class SkippedInput(UserWarning):
    """Part of the input was skipped; a run lists this in its run.json, and the report shows it."""
