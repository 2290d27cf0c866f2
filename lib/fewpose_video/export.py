"""`python -m fewpose export`: a sports network as one ONNX file for rtmlib, Sports2D and Pose2Sim."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from fewpose.augment import MEAN, STD, normalise
from fewpose.models.pose_model import PoseModel
from fewpose.models.student.keypoint_rcnn import Student
from fewpose.models.weights import read_meta
from fewpose.skeleton import Skeleton
from fewpose_video.formats import replacing
from fewpose_video.inference import to_onnx
from fewpose_video.networks import BOX_MARGIN, PoseNetwork, find_weights, open_network

BINS = 2  # per pixel: rtmlib knows no other number
SIGMA = 6.0  # of the peaks in bins; about those of RTMPose
RTMLIB_MARGIN = 1.25  # how much larger than a detected box rtmlib's crops are
TITLE = "# Pose network "  # how a model card begins
LICENCES = {
    "rtmpose_s": "Apache-2.0: it starts from RTMPose-s of OpenMMLab",
    "movenet": "Apache-2.0: it starts from MoveNet of Google",
}
# Methods in a run's rows that are more, or another, than the network that it saves.
NOT_THE_NETWORK = ("ensemble_views", "ensemble_voting", "published_head")
UNKNOWN_LICENCE = "that of the weights from which its training started"


class ForRtmlib(nn.Module):
    """A pose model with the inputs and outputs of the networks that `rtmlib.RTMPose` runs."""

    def __init__(self, model: PoseModel, size: tuple[int, int]):
        super().__init__()
        self.model = model
        self.sides = BINS * size[1], BINS * size[0]
        # rtmlib feeds BGR, normalised by mean and standard deviation of RGB in that order
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bins of x [N, K, 2 W] and of y [N, K, 2 H], and poses [N, K, 3], of images [N, 3, H, W].

        In each row a Gaussian around the keypoint, as high as its score: the highest bin is the nearest one, and a
        parabola through the logarithms of three gives fractions of a bin.
        """
        rgb = (images * self.std + self.mean)[:, [2, 1, 0]]
        poses = self.model.read(self.model(normalise(rgb)))
        score = poses[..., 2:]
        x, y = (
            score * torch.exp(-((torch.arange(bins) - BINS * poses[..., i, None]) ** 2) / (2 * SIGMA**2))
            for i, bins in enumerate(self.sides)
        )
        return x, y, poses


def export(place: str | Path, path: str | Path) -> tuple[Path, Path]:
    """Write the network of a run's folder or weights file as ONNX file, and README.md, a model card, beside it.

    The file has the outputs `simcc_x` and `simcc_y`, the card the lines for Sports2D's configuration. ValueError for a
    student, a name without `.onnx`, and a README.md beside it that is no model card.
    """
    path, weights, network = Path(path), find_weights(place), open_network(place)
    if isinstance(network, Student):
        raise ValueError(
            f"{weights} is a student of the operating room, which rtmlib cannot run: export a sports network"
        )
    if weights.suffix == ".onnx":
        raise ValueError(f"{weights} is the published network, which rtmlib knows: export one that was trained")
    if path.suffix != ".onnx":
        raise ValueError(f"{path} is no name of an ONNX file: let it end in .onnx")
    card = path.with_name("README.md")
    if card.exists() and not card.read_text(encoding="utf-8").startswith(TITLE):
        raise ValueError(f"{card} exists and is no model card: export into a folder of its own")
    about = {**read_meta(weights), "run": read_run(weights)}
    file = rtmlib_file(network, about)
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in ((path, file), (card, model_card(path, network, about).encode())):
        with replacing(target) as part:
            part.write_bytes(content)
    return path, card


def rtmlib_file(network: PoseNetwork, about: dict) -> bytes:
    """A network as ONNX file that `rtmlib.RTMPose` runs.

    The tensor `poses` [N, K, 3] is in it but no output, as rtmlib takes exactly two. about is the metadata of the
    weights, from which the file's come.
    """
    model, size = ForRtmlib(network.model, network.size), network.size
    model = onnx.load_from_string(to_onnx(model, torch.zeros(2, 3, *size), ["simcc_x", "simcc_y", "poses"]))
    del model.graph.output[2]
    onnx.helper.set_model_props(
        model,
        {
            "keypoints": json.dumps(network.skeleton.keypoints),
            "limbs": json.dumps(network.skeleton.limbs),
            "input_size": json.dumps([size[1], size[0]]),
            "input": "BGR of 0 to 255, minus mean, by std, in this order of channels, as rtmlib.RTMPose feeds it",
            "mean": json.dumps([round(255 * m, 3) for m in MEAN]),
            "std": json.dumps([round(255 * s, 3) for s in STD]),
            "simcc_split_ratio": str(BINS),
            "network": about["network"],
            "licence": licence(about),
        },
    )
    return model.SerializeToString()


def licence(about: dict) -> str:
    """The licence of weights with this metadata."""
    return LICENCES.get(about["network"], UNKNOWN_LICENCE)


def read_run(weights: Path) -> dict:
    """Name and parameters of the run that wrote a weights file; empty where its files are not beside it.

    `rows` are the PCK of its network, `baseline` that of supervised training on the same labels, if there is another.
    """
    folder = weights.parent.parent if weights.parent.name == "checkpoints" else weights.parent
    if not (folder / "run.json").is_file() or not (folder / "metrics.csv").is_file():
        return {}
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    rows = [row for row in pck_rows(folder) if row["method"] not in NOT_THE_NETWORK]
    adapted = [row for row in rows if not row["method"].startswith("supervised")]
    last = max((int(row["iteration"] or 0) for row in adapted), default=0)
    network = [row for row in adapted if int(row["iteration"] or 0) == last] or rows
    baseline = [row for row in rows if row["method"] == "supervised"] if adapted else []
    if adapted and (first := run["parameters"].get("supervised_run")):
        baseline = pck_rows(folder.parent / first)
    return {**run, "rows": network, "baseline": baseline}


