"""On small inputs the references do the same work as our fast paths."""

import copy

import numpy as np
import pytest
import torch

from benchmarks import augmentation, gpu, heatmaps, scores, steps
from fewpose import geometry
from fewpose.augment import Augmentation, network_input, normalise, random_view, seen
from fewpose.heatmaps import decode, gaussian_targets, peaks, smooth
from fewpose.mean_teacher import MeanTeacher
from fewpose.metrics.oks import oks
from fewpose.metrics.pck import normalised_distances, pck
from fewpose.models.higher_hrnet import narrow_higher_hrnet
from fewpose.skeleton import COCO, JUMP

SIZE = (64, 48)


def test_the_network_input_is_the_view_normalised():
    frames = augmentation.smooth_frames(7, (160, 128))
    views = [random_view(7, (160, 128), COCO, Augmentation(), torch.Generator().manual_seed(1)) for _ in range(2)]
    made, plain = (torch.Generator().manual_seed(2) for _ in range(2))
    found = network_input(views[0], frames, 0.3, made)
    expected = normalise(seen(views[1], frames, 0.3, plain))
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_no_frames_are_no_input():
    view = random_view(0, SIZE, COCO, Augmentation(), torch.Generator())
    empty = torch.zeros(0, 3, *SIZE, dtype=torch.uint8)
    assert network_input(view, empty, 0.3, torch.Generator()).shape == (0, 3, *SIZE)


def test_targets_are_those_of_the_loop_at_the_centres_of_cells():
    poses = heatmaps.random_poses(3, SIZE)
    poses[..., :2] = (poses[..., :2] / 4).floor() * 4 + 1.5  # the loop cuts to whole cells
    poses[0, 4, 2] = 0
    patch = heatmaps.target_patch()
    expected = np.stack([heatmaps.targets_loop(pose[None], SIZE, patch) for pose in poses.numpy()])
    difference = (gaussian_targets(poses, SIZE, 4) - torch.from_numpy(expected)).abs()
    assert difference.max() < np.exp(-(7**2) / 8)  # the loop's patch ends 7 cells away


def test_overlapping_people_keep_the_higher_value():
    poses = heatmaps.random_poses(2, SIZE).numpy()
    patch = heatmaps.target_patch()
    both = heatmaps.targets_loop(poses, SIZE, patch)
    each = [heatmaps.targets_loop(pose[None], SIZE, patch) for pose in poses]
    assert np.array_equal(both, np.maximum(*each))


@pytest.mark.parametrize("loop", [heatmaps.parser_loop, heatmaps.final_predictions_loop])
def test_published_decoding_differs_by_the_quarter_alone(loop):
    maps, crops, places = heatmaps.random_maps(4, SIZE)
    looped = torch.from_numpy(loop(maps.numpy(), *places))
    ours = geometry.transform_points(geometry.invert(crops), decode(maps, 4))
    difference = (ours - looped)[..., :2].norm(dim=-1) / torch.from_numpy(places[1])[:, None]
    assert difference.max() < 4 * 0.75 * 2**0.5  # half a cell against a quarter, along both axes
    assert torch.allclose(ours[..., 2], looped[..., 2])


def test_the_loop_maps_cells_as_the_crops_do():
    _, crops, places = heatmaps.random_maps(4, SIZE)
    cells = torch.rand(4, 17, 3) * 12
    looped = heatmaps.mapped_loop(cells.numpy(), *places, (16, 12))
    cells[..., :2] = (cells[..., :2] + 0.5) * 4 - 0.5
    expected = geometry.transform_points(geometry.invert(crops), cells)
    assert torch.allclose(torch.from_numpy(looped), expected, atol=1e-3)


def test_dark_reads_the_same_points():
    maps, crops, places = heatmaps.random_maps(4, SIZE)
    poses = heatmaps.random_poses(4, SIZE)
    middle = (poses[..., :2] > 14).all(-1) & (poses[..., :2] < torch.tensor([33.0, 49.0])).all(-1)
    back = geometry.invert(crops)
    looped = torch.from_numpy(heatmaps.dark_loop(maps.numpy(), *places))
    ours = geometry.transform_points(back, decode(smooth(maps), 4))
    ground_truth = geometry.transform_points(back, poses)
    for found in (ours, looped):
        assert (found - ground_truth)[middle][:, :2].norm(dim=-1).mean() < 0.6


