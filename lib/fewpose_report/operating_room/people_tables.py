"""Tables 1, 2 and 3 of Srivastav et al. beside ours.

Published numbers are on MVOR+, real frames that are not public, so only trends can be compared with ours, not values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from fewpose.metrics.bootstrap import interval
from fewpose.models.cost import Cost
from fewpose_report.operating_room.people_results import Measured, Summary
from fewpose_report.results import published, range_text

SCALES = (1, 8, 10, 12)
METRIC_NAMES = {
    "box_ap": "box AP in %",
    "keypoint_ap": "keypoint AP in %",
    "mpjpe": "MPJPE in mm, one to one",
    "mpjpe_paper": "MPJPE in mm, as in the paper's code",
}
_PUBLISHED = published("operating_room")
# (method, scale) → published values by metric. MPJPE is by the paper's protocol.
PUBLISHED: dict[tuple[str, int], dict[str, float]] = {
    key: dict(zip(rows["metric"], rows["value"], strict=True)) for key, rows in _PUBLISHED.groupby(["method", "scale"])
}
PUBLISHED_COSTS = {  # millions of parameters, GFLOPs
    method.removesuffix("_untrained"): tuple(rows["value"])
    for method, rows in _PUBLISHED[_PUBLISHED["scale"].isna()].groupby("method")
}


def operating_room_table1(summary: Summary, costs: Mapping[str, Cost]) -> pd.DataFrame:
    """Table 1: teacher and untrained student at each scale, parameters and GFLOPs.

    summary: see `people_results.summarise`. Ours is the mean over seeds with its interval over seeds and test days.
    costs: of "teacher" and "student".
    """
    rows = _rows(summary, [(m, s) for m in ("teacher", "student_untrained") for s in SCALES])
    for name, cost in costs.items():
        ours = cost.parameters / 1e6, cost.gflops
        for metric, paper, value in zip(("parameters in millions", "GFLOPs"), PUBLISHED_COSTS[name], ours, strict=True):
            rows.append(_row(name, "", metric, paper, value))
    return pd.DataFrame(rows)


def operating_room_table2(summary: Summary) -> pd.DataFrame:
    """Table 2: at each scale the teacher, the student trained at that scale alone and the one trained at all."""
    methods = ("teacher", "student_fixed", "student_all")
    return pd.DataFrame(_rows(summary, [(m, s) for s in SCALES for m in methods]))


def operating_room_table3(summary: Summary, scale: int = 1) -> pd.DataFrame:
    """Table 3, the ablation: one branch on hard labels, on soft ones, on both, and two branches.

    The last is the method "double", or where it was not run the student trained at this scale, which is the same
    network; the paper's is that of Table 2 trained at all scales.
    """
    same = {("double", s, metric): value for (m, s, metric), value in summary.items() if m == "student_fixed"}
    methods = ("single_hard", "single_soft", "single_both", "double")
    return pd.DataFrame(_rows(same | summary, [(method, scale) for method in methods]))


def difference_table(summary: Summary, pairs: Sequence[tuple[tuple[str, int], tuple[str, int]]]) -> pd.DataFrame:
    """The difference of the first (method, scale) of each pair from the second, with intervals.

    Paired: both are resampled with the same days and, if equal in number, the same seeds. Pairs that were not run are
    left out.
    """
    rows = []
    for (one, at), (other, there) in pairs:
        for metric, name in METRIC_NAMES.items():
            if (one, at, metric) not in summary or (other, there, metric) not in summary:
                continue
            a, b = summary[one, at, metric], summary[other, there, metric]
            low, high = interval(a.samples - b.samples)
            row = {"method": _name(one, at), "over": _name(other, there), "metric": name}
            rows.append(row | {"difference": a.value - b.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def _rows(summary: Summary, wanted: Iterable[tuple[str, int]]) -> list[dict]:
    """A row per metric of each (method, scale) that was run or published; what is not known is left empty."""
    rows = []
    for method, scale in wanted:
        for metric, name in METRIC_NAMES.items():
            ours, paper = summary.get((method, scale, metric)), PUBLISHED.get((method, scale), {}).get(metric)
            if ours is not None or paper is not None:
                rows.append(_row(method, f"{scale}x", name, paper, ours.value if ours else None, ours))
    return rows


def _row(
    method: str, scale: str, metric: str, paper: float | None, value: float | None, measured: Measured | None = None
) -> dict:
    low, high = measured.interval if measured else (None, None)
    return {
        "method": method.replace("_", " "),
        "scale": scale,
        "metric": metric,
        "paper": paper,
        "ours": None if value is None else round(value, 1),
        "95 % interval": range_text(low, high) if measured else "",
        "difference": None if None in (paper, value) else round(value - paper, 1),
        "seeds": measured.seeds if measured else "",
    }


def _name(method: str, scale: int) -> str:
    return f"{method.replace('_', ' ')} at {scale}x"
