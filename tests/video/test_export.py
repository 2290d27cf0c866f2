"""Sports networks as ONNX files, and rtmlib as what runs them."""

import json
import tomllib

import numpy as np
import onnx
import pytest
import torch

from blobs import BLOBS, Red, blobs
from fewpose import heatmaps
from fewpose.models.factory import build
from fewpose.models.student.networks import light_student
from fewpose.models.weights import save_weights
from fewpose.skeleton import COCO, HALPE, JUMP
from fewpose_runs import cli
from fewpose_video import networks
from fewpose_video.export import export, rtmlib_file, sports2d_tree
from fewpose_video.inference import open_session
from fewpose_video.networks import PoseNetwork, network_metadata
from published import YOLOX, needs_rtmpose, needs_yolox
from tiny import DOTS, dots, random_hrnet

ABOUT = {"network": "movenet"}


def with_poses(file):
    """An exported file with its tensor `poses` as another output."""
    model = onnx.load_from_string(file)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("poses"))
    return open_session(model.SerializeToString())


def as_rtmlib_feeds(frames):
    """Frames [N, 3, H, W] uint8 RGB as rtmlib makes its networks' input."""
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    bgr = frames.permute(0, 2, 3, 1).numpy()[..., ::-1]
    return ((bgr - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("size", [(96, 64), (64, 128)])
def test_an_exported_network_predicts_as_in_torch(size):
    network = PoseNetwork(random_hrnet(4), DOTS, size, 0.8)
    session = with_poses(rtmlib_file(network, ABOUT))
    for n in (1, 5):
        frames = torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8)
        expected = heatmaps.predict_all(network.model, frames)
        x, y, poses = session.run(None, {"images": as_rtmlib_feeds(frames)})
        assert x.shape == (n, 4, 2 * size[1]) and y.shape == (n, 4, 2 * size[0])
        assert np.abs(poses[..., :2] - expected[..., :2].numpy()).max() < 0.1
        for axis, bins in enumerate((x, y)):
            assert np.abs(bins.argmax(-1) / 2 - poses[..., axis]).max() < 0.2501
            np.testing.assert_allclose(bins.max(-1), expected[..., 2], rtol=0.005)


def test_rtmlib_finds_coloured_blobs_in_a_bgr_image(tmp_path):
    """The nearest half pixel of the crop, where our own decoding is exact."""
    rtmlib = pytest.importorskip("rtmlib", reason="pip install --no-deps rtmlib==0.0.16")
    (tmp_path / "red.onnx").write_bytes(rtmlib_file(PoseNetwork(Red(), BLOBS, (96, 64), 0.5), ABOUT))
    ground_truth = np.array([[61.3, 40.7], [75.2, 66.1]])
    image = np.ascontiguousarray(blobs(ground_truth, (120, 161))[..., ::-1])
    network = rtmlib.RTMPose(str(tmp_path / "red.onnx"), model_input_size=(64, 96))
    keypoints, scores = network(image, [[40, 20, 90, 90], [45, 15, 95, 95]])
    pixel = 1.25 * 80 / 96  # of the crops in pixels of the image
    assert keypoints.shape == (2, 2, 2) and np.abs(keypoints - ground_truth).max() < 0.25 * pixel + 0.1
    assert scores.min() > 0.9


@needs_rtmpose
def test_rtmlib_runs_rtmpose_with_our_keypoints(tmp_path, capsys):
    rtmlib = pytest.importorskip("rtmlib", reason="pip install --no-deps rtmlib==0.0.16")
    model = build("rtmpose_s", 26).eval()
    place = tmp_path / "checkpoints" / "network.safetensors"
    meta = {**network_metadata("rtmpose_s", dots()), "size": [256, 192]}
    meta["skeleton"] = {"name": "halpe", "keypoints": HALPE.keypoints, "limbs": HALPE.limbs}
    save_weights(model, place, meta)
    assert cli.main(["export", str(tmp_path), str(tmp_path / "out" / "model.onnx")]) == 0
    assert "model.onnx" in capsys.readouterr().out
    network = rtmlib.RTMPose(str(tmp_path / "out" / "model.onnx"), model_input_size=(192, 256))
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (16, 12, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    box = [19.2, 25.6, 172.8, 230.4]  # with rtmlib's margin the whole image
    found, scores = network(image, [box])
    crop = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None]
    expected = heatmaps.predict_all(model, crop)[0]
    assert np.abs(found[0] - expected[:, :2].numpy()).max() < 0.26
    np.testing.assert_allclose(scores[0], expected[:, 2], rtol=0.005)


def saved(folder, monkeypatch):
    """A run's folder with a small network that `open_network` can build."""
    monkeypatch.setattr(networks, "build", lambda name, keypoints: random_hrnet(keypoints))
    place = folder / "checkpoints" / "network.safetensors"
    save_weights(random_hrnet(4), place, {"dataset": "dots", **network_metadata("movenet", dots(size=64))})
    run = {"profile": "laptop", "run": "supervised_50", "parameters": {"labels": 50}}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "metrics.csv").write_text(
        "method,labels,iteration,metric,at,value,ci_low,ci_high,n\n"
        "supervised,50,,pck,0.1,81.8767,79.6097,83.9174,5435\nsupervised,50,,mpjpe,,12,,,5\n"
    )
    return folder


