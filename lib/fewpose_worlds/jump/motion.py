"""Motion of long and triple jumps at 200 Hz: planned contacts, ballistic flight, planted feet.

The plan is a list of ground contacts with leg angles and speeds at touch-down and toe-off. Between contacts the
centre of mass flies ballistically; on the ground it follows the cubic that joins both states. The foot on the ground
stays in place and inverse kinematics gives its leg; swinging legs, trunk and arms follow the key poses of `poses`. The
centre of mass depends on the pose and the planted leg on the centre of mass, so both are iterated until they agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from fewpose_worlds.body import JOINT_INDEX, JOINTS, SIDES, rotation
from fewpose_worlds.jump.attempt import Attempt, plan
from fewpose_worlds.jump.kinematics import centre_of_mass, joint_positions, leg_angles, rest_joints
from fewpose_worlds.jump.poses import Contact, body_keys, channel, pose_trunk_and_arms, swing_keys

GRAVITY = 9.81
RATE = 200.0  # frames a second


@dataclass(frozen=True)
class JumpMotion:
    """One attempt at 200 Hz in metres: the athlete runs along +y, the toe leaves the board at y = 0, z is up.

    rotations [T,21,3,3] child relative to parent, roots [T,3] pelvis, phases [T] names, contacts [T,2] whether the
    left and right foot is planted, mass_centre [T,3], distances of the flights from toe to toe or the heels in the pit.
    """

    attempt: Attempt
    rotations: np.ndarray
    roots: np.ndarray
    phases: np.ndarray
    contacts: np.ndarray
    mass_centre: np.ndarray
    distances: tuple[float, ...]


def jump_motion(attempt: Attempt, rest: np.ndarray | None = None) -> JumpMotion:
    """Solve the motion of an attempt; RuntimeError if the iteration does not converge.

    rest [21,3]: joints of the upright body, ground at z = 0, metres (default: an average one of the attempt's height).
    """
    rest = rest_joints(attempt.height) if rest is None else np.asarray(rest, float)
    rest = rest - rest[0] * [1, 1, 0]
    contacts = plan(attempt)
    solver = _Solver(attempt, rest, contacts)
    for i in range(60):
        # Late passes keep the plan: contacts that move by a frame would prevent convergence.
        change = solver.iterate(replan=i < 9)
        if change < 2e-4:
            break
    else:
        raise RuntimeError(f"jump_motion: plan and pose differ by {change:.4f} m for {attempt}")
    return solver.motion()


class _Solver:
    """State of the iteration: the offset of the centre of mass from the pelvis over time."""

    def __init__(self, attempt: Attempt, rest: np.ndarray, contacts: list[Contact]) -> None:
        self.attempt, self.rest, self.contacts = attempt, rest, contacts
        # Offset of the centre of mass and turn of the pelvis at [contact, on/off].
        self.offset = np.tile([0.0, 0.03, 0.08], (len(contacts), 2, 1))
        self.pelvis = np.tile(np.eye(3), (len(contacts), 2, 1, 1))
        self.curve: np.ndarray | None = None  # offset over relative time, for the grounded phases

    def iterate(self, replan: bool) -> float:
        """One pass: place contacts, pose the body, compute its centre of mass; returns the change in metres."""
        if replan:
            self.path = self._place()
        mass = self.path
        n = len(self.times)
        keys = body_keys(self.contacts, self.attempt.style, self.attempt.landing, self.attempt.lean, self.attempt.arms)
        ch = {name: channel(k, self.times, RATE) for name, k in keys.items()}
        rotations = np.tile(np.eye(3), (n, len(JOINTS), 1, 1))
        pose_trunk_and_arms(rotations, ch)
        if self.curve is None:
            self.curve = np.tile([0.0, 0.03, 0.08], (n, 1))
        elif len(self.curve) != n:  # the plan changed by a frame: resample
            old, new = np.linspace(0, 1, len(self.curve)), np.linspace(0, 1, n)
            self.curve = np.stack([np.interp(new, old, c) for c in self.curve.T], 1)
        roots = mass - self.curve
        planted = self._pose_legs(rotations, roots, ch["pitch"])
        joints, _ = joint_positions(self.rest, rotations, roots)
        measured = centre_of_mass(joints) - roots
        offset, pit = measured.copy(), self.times >= self.contacts[-1].on
        # There is no flight in the pit: the offset comes to rest in 0.06 s.
        last = np.flatnonzero(~pit)[-1]
        still = 0.06 * (1 - np.exp(-(self.times[pit] - self.times[last]) / 0.06))
        offset[pit] = offset[last] + still[:, None] * (offset[last] - offset[last - 1]) * RATE
        change = np.abs(offset - self.curve).max()
        self.curve = offset
        for i, c in enumerate(self.contacts):
            for e, time in enumerate((c.on, c.off)):
                self.offset[i, e] = [np.interp(time, self.times, o) for o in offset.T]
                at = int(np.clip(np.searchsorted(self.times, time), 0, n - 1))
                self.pelvis[i, e] = rotations[at, 0]
        self.rotations, self.roots, self.planted = rotations, mass - offset, planted
        self.mass = self.roots + measured
        return float(change)

    def _foot(self, side: str, pitch: np.ndarray) -> np.ndarray:
        """Ankle [T,3] relative to the ball's position on the ground, for soles turned by pitch [T]."""
        ankle, ball = self.rest[JOINT_INDEX[f"{side}_ankle"]], self.rest[JOINT_INDEX[f"{side}_toes"]]
        heel = np.array([ankle[0], ankle[1] - 0.026 * self.attempt.height, 0.0])
        turn = rotation("x", -pitch)
        pivot = np.where((pitch < 0)[:, None], heel, ball)
        return pivot + (turn @ (ankle - pivot)[..., None])[..., 0] - ball * [1, 1, 0]

    def _pelvis_state(self, i: int, e: int) -> np.ndarray:
        """Centre of mass relative to the planted ball of contact i, at touch-down (e=0) or toe-off (e=1)."""
        c = self.contacts[i]
        side = c.sides[0]
        line = np.radians(c.leg_off if e else c.leg_on)
        reach = c.reach_off if e else c.reach_on
        hip, knee, ankle = (self.rest[JOINT_INDEX[f"{side}_{p}"]] for p in ("hip", "knee", "ankle"))
        length = reach * (np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
        foot = self._foot(side, np.radians([c.pitch_off if e else c.pitch_on]))[0]
        hip_place = foot + length * np.array([0, -np.sin(line), np.cos(line)])
        return hip_place - self.pelvis[i, e] @ (hip - self.rest[0]) + self.offset[i, e]

    def _place(self) -> np.ndarray:
        """Set times and positions of all contacts; returns the path [T,3] of the centre of mass."""
        cs, pieces = self.contacts, []
        clock, forward, sink = 0.0, 0.0, 0.0  # sink: upward speed at touch-down
        for i, c in enumerate(cs):
            on = self._pelvis_state(i, 0)
            c.on, c.foot = clock, forward - on[1]
            if c.kind == "pit":
                pieces.append(("pit", c.on, c.on + 0.55, on[2], c.speed_on, forward, sink))
                c.off = c.on + 0.55
                break
            off = self._pelvis_state(i, 1)
            stance = 2 * (off[1] - on[1]) / (c.speed_on + c.speed_off)
            c.off = clock + stance
            nxt = self._pelvis_state(i + 1, 0)
            if c.rise is None:
                c.flight = max(1 / self.attempt.frequency - stance, 0.08)
                rise = (nxt[2] - off[2]) / c.flight + GRAVITY * c.flight / 2
            else:
                rise = c.rise
                c.flight = (rise + np.sqrt(rise**2 + 2 * GRAVITY * (off[2] - nxt[2]))) / GRAVITY
            places = [[forward, on[2]], [forward + off[1] - on[1], off[2]]]
            speeds = (1, [c.speed_on, sink]), (1, [c.speed_off, rise])
            cubic = CubicSpline([c.on, c.off], places, bc_type=speeds)
            pieces.append(("stance", c.on, c.off, cubic))
            forward += off[1] - on[1]
            pieces.append(("air", c.off, c.off + c.flight, forward, c.speed_off, off[2], rise))
            forward += c.speed_off * c.flight
            clock = c.off + c.flight
            sink = rise - GRAVITY * c.flight
            cs[i + 1].speed_on = c.speed_off
        start = cs[1].on  # the first stride only gives the second leg its swing
        self.times = start + np.arange(int((cs[-1].off - start) * RATE)) / RATE
        mass = np.zeros((len(self.times), 3))
        for name, t0, t1, *rest in pieces:
            now = (self.times >= t0) & (self.times < t1)
            t = self.times[now] - t0
            if name == "stance":
                mass[now, 1:] = rest[0](self.times[now])
            elif name == "air":
                y, speed, z, rise = rest
                mass[now, 1] = y + speed * t
                mass[now, 2] = z + rise * t - GRAVITY / 2 * t**2
            else:
                z, speed, y, sink = rest
                # The way that the centre of mass still goes after the heels touch the sand, and how low it comes.
                shares = (0.62, 0.30) if self.attempt.landing == "fall" else (0.52, 0.20)
                way, low = (share * self.attempt.height for share in shares)
                mass[now, 1] = y + way * (1 - np.exp(-speed * t / way))
                deep = z - low
                tau = max(deep / abs(sink), 0.045)
                mass[now, 2] = z - deep + (deep + (sink + deep / tau) * t) * np.exp(-t / tau)
        return mass

    def _pose_legs(self, rotations: np.ndarray, roots: np.ndarray, lean: np.ndarray) -> np.ndarray:
        """Solve planted legs, swing the others through their keys; returns planted [T,2]."""
        planted = np.zeros((len(roots), 2), bool)
        for s, side in enumerate(SIDES):
            out = 1 if side == "right" else -1
            angles = np.full((len(roots), 5), np.nan)  # hip, turn, knee, ankle, toes
            own = [c for c in self.contacts if side in c.sides]
            for c in own:
                now = np.flatnonzero((self.times >= c.on) & (self.times < c.off))
                if len(now):
                    planted[now, s] = True
                    angles[now] = self._planted_leg(c, side, now, rotations[:, 0], roots)
            keys = swing_keys(self.contacts, side, self.attempt.style, self.attempt.lift)
            for start, end, between in zip(own, own[1:], keys, strict=False):
                first = np.searchsorted(self.times, start.off) - 1
                last = int(np.searchsorted(self.times, end.on))
                if last > 0:
                    begun = first if first >= 1 else None  # None: the clip starts within this swing
                    _swing(angles, self.times, begun, last, between, lean, out)
            hip, turn, knee, ankle, toes = angles.T
            rotations[:, JOINT_INDEX[f"{side}_hip"]] = rotation("y", turn) @ rotation("x", hip)
            for part, angle in (("knee", -knee), ("ankle", ankle), ("toes", toes)):
                rotations[:, JOINT_INDEX[f"{side}_{part}"]] = rotation("x", angle)
        return planted

    def _planted_leg(self, c: Contact, side: str, now, pelvis, roots) -> np.ndarray:
        """Leg angles [n,5] (hip, turn, knee, ankle, toes) that keep the foot of contact c in place."""
        hip, knee, ankle = (self.rest[JOINT_INDEX[f"{side}_{p}"]] for p in ("hip", "knee", "ankle"))
        out = 1 if side == "right" else -1
        t = self.times[now] - c.on
        if c.kind == "pit":
            # Heels first, soles down within 0.1 s; the feet slide through the sand.
            pitch = np.radians(c.pitch_on) * np.exp(-t / 0.05)
            slide = 0.16 * self.attempt.height if self.attempt.landing == "sit" else 0.12
            slid = slide * (1 - np.exp(-c.speed_on * 0.8 * t / max(slide, 0.1)))
            place = np.stack([np.full(len(t), out * 0.10), c.foot + slid, 0 * t], 1)
        else:
            u = t / (c.off - c.on)
            late = (0.18, 2.0) if c.pitch_on < 0 else (0.25, 1.0)
            roll = PchipInterpolator([0, late[0], 0.5, 0.75, 1], [c.pitch_on, late[1], 5, 26, c.pitch_off])
            pitch = np.radians(roll(u))
            place = np.stack([np.full(len(t), out * 0.045), np.full(len(t), c.foot), 0 * t], 1)
        for _ in range(3):  # lift the heel where the ankle would exceed 32 degrees
            target = place + self._foot(side, pitch)
            inside = np.swapaxes(pelvis[now], 1, 2)
            hips = roots[now] + pelvis[now] @ (hip - self.rest[0])
            reach = (inside @ (target - hips)[..., None])[..., 0]
            flexion, turn, bend = leg_angles(knee - hip, ankle - knee, reach)
            shank = pelvis[now] @ rotation("y", turn) @ rotation("x", flexion - bend)
            tilt = np.arctan2(-shank[:, 2, 1], shank[:, 2, 2])  # shank forward positive
            pitch = pitch + np.maximum(tilt - pitch - np.radians(32), 0)
        toes = np.clip(pitch, 0, np.radians(50))
        return np.stack([flexion, turn, bend, tilt - pitch, toes], 1)

    def motion(self) -> JumpMotion:
        """The solved motion, with the toe's last touch of the board at y = 0."""
        phases = np.full(len(self.times), "landing", dtype="<U8")
        for c, following in zip(self.contacts, self.contacts[1:], strict=False):
            phases[(self.times >= c.on) & (self.times < c.off)] = c.phase
            phases[(self.times >= c.off) & (self.times < following.on)] = c.flight_phase
        takeoffs = [c for c in self.contacts if c.kind == "take-off"]
        board, pit = takeoffs[0].foot, self.contacts[-1]
        tip = 0.042 * self.attempt.height  # ball to tip of the toes
        heel = 0.10 * self.attempt.height  # ball back to the heel
        toes = [c.foot for c in takeoffs] + [pit.foot - heel - tip]
        distances = tuple(float(d) for d in np.diff(toes))
        shift = np.array([0, -board - tip, 0])
        roots, mass = self.roots + shift, self.mass + shift
        return JumpMotion(self.attempt, self.rotations, roots, phases, self.planted, mass, distances)


def _swing(angles, times, first, last, keys, lean, out) -> None:
    """Set angles [T,5] between the planted frames first and last: a spline through keys with continuous slopes."""
    inner = [k for k in keys if (first is None or k[0] > times[first] + 0.012) and k[0] < times[last] - 0.012]
    stamp = np.array([k[0] for k in inner])
    pitch = np.interp(stamp, times, lean)
    values = np.radians([[thigh, knee, ankle] for _, thigh, knee, ankle in inner]).reshape(-1, 3)
    hip = values[:, 0] + pitch
    spread = np.full(len(inner), -0.035 * out)
    rows = np.stack([hip, spread, values[:, 1], values[:, 2], 0 * stamp], 1)
    limit = np.array([14.0, 1.5, 18.0, 16.0, 10.0])
    end_slope = np.clip((angles[last + 1] - angles[last]) * RATE, -limit, limit)
    if first is None:
        stamps, rows = np.append(stamp, times[last]), np.vstack([rows, angles[last]])
        start: object = (2, np.zeros(5))
    else:
        stamps = np.concatenate([[times[first]], stamp, [times[last]]])
        rows = np.vstack([angles[first], rows, angles[last]])
        start = (1, np.clip((angles[first] - angles[first - 1]) * RATE, -limit, limit))
    frames = slice((first + 1) if first is not None else 0, last)
    if len(stamps) < 2:
        angles[frames] = rows[-1]
        return
    values = CubicSpline(stamps, rows, bc_type=(start, (1, end_slope)))(times[frames])
    values[:, 2] = np.maximum(values[:, 2], np.radians(3))  # knees do not bend backwards
    angles[frames] = values
