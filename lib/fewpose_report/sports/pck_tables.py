"""The papers' tables beside ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from fewpose_report.sports.pck_results import draws, interval, label_counts, last_iterations, mean_pck

# Ludwig et al., PCK@0.1: (method, labels, iteration) → published, None where it is not; labels "all" = 3,154. Methods
# whose name ends in "video" have the videos' frames in their pool, too. The second opinion is not the paper's: its
# rows stand beside theirs.
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

    found: see `results.load_tests`. Ours is the mean over label draws with its interval over draws and test videos;
    the difference is in points of PCK.
    """
    most = max(e["labels"] for e in found)
    rows = []
    for (method, labels, iteration), paper in published.items():
        sets = draws(found, method, most if labels == "all" else labels, iteration)
        if not sets:
            continue
        value, samples = mean_pck(sets, found[0]["video"], at)
        low, high = interval(samples)
        rows.append(
            {
                "method": method.replace("_", " "),
                "labels": f"all ({most})" if labels == "all" else str(labels),
                "iteration": iteration or "",
                "paper": paper,
                "ours": round(value, 1),
                "95 % interval": f"{low:.1f} to {high:.1f}",
                "difference": None if paper is None else round(value - paper, 1),
                "draws": len(sets),
            }
        )
    return pd.DataFrame(rows)


def gap_table(rows: list[dict]) -> pd.DataFrame:
    """The rows of `results.gap_rows` beside what the paper's Table 1 makes of the same."""
    few, full = (SPORTS_TABLE1[("supervised", labels, 0)] for labels in (50, "all"))
    columns = ["method", "labels", "iteration", "value", "ci_low", "ci_high"]
    table = pd.DataFrame(rows, columns=columns)
    published = [SPORTS_TABLE1.get((r["method"], r["labels"], r["iteration"])) for r in rows]
    table["paper"] = [None if p is None else 100 * (p - few) / (full - few) for p in published]
    table = table.rename(columns={"value": "ours", "ci_low": "low", "ci_high": "high"})
    return table[["method", "labels", "iteration", "paper", "ours", "low", "high"]]


def budget_table(found: list[dict], at: float = 0.1) -> pd.DataFrame:
    """PCK with intervals of each method, in its last iteration, for each number of labels."""
    most, video, rows = label_counts(found)[-1], found[0]["video"], []
    for labels in sorted({e["labels"] for e in found}):
        for method, iteration in last_iterations(found, labels):
            sets = draws(found, method, labels, iteration)
            value, samples = mean_pck(sets, video, at)
            low, high = interval(samples)
            paper = SPORTS_TABLE2.get((method, "all" if labels == most else labels, iteration))
            rows.append(
                {
                    "method": method,
                    "labels": labels,
                    "PCK": value,
                    "low": low,
                    "high": high,
                    "paper": paper,
                    "draws": len(sets),
                }
            )
    return pd.DataFrame(rows)


def convergence_table(found: list[dict]) -> pd.DataFrame:
    """Whether supervised training was done: of each network what its last fifth still brought.

    A row a network whose run kept its validation scores: steps, best PCK on validation, the step it was at, and the
    points gained over the best of the first four fifths.
    """
    rows = []
    for e in found:
        if e["method"] != "supervised" or not len(e.get("validation", ())):
            continue
        steps, scores = e["validation"].T
        best, early = scores.argmax(), scores[steps <= 0.8 * steps[-1]]
        rows.append(
            {
                "labels": e["labels"],
                "draw": e["seed"],
                "steps": int(steps[-1]),
                "best PCK": scores[best],
                "at step": int(steps[best]),
                "gained in the last fifth": scores[best] - early.max() if len(early) else None,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(["labels", "draw"]) if rows else table


def network_table(found: list[dict], at: float = 0.1) -> pd.DataFrame:
    """Supervised training with other networks beside the table's own, PCK with intervals."""
    rows = []
    for method in sorted({e["method"] for e in found if e["method"].startswith("supervised")}):
        for labels in sorted({e["labels"] for e in found if e["method"] == method}):
            value, samples = mean_pck(draws(found, method, labels), found[0]["video"], at)
            low, high = interval(samples)
            rows.append({"method": method.replace("_", " "), "labels": labels, "PCK": value, "low": low, "high": high})
    return pd.DataFrame(rows)


def write_table(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Save a table as `<name>.csv` and `<name>.md`."""
    table.to_csv(folder / f"{name}.csv", index=False)
    text = table.astype(object).where(table.notna(), "").to_markdown(index=False)
    (folder / f"{name}.md").write_text(text + "\n")
