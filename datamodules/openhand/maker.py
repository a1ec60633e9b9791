"""What a dataset of made pictures is, and the making of a piece of it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from platformdirs import user_cache_path

from datamodules.freihand.writer import FreiHANDWriter, Labels, Part, mano_rows
from datamodules.openhand.pictures import Sitting, Studio, Version, sitting
from datamodules.openhand.pose_stream import CropCamera, PoseStream, ViewCone
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.hands.render import Backend
from zoo.hands.rotations import matrix_to_axis_angle
from zoo.hands.skeleton import LEFT, RIGHT

MADE_BY = 1  # raise it whenever the same recipe gives other files
SHARD = 16
PARTS: tuple[Part, ...] = ("training", "evaluation")
Style = Literal["photos", "plain"]
VERSIONS: dict[Style, dict[Part, tuple[Version, ...]]] = {
    "photos": {"training": ("gs", "hom", "sample", "auto"), "evaluation": ("real",)},
    "plain": {"training": ("plain",) * 4, "evaluation": ("plain",)},
}
STREAMS: dict[Part, int] = {"training": 3, "evaluation": 4}
CAMERAS: dict[Style, CropCamera] = {
    "photos": CropCamera(distance=(0.4, 1.1), off_axis=0.03, fill=(0.35, 0.68), shift=0.1),
    "plain": CropCamera(distance=(0.4, 1.1), off_axis=0.03, fill=(0.5, 0.8), shift=0.08),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the files of a dataset.

    Args:
        samples: hands of the training part, each in four pictures.
        eval_samples: hands of the evaluation part, other than the training part's.
        seed: other seeds give other hands.
        left: share of left hands; the real FreiHAND has none.
        size: side of the pictures, pixels; FreiHAND's is 224.
        turn: see `ViewCone`.
        tilt: see `ViewCone`.
        views: see `ViewCone`.
        shape_std: standard deviation of the ten shape numbers.
        leave_out: gestures that do not occur.
        style: "photos" look like FreiHAND's; "plain" ones show a calm background and come with a sentence.
    """

    samples: int
    eval_samples: int
    seed: int = 0
    left: float = 0.0
    size: int = 224
    turn: float = ViewCone.turn
    tilt: float = ViewCone.tilt
    views: tuple[float, float, float, float] = ViewCone.views
    shape_std: float = 1.0
    leave_out: tuple[str, ...] = ()
    style: Style = "photos"

    def __post_init__(self) -> None:
        if self.samples < 1 or self.eval_samples < 1 or self.size < 32 or not 0 <= self.left <= 1:
            raise ValueError(
                f"samples={self.samples}, eval_samples={self.eval_samples}, size={self.size}, left={self.left}: at "
                "least 1 sample of each, 32 pixels and a share from 0 to 1 are needed. Change the one that is less."
            )

    def count(self, part: Part) -> int:
        """Samples of a part."""
        return self.samples if part == "training" else self.eval_samples

    def described(self) -> dict[str, Any]:
        """What the record says; equal for equal files."""
        said = {"made_by": MADE_BY, **asdict(self)}
        if self.style == "photos":
            del said["style"]  # datasets made before there were styles are theirs
        return json.loads(json.dumps(said))

    def versions(self, part: Part) -> tuple[Version, ...]:
        """Treatments of the pictures of each hand."""
        return VERSIONS[self.style][part]

    def default_root(self) -> Path:
        """A folder of this recipe's own in the user's cache."""
        key = np.random.SeedSequence(list(json.dumps(self.described()).encode())).generate_state(1)[0]
        return user_cache_path("hand-model-zoo") / "openhand" / f"{self.samples}-{self.eval_samples}-{key:08x}"


class Shard(NamedTuple):
    """A piece of work: samples of a part, with or without drawing their pictures."""

    part: Part
    samples: range
    pictures: bool


