"""OpenHand, the default data: endless pose-only hands made on the fly and, where asked for, made pictures."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import HandData
from datamodules.freihand.data import FreiHANDScenes
from datamodules.freihand.files import FreiHANDPart
from datamodules.hand_models import find_models
from datamodules.openhand.generate import generate
from datamodules.openhand.maker import Recipe, Style
from datamodules.openhand.pose_stream import CropCamera, Drawn, PoseStream, ViewCone
from datamodules.scene import BoolArray, FloatArray, ManoPose, Scene, SceneHand, Scenes, Split
from datamodules.scene_view import SceneView
from zoo.batch import SceneBatch
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import matrix_to_axis_angle
from zoo.hands.skeleton import LEFT, RIGHT

_STREAMS: dict[Split, int] = {"train": 0, "val": 1, "test": 2, "predict": 2}


class PoseScenes(Scenes):
    """Hands of a stream, as scenes without a picture.

    Args:
        stream: where the hands come from.
        count: how many.
        number: of the stream's batch; its scenes are numbered on from `number * count`.
        both: mirrors every other hand to a left one.
    """

    def __init__(self, stream: PoseStream, count: int, number: int = 0, *, both: bool = False) -> None:
        self.stream = stream
        self.count = count
        self.number = number
        self.both = both

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("drawn", "turns")}  # drawn again

    def __len__(self) -> int:
        return self.count

    @cached_property
    def drawn(self) -> Drawn:
        """All hands, drawn when the first one is read."""
        return self.stream.draw(self.number, self.count)

    @cached_property
    def turns(self) -> FloatArray:
        """(count, 16, 3) their rotations as axis-angle, radians."""
        return np.asarray(matrix_to_axis_angle(self.drawn.rotations).numpy(), np.float32)

    def sides(self) -> BoolArray:
        return np.stack([self._left(), ~self._left()], axis=1)

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        place, size = index % self.count, self.stream.size
        drawn = self.drawn
        vertices, joints, transl, camera = (
            part[place].numpy() for part in (drawn.vertices, drawn.joints, drawn.transl, drawn.intrinsics)
        )
        side, turns = RIGHT, self.turns[place]
        if self._left()[place]:
            side, mirror = LEFT, np.array([-1, 1, 1], np.float32)
            vertices, joints, transl, turns = vertices * mirror, joints * mirror, transl * mirror, -turns * mirror
            camera = camera.copy()
            camera[0, 2] = size - 1 - camera[0, 2]
        pose = ManoPose(turns, drawn.betas[place].numpy(), transl)
        return Scene(index, (size, size), camera, {side: SceneHand(side, vertices, joints, pose=pose)})

    def _left(self) -> BoolArray:
        return np.arange(self.count) % 2 == (1 if self.both else 2)


@dataclass(frozen=True)
class SceneStream:
    """The hands of a stream, every other one mirrored to a left hand, as batches of scenes without a picture.

    Args:
        stream: where the hands come from.
        seed: decides the wording of their sentences.
    """

    stream: PoseStream
    seed: int = 0

    def batch(self, k: int, n: int) -> SceneBatch:
        """Batch number `k` of `n` rows; rows are numbered on from `k * n`."""
        scenes = PoseScenes(self.stream, n, k, both=True)
        return SceneView(scenes, self.stream.size, seed=self.seed, images=False).batch(range(k * n, (k + 1) * n))


class OpenHandData(HandData):
    """Hands of the embedded model. Needs no files: without images it starts at once, with them it draws them first.

    Training rows are new hands without end; with `images`, `image_fraction` of a batch are made pictures from a
    dataset in FreiHAND's layout, drawn on first use and kept. Validation and test are hands that training never sees,
    the same ones whatever the seed, pictured when `images` is true.

    Args:
        samples: pictured training hands; each gives four pictures. Only with `images`.
        val_samples: held-out hands for validation.
        test_samples: held-out hands for testing.
        root: folder of the pictures; None is one in the user's cache.
        picture_seed: other seeds give other pictures.
        picture_size: side of the pictures, pixels; smaller ones are drawn and read faster.
        style: "photos" are varied like FreiHAND's, "plain" ones have a calm background and a sentence that names it.
        left: share of left hands among the pictures.
        turn: hands are turned in the picture plane by up to this angle either way, radians.
        tilt: standard deviation of their rotation out of the canonical views, radians.
        views: shares of the back, palm, thumb-side and little-finger-side views.
        shape_std: standard deviation of the ten shape numbers.
        leave_out: gestures of the pose prior that occur nowhere.
        bank: pose-only training hands take their fingers from this many solid poses, renewed every 500 batches; 0
            draws each anew, among them hands whose fingers pass through each other.
        draw_workers: processes that draw pictures; None is one for each core, up to 8.
        batch_size: rows a batch on one device.
        images: whether rows have images at all.
        image_fraction: part of a training batch that has images; the other rows are pose-only.
        batches_per_epoch: length of a training epoch; None is once through the images.
        options: of `HandData`.
    """

    def __init__(
        self,
        samples: int = 1500,
        val_samples: int = 256,
        test_samples: int = 1000,
        root: str | os.PathLike[str] | None = None,
        picture_seed: int = 0,
        picture_size: int = 224,
        style: Style = "photos",
        left: float = 0.5,
        turn: float = ViewCone.turn,
        tilt: float = ViewCone.tilt,
        views: tuple[float, float, float, float] = ViewCone.views,
        shape_std: float = 1.0,
        leave_out: tuple[str, ...] = (),
        bank: int = 2048,
        draw_workers: int | None = None,
        batch_size: int = 64,
        images: bool = False,
        image_fraction: float = 0.5,
        batches_per_epoch: int | None = 500,
        **options: Any,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            images=images,
            image_fraction=image_fraction,
            batches_per_epoch=batches_per_epoch,
            **options,
        )
        if val_samples < 1 or test_samples < 1:
            raise ValueError(
                f"val_samples={val_samples}, test_samples={test_samples}: both splits need a hand. "
                "Set --data.val_samples and --data.test_samples to at least 1."
            )
        self.val_samples = val_samples
        self.test_samples = test_samples
        self.shape_std = shape_std
        self.leave_out = tuple(leave_out)
        self.bank = bank
        self.draw_workers = min(os.cpu_count() or 1, 8) if draw_workers is None else draw_workers
        self.cone = ViewCone(turn, tilt, views)
        self.recipe = Recipe(
            samples,
            val_samples + test_samples,
            picture_seed,
            left,
            picture_size,
            turn=turn,
            tilt=tilt,
            views=views,
            shape_std=shape_std,
            leave_out=self.leave_out,
            style=style,
        )
        self.root = self.recipe.default_root() if root is None else Path(root).expanduser()

    def prepare_data(self) -> None:
        """Draws the pictures that are not there yet; nothing without `images`."""
        if self.images:
            generate(self.recipe, self.root, workers=self.draw_workers if self.draw_workers > 1 else 0)

    def poses(self) -> PoseStream | SceneStream:
        stream = self._stream("train")
        return SceneStream(stream, self.seed) if self.rows == "scenes" else stream

    def scenes(self, split: Split) -> Scenes | None:
        if not self.images:
            if split == "train":
                return None
            return PoseScenes(self._stream(split), self._held_out(split), both=self.rows == "scenes")
        models, poses = find_models(self.root, None), self.rows == "scenes"
        if split == "train":
            return FreiHANDScenes(FreiHANDPart(self.root, "training"), models=models, poses=poses)
        first = 0 if split == "val" else self.val_samples
        numbers = np.arange(first, first + self._held_out(split))
        return FreiHANDScenes(FreiHANDPart(self.root, "evaluation"), numbers, models, poses=poses)

    def _held_out(self, split: Split) -> int:
        return self.val_samples if split == "val" else self.test_samples

    @cached_property
    def _hand(self) -> OpenHand:
        return OpenHand(side="right")

    @cached_property
    def _prior(self) -> PosePrior:
        return PosePrior(leave_out=self.leave_out)

    def _stream(self, split: Split) -> PoseStream:
        """Crops vary in training as those of pictures do; held-out hands are cropped by the view."""
        zoom = self.augment.scale if self.augment is not None and split == "train" else 0.0
        shift = self.augment.shift if self.augment is not None and split == "train" else 0.0
        fill = (1 / (self.margin * (1 + zoom)), 1 / (self.margin * (1 - zoom)))
        camera = CropCamera(fill=fill, shift=shift)
        seed, stream = self.seed if split == "train" else 0, _STREAMS[split]
        train = split == "train"
        return PoseStream(
            self._hand,
            self._prior,
            self.size,
            seed,
            stream,
            self.cone,
            camera,
            self.shape_std,
            solid=not train,
            bank=self.bank if train else 0,
        )
