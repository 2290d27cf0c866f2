"""Test results of operating-room runs: the files that runs save, and means over seeds with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fewpose.data.multi_person import PeopleData
from fewpose.disk import replacing
from fewpose.metrics.bootstrap import interval, over_draws
from fewpose.metrics.mpjpe import Mpjpe
from fewpose.metrics.people import METRICS, Evidence
from fewpose.metrics.resampled_ap import Matches
from fewpose.models.people import People
from fewpose.skeleton import Skeleton
from fewpose.soft_hard_labels import best_threshold
from fewpose_report.results import example_indices, read_examples, saved_files, write_examples

EXAMPLES = 4
_FOUND = ("boxes", "scores", "keypoints", "keypoints3d")
_TRUE = ("boxes", "keypoints", "keypoints3d", "areas", "person")
_OF_FRAMES = ("day", "moment", "view", "split", "image_id")
# Numbers in tables: name → metric of the evidence and its protocol.
SHOWN = {**{name: (name, "one_to_one") for name in METRICS}, "mpjpe_paper": ("mpjpe", "paper")}


@dataclass(frozen=True)
class PeopleTest:
    """One network tested at one scale: its evidence, and EXAMPLES frames as it saw them.

    `examples` are these frames with ground truth, `found` the people it found in them.
    """

    method: str
    dataset: str
    scale: int
    seed: int
    evidence: Evidence
    examples: PeopleData
    found: list[People]

    @property
    def threshold(self) -> float:
        """The score above which its boxes have the highest F1 on the test frames: scores of networks differ."""
        boxes = self.evidence.boxes
        score, hit = (torch.from_numpy(part.copy()) for part in (boxes.score, boxes.hit[0]))
        return best_threshold(score, hit, int(boxes.people.sum()))[0]


@dataclass(frozen=True)
class Measured:
    """The mean of a metric over all seeds of a method, with its bootstrap [R] over seeds and days."""

    value: float
    samples: np.ndarray
    seeds: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval; NaN where nothing was counted."""
        return interval(self.samples)


Summary = dict[tuple[str, int, str], Measured]  # method, scale, one of SHOWN → the number


def people_rows(evidence: Evidence, *, method: str, dataset: str, scale: int, seed: int) -> list[dict]:
    """Rows of box AP, keypoint AP (percent) and MPJPE (mm, one to one) at a scale of the frames.

    Intervals by bootstrap over days; `n` is the number of people that the metric counts.
    """
    about, rows = {"method": method, "dataset": dataset, "scale": scale, "seed": seed}, []
    for metric in METRICS:
        low, high = interval(evidence.samples(metric))
        row = about | {"metric": metric, "value": evidence.value(metric), "ci_low": low, "ci_high": high}
        rows.append(row | {"n": evidence.count(metric)})
    return rows


def save_people_test(
    folder: Path,
    found: Sequence[People],
    evidence: Evidence,
    test: PeopleData,
    *,
    method: str,
    dataset: str,
    scale: int,
    seed: int,
) -> None:
    """Write what the report needs from a network's test into `<folder>/test/<method>_<scale>_<seed>.npz`.

    `test` holds the frames as the network saw them, at that scale; EXAMPLES of them, evenly spread, go into
    `<folder>/test/examples_<scale>.jpg`, and the people found in these into the .npz.
    """
    (folder / "test").mkdir(exist_ok=True)
    chosen = example_indices(len(test), EXAMPLES)
    examples = test.subset(chosen)
    write_examples(examples.frames, folder / "test" / f"examples_{scale}.jpg")
    here = [found[int(i)] for i in chosen]
    with replacing(folder / "test" / f"{method}_{scale}_{seed}.npz") as part:
        np.savez_compressed(
            part,
            method=method,
            dataset=dataset,
            scale=scale,
            seed=seed,
            day=evidence.day,
            **_flat("box", asdict(evidence.boxes)),
            **_flat("pose", asdict(evidence.keypoints)),
            **{f"{protocol}_{k}": v for protocol, result in evidence.joints.items() for k, v in asdict(result).items()},
            found_count=[len(people) for people in here],
            **{f"found_{part}": torch.cat([getattr(p, part) for p in here]) for part in _FOUND},
            true_count=[len(boxes) for boxes in examples.boxes],
            **{f"true_{part}": torch.cat(getattr(examples, part)) for part in _TRUE},
            **{f"frame_{part}": getattr(examples, part) for part in (*_OF_FRAMES, "cameras", "to_room")},
            **{f"skeleton_{k}": getattr(examples.skeleton, k) for k in ("name", "keypoints", "limbs", "sigmas")},
        )


