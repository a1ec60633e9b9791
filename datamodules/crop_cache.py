"""Crops of a dataset's hands, cut once and kept as JPEGs in tar files, so that training decodes no whole picture."""

import errno
import hashlib
import io
import json
import math
import os
import tarfile
import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.augment import Augment
from datamodules.cached import ABANDONED
from datamodules.hand_view import HandView
from datamodules.photos import UnreadableFileError
from datamodules.scene import BoolArray, ByteArray, FloatArray, HandArrays, IntArray, Scene, Scenes
from zoo.hands.camera import square_box

_SHARD = 1024  # hands a tar file
_QUALITY = 88
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class CropScenes(Scenes):
    """The hands of other scenes, one a scene, in pictures that show little more than the hand.

    Labels stay where they are and are moved along. Hand `i` is row `i` of a `HandView` of the other scenes. What is
    missing is cut and written on creation; an interrupted run goes on where it stopped, and processes that start at
    once share the work. Other options or another dataset get another folder beside: up to 64 pictures all over it are
    compared. Where only others than these changed, delete the folder.

    Args:
        scenes: Where the hands come from.
        folder: Of all caches.
        size: Side of the crops to be taken from these pictures, pixels; nothing is kept finer than they need.
        margin: Side of a crop over the longer side of the box of the hand's joints.
        reach: Side of what is kept over the side of the crop: `reach_of` an augmentation for all it can show. Less is
            faster; corners of turned crops are then black.
    """

    def __init__(self, scenes: Scenes, folder: Path, size: int, margin: float, reach: float) -> None:
        if reach < 1:
            raise ValueError(f"reach={reach} keeps less than a crop. Set --data.crop_reach to at least 1.")
        self.scenes = scenes
        self.models = scenes.models
        self.size, self.margin, self.reach = size, margin, reach
        self.folder = Path(folder) / self._key()
        self._write_missing()

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("rows", "table")}  # workers read them

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> IntArray:
        """(n, 2) scene and side of each hand."""
        return np.argwhere(self.scenes.sides())

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """(n, 8): offset, bytes, left, top, scale x, scale y, width, height."""
        return np.concatenate([np.load(path) for path in self._paths("npy")])

    def sides(self) -> BoolArray:
        return np.arange(2)[None] == self.rows[:, 1:]

    def picture(self, index: int) -> ByteArray:
        offset, count = self.table[index, :2].astype(np.int64).tolist()
        path = self.folder / f"{index // _SHARD:05d}.tar"
        with path.open("rb", buffering=0) as file:  # kept open, thousands of shards would be too many
            file.seek(offset)
            data = file.read(count)
        try:
            return simplejpeg.decode_jpeg(data, "RGBX", True, True)
        except ValueError as error:
            raise UnreadableFileError(
                f"{path} is damaged at hand {index}. Delete its folder: it is made anew."
            ) from error

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        number, side = self.rows[index].tolist()
        scene = self.scenes.read(number, image=False)
        affine = self._affine(np.array([index]))[0]
        hand = scene.hands[side]
        corners = None if hand.box is None else _moved(affine, hand.box.reshape(2, 2)).reshape(4)
        pixels = None if hand.joints2d is None else _moved(affine, hand.joints2d)
        width, height = self.table[index, 6:].astype(int).tolist()
        return replace(
            scene,
            index=index,
            size=(height, width),
            intrinsics=(affine @ scene.intrinsics).astype(np.float32),
            hands={side: replace(hand, joints2d=pixels, box=corners)},
            image=np.ascontiguousarray(self.picture(index)[..., :3]) if image else None,
            mask=None,
        )

    def arrays(self, scenes: IntArray, sides: IntArray) -> HandArrays | None:
        arrays = self.scenes.arrays(self.rows[scenes, 0], sides)
        if arrays is None:
            return None
        return replace(arrays, intrinsics=(self._affine(scenes) @ arrays.intrinsics).astype(np.float32))

    def _affine(self, indices: IntArray) -> NDArray[np.float64]:
        """(n, 3, 3) pixels of the whole picture to pixels of what was kept."""
        left, top, across, down = self.table[indices, 2:6].T
        out = np.tile(np.eye(3), (len(indices), 1, 1))
        out[:, 0, 0], out[:, 1, 1] = across, down
        out[:, 0, 2], out[:, 1, 2] = across * (0.5 - left) - 0.5, down * (0.5 - top) - 0.5
        return out

    def _squares(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Middles (n, 2) and sides (n,) of crops that are not varied, pixels."""
        labels = HandView(self.scenes, self.size, self.margin, images=False).labels(self.rows[rows])
        centre, side = square_box(labels.outlines, labels.outlined, self.margin)
        return centre.numpy(), side.numpy()

    def _key(self) -> str:
        """Of the options, and of some hands and their pictures all over the dataset."""
        some = np.unique(np.linspace(0, len(self.rows) - 1, 64).astype(np.int64))
        centre, side = self._squares(some)
        facts = [self.size, self.margin, self.reach, _QUALITY, _SHARD, len(self.rows), type(self.scenes).__name__]
        names = [self.scenes.read(int(scene), image=False).name for scene, _ in self.rows[some]]
        boxes = np.round(np.concatenate([centre, side[:, None]], 1), 2).tolist()
        key = hashlib.sha256(json.dumps([facts, names, boxes]).encode())
        for scene in np.unique(self.rows[some, 0]).tolist():  # the same labels may come with other pictures
            if (image := self.scenes.picture(scene)) is not None:
                key.update(image[..., :3].tobytes())
        return key.hexdigest()[:16]

    def _paths(self, suffix: str) -> list[Path]:
        return [self.folder / f"{i:05d}.{suffix}" for i in range(math.ceil(len(self.rows) / _SHARD))]

    def _write_missing(self) -> None:
        missing = [i for i, path in enumerate(self._paths("npy")) if not path.is_file()]
        if not missing:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clean()
        first = os.getpid() % len(missing)  # processes that start together begin at different places
        for shard in tqdm(missing[first:] + missing[:first], desc="Cutting crops", unit="kHand", delay=5):
            if not self._paths("npy")[shard].is_file():
                self._write(shard)

    def _clean(self) -> None:
        """Removes drafts that nobody finishes."""
        for draft in self.folder.glob("*.tmp"):
            with suppress(OSError):  # which its process may just have renamed
                if time.time() - draft.stat().st_mtime > ABANDONED:
                    draft.unlink()

    def _write(self, shard: int) -> None:
        rows = np.arange(shard * _SHARD, min((shard + 1) * _SHARD, len(self.rows)))
        draft = self.folder / f"{shard:05d}.{os.getpid()}.tmp"
        table = np.zeros((len(rows), 8))
        centres, sides = self._squares(rows)
        try:
            with tarfile.open(draft, "w") as tar:
                for i, row in enumerate(rows.tolist()):
                    image = self.scenes.picture(int(self.rows[row, 0]))
                    if image is None:
                        raise ValueError(f"Row {row} has no picture to cut. Leave --data.crop_cache out.")
                    kept, table[i, 2:] = self._cut(image, centres[i], float(sides[i]))
                    jpeg = simplejpeg.encode_jpeg(kept, _QUALITY, colorsubsampling="420")
                    member = tarfile.TarInfo(f"{row:08d}.jpg")
                    member.size = len(jpeg)
                    table[i, :2] = tar.offset + 512, len(jpeg)  # after its header
                    tar.addfile(member, io.BytesIO(jpeg))
            os.replace(draft, self.folder / f"{shard:05d}.tar")
            with draft.open("wb") as file:
                np.save(file, table)
            os.replace(draft, self.folder / f"{shard:05d}.npy")  # last: it says that the tar is whole
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise OSError(
                error.errno,
                f"Crops could not be written to {self.folder} ({error.strerror}). Those that are there stay. Make room "
                "there, set --data.crop_cache to another folder, or leave it out.",
            ) from error
        finally:
            with suppress(OSError):
                draft.unlink()

    def _cut(self, image: ByteArray, centre: FloatArray, side: float) -> tuple[ByteArray, NDArray[np.float64]]:
        height, width = image.shape[:2]
        half = side * self.reach / 2
        left, top = (int(np.clip(math.floor(c - half), 0, n - 1)) for c, n in zip(centre, (width, height), strict=True))
        right, bottom = (
            int(np.clip(math.ceil(c + half) + 1, start + 1, n))
            for c, start, n in zip(centre, (left, top), (width, height), strict=True)
        )
        kept = image[top:bottom, left:right, :3]
        shrink = min(1.0, self.size / side)
        across, down = (max(1, round(n * shrink)) for n in (right - left, bottom - top))
        if shrink < 1:
            kept = np.asarray(cv2.resize(kept, (across, down), interpolation=cv2.INTER_AREA), np.uint8)
        scales = across / (right - left), down / (bottom - top)
        return np.ascontiguousarray(kept), np.array([left, top, *scales, across, down])


def reach_of(augment: Augment | None) -> float:
    """Side of what all crops of an augmentation show together, over the side of a crop that is not varied."""
    if augment is None:
        return 1.0
    turn = math.radians(min(augment.rotation, 45.0))
    return (1 + augment.scale) * (math.cos(turn) + math.sin(turn)) + 2 * augment.shift


def _moved(affine: NDArray[np.float64], pixels: FloatArray) -> FloatArray:
    return (pixels @ affine[:2, :2].T + affine[:2, 2]).astype(np.float32)