def test_metadata_and_card_say_what_the_network_is(tmp_path, monkeypatch):
    run = saved(tmp_path, monkeypatch)
    path, card = export(run, tmp_path / "out" / "dots.onnx")
    assert sorted(p.name for p in path.parent.iterdir()) == ["README.md", "dots.onnx"]
    about = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert json.loads(about["keypoints"]) == list(DOTS.keypoints) and json.loads(about["input_size"]) == [64, 64]
    assert about["licence"].startswith("Apache-2.0")
    text = card.read_text(encoding="utf-8")
    assert "laptop/supervised_50 with 50 labels" in text
    assert "| **this one**, supervised | 0.1 | 81.9 | 79.6 to 83.9 | 5435 |" in text and "comparison" not in text
    config = tomllib.loads("[pose]\n" + "\n".join(text.split("```toml\n")[i].split("```")[0] for i in (1, 2)))
    assert config["pose"]["pose_model"] == "CUSTOM" and f"'{path.as_posix()}'" in config["pose"]["mode"]
    export(run / "checkpoints", path)  # a card may be replaced
    card.write_text("# My project")
    with pytest.raises(ValueError, match="is no model card: export into a folder of its own"):
        export(run, path)
    with pytest.raises(ValueError, match=r"let it end in \.onnx"):
        export(run, tmp_path / "out")
    (run / "metrics.csv").unlink()
    assert "Not known" in export(run, tmp_path / "other" / "a.onnx")[1].read_text(encoding="utf-8")


def row(method, iteration, value):
    return f"{method},1234,{iteration},pck,0.1,{value},,,100\n"


def test_the_card_shows_the_exported_network_and_what_it_started_from(tmp_path, monkeypatch):
    run = saved(tmp_path / "ensemble", monkeypatch)
    about = {"profile": "my_sport", "run": "ensemble", "parameters": {"labels": 0}}
    (run / "run.json").write_text(json.dumps(about))
    head = "method,labels,iteration,metric,at,value,ci_low,ci_high,n\n"
    rows = (
        row("ensemble", 1, 70) + row("ensemble", 2, 75) + row("ensemble_voting", 0, 80) + row("published_head", 0, 60)
    )
    (run / "metrics.csv").write_text(head + row("supervised", 0, 65) + rows)

    def table():
        text = export(run, tmp_path / "out" / "dots.onnx")[1].read_text(encoding="utf-8")
        assert "my_sport/ensemble with 1234 labels." in text
        return [line for line in text.splitlines() if line.endswith("| 100 |")]

    best = "| **this one**, ensemble, iteration 2 | 0.1 | 75.0 | one video gives none | 100 |"
    before = "| for comparison: supervised on the same labels | 0.1 | {} | one video gives none | 100 |"
    assert table() == [best, before.format(65.0)]
    (run / "run.json").write_text(json.dumps(about | {"parameters": {"labels": 0, "supervised_run": "first"}}))
    (run / "metrics.csv").write_text(head + rows)
    assert table() == [best]
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "metrics.csv").write_text(head + row("supervised", "", 66))
    assert table() == [best, before.format(66.0)]


@needs_yolox
def test_a_student_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWPOSE_YOLOX_TINY", str(YOLOX))
    save_weights(
        light_student(YOLOX, side=96, lifter=16),
        tmp_path / "student.safetensors",
        {"network": "light", "soft": "weighted"},
    )
    with pytest.raises(ValueError, match="a student of the operating room, which rtmlib cannot run"):
        export(tmp_path, tmp_path / "model.onnx")


@pytest.mark.parametrize("skeleton", [COCO, HALPE, JUMP], ids=lambda s: s.name)
def test_sports2d_gets_each_keypoint_once(skeleton):
    def nodes(node):
        yield node["name"], node["id"]
        for child in node.get("children", []):
            yield from nodes(child)

    (root,) = tomllib.loads(sports2d_tree(skeleton))["pose"]["CUSTOM"]
    found = dict(nodes(root))
    assert root["name"] == "Hip" and found["RKnee"] == skeleton.index("right_knee")
    assert sorted(i for i in found.values() if i != "None") == list(range(len(skeleton)))
    if skeleton is JUMP:
        assert found["LBigToe"] == skeleton.index("left_toe") and found["RHeel"] == skeleton.index("right_heel")
