import math
from dataclasses import replace

import pytest
import torch

from fewpose.metrics.pck import gap_closed, normalised_distances, pck, reference_length
from fewpose.skeleton import LSP, Skeleton

L_SHOULDER, R_HIP = LSP.index("left_shoulder"), LSP.index("right_hip")
R_SHOULDER, L_HIP = LSP.index("right_shoulder"), LSP.index("left_hip")
WRIST = LSP.index("left_wrist")


def people(n=1):
    """Poses whose left shoulder–right hip is 30 px long and right shoulder–left hip 40 px."""
    poses = torch.zeros(n, 14, 3)
    poses[..., 2] = 2
    poses[:, R_HIP, :2] = torch.tensor([0.0, 30.0])
    poses[:, L_HIP, :2] = torch.tensor([40.0, 0.0])
    return poses


def test_hits_are_counted_by_hand():
    ground_truth = people()
    guess = ground_truth.clone()
    guess[0, WRIST, 0] += 3.0  # exactly 0.1 of the reference: correct
    guess[0, 0, 0] += 3.1
    d = normalised_distances(guess, ground_truth, LSP)
    assert math.isclose(d[0, WRIST], 0.1, rel_tol=1e-6)
    assert math.isclose(pck(d, 0.1), 100 * 13 / 14, rel_tol=1e-6)
    assert pck(d, 0.2) == 100


def test_fallback_reference_and_none():
    ground_truth = people(3)
    ground_truth[1, L_SHOULDER, 2] = 0
    ground_truth[2, L_SHOULDER, 2] = 0
    ground_truth[2, L_HIP, 2] = 0
    lengths = reference_length(ground_truth, LSP)
    assert lengths[:2].tolist() == [30, 40] and lengths[2].isnan()
    assert normalised_distances(ground_truth, ground_truth, LSP)[2].isnan().all()


def test_unlabelled_is_not_counted_and_missing_is_wrong():
    ground_truth = people()
    ground_truth[0, 0, 2] = 0
    guess = ground_truth.clone()
    guess[0, 0] = 1000
    guess[0, WRIST] = torch.nan
    d = normalised_distances(guess, ground_truth, LSP)
    assert math.isclose(pck(d), 100 * 12 / 13, rel_tol=1e-6)
    assert d[0, 0].isnan() and d[0, WRIST] == torch.inf and d[0, R_HIP] == 0


def test_empty_and_mismatched():
    empty = normalised_distances(torch.zeros(0, 14, 3), torch.zeros(0, 14, 3), LSP)
    assert math.isnan(pck(empty))
    with pytest.raises(ValueError, match="13\\) predicted"):
        normalised_distances(torch.zeros(1, 13, 3), people(), LSP)


def test_gap_closed_of_the_paper():
    # Table 1: 83.8 with 50 labels, 88.4 with pseudo labels, 91.9 with all
    assert round(gap_closed(88.4, 83.8, 91.9)) == 57


def test_other_reference_lengths():
    ground_truth = torch.tensor([[[0.0, 0, 2], [30, 40, 1], [3, 0, 2]], [[0, 0, 2], [9, 9, 0], [0, 0, 0]]])
    mouse = Skeleton("mouse", ("nose", "tail", "ear"), (), (0.1,) * 3)
    with pytest.raises(ValueError, match="mouse has no left_shoulder"):
        reference_length(ground_truth, mouse)
    for reference, expected in [(("nose", "ear"), [3, math.nan]), ("box", [50, math.nan]), (7, [7, 7])]:
        lengths = reference_length(ground_truth, replace(mouse, reference=reference))
        assert lengths.tolist() == pytest.approx(expected, nan_ok=True)
