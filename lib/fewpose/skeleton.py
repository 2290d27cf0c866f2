"""Skeletons: named keypoints, the limbs that join them, mirror partners and OKS sigmas."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Skeleton:
    """Named keypoints of one annotation scheme.

    Left and right partners are inferred from the names `left_*` and `right_*`; a name without its partner raises
    ValueError. `sigmas` are the OKS constants of COCO, one per keypoint.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"skeleton {self.name}: {len(self.sigmas)} sigmas for {len(self.keypoints)} keypoints")
        for name in self.keypoints:
            if mirror_name(name) not in self.keypoints:
                raise ValueError(f"skeleton {self.name}: {name} has no mirror partner")
        for limb in self.limbs:
            for name in limb:
                self.index(name)

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, name: str) -> int:
        """Position of the keypoint `name`; ValueError names the skeleton if it has none."""
        if name not in self.keypoints:
            raise ValueError(f"skeleton {self.name} has no keypoint {name!r}: {self.keypoints}")
        return self.keypoints.index(name)

    @cached_property
    def flip_index(self) -> list[int]:
        """For each keypoint the index of its mirror partner (its own on the midline)."""
        return [self.keypoints.index(mirror_name(name)) for name in self.keypoints]

    @cached_property
    def limb_index(self) -> list[tuple[int, int]]:
        """Limbs as pairs of keypoint indices."""
        return [(self.index(a), self.index(b)) for a, b in self.limbs]


def mirror_name(name: str) -> str:
    """`left_knee` for `right_knee` and back; midline names stay."""
    if name.startswith("left_"):
        return "right_" + name.removeprefix("left_")
    if name.startswith("right_"):
        return "left_" + name.removeprefix("right_")
    return name


def _limbs(middle: str, left: str) -> tuple[tuple[str, str], ...]:
    """Limbs written as "neck-head neck-hip": those of the middle, then each left one and its mirror partner."""
    pairs = [tuple(limb.split("-")) for limb in left.split()]
    twins = [twin for a, b in pairs for twin in ((a, b), (mirror_name(a), mirror_name(b)))]
    return tuple([*(tuple(limb.split("-")) for limb in middle.split()), *twins])


def _sigmas(thousandths: str) -> tuple[float, ...]:
    return tuple(int(sigma) / 1000 for sigma in thousandths.split())


COCO = Skeleton(
    "coco",
    tuple(
        "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
        "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle".split()
    ),
    _limbs(
        "left_shoulder-right_shoulder left_hip-right_hip nose-left_eye nose-right_eye",
        "left_eye-left_ear left_ear-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist "
        "left_shoulder-left_hip left_hip-left_knee left_knee-left_ankle",
    ),
    _sigmas("26 25 25 35 35 79 79 72 72 62 62 107 107 87 87 89 89"),
)

# Triple and long jump: the 20 keypoints of the code of Ludwig's group. (Section 4.1 of the paper lists other names.)
JUMP = Skeleton(
    "jump",
    tuple(
        "head neck right_shoulder left_shoulder right_elbow left_elbow right_wrist left_wrist right_hand left_hand "
        "right_hip left_hip right_knee left_knee right_ankle left_ankle right_heel left_heel right_toe left_toe".split()
    ),
    _limbs(
        "head-neck left_shoulder-right_shoulder left_hip-right_hip",
        "neck-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist left_wrist-left_hand left_shoulder-left_hip "
        "left_hip-left_knee left_knee-left_ankle left_ankle-left_heel left_heel-left_toe",
    ),
    _sigmas("35 79 79 79 72 72 62 62 62 62 107 107 87 87 89 89 89 89 89 89"),
)

# Leeds Sports Pose, in the order of its joints.mat.
LSP = Skeleton(
    "lsp",
    tuple(
        "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
        "left_shoulder left_elbow left_wrist neck head".split()
    ),
    _limbs(
        "head-neck left_hip-right_hip",
        "neck-left_shoulder left_shoulder-left_elbow left_elbow-left_wrist left_shoulder-left_hip left_hip-left_knee "
        "left_knee-left_ankle",
    ),
    _sigmas("89 87 107 107 87 89 62 72 79 79 72 62 79 35"),
)

# Halpe's 26 body keypoints, what RTMPose-s predicts.
HALPE = Skeleton(
    "halpe",
    (
        *COCO.keypoints,
        *"head neck hip left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel".split(),
    ),
    (
        *COCO.limbs,
        *_limbs("head-neck neck-hip", "left_ankle-left_heel left_heel-left_big_toe left_ankle-left_small_toe"),
    ),
    (*COCO.sigmas, *_sigmas("35 79 107 89 89 89 89 89 89")),
)

# MVOR, clinicians in an operating room: the upper body, in the order of its annotations.
MVOR = Skeleton(
    "mvor",
    tuple(
        "head neck left_shoulder right_shoulder left_hip right_hip left_elbow right_elbow left_wrist "
        "right_wrist".split()
    ),
    _limbs(
        "head-neck left_hip-right_hip",
        "neck-left_shoulder left_shoulder-left_hip left_shoulder-left_elbow left_elbow-left_wrist",
    ),
    _sigmas("35 79 79 79 107 107 72 72 62 62"),
)
