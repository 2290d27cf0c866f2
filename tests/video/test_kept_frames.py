"""What is kept is small and proved by the manifest, and nothing else of the frames stays in a run's folder."""

import hashlib
import json
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from fewpose import label_files, soft_hard_labels, student_training
from fewpose.data import labels
from fewpose.data.labels import LabelledPeople
from fewpose.data.video import video_writer
from fewpose.low_resolution import low_resolution
from fewpose.models import weights
from fewpose.models.student import keypoint_rcnn, networks
from fewpose.models.teacher import three_stages
from fewpose.training import History
from fewpose_report import figures
from fewpose_runs import runs
from fewpose_runs.profiles import notebook_path
from fewpose_video.kept_frames import check_kept, keep_frames, read_kept
from fewpose_worlds import worlds
from two_people import guesses, world

SIZE = (72, 96)
NAMES, NUMBERS = ["a", "a", "b"], [0, 5, 0]


def frames(count=3):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *SIZE), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("factor", [8, 12])
def test_kept_frames_are_those_of_the_paper_and_small(tmp_path, factor):
    manifest = keep_frames(frames(), tmp_path / "kept", factor, NAMES, NUMBERS)
    assert torch.equal(read_kept(tmp_path / "kept", SIZE), low_resolution(frames(), factor))
    assert manifest["file"].tolist() == ["a_000000.png", "a_000005.png", "b_000000.png"]
    for row in manifest.itertuples():
        path = tmp_path / "kept" / row.file
        assert row.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and row.factor == factor
        assert Image.open(path).size == (row.width, row.height) == (96 // factor, 72 // factor)
    again = check_kept(tmp_path / "kept", SIZE)
    assert again.to_dict("records") == manifest.to_dict("records")


def test_a_second_call_leaves_nothing_of_the_first(tmp_path):
    keep_frames(frames(), tmp_path / "kept", 8, NAMES, NUMBERS)
    keep_frames(frames(1), tmp_path / "kept", 12, ["c"], [1])
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"manifest.csv", "c_000001.png"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(ValueError, match="other files"):
        keep_frames(frames(), tmp_path / "mine", 8, NAMES, NUMBERS)
    for factor in (1, 4, 7.9, 100):
        with pytest.raises(ValueError, match="8 to 72 times"):
            keep_frames(frames(), tmp_path / "kept", factor, NAMES, NUMBERS)


def test_the_proof_fails_when_something_is_wrong(tmp_path):
    def kept():
        keep_frames(frames(), tmp_path / "kept", 8, NAMES, NUMBERS)
        return tmp_path / "kept" / "a_000005.png"

    kept().unlink()
    with pytest.raises(ValueError, match=r"a_000005\.png is in the manifest, but it is not there"):
        check_kept(tmp_path / "kept", SIZE)
    path = kept()
    Image.new("RGB", (12, 9)).save(path)
    with pytest.raises(ValueError, match="has changed"):
        check_kept(tmp_path / "kept", SIZE)
    path = kept()
    Image.new("RGB", (12, 9)).save(path.with_name("secret.png"))
    with pytest.raises(ValueError, match=r"secret\.png is not in the manifest"):
        check_kept(tmp_path / "kept", SIZE)
    path = kept()
    manifest, before = path.with_name("manifest.csv"), hashlib.sha256(path.read_bytes()).hexdigest()
    Image.new("RGB", SIZE[::-1]).save(path)  # a large one with its own sum in the manifest
    manifest.write_text(manifest.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(ValueError, match="has 96x72 pixels"):
        check_kept(tmp_path / "kept", SIZE)


# ---- the notebook --------------------------------------------------------------------------------


def checkered():
    """A frame of squares of four pixels, magenta and green: at an eighth of its resolution it is grey."""
    squares = (np.add.outer(np.arange(SIZE[0]) // 4, np.arange(SIZE[1]) // 4) % 2)[..., None]
    return np.where(squares, (255, 0, 255), (0, 255, 0)).astype(np.uint8)


def magenta(path):
    """The share of an image's pixels that are."""
    image = np.array(Image.open(path).convert("RGB")).astype(int)
    return (np.minimum(image[..., 0], image[..., 2]) - image[..., 1] > 100).mean()


class Network(torch.nn.Module):
    """Stands for teacher and student."""

    def plain(self):
        return self


def run_notebook(folder, videos, monkeypatch):
    """The code of many_people with networks that know the answer; everything else is as it is."""
    data, said = world(12, SIZE), soft_hard_labels.Thresholds(0.3, 0.3)
    people = guesses(data, 12)

    def read(path, images, skeleton):
        parts = data.boxes, data.keypoints, data.keypoints, data.keypoints3d, data.keypoints3d
        n = len(images)
        return LabelledPeople(images, *(part[:n] for part in parts), use=torch.arange(n), skeleton=skeleton)

    def find(network, images, batch=8):
        return people[: len(images)]

    replaced = {
        worlds: {"operating_room": lambda *args, **named: data},
        three_stages: {"onnx_teacher": lambda **named: Network(), "find_all": find},
        soft_hard_labels: {"choose_thresholds": lambda *args: said},
        label_files: {"write_labels": lambda teacher, images, path, *args: path},
        labels: {"read_labels": read},
        networks: {"pretrained_student": lambda *args, **named: Network()},
        keypoint_rcnn: {"find_all": find},
        student_training: {"fit_student": lambda *args, **named: History([2.0, 1.0])},
        weights: {"save_weights": lambda network, path, about: path.write_bytes(b"weights")},
        runs: {"run_folder": lambda *args: folder},
    }
    for module, functions in replaced.items():
        for name, function in functions.items():
            monkeypatch.setattr(module, name, function)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    cells = json.loads(notebook_path("your_videos/many_people").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    variables = {}
    exec(code[0], variables)
    variables |= {"videos": str(videos), "height": SIZE[0]}
    for cell in code[1:]:
        exec(cell, variables)
        plt.close("all")
    return variables


def test_no_full_pixel_stays_in_the_folder_of_a_run(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / "room" / "videos").mkdir(parents=True, exist_ok=True)
        with video_writer(tmp_path / "room" / "videos" / f"{name}.mp4", SIZE, 5, crf=1) as write:
            for _ in range(6):
                write(checkered())
    with mpl.rc_context():
        full = torch.from_numpy(checkered()).permute(2, 0, 1)[None]
        figures.pose_grid(full.repeat(5, 1, 1, 1), columns=5).savefig(tmp_path / "full.png", dpi=200)
        assert magenta(tmp_path / "full.png") > 0.3, "in a figure of the frames it would be seen"
        run_notebook(tmp_path / "run", tmp_path / "room", monkeypatch)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    images = [path for path in files if path.suffix == ".png"]
    assert len(check_kept(tmp_path / "run" / "kept_frames", SIZE)) == 12 and len(images) >= 12 + 6
    assert {path.suffix for path in files} <= {".png", ".pdf", ".csv", ".json", ".safetensors", ""}
    assert {path.stem for path in files if path.suffix == ".pdf"} <= {path.stem for path in images}
    assert max(map(magenta, images)) < 0.01
    places = (tmp_path / "run" / "places.csv").read_text().splitlines()
    assert len(places) == 1 + 2 * 12 and places[0].startswith("frame,person,minutes,x,y,right,ahead,video")
