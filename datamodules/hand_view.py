"""The hand view: one crop per hand, left hands mirrored to right, as the batches HHMR reads."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.augment import Augment, Variation, paint
from datamodules.crops import Crops, warp
from datamodules.hand_models import pose_hands
from datamodules.scene import BoolArray, FloatArray, IntArray, Scene, SceneHand, Scenes
from zoo.batch import HandBatch
from zoo.hands.camera import normalize_pixels, project
from zoo.hands.skeleton import LEFT
from zoo.shapes import Intrinsics, JointMask, Joints, Joints2D, Mask, RawImages, Side, Vertices


class HandView(Dataset[HandBatch]):
    """Hands of a dataset as crops; reads whole batches, so that geometry is computed once for all rows.

    Args:
        scenes: Where the hands come from.
        size: Side of a crop, pixels.
        margin: Side of a crop over the longer side of the box of the hand's joints.
        augment: Random changes, or None.
        seed: Together with epoch and row it decides the random changes, and nothing else does.
        images: False leaves all images out.
    """

    def __init__(
        self,
        scenes: Scenes,
        size: int,
        margin: float,
        *,
        augment: Augment | None = None,
        seed: int = 0,
        images: bool = True,
    ) -> None:
        self.scenes = scenes
        self.size = size
        self.margin = margin
        self.augment = augment
        self.seed = seed
        self.images = images

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "rows"}  # workers find them themselves

    @cached_property
    def rows(self) -> IntArray:
        """(n, 2) scene and side of each hand."""
        return np.argwhere(self.scenes.sides())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> HandBatch:
        return self.batch([row])

    def __getitems__(self, rows: Sequence[int]) -> HandBatch:
        """A whole batch at once; `DataLoader` calls this in place of `__getitem__`."""
        return self.batch(rows)

    def batch(self, rows: Sequence[int], epochs: Sequence[int] | None = None, images: int | None = None) -> HandBatch:
        """Reads rows as a batch, its images still as bytes.

        Args:
            rows: Numbers of hands.
            epochs: How often each row was read before; part of the key of its random changes.
            images: How many rows, from the first, get their image; None for all.
        """
        wanted = (len(rows) if images is None else images) if self.images else 0
        where = self.rows[np.asarray(rows, np.int64)]
        labels = self.labels(where)
        drawn = [self._draw(e, int(row)) for e, row in zip(epochs or [0] * len(rows), rows, strict=True)]
        crops = Crops(
            labels.outlines,
            labels.outlined,
            margin=self.margin,
            size=self.size,
            mirror=labels.side == LEFT,
            variations=drawn,
        )
        image, has_image = self._images(where[:, 0], wanted, crops, drawn)
        joints2d = normalize_pixels(crops.joints2d(labels.pixels), (self.size, self.size))
        return HandBatch(
            image=image,
            has_image=torch.from_numpy(has_image),
            vertices=crops.points(labels.vertices),
            has_mesh=labels.has_mesh,
            joints=crops.points(labels.joints),
            joints_valid=labels.joints_valid,
            joints2d=joints2d * labels.pixels_valid[..., None],
            joints2d_valid=labels.pixels_valid,
            intrinsics=crops.intrinsics(labels.intrinsics),
            side=labels.side,
            index=torch.as_tensor(np.asarray(rows, dtype=np.int64)),
        )

    def labels(self, where: IntArray) -> "Labels":
        """Labels of hands, given by scene and side, in the frames of their scenes' cameras."""
        if (arrays := self.scenes.arrays(where[:, 0], where[:, 1])) is not None:
            joints, intrinsics = torch.from_numpy(arrays.joints), torch.from_numpy(arrays.intrinsics)
            pixels, there = project(joints, intrinsics), torch.ones(len(where), 21, dtype=torch.bool)
            vertices, has_mesh, side = torch.from_numpy(arrays.vertices), there[:, 0], torch.from_numpy(where[:, 1])
            return Labels(side, vertices, has_mesh, joints, there, pixels, there, intrinsics, pixels, there)
        scenes = [self.scenes.read(int(scene), image=False) for scene, _ in where]
        hands = [scene.hands[int(side)] for scene, (_, side) in zip(scenes, where, strict=True)]
        vertices, has_mesh = _stack(hands, lambda hand: hand.vertices, (778, 3))
        joints, has_joints = _stack(hands, lambda hand: hand.joints, (21, 3))
        joints_valid = has_joints[:, None] & _masks(hands, lambda hand: hand.joints_valid)
        posed = [i for i, hand in enumerate(hands) if hand.vertices is None and hand.pose is not None]
        if posed and (models := self.scenes.models) is not None:
            poses = [pose for i in posed if (pose := hands[i].pose) is not None]
            vertices[posed], joints[posed] = pose_hands(models, [hands[i].side for i in posed], poses)
            has_mesh[posed], joints_valid[posed] = True, True  # a batch's joints are those of its mesh
        intrinsics = torch.from_numpy(np.stack([scene.intrinsics for scene in scenes]))
        pixels, has_pixels = _stack(hands, lambda hand: hand.joints2d, (21, 2))
        projected = project(
            torch.where(joints_valid[..., None], joints, joints.new_tensor((0.0, 0.0, 1.0))), intrinsics
        )
        pixels_valid = torch.where(has_pixels[:, None], _masks(hands, lambda hand: hand.joints2d_valid), joints_valid)
        pixels = torch.where(has_pixels[:, None, None], pixels, projected)
        side = torch.tensor([hand.side for hand in hands])
        around = self._outlines(scenes, hands, pixels, pixels_valid)
        return Labels(side, vertices, has_mesh, joints, joints_valid, pixels, pixels_valid, intrinsics, *around)

    def _draw(self, epoch: int, row: int) -> Variation:
        if self.augment is None:
            return Variation()
        return self.augment.draw(np.random.default_rng((self.seed, epoch, row)))

    def _outlines(
        self, scenes: Sequence[Scene], hands: Sequence[SceneHand], pixels: Joints2D, valid: JointMask
    ) -> tuple[Joints2D, JointMask]:
        """What each crop goes around: the given box, or the joints, or where there are none the whole image."""
        pixels, valid = pixels.clone(), valid.clone()
        for i, (scene, hand) in enumerate(zip(scenes, hands, strict=True)):
            if hand.box is None and valid[i].any():
                continue
            height, width = scene.size
            box = torch.tensor((-0.5, -0.5, width - 0.5, height - 0.5)) if hand.box is None else torch.tensor(hand.box)
            low, high = box.float().view(2, 2)
            half = (high - low) / (2 * self.margin)  # the box of the crop already has its margin
            pixels[i, 0], pixels[i, 1] = (low + high) / 2 - half, (low + high) / 2 + half
            valid[i] = torch.arange(21) < 2
        return pixels, valid

    def _images(
        self, scenes: IntArray, wanted: int, crops: Crops, drawn: Sequence[Variation]
    ) -> tuple[RawImages, BoolArray]:
        """Packed crops and which rows have one. A picture is let go before the next is read: it fits a core's cache."""
        out = np.empty((min(wanted, len(scenes)), self.size, self.size, 3), np.uint8)
        has_image = np.zeros(len(scenes), np.bool_)
        affine = crops.affine.double().numpy()
        place = 0
        for i, scene in enumerate(scenes[:wanted].tolist()):
            if (image := self.scenes.picture(scene)) is not None:
                paint(warp(image, affine[i], self.size), drawn[i], out[place])
                has_image[i] = True
                place += 1
        return torch.from_numpy(out[:place]).permute(0, 3, 1, 2), has_image  # a view: a pixel's bytes stay together


class Labels(NamedTuple):
    """Of a batch, in the frames of the images' cameras; names are those of `HandBatch`."""

    side: Side
    vertices: Vertices
    has_mesh: Mask
    joints: Joints
    joints_valid: JointMask
    pixels: Joints2D  # of the joints in the image
    pixels_valid: JointMask
    intrinsics: Intrinsics
    outlines: Joints2D  # what the crop goes around
    outlined: JointMask


def _stack(
    hands: Sequence[SceneHand], pick: Callable[[SceneHand], FloatArray | None], shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """A label of every hand, zeros where it is missing, and where it is there."""
    picked = [pick(hand) for hand in hands]
    missing = np.zeros(shape, np.float32)
    values = np.stack([missing if value is None else value for value in picked])
    return torch.from_numpy(values), torch.tensor([value is not None for value in picked])


def _masks(hands: Sequence[SceneHand], pick: Callable[[SceneHand], BoolArray | None]) -> JointMask:
    picked = [pick(hand) for hand in hands]
    return torch.from_numpy(np.stack([np.ones(21, np.bool_) if mask is None else mask for mask in picked]))
