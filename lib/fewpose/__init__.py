"""Human pose estimation from few or no labels: two papers as notebooks over this thin library."""

import os

__version__ = "0.1.0"
LAYOUT = 2  # of a run's folder, run.json and columns; a run.json without the number is of layout 1

if os.environ.get("FEWPOSE_RUN"):
    # Executed in a batch: bars are text, for the terminal that watches shows no widgets.
    import tqdm.auto
    import tqdm.std

    tqdm.auto.tqdm, tqdm.auto.trange = tqdm.std.tqdm, tqdm.std.trange


class SkippedInput(UserWarning):
    """Part of the input was not used; a run lists it in its run.json, the report shows it."""
