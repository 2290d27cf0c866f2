import numpy as np

from fewpose.metrics.oks import oks

BOX = np.array([[100.0, 100, 50, 20]])


def one(detected, ground_truth, sigmas=(0.1, 0.1), area=10_000.0):
    detected, ground_truth = np.array([detected], float), np.array([ground_truth], float)
    return float(oks(detected, ground_truth, BOX, np.array([area]), sigmas)[0])


def test_by_hand():
    ground_truth = [[100, 100, 2], [120, 100, 1]]
    assert one([[100, 100], [120, 100]], ground_truth) == 1
    # d = 20 px, area 100², sigma 0.1: exp(-400 / (2 · 10,000 · 0.04)) = exp(-1/2)
    assert np.isclose(one([[100, 120], [120, 100]], ground_truth), (1 + np.exp(-0.5)) / 2)
    # unlabelled keypoints are not compared, confidences not read
    assert one([[100, 100, 0], [900, 900, 1]], [[100, 100, 2], [0, 0, 0]]) == 1


def test_without_labels_the_box_thrice_as_wide_and_high_stands_in():
    blank = [[0, 0, 0], [0, 0, 0]]
    assert one([[51, 81], [199, 139]], blank) == 1
    assert np.isclose(one([[51, 81], [220, 140]], blank), (1 + np.exp(-0.5)) / 2)


def test_no_pairs():
    empty = oks(np.zeros((0, 3, 2)), np.zeros((0, 3, 3)), np.zeros((0, 4)), np.zeros(0), [0.1] * 3)
    assert empty.shape == (0,)


def test_poses_do_not_depend_on_their_company():
    rng = np.random.default_rng(0)
    ground_truth = np.concatenate([rng.uniform(0, 99, (40, 26, 2)), rng.integers(0, 3, (40, 26, 1))], -1)
    found, boxes = ground_truth[..., :2] + rng.normal(0, 5, (40, 26, 2)), np.tile(BOX, (40, 1))
    areas, sigmas = rng.uniform(500, 5000, 40), rng.uniform(0.02, 0.1, 26)
    together = oks(found, ground_truth, boxes, areas, sigmas)
    alone = [oks(found[i : i + 1], ground_truth[i : i + 1], boxes[:1], areas[i : i + 1], sigmas)[0] for i in range(40)]
    assert together.tolist() == alone