def test_peaks_are_the_first_highest_cells_in_any_number_format():
    maps = torch.tensor([[[[0.0, 3.0], [3.0, 1.0]]], [[[2.0, 1.0], [0.0, 2.0]]]])
    expected = [[0.0, 0, 3, 3, 1], [2, 2, 2, 1, 0]]  # beyond the map the nearest number of it
    for found in (maps, maps.double(), maps.clone().requires_grad_()):
        index, values = peaks(found)
        assert index.flatten().tolist() == [1, 0] and values[:, 0].tolist() == expected
    maps, _, _ = heatmaps.random_maps(9, SIZE)
    for fast, plain in zip(peaks(maps), peaks(maps.double()), strict=True):
        assert torch.equal(fast, plain.to(fast.dtype))
    assert [tuple(x.shape) for x in peaks(maps[:0])] == [(0, 17, 1), (0, 17, 5)]


def test_pck_and_oks_of_the_loops():
    case = scores.pck_case(200, 200)
    assert case.ours() == pytest.approx(case.reference(), abs=1e-4)  # float32
    ground_truth = torch.rand(5, len(JUMP), 3)
    ground_truth[0, :, 2] = 0
    ground_truth[1, JUMP.index("left_shoulder"), 2] = 0  # the fallback
    found = ground_truth + 0.05
    expected = scores.pck_loop(found.numpy(), ground_truth.numpy(), JUMP)
    assert pck(normalised_distances(found, ground_truth, JUMP)) == pytest.approx(expected)
    case = scores.oks_case(300, 300)
    assert np.array_equal(case.ours(), case.reference())
    blank = np.zeros((2, 17, 3))
    rest = np.array([[0.0, 0, 4, 6], [3, 3, 9, 9]]), np.array([30.0, 80])
    guess = np.random.default_rng(0).uniform(-20, 60, (2, 17, 3))
    assert np.array_equal(oks(guess, blank, *rest, COCO.sigmas), scores.oks_loop(guess, blank, *rest, COCO.sigmas))


@pytest.mark.parametrize("library", ["pycocotools", "faster_coco_eval"])
def test_average_precision_is_that_of_the_libraries(library):
    case = scores.keypoint_ap_case(library, images=12)  # raises if the numbers differ
    for _ in range(2):  # and the reference can be called again
        assert list(case.ours().values()) == pytest.approx(case.reference(), abs=1e-9)


def test_the_moving_average_of_the_loop():
    pair = MeanTeacher(narrow_higher_hrnet(3), decay=0.9)
    with torch.no_grad():
        for value in pair.student.state_dict().values():
            value.add_(1)
    other = copy.deepcopy(pair.teacher)
    pair.update()
    steps.average_loop(pair.student, other, 0.9)
    for mine, theirs in zip(pair.teacher.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("mix", [False, True])
def test_the_loop_masks_as_much(mix):
    images = augmentation.smooth_frames(12, (128, 96)).float()
    poses = heatmaps.random_poses(12, (128, 96))
    ours = steps.joint_cutmix if mix else steps.joint_cutout
    changed = [
        (made != images).any(1).float().mean()
        for made in (
            ours(images, poses, torch.Generator().manual_seed(0), 4),
            steps.masking_loop(images, poses, torch.Generator().manual_seed(1), 4, mix),
        )
    ]
    assert changed[0] > 0.05 and abs(changed[0] - changed[1]) < 0.4 * changed[0]


def test_the_plain_step_learns_as_ours_does():
    data = steps.random_data(4, 64)
    torch.manual_seed(0)
    ours = narrow_higher_hrnet(len(COCO))
    plain = copy.deepcopy(ours)
    mine, theirs = steps.stepper(ours, data, 4), gpu.plain_step(plain, data, 4)
    first, second = ([step() for _ in range(3)] for step in (mine, theirs))
    assert first[0] == pytest.approx(second[0], rel=0.4)  # other views
    assert first[2] < first[0] and second[2] < second[0]


def test_single_views_find_what_batches_find():
    case = steps.twelve_views(64, 2)
    found = case.ours()
    assert found.base.shape == (2, 17, 3) and found.views.shape[0] == 11
    single = case.reference()  # of one frame: base view first
    assert len(single) == 12
    torch.testing.assert_close(single[0][0], found.base[0], atol=1e-3, rtol=1e-3)
