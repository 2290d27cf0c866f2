"""The tables of Ludwig et al. beside ours."""

from __future__ import annotations

import pandas as pd

from fewpose.metrics.bootstrap import interval
from fewpose.metrics.pck import gap_closed
from fewpose_report.results import published, range_text
from fewpose_report.sports.pck_results import draws, label_counts, last_iterations, mean_pck, name_of

ALL = 3154  # labels in the paper


def _published(table: int) -> dict[tuple, float | None]:
    """(method, labels, iteration) → PCK@0.1 of Ludwig et al., by the number of labels; labels "all" come last."""
    rows = published("sports").fillna({"iteration": 0})
    rows = rows[(rows["table"] == table) & (rows["metric"] == "pck@0.1")].sort_values("labels", kind="stable")
    names = zip(rows["method"], rows["labels"], rows["iteration"], strict=True)
    keys = [(method, "all" if labels == ALL else int(labels), int(i)) for method, labels, i in names]
    return dict(zip(keys, rows["value"], strict=True))


# Methods whose names end in "video" also use frames of the training videos. Those of _OURS are not in the paper.
_TABLE1 = _published(1)
_OURS = [("ensemble", 50, 1), ("ensemble", 50, 2)]
_OURS += [(method, 50, 0) for method in ("ensemble_views", "ensemble_voting", "published_head")]
_ALL = ("supervised", "all", 0)
SPORTS_TABLE1 = {k: v for k, v in _TABLE1.items() if k != _ALL} | dict.fromkeys(_OURS) | {_ALL: _TABLE1[_ALL]}
SPORTS_TABLE2 = _published(2)


def sports_table(found: list[dict], paper_rows: dict[tuple, float | None], at: float = 0.1) -> pd.DataFrame:
    """Paper / ours / difference for each row of SPORTS_TABLE1 or 2; cells of rows that were not run stay empty.

    found: see `pck_results.load_tests`. Ours is the mean over label draws with its interval over draws and test
    videos; the difference is in points of PCK.
    """
    full, rows = max(e["labels"] for e in found), []
    for (method, labels, iteration), paper in paper_rows.items():
        sets = draws(found, method, full if labels == "all" else labels, iteration)
        row = {"method": name_of(method), "labels": f"all ({full})" if labels == "all" else str(labels)}
        row |= {"iteration": iteration or "", "paper": paper, "ours": None, "95 % interval": "", "difference": None}
        if sets:
            value, samples = mean_pck(sets, found[0]["video"], at)
            row |= {"ours": round(value, 1), "95 % interval": range_text(*interval(samples))}
            row["difference"] = None if paper is None else round(value - paper, 1)
        rows.append(row | {"draws": len(sets)})
    return pd.DataFrame(rows)


def gap_table(rows: list[dict]) -> pd.DataFrame:
    """The rows of `pck_results.gap_rows` beside the same gaps in the paper's tables."""
    columns = ["method", "labels", "iteration", "value", "ci_low", "ci_high"]
    table = pd.DataFrame(rows, columns=columns)
    paper = SPORTS_TABLE2 | SPORTS_TABLE1
    keys = table[columns[:3]].fillna({"iteration": 0}).itertuples(index=False, name=None)
    table["paper"] = [_published_gap(paper, *key) for key in keys]
    table = table.rename(columns={"value": "ours", "ci_low": "low", "ci_high": "high"})
    return table[["method", "labels", "iteration", "paper", "ours", "low", "high"]]


def _published_gap(paper: dict, method: str, labels: int, iteration: int) -> float | None:
    value, few = paper.get((method, labels, iteration)), paper.get(("supervised", labels, 0))
    return None if value is None else float(gap_closed(value, few, paper[_ALL]))


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
    """Supervised training of the main and other networks, PCK with intervals."""
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
    """Whether supervised training had converged, a row per network whose run kept its validation scores.

    Columns are steps, best PCK on validation, the step it was at, and the points that it is above the best of the first
    four fifths of all steps.
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
