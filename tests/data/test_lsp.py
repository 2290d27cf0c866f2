from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from fewpose.data.images import letterbox_map
from fewpose.data.lsp import read_lsp, read_lspet
from fewpose.geometry import invert, transform_points

REAL = Path(__file__).parents[3] / "shared" / "data"


def write_lsp(folder, joints, pattern="im{:04d}.jpg", size=(60, 90)):
    """A folder as LSP is distributed, `size` (width, height)."""
    (folder / "images").mkdir()
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    count = joints.shape[2]
    for i in range(count):
        Image.new("RGB", size, (i, i, i)).save(folder / "images" / pattern.format(i + 1))
    return folder


def some_joints(count=3):
    joints = np.zeros((3, 14, count))
    joints[0], joints[1] = 30.0, np.arange(1, 15)[:, None] * 5.0
    joints[2, 4] = 1
    return joints


def test_lsp_counts_pixels_from_zero_and_leads_back(tmp_path):
    data = read_lsp(write_lsp(tmp_path, some_joints()))
    assert data.frames.shape == (3, 3, 256, 192) and data.skeleton.name == "lsp"
    assert data.video.tolist() == ["im0001", "im0002", "im0003"]
    assert (data.split == "train").all()
    assert data.poses[0, :, 2].tolist() == [2, 2, 2, 2, 1] + [2] * 9
    back = invert(letterbox_map((90, 60), (256, 192))[None]).expand(3, -1, -1)
    expected = torch.from_numpy(some_joints().transpose(2, 1, 0)[..., :2] - 1).float()
    torch.testing.assert_close(transform_points(back, data.poses)[..., :2], expected)


def test_lspet_keeps_only_labelled_joints(tmp_path):
    joints = some_joints().transpose(1, 0, 2)
    joints[0, 0] = -50  # unlabelled joints may stand anywhere, even be NaN
    joints[2, :2] = np.nan
    data = read_lspet(write_lsp(tmp_path, joints, "im{:05d}.jpg"))
    assert data.poses[0, :, 2].tolist() == [0] * 4 + [2] + [0] * 9
    assert (data.poses[:, 0] == 0).all() and data.video[0] == "im00001"
    other = read_lspet(tmp_path, every=2)
    assert other.video.tolist() == ["im00001", "im00003"] and torch.equal(other.poses, data.poses[::2])


def test_broken_images_are_named_and_the_rest_kept(tmp_path):
    folder = write_lsp(tmp_path, some_joints())
    (folder / "images" / "im0002.jpg").write_bytes(b"\xff\xd8 half")
    with pytest.warns(UserWarning, match="1 images missing or broken, skipped: im0002.jpg"):
        data = read_lsp(folder)
    assert data.video.tolist() == ["im0001", "im0003"]
    assert data.frames[1, 0, 128, 96] == 2


def test_labels_outside_the_image_are_ignored(tmp_path):
    joints = some_joints()
    joints[0, 3, 1] = 61.0
    with pytest.warns(UserWarning, match="1 labels lie outside"):
        data = read_lsp(write_lsp(tmp_path, joints))
    assert (data.poses[1, 3] == 0).all() and (data.poses[0, 3, 2] == 2).all()


def broken(tmp_path, what):
    joints = some_joints()
    if what == "NaN":
        joints[1, 12, 1] = np.nan
    write_lsp(tmp_path, joints)
    path = tmp_path / "joints.mat"
    if what == "missing":
        path.unlink()
    if what == "no file":
        path.write_bytes(b"MATLAB 5.0 MAT-file, cut")
    if what == "ragged":
        rows = np.empty(3, dtype=object)
        rows[:] = [np.zeros((3, 14)), np.zeros((3, 13)), np.zeros((3, 14))]
        scipy.io.savemat(path, {"joints": rows})
    if what == "other name":
        scipy.io.savemat(path, {"points": joints})
    if what == "16 joints":
        scipy.io.savemat(path, {"joints": np.zeros((3, 16, 3))})
    if what == "no images":
        for image in (tmp_path / "images").iterdir():
            image.unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "is missing"),
        ("no file", "cannot be read"),
        ("ragged", "ragged"),
        ("other name", "no matrix `joints`"),
        ("16 joints", r"LSP has \(3, 14"),
        ("NaN", "neck of image 2"),
        ("no images", "no readable image im0001.jpg"),
    ],
)
def test_one_sentence_names_the_file(tmp_path, what, message):
    broken(tmp_path, what)
    with pytest.raises(ValueError, match=message) as error:
        read_lsp(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.skipif(not (REAL / "lsp").is_dir(), reason="LSP is not beside the clone (see README)")
def test_the_real_lsp():
    with pytest.warns(UserWarning, match="1 labels lie outside"):
        data = read_lsp(REAL / "lsp")
    assert len(data) == 2000 and (data.split == "train").sum() == 1000
    assert (data.poses[..., 2] == 1).sum() == 2044
    # In upright people heads are above hips: the axes are not swapped.
    up = data.poses[:, 2, 1] - data.poses[:, 13, 1]
    assert (up > 0).float().mean() > 0.9
