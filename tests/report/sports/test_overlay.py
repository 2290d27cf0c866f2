import matplotlib

matplotlib.use("Agg")

import json

import cv2
import numpy as np
import torch

from fewpose import LAYOUT
from fewpose.data.video import read_video
from fewpose.drawing import draw_pose_on
from fewpose.models.factory import build
from fewpose.models.weights import save_weights
from fewpose.skeleton import JUMP
from fewpose_report.sports.overlay import overlay_video, video_networks, video_strip
from tiny import DOTS


def grey(n=6, size=64):
    return torch.full((n, 3, size, size), 90, dtype=torch.uint8)


def test_a_video_has_a_column_a_network_and_every_frame(tmp_path):
    frames, poses = grey(), torch.zeros(6, 4, 3)
    poses[:, :, :2] = torch.tensor([[20.0, 30], [40, 30], [20, 50], [40, 50]])
    poses[:, :, 2] = 1
    named = {"few": torch.zeros(6, 4, 3), "many": poses}
    path = overlay_video(frames, named, DOTS, tmp_path / "video.mp4", 12.5)
    assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]
    back, numbers = read_video(path)
    assert len(numbers) == 6 and back.shape[2:] == (64, 128)
    below = back[:, :, 24:].float()  # the names stand above
    empty, full = (below[..., :64] - 90).abs(), (below[..., 64:] - 90).abs()
    assert empty.amax((1, 2, 3)).max() < 30 < full.amax((1, 2, 3)).min()
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 12.5


def test_limbs_lie_on_their_keypoints_and_unseen_ones_are_left_out():
    image = np.zeros((64, 64, 3), np.uint8)
    pose = torch.tensor([[20.0, 30, 1], [40, 30, 1], [20, 50, 0], [40, 50, 1]])
    lit = draw_pose_on(image, pose, DOTS).max(-1) > 60
    assert lit[30, 20:41].all() and lit[50, 40] and not lit[50, 20]
    assert not lit[:28].any() and not image.any()


def test_a_strip_is_a_row_a_network():
    named = {"a": torch.zeros(6, 4, 3), "b": torch.zeros(6, 4, 3)}
    fig = video_strip(grey(), named, DOTS, n=4)
    assert [ax.get_title(loc="left") for ax in fig.axes[::4]] == ["a", "b"] and len(fig.axes) == 8


def entry(folder, labels, hits, network=None):
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"layout": LAYOUT, "parameters": {"network": "movenet"}}))
    if network is not None:
        save_weights(network, folder / "checkpoints" / "network.safetensors")
    distances = torch.ones(10, 20)
    distances[:hits] = 0
    return dict(
        folder=folder, labels=labels, dataset="jump", keypoints=np.array(JUMP.keypoints), limbs=np.array(JUMP.limbs)
    ), [distances]


def test_the_video_shows_the_few_labels_and_the_best_method(tmp_path):
    network = build("movenet", 20, seed=3).eval()
    made = {
        "few": entry(tmp_path / "a", 50, 3, network),
        "worse": entry(tmp_path / "b", 50, 4),
        "best": entry(tmp_path / "c", 50, 6, network),
        "all": entry(tmp_path / "d", 900, 9),
    }
    entries = {name: e for name, (e, _) in made.items()}
    named = {name: sets for name, (_, sets) in made.items()}
    networks = video_networks(entries, named)
    assert list(networks) == ["few", "best"]
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(networks["best"](images), network(images), strict=True):
            assert torch.equal(ours, theirs)
    (tmp_path / "c" / "checkpoints" / "network.safetensors").unlink()
    assert list(video_networks(entries, named)) == ["few"]  # the reference keeps none