def pck_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of PCK in the metrics.csv of a run's folder; none without that file."""
    if not (folder / "metrics.csv").is_file():
        return []
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["metric"] == "pck"]


def model_card(path: Path, network: PoseNetwork, about: dict) -> str:
    """The README.md beside an exported network."""
    (height, width), skeleton, run = network.size, network.skeleton, about["run"]
    shown = 1 / (BOX_MARGIN * RTMLIB_MARGIN)
    trained = ""
    if run:
        labels = run["rows"][0]["labels"] if run["rows"] else run["parameters"].get("labels") or "all"
        trained = f", by the run {run['profile']}/{run['run']} with {labels} labels"
    return f"""{TITLE}{path.name}

- Input: one person, {width}x{height} pixels; output: {len(skeleton)} keypoints, {", ".join(skeleton.keypoints)}.
- Network: `{about["network"]}`, trained on {about.get("dataset", "data that are not recorded")}{trained}.
- Licence: {licence(about)}. Your own data may add conditions.

## How good it is

{pck_table(run)}

Keypoints are those of fewpose, to the nearest half pixel of the {width}x{height} crop, as rtmlib decodes no finer; the
tensor `poses` in the file has them exact. People filled {network.share:.0%} of the frames in training and fill about
{shown:.0%} of rtmlib's crops: the further apart the two, the worse the keypoints.

## rtmlib

```python
from rtmlib import RTMPose
network = RTMPose("{path.name}", model_input_size=({width}, {height}))
keypoints, scores = network(image, bboxes)  # image in BGR, boxes x0, y0, x1, y1
```

## Sports2D and Pose2Sim

Replace `pose_model` and `mode` below `[pose]` in Config.toml by these lines:

```toml
pose_model = 'CUSTOM'
mode = \"\"\"{{'det_class':'YOLOX',
         'det_model':'https://huggingface.co/datasets/DavidPagnon/rtmlib_models/resolve/main/mmpose/rtmposev1/onnx_sdk/yolox_m_8xb8-300e_humanart-c2c7a14a.onnx',
         'det_input_size':[640, 640],
         'pose_class':'RTMPose',
         'pose_model':'{path.resolve().as_posix()}',
         'pose_input_size':[{width}, {height}]}}\"\"\"
```

and `[[pose.CUSTOM]]` with all that follows, at the file's end, by these:

```toml
{sports2d_tree(skeleton)}
```
"""


def pck_table(run: dict) -> str:
    """The PCK of a run (`read_run`) on its test videos as Markdown."""
    if not run.get("rows"):
        return "Not known: there is no run.json and metrics.csv with PCK beside the weights."
    lines = ["| network | PCK at | on test videos | 95 % interval | keypoints |", "|:--|--:|--:|:--|--:|"]
    named = [(f"**this one**, {_name(row)}", row) for row in run["rows"]]
    named += [("for comparison: supervised on the same labels", row) for row in run["baseline"]]
    for name, row in named:
        value, low, high = (f"{float(row[c]):.1f}" if row[c] else "" for c in ("value", "ci_low", "ci_high"))
        interval = f"{low} to {high}" if low else "one video gives none"
        lines.append(f"| {name} | {row['at']} | {value} | {interval} | {row['n']} |")
    return "\n".join(lines)


def _name(row: dict[str, str]) -> str:
    iteration = f", iteration {row['iteration']}" if row["iteration"] not in ("", "0") else ""
    return row["method"].replace("_", " ") + iteration


def sports2d_tree(skeleton: Skeleton) -> str:
    """A skeleton as the tree `[[pose.CUSTOM]]` of Sports2D's and Pose2Sim's configuration.

    Below the middle of the hips, which they compute if the network has none, each keypoint hangs on the limb that leads
    to it from hips and neck.
    """
    names = skeleton.keypoints
    starts = [name for name in ("neck", "left_hip", "right_hip") if name in names]
    children: dict[str, list[str]] = {"hip": starts}
    found = ["hip", *starts]
    for name in found:  # grows meanwhile
        ends = [b if a == name else a for a, b in skeleton.limbs if name in (a, b)]
        new = [end for end in dict.fromkeys(ends) if end not in found]
        children.setdefault(name, []).extend(new)
        found += new
    children["hip"] += [name for name in names if name not in found]

    def lines(name: str, key: str) -> list[str]:
        number = names.index(name) if name in names else '"None"'
        below = [line for child in children.get(name, []) for line in lines(child, f"{key}.children")]
        return [f"[[{key}]]", f'name = "{sports2d_name(name)}"', f"id = {number}", *below]

    return "\n".join(lines("hip", "pose.CUSTOM"))


def sports2d_name(name: str) -> str:
    """A keypoint as Sports2D calls it: `left_knee` is LKnee; `left_toe` LBigToe, as it asks for that one."""
    words = name.split("_")
    if words[-1] == "toe" and len(words) == 2:
        words.insert(1, "big")
    side = words.pop(0)[0].upper() if words[0] in ("left", "right") else ""
    return side + "".join(word.title() for word in words)
