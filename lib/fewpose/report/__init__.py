"""Figures, tables and the tidy results they are made of."""

from .audit import (
    audit_by_keypoint,
    audit_rows,
    audit_table,
    aurc_table,
    kept_labels,
    read_audits,
    risk_coverage,
    risk_rows,
    save_audit,
    scatter_of_views,
    spread_against_error,
)
from .figures import (
    budget_curve,
    convergence,
    heatmap_grid,
    keypoint_bars,
    pck_curve_table,
    pck_curves,
    pose_grid,
    training_curves,
)
from .films import film_networks, film_strip, network_of, overlay_film, parameters_of
from .poses import before_and_after, best_to_worst, overview
from .realism import realism, realism_of_people
from .results import (
    compared,
    difference_rows,
    draws,
    gap_rows,
    label_counts,
    left_out,
    load_tests,
    pck_rows,
    read_metrics,
    save_test,
    show_rows,
    skeleton_of,
)
from .tables import (
    SPORTS_TABLE1,
    SPORTS_TABLE2,
    budget_table,
    convergence_table,
    gap_table,
    network_table,
    sports_table,
    write_table,
)
from .viewer import pose_viewer

__all__ = [
    "SPORTS_TABLE1", "SPORTS_TABLE2", "audit_by_keypoint", "audit_rows", "audit_table",
    "aurc_table", "before_and_after", "best_to_worst", "budget_curve", "budget_table", "compared",
    "convergence", "convergence_table", "difference_rows", "draws", "film_networks", "film_strip",
    "gap_rows", "gap_table", "heatmap_grid", "kept_labels", "keypoint_bars", "label_counts",
    "left_out", "load_tests", "network_of", "network_table", "overlay_film", "overview",
    "parameters_of", "pck_curve_table", "pck_curves", "pck_rows", "pose_grid", "pose_viewer",
    "read_audits", "read_metrics", "realism", "realism_of_people", "risk_coverage", "risk_rows",
    "save_audit", "save_test", "scatter_of_views", "show_rows", "skeleton_of", "sports_table",
    "spread_against_error", "training_curves", "write_table",
]  # fmt: skip
