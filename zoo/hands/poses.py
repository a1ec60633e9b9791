"""Finger poses of real hands and a prior around them: where training hands come from, and what they are called."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoo.hands.model import HandModel
from zoo.hands.poses_joints import FINGER_SLICES, FREE, Angles, JointAxes, joint_axis_angle, joint_rotations, limit
from zoo.hands.rotations import mirror_rotations
from zoo.shapes import Faces, FingerRotations, Vertices

FILE: Final = Path(__file__).parent / "assets" / "openhand" / "poses.npz"
FINGERS: Final = tuple(FINGER_SLICES)  # thumb to little finger
KINDS: Final = ("near", "between", "mixed", "free")
SHARES: Final = (0.30, 0.30, 0.28, 0.12)  # of the kinds
# Noise in degrees, standard deviation at full strength; each hand draws its strength between none and full.
CURL_NOISE, JOINT_NOISE, SPREAD_NOISE, TWIST_NOISE, THUMB_NOISE = 9.0, 4.0, 3.5, 2.0, 6.0
CURL: Final = (1.0, 0.9, 0.6)  # how a finger's three joints share its curl
CLOSED, YIELD = math.radians(150), 0.85  # knuckle and middle joint of a closed finger; how much less it closes further
ROUNDS = 200  # redraws before giving up


class Poses(NamedTuple):
    """Right hands; `PosePrior.left` mirrors them."""

    rotations: FingerRotations  # (n, 15, 3, 3) MANO order, absolute
    axis_angle: Float[Tensor, "n 45"]  # the same in radians, as MANO's pose
    names: list[str]  # what the hand does, for captions


class PosePrior:
    """Recorded, named hands and what lies around them: noise, in-betweens, mixtures by finger, all within limits.

    Args:
        leave_out: Names of gestures that must not be drawn. Gone are the pose itself, named poses that look like it,
            and every sample that comes close to it by another way.
        similar: How close is close: root mean square over 20 angles (flex of 15 joints, spread of 5 fingers), degrees.
        file: Written by `python -m zoo.hands.build.poses`.
    """

    names: tuple[str, ...]  # primary names of the poses that may be drawn
    axes: JointAxes
    angles: Angles  # of `names`

    def __init__(self, leave_out: tuple[str, ...] = (), similar: float = 10.0, file: Path = FILE) -> None:
        aliases, angles, self.axes = _read(file)
        self._index = {alias: i for i, group in enumerate(aliases) for alias in group}
        self._all = angles
        self._left_out = self._features(
            torch.stack([self._find(name) for name in leave_out]) if leave_out else angles[:0]
        )
        self._similar = similar
        kept = ~self._excluded(angles)
        self.names = tuple(group[0] for group, keep in zip(aliases, kept.tolist(), strict=True) if keep)
        self.angles = angles[kept]
        if not self.names:
            raise ValueError(f"leave_out={leave_out} with similar={similar} leaves no pose to draw; leave out fewer")

    def named(self, name: str) -> FingerRotations:
        """The right hand of that name or alias, left out or not: (15, 3, 3)."""
        return joint_rotations(self._find(name), self.axes)

    def left(self, rotations: FingerRotations) -> FingerRotations:
        """The same poses on the other hand: axis-angle (x, y, z) becomes (x, -y, -z)."""
        return mirror_rotations(rotations)

    def sample(self, n: int, generator: torch.Generator) -> Poses:
        """Draws right hands. They may pass through themselves: see `reject_intersecting`.

        Args:
            n: How many.
            generator: On the CPU; the same seed draws the same hands.
        """
        angles, names = self._draw(n, generator)
        for _ in range(ROUNDS):
            bad = torch.nonzero(self._excluded(angles))[:, 0]
            if not len(bad):
                return Poses(joint_rotations(angles, self.axes), joint_axis_angle(angles, self.axes), names)
            again, called = self._draw(len(bad), generator)
            angles[bad] = again
            for i, name in zip(bad.tolist(), called, strict=True):
                names[i] = name
        raise ValueError(f"similar={self._similar} degrees leaves out nearly every hand; choose a smaller one")

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Angles, list[str]]:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator)

        kind = torch.multinomial(torch.tensor(SHARES), n, True, generator=generator) if n else torch.zeros(0).long()
        first, second = torch.randint(len(self.names), (2, n), generator=generator).unbind()
        share = uniform(n)[:, None].expand(n, 5)
        fingers = uniform(n, 5) < 0.4
        weight = torch.stack([torch.zeros(n, 5), share, fingers.float(), torch.zeros(n, 5)])[kind, torch.arange(n)]
        angles = torch.lerp(self.angles[first], self.angles[second], _per_joint(weight))
        angles = torch.where((kind == KINDS.index("free"))[:, None, None], _free_hands(n, generator), angles)
        angles = limit(angles + _outward(_noise(n, generator), angles) * uniform(n, 1, 1))
        return angles, self._captions(kind, first, second, share[:, 0], fingers, angles)

    def _captions(
        self, kind: Tensor, first: Tensor, second: Tensor, share: Tensor, fingers: Tensor, angles: Angles
    ) -> list[str]:
        free = kind == KINDS.index("free")
        nearest = torch.zeros_like(kind)
        nearest[free] = torch.cdist(self._features(angles[free]), self._features(self.angles)).argmin(-1)
        rows = zip(
            kind.tolist(), first.tolist(), second.tolist(), nearest.tolist(), share.tolist(), fingers, strict=True
        )
        captions = []
        for what, a, b, near, t, chosen in rows:
            one, other = self.names[a], self.names[b]
            if KINDS[what] == "free":
                captions.append(f"loosely {self.names[near]}")
            elif KINDS[what] == "between" and a != b and 0.25 < t < 0.75:
                captions.append(f"between {one} and {other}")
            elif KINDS[what] == "between":
                captions.append(one if t < 0.5 else other)
            elif KINDS[what] == "mixed" and a != b and any(chosen):
                lent = [finger for finger, is_lent in zip(FINGERS, chosen, strict=True) if is_lent]
                captions.append(f"{one} with the {' and '.join(lent)} of {other}" if len(lent) < 5 else other)
            else:
                captions.append(one)
        return captions

    def _find(self, name: str) -> Angles:
        if name not in self._index:
            raise ValueError(f"There is no pose named {name!r}. Known poses: {', '.join(sorted(self._index))}.")
        return self._all[self._index[name]]

    def _excluded(self, angles: Angles) -> Bool[Tensor, " n"]:
        if not len(self._left_out):
            return torch.zeros(len(angles), dtype=torch.bool)
        return (torch.cdist(self._features(angles), self._left_out) < self._similar).any(-1)

    def _features(self, angles: Angles) -> Float[Tensor, "n 20"]:
        """Numbers whose Euclidean distance is the root mean square difference of 20 angles, degrees."""
        return torch.rad2deg(torch.cat([angles[..., 0], angles[..., ::3, 1]], -1)) / 20**0.5


def reject_intersecting(
    prior: PosePrior,
    model: HandModel,
    intersections: Callable[[Vertices, Faces], Bool[Tensor, "b f"]],
    n: int,
    generator: torch.Generator,
    tolerated: int = 8,
) -> Poses:
    """Draws poses until the mean-shape hand of each is free of itself.

    Args:
        prior: Where poses come from.
        model: A right hand on the CPU.
        intersections: `zoo.metrics.intersection.self_intersections`.
        n: How many.
        generator: On the CPU; the same seed draws the same hands.
        tolerated: Intersecting faces that still pass, half a percent of 1,538: skin in contact, not fingers through
            fingers.
    """
    kept: list[Poses] = []
    missing = n
    for _ in range(ROUNDS):
        if missing <= 0:
            break
        drawn = prior.sample(min(2 * missing + 16, 512), generator)
        count = len(drawn.names)
        with torch.no_grad():
            full = torch.cat([torch.eye(3).expand(count, 1, 3, 3), drawn.rotations], 1)
            vertices = model(full, torch.zeros(count, 10), torch.zeros(count, 3)).vertices
        passed = torch.nonzero(intersections(vertices, model.faces).sum(-1) <= tolerated)[:missing, 0]
        names = [drawn.names[i] for i in passed.tolist()]
        kept.append(Poses(drawn.rotations[passed], drawn.axis_angle[passed], names))
        missing -= len(names)
    if missing > 0:
        raise ValueError(f"tolerated={tolerated} intersecting faces refuses nearly every hand; tolerate more")
    if not kept:
        return prior.sample(0, generator)
    rotations, axis_angle, groups = zip(*kept, strict=True)
    return Poses(torch.cat(rotations), torch.cat(axis_angle), [name for group in groups for name in group])


def _per_joint(fingers: Float[Tensor, "n 5"]) -> Float[Tensor, "n 15 1"]:
    """A number per finger (thumb first) for each joint in MANO's order."""
    order = [FINGERS.index(finger) for finger in sorted(FINGERS, key=lambda finger: FINGER_SLICES[finger].start)]
    return fingers[:, order].repeat_interleave(3, 1)[..., None]


