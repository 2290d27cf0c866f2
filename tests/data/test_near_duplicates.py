from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fewpose.data.near_duplicates import SAME_SCENE, drop_near_duplicates, thumbnail_edges
from fewpose.data.pose_data import PoseData
from fewpose.skeleton import LSP
from fewpose_runs.sports_data import read_frames, read_raw

REAL = Path(__file__).parents[3] / "shared" / "data"


def scenes(n, seed=0, split="train"):
    """n frames of blurred noise: each a scene of its own."""
    rng = np.random.default_rng(seed)
    images = [cv2.GaussianBlur(rng.normal(128, 400, (64, 48, 3)), (0, 0), 3) for _ in range(n)]
    frames = torch.tensor(np.stack(images).clip(1, 255).astype(np.uint8)).permute(0, 3, 1, 2)
    names = np.array([f"{split}{i}" for i in range(n)])
    return PoseData(frames, torch.zeros(n, 14, 3), LSP, names, np.array([split] * n), "scenes")


def test_one_scene_is_found_darker_noisy_smaller_and_mirrored():
    test, pool = scenes(6, split="test"), scenes(8, seed=1)
    rng = torch.Generator().manual_seed(0)
    noisy = test.frames[0] * 0.6 + 20 * torch.rand(3, 64, 48, generator=rng)
    pool.frames[2] = noisy.byte()
    pool.frames[5] = test.frames[1].flip(-1)
    small = torch.nn.functional.interpolate(test.frames[2:3].float(), (48, 36), mode="bilinear")
    pool.frames[6] = 0  # letterboxed, with black borders
    pool.frames[6, :, 8:56, 6:42] = small[0].byte()
    with pytest.warns(UserWarning, match="3 frames skipped, .*train2, train5, train6"):
        kept = drop_near_duplicates(pool, test)
    assert kept.video.tolist() == ["train0", "train1", "train3", "train4", "train7"]


def test_other_scenes_and_blank_frames_stay():
    pool, test = scenes(20, seed=1), scenes(20, split="test")
    pool.frames[3] = 0
    test.frames[4] = 0
    assert len(drop_near_duplicates(pool, test)) == 20


@pytest.mark.skipif(not (REAL / "lsp").is_dir(), reason="LSP is not beside the clone (see README)")
@pytest.mark.filterwarnings("ignore:lsp")
def test_no_scene_of_a_test_image_of_lsp_is_trained_on(tmp_path):
    people = read_frames("lsp", REAL / "lsp", 0, 0, 0, 0, tmp_path)
    pool, test = people.subset(people.split != "test"), people.subset("test")
    assert len(test) == 1000 and 970 < len(pool) < 990
    assert not {"im0550", "im0371", "im0483"} & set(pool.video)  # of im1366, im1622, im1211
    similarity = thumbnail_edges(pool.frames) @ thumbnail_edges(test.frames).T
    assert similarity.max() <= SAME_SCENE
    if (REAL / "lspet").is_dir():
        raw = read_raw("lsp", REAL / "lspet", people, 0, 0, 0, 25, tmp_path)
        similarity = thumbnail_edges(raw.frames) @ thumbnail_edges(test.frames).T
        assert len(raw) == 200 and similarity.max() <= SAME_SCENE
