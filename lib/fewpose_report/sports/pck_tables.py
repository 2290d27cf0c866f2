"""The tables of Ludwig et al. beside ours."""

from __future__ import annotations

import pandas as pd

from fewpose.metrics.bootstrap import interval
from fewpose_report.sports.pck_results import draws, label_counts, last_iterations, mean_pck, name_of

# Ludwig et al., PCK@0.1: (method, labels, iteration) → published, None where it is not; labels "all" = 3,154. Methods
# whose name ends in "video" have the videos' frames in their pool, too. Ensemble and published head are not theirs.
SPORTS_TABLE1 = {
    ("supervised", 50, 0): 83.8,
    ("pseudo_labels", 50, 1): 87.7,
    ("pseudo_labels", 50, 2): None,
    ("pseudo_labels", 50, 3): 88.4,
    ("pseudo_labels_video", 50, 4): 88.6,
    ("mean_teacher", 50, 0): 87.1,
    ("mean_teacher_video", 50, 0): None,
    ("ensemble", 50, 1): None,
    ("ensemble", 50, 2): None,
    ("ensemble_views", 50, 0): None,
    ("ensemble_voting", 50, 0): None,
    ("published_head", 50, 0): None,
    ("supervised", "all", 0): 91.9,
}
SPORTS_TABLE2 = {
    ("supervised", 50, 0): 83.8,
    ("pseudo_labels", 50, 3): 88.4,
    ("supervised", 100, 0): 86.0,
    ("pseudo_labels", 100, 3): 89.0,
    ("supervised", 250, 0): 88.4,
    ("pseudo_labels", 250, 3): 90.0,
    ("supervised", "all", 0): 91.9,
}


def sports_table(found: list[dict], published: dict[tuple, float | None], at: float = 0.1) -> pd.DataFrame:
    """Paper / ours / difference for each row of a published table that was run.

    found: see `pck_results.load_tests`. Ours is the mean over label draws with its interval over draws and test
    videos; the difference is in points of PCK.
    """
    full, rows = max(e["labels"] for e in found), []
    for (method, labels, iteration), paper in published.items():
        sets = draws(found, method, full if labels == "all" else labels, iteration)
        if sets:
            value, samples = mean_pck(sets, found[0]["video"], at)
            row = {"method": name_of(method), "labels": f"all ({full})" if labels == "all" else str(labels)}
            row |= {"iteration": iteration or "", "paper": paper, "ours": round(value, 1)}
            row["95 % interval"] = "{:.1f} to {:.1f}".format(*interval(samples))
            row["difference"] = None if paper is None else round(value - paper, 1)
            rows.append(row | {"draws": len(sets)})
    return pd.DataFrame(rows)


def gap_table(rows: list[dict]) -> pd.DataFrame:
    """The rows of `pck_results.gap_rows` beside what the paper's Table 1 makes of the same."""
    few, full = (SPORTS_TABLE1[("supervised", labels, 0)] for labels in (50, "all"))
    columns = ["method", "labels", "iteration", "value", "ci_low", "ci_high"]
    table = pd.DataFrame(rows, columns=columns)
    published = [SPORTS_TABLE1.get((r["method"], r["labels"], r["iteration"])) for r in rows]
    table["paper"] = [None if p is None else 100 * (p - few) / (full - few) for p in published]
    table = table.rename(columns={"value": "ours", "ci_low": "low", "ci_high": "high"})
    return table[["method", "labels", "iteration", "paper", "ours", "low", "high"]]


def budget_table(found: list[dict], at: float = 0.1) -> pd.DataFrame:
    """PCK with intervals of each method, in its last iteration, for each number of labels."""
    full, rows = label_counts(found)[-1], []
    for labels in sorted({e["labels"] for e in found}):
        for method, iteration in last_iterations(found, labels):
            sets = draws(found, method, labels, iteration)
            paper = SPORTS_TABLE2.get((method, "all" if labels == full else labels, iteration))
            row = {"method": method, "labels": labels} | _pck(sets, found, at)
            rows.append(row | {"paper": paper, "draws": len(sets)})
    return pd.DataFrame(rows)


def network_table(found: list[dict], at: float = 0.1) -> pd.DataFrame:
    """Supervised training with other networks beside the table's own, PCK with intervals."""
    pairs = sorted({(e["method"], e["labels"]) for e in found if e["method"].startswith("supervised")})
    return pd.DataFrame(
        {"method": name_of(method), "labels": labels} | _pck(draws(found, method, labels), found, at)
        for method, labels in pairs
    )


def _pck(sets: list, found: list[dict], at: float) -> dict:
    value, samples = mean_pck(sets, found[0]["video"], at)
    low, high = interval(samples)
    return {"PCK": value, "low": low, "high": high}


def convergence_table(found: list[dict]) -> pd.DataFrame:
    """Whether supervised training was done: what the last fifth of its steps still gained, a row a network.

    Of networks whose run kept its validation scores: steps, best PCK on validation, the step it was at, and the
    points gained over the best of the first four fifths.
    """
    rows = []
    for e in sorted(found, key=lambda e: (e["labels"], e["seed"])):
        if e["method"] == "supervised" and len(e.get("validation", ())):
            steps, scores = e["validation"].T
            best, early = scores.argmax(), scores[steps <= 0.8 * steps[-1]]
            row = {"labels": e["labels"], "draw": e["seed"], "steps": int(steps[-1])}
            row |= {"best PCK": scores[best], "at step": int(steps[best])}
            rows.append(row | {"gained in the last fifth": scores[best] - early.max() if len(early) else None})
    return pd.DataFrame(rows)
