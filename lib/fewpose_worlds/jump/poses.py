"""Key poses of the jump: trunk, arms and the swinging leg between ground contacts.

Angles are in degrees. Thighs are measured against the vertical (forward positive), as coaches do; the solver adds the
lean of the pelvis. Arms: flexion (0 hanging, 90 forward, 180 overhead), abduction, elbow flexion.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from fewpose_worlds.body import JOINT_INDEX, SIDES, rotation


@dataclass
class Contact:
    """One foot (or both, in the pit) on the ground, from touch-down (on) to toe-off (off).

    Degrees, m/s, s. leg: line from hip to ankle against the vertical, foot ahead positive; reach: its length over the
    straight leg's; pitch: sole against the ground, toes down positive; rise: upward speed at take-off, None where the
    following flight has the given `flight` time.
    """

    kind: str  # 'run' | 'take-off' | 'pit'
    phase: str  # label of the stance
    flight_phase: str  # label of the flight after it
    sides: tuple[str, ...]
    speed_on: float
    speed_off: float
    leg_on: float
    leg_off: float
    reach_on: float = 0.965
    reach_off: float = 0.98
    pitch_on: float = 2.0
    pitch_off: float = 60.0
    rise: float | None = None
    flight: float = 0.12
    on: float = 0.0
    off: float = 0.0
    foot: float = 0.0  # forward position of the ball of the foot


def other(side: str) -> str:
    return "left" if side == "right" else "right"


def _keys(text: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, key.split())) for key in text.split(",")]


# Swings of a leg: share of the swing, thigh, knee, ankle (dorsiflexion).
_RUN = _keys("0.20 -14 70 -12, 0.40 26 118 2, 0.62 68 98 6, 0.80 56 48 6")
# The free leg swings up during the take-off: share of the time from its own toe-off to the take-off's toe-off.
_DRIVE = _keys("0.25 -10 75 -10, 0.55 22 112 4, 0.80 58 102 6, 1.0 74 84 4")
# Flights that end in the pit, from the take-off pose to the landing pose; of the take-off leg, then of the free leg.
_FLIGHT = {
    "hang": (
        _keys("0.14 -24 42 -22, 0.38 -16 78 -14, 0.58 4 100 -4, 0.75 48 92 4, 0.9 76 52 8"),
        _keys("0.14 48 70 0, 0.32 4 66 -8, 0.46 -12 82 -12, 0.6 6 100 -4, 0.76 50 92 4, 0.9 77 52 8"),
    ),
    "sail": (
        _keys("0.14 -22 45 -20, 0.32 8 85 -6, 0.5 46 86 2, 0.72 72 60 6, 0.88 78 38 10"),
        _keys("0.15 76 80 0, 0.4 70 72 2, 0.7 74 58 6, 0.88 78 36 10"),
    ),
    "hitch-kick": (
        _keys("0.12 -22 55 -20, 0.27 16 108 -4, 0.44 62 82 2, 0.62 70 34 4, 0.86 76 24 10"),
        _keys("0.12 58 48 -4, 0.27 6 22 -10, 0.4 -16 45 -14, 0.54 6 108 -6, 0.7 52 100 2, 0.87 77 45 8"),
    ),
}
# Hop: the take-off leg circles and lands again; the free leg swings back and then up once more.
_HOP = _keys("0.18 -18 65 -16, 0.38 22 112 0, 0.58 66 92 6, 0.78 58 44 8")
_HOP_FREE = _keys("0.14 66 74 2, 0.45 10 52 -6, 0.72 -24 62 -12, 0.92 -22 92 -10")
# Step: the thigh of the free leg stays high, then the leg swings down; the other trails.
_STEP = _keys("0.2 76 84 4, 0.55 72 84 6, 0.8 54 46 8")
_STEP_TRAIL = _keys("0.2 -24 60 -16, 0.55 -26 84 -14, 0.88 -20 96 -10")


def swing_keys(contacts: list[Contact], side: str, style: str, lift: float) -> list[list[tuple[float, ...]]]:
    """Keys (time, thigh, knee, ankle) of each swing of the leg `side`; lift scales the angles of thigh and knee."""
    own = [c for c in contacts if side in c.sides]
    swings = []
    for start, end in pairwise(own):
        between = [c for c in contacts if start.off <= c.on and c.off <= end.on and c.kind != "run"]
        flights = [c for c in (start, *between) if c.kind == "take-off"]
        keys: list[tuple[float, ...]] = []

        def add(template, t0, t1, keys=keys):
            keys += [(t0 + u * (t1 - t0), a * lift, k * lift, f) for u, a, k, f in template]

        if not flights:
            add(_RUN, start.off, end.on)
        if start.kind == "run" and between:
            add(_DRIVE, start.off, between[0].off)
        for flight in flights:
            following = contacts[contacts.index(flight) + 1]
            took_off = side in flight.sides
            air = (flight.off, following.on)
            if flight.flight_phase == "hop":
                add(_HOP if took_off else _HOP_FREE, *air)
                if not took_off:  # swings up again while the other foot is down
                    add([(0.45, 20, 108, 2), (1.0, 74, 88, 4)], following.on, following.off)
            elif flight.flight_phase == "step":
                add(_STEP_TRAIL if took_off else _STEP, *air)
                if took_off:
                    add([(0.45, 20, 108, 2), (1.0, 72, 88, 4)], following.on, following.off)
            else:
                add(_FLIGHT[style][0 if took_off else 1], *air)
        swings.append(keys)
    return swings


Keys = dict[str, list[tuple[float, float]]]


def body_keys(contacts: list[Contact], style: str, landing: str, lean: float, arms: str) -> Keys:
    """Keys (time, degrees) of pelvis, trunk and arms, by channel name."""
    keys: Keys = defaultdict(list)

    def put(time: float, **values: float) -> None:
        for name, value in values.items():
            keys[name].append((time, value))

    def put_arm(side: str, time: float, flexion: float, abduction: float, elbow: float) -> None:
        put(time, **{f"{side}_flexion": flexion, f"{side}_abduction": abduction, f"{side}_elbow": elbow})

    def put_arms(time: float, side: str, own: tuple, other_arm: tuple | None = None) -> None:
        """The arm on `side` and the other one (default: the same angles)."""
        put_arm(side, time, *own)
        put_arm(other(side), time, *(other_arm or own))

    for i, c in enumerate(contacts[:-1]):
        side, sign = c.sides[0], 1 if c.sides[0] == "left" else -1
        following, last = contacts[i + 1], c.flight_phase in ("flight", "jump")
        if c.kind == "run":
            put(c.off, pitch=lean, bend=2, yaw=8 * sign, twist=-20 * sign)
            put((c.on + c.off) / 2, roll=3.5 * sign)
            put((c.off + following.on) / 2, roll=0)
            if following.kind == "run" or arms == "single":
                put_arms(c.off, side, (48, 12, 105), (-52, 20, 78))
                put_arms((c.off + following.on) / 2 + 0.04, side, (5, 16, 80), (-5, 16, 92))
            else:  # both arms stay back for a double-arm take-off
                put_arms(c.off, side, (-10, 22, 70), (-50, 24, 60))
            continue
        put(c.on, pitch=lean * 0.2 - (3 if last else 0), bend=0)
        put(c.off, pitch=lean * 0.35, bend=-3, yaw=9 * sign, twist=-22 * sign)
        put((c.on + c.off) / 2, roll=3.0 * sign)
        span = following.on - c.off
        if arms == "single" or (c.flight_phase in ("hop", "flight")):
            put_arms(c.off, side, (88, 14, 88), (-42, 30, 70))
        else:
            put_arms(c.on, side, (-48, 30, 55), (-40, 30, 60))
            put_arms(c.off, side, (80, 22, 85), (66, 26, 80))
        if not last:
            put(c.off + 0.5 * span, pitch=lean * 1.2, bend=3, yaw=0, twist=0, roll=0)
            if arms == "single":
                put_arms(c.off + 0.55 * span, side, (20, 50, 60), (5, 55, 55))
                put_arms(following.on, side, (-45, 30, 60), (40, 25, 95))
            else:
                put_arms(c.off + 0.5 * span, side, (-10, 60, 50), (35, 55, 55))
            continue
        pit = following.on
        put(c.off + 0.45 * span, yaw=0, twist=0, roll=0)
        put(pit, yaw=0, twist=0, roll=0)
        if style == "hang":
            put(c.off + 0.42 * span, pitch=-10, bend=-14)
            put(c.off + 0.7 * span, pitch=8, bend=12)
            put_arms(c.off + 0.36 * span, side, (150, 24, 40))
            put_arms(c.off + 0.55 * span, side, (192, 20, 28))
            put_arms(c.off + 0.76 * span, side, (130, 16, 22))
        elif style == "sail":
            put(c.off + 0.4 * span, pitch=12, bend=6)
            put(c.off + 0.7 * span, pitch=26, bend=16)
            put_arms(c.off + 0.38 * span, side, (135, 26, 30))
            put_arms(c.off + 0.7 * span, side, (95, 18, 15))
        else:  # the arms circle against the legs
            put(c.off + 0.35 * span, pitch=-6, bend=-6, twist=14 * sign)
            put(c.off + 0.68 * span, pitch=12, bend=10)
            put_arm(side, c.off + 0.3 * span, 20, 40, 25)
            put_arm(side, c.off + 0.5 * span, 80, 55, 20)
            put_arm(other(side), c.off + 0.25 * span, 60, 60, 30)
            put_arm(other(side), c.off + 0.4 * span, 165, 30, 25)
            put_arms(c.off + 0.62 * span, side, (165, 25, 20), (175, 18, 20))
            put_arms(c.off + 0.8 * span, side, (125, 16, 18))
        put(pit - 0.04, pitch=30, bend=24)
        put_arms(pit - 0.03, side, (74, 14, 14))

    pit, side = contacts[-1].on, SIDES[0]
    if landing == "fall":
        put(pit + 0.12, pitch=38, bend=26)
        put(pit + 0.5, pitch=58, bend=22)
        put_arms(pit + 0.10, side, (15, 18, 15))
        put_arms(pit + 0.22, side, (30, 25, 20))
        put_arms(pit + 0.5, side, (82, 20, 20))
    else:
        put(pit + 0.15, pitch=28, bend=24)
        put(pit + 0.5, pitch=-12, bend=18)
        put_arms(pit + 0.14, side, (50, 20, 15))
        put_arms(pit + 0.5, side, (-18, 32, 12))
    put(pit + 0.6, yaw=0, twist=0, roll=0)
    return keys


def channel(keys: list[tuple[float, float]], times: np.ndarray, rate: float) -> np.ndarray:
    """Radians at `times` [T] of keys in degrees: monotone between keys, smoothed by 15 ms."""
    keys = sorted(keys)
    t = np.array([k[0] for k in keys])
    keep = np.append(np.diff(t) > 1e-3, True)
    curve = PchipInterpolator(t[keep], np.array([k[1] for k in keys])[keep])
    values = curve(np.clip(times, t[keep][0], t[keep][-1]))
    return np.radians(gaussian_filter1d(values, 0.015 * rate, mode="nearest"))


def pose_trunk_and_arms(rotations: np.ndarray, ch: dict[str, np.ndarray]) -> None:
    """Set pelvis, trunk, head and arms in rotations [T,21,3,3] from channels [T] in radians."""
    rx, ry, rz = (lambda a, k=k: rotation(k, a) for k in "xyz")
    rotations[:, JOINT_INDEX["pelvis"]] = rz(ch["yaw"]) @ rx(-ch["pitch"]) @ ry(ch["roll"])
    rotations[:, JOINT_INDEX["spine"]] = rx(-0.5 * ch["bend"]) @ rz(0.4 * ch["twist"]) @ ry(-0.6 * ch["roll"])
    rotations[:, JOINT_INDEX["chest"]] = rx(-0.5 * ch["bend"]) @ rz(0.6 * ch["twist"]) @ ry(-0.4 * ch["roll"])
    # The head stays upright as far as the neck allows: 0.6 of the trunk's lean, at most 35 degrees.
    level = np.clip(0.6 * (ch["pitch"] + ch["bend"]), -0.5, 0.6)
    turn = -0.5 * (ch["yaw"] + ch["twist"])
    rotations[:, JOINT_INDEX["neck"]] = rx(0.5 * level) @ rz(turn)
    rotations[:, JOINT_INDEX["head"]] = rx(0.5 * level) @ rz(0.5 * turn)
    for side, out in (("left", 1), ("right", -1)):
        flexion, abduction = ch[f"{side}_flexion"], ch[f"{side}_abduction"]
        raised = np.clip((flexion - np.radians(60)) / 4, 0, np.radians(28))
        rotations[:, JOINT_INDEX[f"{side}_collar"]] = ry(out * raised)
        inward = np.radians(18) * np.cos(np.clip(flexion, -1.5, 1.5)) * out * -1
        rotations[:, JOINT_INDEX[f"{side}_shoulder"]] = rx(flexion) @ ry(out * abduction) @ rz(inward)
        rotations[:, JOINT_INDEX[f"{side}_elbow"]] = rx(ch[f"{side}_elbow"])
        rotations[:, JOINT_INDEX[f"{side}_wrist"]] = rx(0.1 * ch[f"{side}_elbow"])