def load_people_tests(root: Path) -> list[PeopleTest]:
    """What `save_people_test` wrote in all finished runs below `root`, in order of their paths.

    ValueError if there is none or two were tested on different days.
    """
    tests: list[PeopleTest] = []
    for path in saved_files(root):
        with np.load(path) as file:
            entry = {k: file[k] for k in file.files}
        test = _read_test(entry, path)
        if tests and not np.array_equal(test.evidence.day, tests[0].evidence.day):
            raise ValueError(f"{path} was tested on other frames than {tests[0].method}")
        tests.append(test)
    return tests


def summarise(tests: Sequence[PeopleTest]) -> Summary:
    """Each method at each scale it was tested at: the mean over seeds, bootstrapped.

    The same seeds and days are drawn for all, so that samples of two methods are paired.
    """
    groups: dict[tuple[str, int], list[PeopleTest]] = {}
    for test in sorted(tests, key=lambda t: t.seed):
        groups.setdefault((test.method, test.scale), []).append(test)
    summary: Summary = {}
    for (method, scale), group in groups.items():
        for name, of in SHOWN.items():
            value = float(np.mean([test.evidence.value(*of) for test in group]))
            samples = over_draws(np.stack([test.evidence.samples(*of) for test in group]))
            summary[method, scale, name] = Measured(value, samples, len(group))
    return summary


def _flat(name: str, parts: dict) -> dict:
    return {f"{name}_{k}": v for k, v in parts.items()}


def _read_test(entry: dict[str, np.ndarray], path: Path) -> PeopleTest:
    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k.removeprefix(prefix): v for k, v in entry.items() if k.startswith(prefix)}

    joints = {
        protocol: Mpjpe(entry[f"{protocol}_errors"], entry[f"{protocol}_scene"], int(entry[f"{protocol}_missed"]))
        for protocol in ("one_to_one", "paper")
    }
    evidence = Evidence(Matches(**part("box_")), Matches(**part("pose_")), joints, entry["day"])
    skeleton = Skeleton(
        str(entry["skeleton_name"]),
        tuple(entry["skeleton_keypoints"].tolist()),
        tuple(map(tuple, entry["skeleton_limbs"].tolist())),
        tuple(entry["skeleton_sigmas"].tolist()),
    )
    frame = part("frame_")
    cameras = {name: torch.from_numpy(frame.pop(name)) for name in ("cameras", "to_room")}
    examples = PeopleData(
        read_examples(path.parent / f"examples_{entry['scale']}.jpg", len(frame["day"])),
        **_split(part("true_"), _TRUE),
        **frame,
        **cameras,
        skeleton=skeleton,
        name=str(entry["dataset"]),
    )
    found = _split(part("found_"), _FOUND)
    people = [People(*parts) for parts in zip(*(found[name] for name in _FOUND), strict=True)]
    return PeopleTest(
        str(entry["method"]), str(entry["dataset"]), int(entry["scale"]), int(entry["seed"]), evidence, examples, people
    )


def _split(parts: dict[str, np.ndarray], names: Sequence[str]) -> dict[str, list[Tensor]]:
    counts = parts["count"].tolist()
    return {name: list(torch.from_numpy(parts[name]).split(counts)) for name in names}
