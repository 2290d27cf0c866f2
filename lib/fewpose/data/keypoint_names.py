"""Names of keypoints in any scheme → `left_knee` and `right_knee`, by which mirrored views swap sides."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORDS = {
    "left": "left l lt lft links linkes linke linker gauche izquierdo izquierda izq sinistro sinistra sx esquerdo "
    "esquerda vänster venstre lewy lewa 左",
    "right": "right r rt rgt rechts rechtes rechte rechter droit droite derecho derecha der destro destra dx direito "
    "direita höger højre høyre prawy prawa 右",
}
SIDES = {word: side for side, words in WORDS.items() for word in words.split()}
TRUNK = re.compile("spine|neck|head|back|trunk|torso|chest|tail|point|kp|hip_?mid|mid")
OTHER = {"left": "right", "right": "left"}


def mirror_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names in lower case with underscores, each side as `left_…` or `right_…`, whatever the scheme of each pair.

    left-knee, KneeLeft, knee.L, LKnee and l_knee are `left_knee` beside any of the other side, and lknee beside rknee.
    So do words of other languages. Up to three letters count only where the other side is there too.
    """
    plain = [plain_name(name) for name in names]
    sides = [side_of(name, set(plain)) for name in names]
    found = []
    for name, side in zip(plain, sides, strict=True):
        if side is not None:
            side, rest, letter = side
            if not letter or any(s is not None and s[:2] == (OTHER[side], rest) for s in sides):
                name = f"{side}_{rest}"
        found.append(name)
    return tuple(found)


def plain_name(name: str) -> str:
    """A keypoint's name in lower case with underscores."""
    return re.sub(r"[\s-]+", "_", name.strip()).lower()


def side_of(name: str, names: set[str]) -> tuple[str, str, bool] | None:
    """Side, name without it, and whether three letters or less say so, or None. `names` are all, in lower case."""
    spaced = re.sub(r"(?<=[^\W\d_])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name)  # LKnee: L_Knee, kneeL: knee_L
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
    for i in (0, len(words) - 1, *range(1, len(words) - 1)):
        word = words[i] if words else ""
        if word in SIDES and len(words) > 1 and (len(word) > 3 or i in (0, len(words) - 1)):
            return SIDES[word], "_".join(words[:i] + words[i + 1 :]), len(word) <= 3
    lower = name.strip().lower()
    for a, b in (("left", "right"), ("right", "left"), ("左", "右"), ("右", "左"), ("l", "r"), ("r", "l")):
        if lower.startswith(a) and b + lower.removeprefix(a) in names:
            return SIDES[a], lower.removeprefix(a), True
        if lower.endswith(a) and lower.removesuffix(a) + b in names:
            return SIDES[a], lower.removesuffix(a), True
    return None


def numbered_pairs(names: Sequence[str]) -> list[str]:
    """Names that differ by 1 and 2 or a and b at their end alone, as sides are counted, too; not of the trunk."""
    found = []
    for name in names:
        for first, second in (("1", "2"), ("a", "b"), ("A", "B")):
            stem = name.removesuffix(first)
            alone = not {stem + "3", stem + "c", stem + "C", stem + "0"} & set(names)
            if stem != name and stem and stem + second in names and alone and not TRUNK.search(stem.lower()):
                found.append(f"{name}/{stem}{second}")
    return found


def unpaired(names: Sequence[str]) -> list[str]:
    """Original names that up to three letters mark as of a side, without a partner."""
    found = mirror_names(names)
    marked = [side_of(name, set()) for name in names]
    return [
        name
        for name, side, new in zip(names, marked, found, strict=True)
        if side is not None and side[2] and not new.startswith(("left_", "right_"))
    ]