class Maker:
    """Makes shards; one in each process.

    Args:
        recipe: what to make.
        root: where.
        backend: of the renderer.
    """

    def __init__(self, recipe: Recipe, root: Path, backend: Backend = "auto") -> None:
        self.recipe = recipe
        self.root = root
        hands = {LEFT: OpenHand(side="left"), RIGHT: OpenHand(side="right")}
        self.means = {side: hand.hands_mean.numpy() for side, hand in hands.items()}
        self.studios = {side: Studio(hand, recipe.size, backend) for side, hand in hands.items()}
        cone = ViewCone(recipe.turn, recipe.tilt, recipe.views)
        prior = PosePrior(leave_out=recipe.leave_out)
        self.streams = {
            part: PoseStream(
                hands[RIGHT],
                prior,
                recipe.size,
                recipe.seed,
                stream,
                cone,
                CAMERAS[recipe.style],
                recipe.shape_std,
                solid=True,
            )
            for part, stream in STREAMS.items()
        }

    def writer(self, part: Part) -> FreiHANDWriter:
        """The writer of a part."""
        return FreiHANDWriter(
            self.root, part, self.recipe.count(part), versions=len(self.recipe.versions(part)), shard=SHARD
        )

    def ranges(self, part: Part) -> list[range]:
        """The samples of each shard of a part."""
        count = self.recipe.count(part)
        return [range(i, min(i + SHARD, count)) for i in range(0, count, SHARD)]

    def sides(self, part: Part, samples: range) -> list[int]:
        """0 = left, 1 = right, of each sample."""
        return [LEFT if self._rng(part, i, 0).random() < self.recipe.left else RIGHT for i in samples]

    def make(self, shard: Shard) -> None:
        """Writes the files of a shard. They depend on the recipe and the samples' numbers alone."""
        part, samples, pictures = shard
        drawn = self.streams[part].draw(samples.start // SHARD, SHARD)
        n = len(samples)
        left = np.array(self.sides(part, samples)) == LEFT
        flip = np.where(left[:, None, None], np.array([-1, 1, 1]), np.array([1, 1, 1])).astype(np.float32)
        vertices = drawn.vertices[:n].numpy() * flip
        joints = drawn.joints[:n].numpy() * flip
        intrinsics = drawn.intrinsics[:n].numpy().copy()
        intrinsics[left, 0, 2] = self.recipe.size - 1 - intrinsics[left, 0, 2]
        # Mirroring in x turns the rotation vector (x, y, z) into (x, -y, -z).
        turns = matrix_to_axis_angle(drawn.rotations[:n]).numpy() * np.where(left[:, None, None], [1, -1, -1], 1)
        pose = turns.reshape(n, 48)
        pose[:, 3:] -= np.stack([self.means[LEFT if is_left else RIGHT] for is_left in left])
        labels = Labels(
            intrinsics,
            joints,
            vertices,
            mano_rows(pose.astype(np.float32), drawn.betas[:n].numpy(), joints, intrinsics),
        )
        sittings: list[Sitting] = [
            sitting(
                self.studios[LEFT if left[i] else RIGHT],
                vertices[i],
                joints[i],
                intrinsics[i],
                self.recipe.versions(part),
                self._rng(part, sample, 1),
            )
            for i, sample in enumerate(samples)
            if pictures
        ]
        images = zip(*(made.images for made in sittings), strict=True)
        masks = [made.mask for made in sittings] if part == "training" and pictures else None
        captions = zip(*(made.captions for made in sittings), strict=True) if self.recipe.style == "plain" else None
        self.writer(part).write(samples, labels, images, masks, captions)

    def finish(self, part: Part) -> None:
        """Joins the labels of a part once its shards are written."""
        if self.recipe.left and not self.writer(part).finished:
            sides = self.sides(part, range(self.recipe.count(part)))
            write_text(self.root / f"{part}_side.json", json.dumps(sides))
        self.writer(part).finish()

    def _rng(self, part: Part, sample: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.recipe.seed, STREAMS[part], sample, purpose))


def write_text(path: Path, text: str) -> None:
    """Writes a whole file or nothing."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(text)
    os.replace(draft, path)