def _noise(n: int, generator: torch.Generator) -> Angles:
    """Degrees made radians: fingers curl as a whole, all of them a little together; each joint adds its own."""
    together = torch.randn(n, 1, generator=generator) * 0.5
    curl = (torch.randn(n, 5, generator=generator) * 0.85 + together) * CURL_NOISE
    noise = torch.randn(n, 15, 3, generator=generator)
    noise = noise * torch.tensor([JOINT_NOISE, SPREAD_NOISE, TWIST_NOISE])
    noise[:, FINGER_SLICES["thumb"].start] *= THUMB_NOISE / JOINT_NOISE
    noise[..., 0] += (curl[..., None] * torch.tensor(CURL)).flatten(-2)
    return torch.deg2rad(noise) * FREE


def _outward(noise: Angles, angles: Angles) -> Angles:
    """Noise that seldom closes a finger further that is closed already, or presses the thumb into a fist."""
    bends = torch.unflatten(angles[..., 0], -1, (5, 3))[..., :2].sum(-1)
    closed = (bends / CLOSED).clamp(0, 1)
    flex, spread, twist = noise.unbind(-1)
    flex = torch.where(flex > 0, flex * (1 - YIELD * closed.repeat_interleave(3, -1)), flex)
    thumb = torch.zeros(15)
    thumb[FINGER_SLICES["thumb"].start] = 1
    fist = closed[:, :4].mean(-1, keepdim=True) * thumb
    spread = torch.where(spread < 0, spread * (1 - YIELD * fist), spread)
    return torch.stack([flex, spread, twist], -1)


