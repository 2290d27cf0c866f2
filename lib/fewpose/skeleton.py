"""Skeletons: named keypoints, the limbs that join them, mirror partners, OKS sigmas and the reference length of PCK."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

# Words for left and right that partners differ in; single letters only where they stand alone or the case tells.
SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("g", "d"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("linkes", "rechtes"),
)


@dataclass(frozen=True)
class Skeleton:
    """Named keypoints of one annotation scheme.

    sigmas      the OKS constants of COCO, one per keypoint
    flip_pairs  (left, right) partners; None infers them from the names (`find_flip_pairs`)
    reference   the length that PCK is relative to: two keypoints, "box" for the diagonal of the labelled keypoints'
                box, or pixels; None for COCO's left shoulder to right hip

    ValueError for a name `left_*` or `right_*` without its partner, and for a pair, limb or reference of keypoints that
    are not there.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...]
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    reference: tuple[str, str] | str | float | None = None

    def __post_init__(self) -> None:
        if len(self.sigmas) != len(self.keypoints):
            raise ValueError(f"skeleton {self.name}: {len(self.sigmas)} sigmas for {len(self.keypoints)} keypoints")
        for name in self.keypoints:
            if mirror_name(name) not in self.keypoints:
                raise ValueError(f"skeleton {self.name}: {name} has no mirror partner")
        pairs = [*self.limbs, *(self.flip_pairs or ())]
        for pair in [*pairs, self.reference] if isinstance(self.reference, tuple) else pairs:
            for name in pair:
                self.index(name)
        paired = [name for pair in self.flip_pairs or () for name in pair]
        if len(set(paired)) < len(paired):
            raise ValueError(f"skeleton {self.name}: a keypoint has two mirror partners: {self.flip_pairs}")
        length = self.reference
        if (isinstance(length, str) and length != "box") or (isinstance(length, int | float) and not length > 0):
            raise ValueError(
                f'skeleton {self.name}: the reference length is two keypoints, "box" or pixels, not {length!r}'
            )

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
        index = list(range(len(self)))
        for left, right in self.pair_index:
            index[left], index[right] = right, left
        return index

    @cached_property
    def pair_index(self) -> list[tuple[int, int]]:
        """Left and right partners as pairs of keypoint indices."""
        pairs = find_flip_pairs(self.keypoints) if self.flip_pairs is None else self.flip_pairs
        return [(self.index(left), self.index(right)) for left, right in pairs]

    @cached_property
    def sides(self) -> list[str]:
        """For each keypoint "left", "right", or "" on the midline."""
        found = [""] * len(self)
        for left, right in self.pair_index:
            found[left], found[right] = "left", "right"
        return found

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


def find_flip_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The (left, right) partners among keypoint names, in the order of the left ones.

    Two names are partners if they differ in one word for a side and in nothing else: left_knee, l_knee, LKnee, leftear,
    paw.L, knee_left, genou_gauche, knie_links. A name that could have several partners has none.
    """
    known = {name.casefold(): name for name in names}
    pairs = []
    for name in names:
        found = {known[other] for other in _mirrored(name) if other in known}
        if len(found) == 1:
            pairs.append((name, found.pop()))
    rights = [right for _, right in pairs]
    return tuple((left, right) for left, right in pairs if rights.count(right) == 1)


def _mirrored(name: str) -> Iterator[str]:
    """What the right partner of a left keypoint could be called, in lower case."""
    for left, right in SIDES:
        alone = rf"(?<![^\W\d_]){left}(?![^\W\d_])"  # between separators: l_knee, Knee.L, knee-left
        for match in re.finditer(alone, name, re.I):
            yield (name[: match.start()] + right + name[match.end() :]).casefold()
        if len(left) > 1:  # joined: leftear, earLeft
            glued = rf"^{left}(?=[^\W_])|(?<=[^\W_]){left}$"
        else:  # the case tells: LKnee, kneeL, lKnee
            glued = rf"^{left.upper()}(?=[^\W_])|^{left}(?=[A-Z])|(?<=[a-z0-9]){left.upper()}$"
        for match in re.finditer(glued, name, re.I if len(left) > 1 else 0):
            yield (name[: match.start()] + right + name[match.end() :]).casefold()


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
