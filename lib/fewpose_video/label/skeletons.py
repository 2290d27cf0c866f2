"""The skeleton to label: a template, or names."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from fewpose.metrics.pck import REFERENCE
from fewpose.skeleton import COCO, HALPE, JUMP, LSP, Skeleton

SIGMA = 0.08  # of OKS, where nobody has measured it


def _template(name: str, keypoints: str, limbs: str, reference: tuple[str, str] | None, base: Skeleton | None = None):
    """A skeleton written as words, after the keypoints of `base`."""
    start = (base.keypoints, base.limbs, base.sigmas) if base else ((), (), ())
    names, pairs = keypoints.split(), tuple(tuple(limb.split("-")) for limb in limbs.split())
    sigmas = (*start[2], *[SIGMA] * len(names))
    return Skeleton(name, (*start[0], *names), (*start[1], *pairs), sigmas, reference=reference)


TEMPLATES = {
    "coco": COCO,
    "halpe": HALPE,
    "jump": JUMP,
    "lsp": LSP,
    "person_skis": _template(
        "person_skis",
        "left_ski_tip right_ski_tip left_ski_tail right_ski_tail left_pole_grip right_pole_grip left_pole_tip "
        "right_pole_tip",
        "left_ski_tip-left_ski_tail right_ski_tip-right_ski_tail left_pole_grip-left_pole_tip "
        "right_pole_grip-right_pole_tip",
        None,
        COCO,
    ),
    "person_racket": _template(
        "person_racket",
        "racket_grip racket_throat racket_tip",
        "racket_grip-racket_throat racket_throat-racket_tip",
        None,
        COCO,
    ),
    "mouse": _template(
        "mouse",
        "nose left_ear right_ear neck mid_back left_hip right_hip tail_base tail_middle tail_tip",
        "nose-neck left_ear-neck right_ear-neck neck-mid_back mid_back-left_hip mid_back-right_hip mid_back-tail_base "
        "tail_base-tail_middle tail_middle-tail_tip",
        ("nose", "tail_base"),
    ),
}


def make_skeleton(
    template: str, names: Sequence[str] = (), limbs: Sequence[str] = (), pck_reference: str = ""
) -> Skeleton:
    """A template by its name or, where there are `names`, a skeleton of these, with limbs written "neck-head".

    pck_reference is "box", a number of pixels, or two keypoints "nose, tail_base"; empty for the template's own or
    left shoulder to right hip, and for the box where these are not there. ValueError says what is unknown.
    """
    if names:
        skeleton = Skeleton(template or "custom", tuple(names), _limbs(limbs, names), (SIGMA,) * len(names))
    elif template in TEMPLATES:
        skeleton = TEMPLATES[template]
    else:
        raise ValueError(f"no skeleton {template!r}: {', '.join(TEMPLATES)}, or give the names of its keypoints")
    reference = _reference(pck_reference) or skeleton.reference
    if reference is None and not {name for pair in REFERENCE for name in pair} <= set(skeleton.keypoints):
        reference = "box"
    pairs = skeleton.flip_pairs
    return Skeleton(skeleton.name, skeleton.keypoints, skeleton.limbs, skeleton.sigmas, pairs, reference)


def _limbs(limbs: Sequence[str], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Limbs written "neck-head", whose keypoints' names may hold hyphens too."""
    pairs = []
    for limb in limbs:
        words = limb.split("-")
        halves = [("-".join(words[:i]).strip(), "-".join(words[i:]).strip()) for i in range(1, len(words))]
        known = [pair for pair in halves if set(pair) <= set(names)]
        if len(known) != 1:
            raise ValueError(f'limbs: {limb!r} is not two keypoints joined by a hyphen, like "{names[0]}-{names[-1]}"')
        pairs += known
    return tuple(pairs)


def _reference(text: str) -> tuple[str, str] | str | float | None:
    text = text.strip()
    if text in ("", "box"):
        return text or None
    try:
        return float(text)
    except ValueError:
        pass
    pair = tuple(name.strip() for name in text.split(","))
    if len(pair) != 2:
        raise ValueError(f'pck_reference: "box", a number of pixels, or "one keypoint, another", not {text!r}')
    return pair


def skeleton_table(skeleton: Skeleton) -> pd.DataFrame:
    """Each keypoint with its side, mirror partner and neighbours on limbs, to be looked over before labelling."""
    names = skeleton.keypoints
    beside = {name: [b if a == name else a for a, b in skeleton.limbs if name in (a, b)] for name in names}
    return pd.DataFrame(
        {
            "keypoint": names,
            "side": skeleton.sides,
            "mirror partner": [names[i] if i != k else "" for k, i in enumerate(skeleton.flip_index)],
            "joined to": [", ".join(beside[name]) for name in names],
        }
    )


def describe_reference(skeleton: Skeleton) -> str:
    """What PCK is relative to, in words."""
    reference = skeleton.reference
    if isinstance(reference, int | float):
        return f"{reference:g} pixels"
    if reference == "box":
        return "the diagonal of the box around the labelled keypoints"
    a, b = reference or REFERENCE[0]
    return f"the distance from {a} to {b}"
