"""Figures, tables and the tidy results they are made of."""

from .audit import (
    audit_rows,
    audit_table,
    kept_labels,
    labels_table,
    risk_coverage,
    scatter_of_views,
    spread_against_error,
)
from .figures import (
    heatmap_grid,
    keypoint_bars,
    pck_curve_table,
    pck_curves,
    pose_grid,
    training_curves,
)
from .poses import before_and_after, best_to_worst, overview
from .realism import realism, realism_of_people
from .results import (
    difference_rows,
    draws,
    gap_rows,
    load_tests,
    pck_rows,
    read_metrics,
    save_test,
    show_rows,
    skeleton_of,
)
from .tables import SPORTS_TABLE1, SPORTS_TABLE2, network_table, sports_table, write_table
from .viewer import pose_viewer

__all__ = [
    "SPORTS_TABLE1", "SPORTS_TABLE2", "audit_rows", "audit_table", "before_and_after",
    "best_to_worst", "difference_rows", "draws", "gap_rows", "heatmap_grid", "kept_labels",
    "keypoint_bars", "labels_table", "load_tests", "network_table", "overview", "pck_curve_table",
    "pck_curves", "pck_rows", "pose_grid", "pose_viewer", "read_metrics", "realism",
    "realism_of_people", "risk_coverage", "save_test", "scatter_of_views", "show_rows",
    "skeleton_of", "sports_table", "spread_against_error", "training_curves", "write_table",
]  # fmt: skip
