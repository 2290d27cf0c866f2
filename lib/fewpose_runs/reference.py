"""Keep the results of a finished profile among the committed ones, `outputs/reference/<name>`."""

from __future__ import annotations

import shutil
from pathlib import Path

from fewpose_runs.runs import finished_runs, outputs

KEPT = ("run.json", "*.csv", "test/*", "figures/*.png")


def keep_reference(profile: str, name: str) -> Path:
    """Copy report, manifests, rows, test results and pictures of a finished profile; no weights.

    Replaces what `outputs/reference/<name>` held. ValueError if the profile has no report.
    """
    report, target = outputs() / profile / "report", outputs() / "reference" / name
    if not (report / "results.csv").is_file():
        raise ValueError(f"outputs/{profile} has no report: run `make reproduce PROFILE={profile}`")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(report, target / "report", ignore=shutil.ignore_patterns("*.pdf"))
    for run in finished_runs(profile):
        for path in (p for pattern in KEPT for p in run.glob(pattern)):
            copy = target / path.relative_to(outputs() / profile)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return target
