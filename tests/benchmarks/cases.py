"""All benchmark cases by name, for the CPU and for a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from fewpose.models.higher_hrnet import HigherHRNet

from . import augmentation, frames, gpu, harness, heatmaps, people, scores, steps, videos
from .harness import Case

LIBRARIES = ("albumentations", "kornia", "torchvision")
SIZES = ((256, 192), (512, 512))

AUGMENT = {
    f"augment_{h}x{w}_{library}": partial(augmentation.augment, library, (h, w))
    for h, w in SIZES
    for library in LIBRARIES
}
CPU: dict[str, Callable[[], Case]] = {
    **AUGMENT,
    "heatmap_targets": heatmaps.targets,
    "heatmap_decoding": heatmaps.decoding,
    "heatmap_decoding_hrnet": partial(heatmaps.decoding, batch=128, parser=False),
    "heatmap_smooth_decoding": heatmaps.smooth_decoding,
    "twelve_views": steps.twelve_views,
    "pck": scores.pck_case,
    "oks": scores.oks_case,
    "keypoint_ap_pycocotools": partial(scores.keypoint_ap_case, "pycocotools"),
    "keypoint_ap_faster_coco_eval": partial(scores.keypoint_ap_case, "faster_coco_eval"),
    "frame_reading": frames.reading,
    "world_128": partial(frames.world, 128),
    "world_512": partial(frames.world, 512),
    "mean_teacher_step": steps.mean_teacher,
    "moving_average": steps.moving_average,
    "joint_cutout": partial(steps.masked_joints, "cutout"),
    "joint_cutmix": partial(steps.masked_joints, "cutmix"),
    "keypoint_rcnn_step": people.training,
    "student_light": people.finding,
    "student_paper": partial(people.finding, "paper"),
    **{
        f"predict_{name}{'_overlay' * overlay}": partial(videos.predicting, name, overlay)
        for name in videos.VIDEOS
        for overlay in (True, False)
    },
}
CUDA: dict[str, Callable[[], Case]] = {
    "bf16_matrices": gpu.matrices,
    "higher_hrnet_step": gpu.training,
    "higher_hrnet_step_compiled": partial(gpu.training, compiled=True),
    "twelve_views": partial(steps.twelve_views, 512, 16, "cuda", HigherHRNet),
    "keypoint_rcnn_step": partial(people.training, 480, 8, 4, "cuda"),
    "mean_teacher_step": partial(steps.mean_teacher, 256, 32, "cuda"),
    "moving_average": partial(steps.moving_average, "cuda", HigherHRNet),
    **{name: partial(case, device="cuda") for name, case in AUGMENT.items()},
    "heatmap_targets": partial(heatmaps.targets, device="cuda"),
    "heatmap_decoding": partial(heatmaps.decoding, device="cuda"),
    "heatmap_smooth_decoding": partial(heatmaps.smooth_decoding, device="cuda"),
    "joint_cutout": partial(steps.masked_joints, "cutout", device="cuda"),
    "joint_cutmix": partial(steps.masked_joints, "cutmix", device="cuda"),
}

# The least that each case should reach, as a ratio or in its own unit.
AIMS = {
    "cpu": {
        "augment_256x192_albumentations": "1",
        "augment_512x512_albumentations": "1",
        "augment_256x192_kornia": "4",
        "augment_512x512_kornia": "4",
        "heatmap_targets": "20",
        "heatmap_decoding": "30",
        "twelve_views": "2",
        "pck": "20",
        "oks": "20",
        "keypoint_ap_pycocotools": "4",
        "frame_reading": "10",
        "world_128": "60 frames/s of ours",
        "world_512": "15 frames/s of ours",
        "mean_teacher_step": f"{1 / 2.3:.3f}, 2.3 supervised steps",
        "student_light": "4",
        "student_paper": "4",
        "predict_demo_overlay": "1.5",
        "predict_treadmill_overlay": "1.5",
        "predict_demo_cpu": "2",
        "predict_treadmill_cpu": "2",
    },
    "cuda": {
        "higher_hrnet_step": "2.5 and 20 % of the bf16 rate",
        "twelve_views": "5",
        "keypoint_rcnn_step": "1.3",
        "augment_512x512_albumentations": "20",
        "moving_average": "5",
        "mean_teacher_step": f"{1 / 2.3:.3f}, 2.3 supervised steps",
    },
}


def benchmark(device: str, only: list[str] | None, folder: Path) -> str:
    """Measure the cases of a device, or those in `only`, write them to `folder` and return a Markdown table.

    ValueError for an unknown case, RuntimeError without the device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("no CUDA device: omit --device cuda to measure the CPU")
    rows, aims = [], AIMS[device]
    for row in harness.run(harness.select({"cpu": CPU, "cuda": CUDA}[device], only)):
        if row["name"] in aims:
            row["notes"] += f"; aim {aims[row['name']]}"
        rows.append(row)
        harness.write([row], folder / f"{device}.csv")  # an interrupted call keeps its measurements
    return harness.markdown(rows)