def _free_hands(n: int, generator: torch.Generator) -> Angles:
    """Hands that nobody recorded: each finger as curled as it likes, near to its neighbours, and any thumb."""
    hand = torch.rand(n, 1, generator=generator)
    curl = (hand + 0.25 * torch.randn(n, 5, generator=generator)).clamp(0, 1)
    lead = 0.5 * torch.randn(n, 5, generator=generator)  # whether the knuckle or the middle joint bends first
    spread = torch.randn(n, 5, generator=generator) * 8
    flexes = torch.stack([85 * (curl + 0.4 * lead) - 8, 100 * (curl - 0.4 * lead), 65 * (curl - 0.4 * lead)], -1)
    thumb = torch.rand(n, 5, generator=generator) * torch.tensor([45, 45, 20, 65, 70])
    thumb = thumb + torch.tensor([-22, -20, -10, 5, -12])
    angles = torch.zeros(n, 5, 3, 3)
    angles[..., 0] = flexes
    angles[:, :, 0, 1] = spread
    angles[:, 4, 0] = thumb[:, :3]
    angles[:, 4, 1:, 0] = thumb[:, 3:]
    return torch.deg2rad(angles).flatten(1, 2)


@lru_cache(maxsize=4)
def _read(file: Path) -> tuple[tuple[tuple[str, ...], ...], Angles, JointAxes]:
    with np.load(file, allow_pickle=False) as stored:
        aliases = tuple(tuple(str(names).split("|")) for names in stored["names"])
        return aliases, torch.from_numpy(stored["angles"]).float(), torch.from_numpy(stored["axes"]).float()
