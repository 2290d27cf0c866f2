"""What is drawn for one attempt at a long or triple jump, and the ground contacts it plans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose_worlds.jump.poses import SIDES, Contact, other

STYLES = ("hang", "hitch-kick", "sail")


@dataclass(frozen=True)
class Attempt:
    """What is drawn for one attempt: lengths in m, speeds in m/s, angles in degrees."""

    kind: str  # 'long' | 'triple'
    foot: str  # take-off foot at the board
    style: str  # of the last flight
    landing: str  # 'fall' | 'sit'
    arms: str  # 'single' | 'double', of the take-offs after the hop
    height: float
    speed: float  # at the board
    frequency: float  # strides a second near the board
    strides: int
    angles: tuple[float, ...]  # take-off angles, one a flight
    kept: tuple[float, ...]  # share of the speed kept by each take-off
    lean: float  # of the pelvis in the run-up
    lift: float  # how high knees come, about 1


def draw_attempt(seed: int, height: float | None = None, kind: str | None = None) -> Attempt:
    """Draw an attempt; the same seed gives the same. ValueError for an unknown kind."""
    if kind not in (None, "long", "triple"):
        raise ValueError(f"draw_attempt: kind {kind!r} is neither 'long' nor 'triple'")
    rng = np.random.default_rng([seed, 2])
    drawn = rng.choice(["long", "triple"])
    kind = kind or str(drawn)
    level = rng.uniform(0, 1)  # junior to elite
    turn = rng.normal(0, 0.6, 3)
    return Attempt(
        kind=kind,
        foot=str(rng.choice(SIDES)),
        style=str(rng.choice(STYLES, p=[0.4, 0.3, 0.3])),
        landing=str(rng.choice(["fall", "sit"])),
        arms=str(rng.choice(["single", "double"])),
        height=float(height or rng.uniform(1.58, 1.94)),
        speed=float(7.4 + 2.4 * level + rng.normal(0, 0.1)),
        frequency=float(rng.uniform(3.9, 4.5)),
        strides=int(rng.integers(6, 9)),
        angles=(
            (float(19.0 + 1.5 * turn[0]),)
            if kind == "long"
            else (float(15.2 + turn[0]), float(12.8 + turn[1]), float(18.6 + 1.2 * turn[2]))
        ),
        kept=(
            (float(rng.uniform(0.9, 0.93)),)
            if kind == "long"
            else tuple(float(k) for k in rng.uniform([0.92, 0.89, 0.87], [0.95, 0.92, 0.9]))
        ),
        lean=float(rng.uniform(5, 12)),
        lift=float(rng.uniform(0.92, 1.06)),
    )


def plan(attempt: Attempt) -> list[Contact]:
    """Ground contacts of the attempt, first stride to pit, not yet placed in time and space."""
    a, contacts = attempt, []
    side = a.foot if a.strides % 2 == 0 else other(a.foot)
    for i in range(a.strides):
        share = 0.93 + 0.07 * i / a.strides
        low = 2.0 if i == a.strides - 1 else 0.0  # the last stride before the board sits low
        contacts.append(
            Contact(
                "run",
                "run-up",
                "run-up",
                (side,),
                a.speed * share,
                a.speed * (share + 0.01),
                21 + 2 * low,
                -27 - 2 * low,
                reach_on=0.965 - 0.008 * low,
            )
        )
        side = other(side)
    speed, long = a.speed, a.kind == "long"
    labels = ("flight",) if long else ("hop", "step", "jump")
    sides = (a.foot,) if long else (a.foot, a.foot, other(a.foot))
    for i, (label, foot, angle, kept) in enumerate(zip(labels, sides, a.angles, a.kept, strict=True)):
        contacts.append(
            Contact(
                "take-off",
                "take-off" if i == 0 else label,
                label,
                (foot,),
                speed,
                speed * kept,
                33 if long else (26, 27, 29)[i],
                -22 if long else -25,
                0.975,
                0.985,
                -14,
                63,
                rise=speed * kept * np.tan(np.radians(angle)),
            )
        )
        speed *= kept
    contacts.append(Contact("pit", "landing", "landing", SIDES, speed, 0.0, 47, 0, reach_on=0.9, pitch_on=-40))
    return contacts
