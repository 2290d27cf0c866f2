"""Random attempts at a long or triple jump, and the ground contacts that they plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fewpose_worlds.body import SIDES
from fewpose_worlds.jump.poses import Contact, other

STYLES = ("hang", "hitch-kick", "sail")


@dataclass(frozen=True)
class Attempt:
    """The parameters of one attempt: lengths in m, speeds in m/s, angles in degrees."""

    kind: str  # 'long' | 'triple'
    foot: str  # take-off foot at the board
    style: str  # of the last flight
    landing: str  # 'fall' | 'sit'
    arms: str  # 'single' | 'double', of the take-offs after the hop
    height: float
    speed: float  # at the board
    frequency: float  # strides a second near the board
    strides: int
    angles: tuple[float, ...]  # of the take-offs
    kept: tuple[float, ...]  # share of the speed that each take-off keeps
    lean: float  # of the pelvis in the run-up
    lift: float  # scale of thigh and knee angles, about 1


def sample_attempt(seed: int, height: float | None = None) -> Attempt:
    """A random attempt, the same for the same arguments."""
    rng = np.random.default_rng([seed, 2])
    kind = str(rng.choice(["long", "triple"]))
    level = rng.uniform(0, 1)  # junior to elite
    turn = rng.normal(0, 0.6, 3)
    long = kind == "long"
    angles = (19.0 + 1.5 * turn[0],) if long else (15.2 + turn[0], 12.8 + turn[1], 18.6 + 1.2 * turn[2])
    keeps = ([0.9], [0.93]) if long else ([0.92, 0.89, 0.87], [0.95, 0.92, 0.9])
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
        angles=tuple(map(float, angles)),
        kept=tuple(rng.uniform(*keeps).tolist()),
        lean=float(rng.uniform(5, 12)),
        lift=float(rng.uniform(0.92, 1.06)),
    )


def plan(attempt: Attempt) -> list[Contact]:
    """The ground contacts of an attempt from the first stride to the pit; their times and positions are not set."""
    a, contacts = attempt, []
    side = a.foot if a.strides % 2 == 0 else other(a.foot)
    for i in range(a.strides):
        share = 0.93 + 0.07 * i / a.strides
        low = 2.0 if i == a.strides - 1 else 0.0  # the last stride before the board is lower
        speeds = a.speed * share, a.speed * (share + 0.01)
        lines = 21 + 2 * low, -27 - 2 * low
        contacts.append(Contact("run", "run-up", "run-up", (side,), *speeds, *lines, reach_on=0.965 - 0.008 * low))
        side = other(side)
    speed, long = a.speed, a.kind == "long"
    labels = ("flight",) if long else ("hop", "step", "jump")
    sides = (a.foot,) if long else (a.foot, a.foot, other(a.foot))
    for i, (label, foot, angle, kept) in enumerate(zip(labels, sides, a.angles, a.kept, strict=True)):
        phase = "take-off" if i == 0 else label
        lines = (33, -22) if long else ((26, 27, 29)[i], -25)
        rise = speed * kept * np.tan(np.radians(angle))
        contact = Contact("take-off", phase, label, (foot,), speed, speed * kept, *lines, 0.975, 0.985, -14, 63, rise)
        contacts.append(contact)
        speed *= kept
    contacts.append(Contact("pit", "landing", "landing", SIDES, speed, 0.0, 47, 0, reach_on=0.9, pitch_on=-40))
    return contacts
