"""Figures, tables and the tidy results they are made of."""

from .audit import (
    audit_by_keypoint,
    audit_rows,
    audit_table,
    aurc_table,
    kept_labels,
    labels_table,
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
from .people_audit import label_audit
from .people_figures import (
    found_scene,
    people_figure,
    privacy_curves,
    privacy_table,
    soft_and_hard,
    true_scene,
)
from .people_results import (
    PeopleTest,
    load_people_tests,
    people_rows,
    save_people_test,
    summarise,
)
from .people_tables import (
    difference_table,
    operating_room_table1,
    operating_room_table2,
    operating_room_table3,
)
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
from .viewer import people_viewer, pose_viewer

__all__ = [
    "SPORTS_TABLE1", "SPORTS_TABLE2", "PeopleTest", "audit_by_keypoint", "audit_rows",
    "audit_table", "aurc_table", "before_and_after", "best_to_worst", "budget_curve",
    "budget_table", "compared", "convergence", "convergence_table", "difference_rows",
    "difference_table", "draws", "film_networks", "film_strip", "found_scene", "gap_rows",
    "gap_table", "heatmap_grid", "kept_labels", "keypoint_bars", "label_audit", "label_counts",
    "labels_table", "left_out", "load_people_tests", "load_tests", "network_of", "network_table",
    "operating_room_table1", "operating_room_table2", "operating_room_table3", "overlay_film",
    "overview", "parameters_of", "pck_curve_table", "pck_curves", "pck_rows", "people_figure",
    "people_rows", "people_viewer", "pose_grid", "pose_viewer", "privacy_curves", "privacy_table",
    "read_audits", "read_metrics", "realism", "realism_of_people", "risk_coverage", "risk_rows",
    "save_audit", "save_people_test", "save_test", "scatter_of_views", "show_rows", "skeleton_of",
    "soft_and_hard", "sports_table", "spread_against_error", "summarise", "training_curves",
    "true_scene", "write_table",
]  # fmt: skip
