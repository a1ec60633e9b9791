"""What all twins are made of: posed hands before a camera, pictures of them, folders that are whole or not there."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from datamodules.hand_models import TWIN
from datamodules.openhand.appearance import draw_look
from datamodules.openhand.backgrounds import background
from datamodules.openhand.pictures import Studio, lens
from datamodules.openhand.pose_stream import PoseStream, ViewCone
from datamodules.openhand.shading import draw_lamps
from datamodules.scene import BoolArray, ByteArray, FloatArray, ManoPose
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import matrix_to_axis_angle, mirror_rotations
from zoo.hands.skeleton import LEFT, RIGHT

T = TypeVar("T")

REACH = 0.18  # metres; about the length of a hand
APART = (0.05, 0.09)  # metres from the middle of a pair to each of its hands


class TwinHand(NamedTuple):
    """A hand with everything that any dataset says of one; camera frame."""

    side: int
    pose: ManoPose
    vertices: FloatArray  # (778, 3) metres
    joints: FloatArray  # (21, 3) metres, SNAP-21, of the kinematic tree with tip vertices, as `HandModel.forward`
    regressed: FloatArray  # (21, 3) metres, SNAP-21, regressed from the mesh
    pixels: FloatArray  # (21, 2) of `joints`


class TwinPicture(NamedTuple):
    """A photograph of hands."""

    image: ByteArray  # (h, w, 3) RGB
    masks: Mapping[int, BoolArray]  # (h, w) by side, True where that hand is seen, without its arm


@dataclass(frozen=True)
class Stage:
    """Poses and photographs hands; what it makes is a function of its arguments and of the scene's number alone.

    Args:
        seed: Other seeds give other hands.
        size: Height and width of the pictures, pixels.
        focal: Pixels; the principal point is the middle of the picture.
        fill: Smallest and largest share of the picture's shorter side that a hand's length takes.
    """

    seed: int
    size: tuple[int, int]
    focal: float
    fill: tuple[float, float] = (0.3, 0.6)

    @cached_property
    def intrinsics(self) -> FloatArray:
        """(3, 3) pixels."""
        height, width = self.size
        return np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1]], np.float32)

    @cached_property
    def models(self) -> dict[int, OpenHand]:
        """OpenHand by side."""
        return {LEFT: OpenHand("left"), RIGHT: OpenHand("right")}

    @cached_property
    def _streams(self) -> dict[int, PoseStream]:
        prior = PosePrior()
        cone = ViewCone()
        return {
            side: PoseStream(self.models[RIGHT], prior, min(self.size), self.seed, 6 + side, cone, solid=True)
            for side in (LEFT, RIGHT)
        }

    @cached_property
    def _studios(self) -> dict[int, Studio]:
        return {side: Studio(hand, max(self.size)) for side, hand in self.models.items()}

    def rng(self, number: int, purpose: int) -> np.random.Generator:
        """Randomness of one scene."""
        return np.random.default_rng((self.seed, number, purpose))

    @torch.no_grad()
    def hands(self, number: int, sides: tuple[int, ...]) -> dict[int, TwinHand]:
        """The hands of scene `number`: one anywhere in the picture, or two side by side."""
        rng = self.rng(number, 0)
        height, width = self.size
        depth = self.focal * REACH / (rng.uniform(*self.fill) * min(height, width))
        middle = depth * rng.uniform(-0.2, 0.2, 2) * np.array([width, height]) / self.focal
        apart = rng.uniform(*APART) * (len(sides) > 1) * rng.choice([-1, 1])
        made = {}
        for side in sides:
            drawn = self._streams[side].draw(number, 1)
            rotations = mirror_rotations(drawn.rotations) if side == LEFT else drawn.rotations
            rest = self.models[side](rotations, drawn.betas, torch.zeros(1, 3)).vertices
            sign = 1 if side == RIGHT else -1
            centre = np.array([middle[0] + sign * apart, middle[1], depth + rng.uniform(-0.03, 0.03)])
            transl = torch.tensor(centre, dtype=torch.float32) - rest.mean(1)
            mesh = self.models[side](rotations, drawn.betas, transl)
            joints = mesh.joints[0].numpy()
            rays = joints @ self.intrinsics.T
            turns = matrix_to_axis_angle(rotations)[0].numpy()
            made[side] = TwinHand(
                side,
                ManoPose(turns, drawn.betas[0].numpy(), transl[0].numpy()),
                mesh.vertices[0].numpy(),
                joints,
                self.models[side].regress(mesh.vertices)[0].numpy(),
                rays[:, :2] / rays[:, 2:],
            )
        return made

    def photograph(self, number: int, hands: Mapping[int, TwinHand]) -> TwinPicture:
        """A picture of the hands, with arms, at times with things, before a made background."""
        rng = self.rng(number, 1)
        height, width = self.size
        picture = background(rng, max(self.size))
        look = draw_look(rng)  # one person, in one light
        lamps = draw_lamps(rng, picture.reshape(-1, 3).mean(0) ** 2.2)
        masks: dict[int, BoolArray] = {}
        for side in sorted(hands, key=lambda side: -hands[side].joints[0, 2]):  # the far one first
            studio, hand = self._studios[side], hands[side]
            seen, mask, _ = studio.arrange(hand.vertices, hand.joints, self.intrinsics, rng)
            masks = {other: seen_before & ~seen.mask for other, seen_before in masks.items()} | {side: mask}
            if len(seen.parts):
                painted = studio.paint(seen, look)
                picture = studio.compose(seen, painted, self.intrinsics, picture, rng, lamps=lamps)
        image = lens(picture, rng)[:height, :width]
        return TwinPicture(np.ascontiguousarray(image), {side: mask[:height, :width] for side, mask in masks.items()})


def drawing(made: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """The same things, with a bar once it takes longer than five seconds.

    Args:
        made: By a loader.
        what: They are.
        total: How many; None asks `made`.
    """
    return tqdm(made, f"Drawing {what}", total, unit="it", delay=5)


@contextmanager
def whole_folder(out: Path, name: str, **facts: Any) -> Iterator[Path]:
    """A new folder that appears under its name only once everything in it is written.

    A folder that is there already stays the one it is, for it may be where the user stands or where a disk is mounted.

    Args:
        out: Where it shall be; must not exist, or be empty.
        name: Of the real dataset.
        facts: Kept in `openhand.json`, which says that the parameters are OpenHand's.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        wrong = "is a file" if out.is_file() else "is not empty"
        raise FileExistsError(f"{out} {wrong}. Choose a new or an empty folder with --out.")
    draft = out / f".{os.getpid()}.tmp" if out.is_dir() else out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        yield draft
        (draft / TWIN).write_text(json.dumps({"twin_of": name, "hand": "OpenHand", **facts}))
        if draft.parent == out:
            for path in sorted(draft.iterdir(), key=lambda path: path.name == TWIN):  # last, for it says what they are
                os.replace(path, out / path.name)
        else:
            os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
