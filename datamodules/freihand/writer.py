"""Writes hands in FreiHAND v2's layout, shard by shard: an interrupted writer goes on where it stopped.

Layout: Zimmermann et al. 2019, https://github.com/lmb-freiburg/freihand. Images of version v have the number
`sample + count * v`; labels are one JSON list a kind, written last, so that a folder with labels is complete.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg

from datamodules.scene import BoolArray, ByteArray, FloatArray, IntArray

Part = Literal["training", "evaluation"]
ROOT_JOINT, SCALE_JOINT = 9, 10  # of the middle finger, in SNAP-21: the ends of the bone that gives the scale
_DECIMALS = 7  # a tenth of a micrometre


@dataclass(frozen=True)
class Labels:
    """Labels of n hands, in the frame of their camera.

    Args:
        intrinsics: (n, 3, 3) pixels.
        joints: (n, 21, 3) metres, SNAP-21 order.
        vertices: (n, 778, 3) metres.
        mano: (n, 61) as `mano_rows` makes them, or None.
        side: (n,) 0 = left, 1 = right, or None: all right. FreiHAND has right hands only; `*_side.json` is ours.
    """

    intrinsics: FloatArray
    joints: FloatArray
    vertices: FloatArray
    mano: FloatArray | None = None
    side: IntArray | None = None


def mano_rows(pose: FloatArray, betas: FloatArray, joints: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """FreiHAND's 61 numbers: pose, shape, pixel of joint 9 and focal length over its depth.

    Args:
        pose: (n, 48) axis-angle in radians, fingers relative to the model's `hands_mean`.
        betas: (n, 10) standard deviations.
        joints: (n, 21, 3) metres, camera frame.
        intrinsics: (n, 3, 3) pixels.
    """
    root = joints[:, ROOT_JOINT]
    pixel = np.einsum("nij,nj->ni", intrinsics, root)[:, :2] / root[:, 2:]
    scale = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2 / root[:, 2]
    return np.concatenate([pose, betas, pixel, scale[:, None]], axis=1).astype(np.float32)


class FreiHANDWriter:
    """Writes one part of a dataset: `for samples in writer.missing(): writer.write(samples, ...)`, then `finish()`.

    Args:
        root: The dataset's folder.
        part: `training` or `evaluation`.
        count: Unique samples.
        versions: Images a sample; the published training part has four, the evaluation part one.
        shard: Samples written at once. Another value does not resume an earlier writer.
        quality: Of the JPEG files.
    """

    def __init__(
        self, root: Path, part: Part, count: int, *, versions: int = 1, shard: int = 256, quality: int = 92
    ) -> None:
        self.root = Path(root)
        self.part = part
        self.count = count
        self.versions = versions
        self.shard = shard
        self.quality = quality
        self._parts = self.root / f".{part}-{count}x{versions}-{shard}"

    @property
    def finished(self) -> bool:
        """Whether the labels are there, which are written last."""
        return (self.root / f"{self.part}_K.json").is_file()

    def missing(self) -> list[range]:
        """The shards still to be written."""
        if self.finished:
            return []
        shards = [range(i, min(i + self.shard, self.count)) for i in range(0, self.count, self.shard)]
        return [samples for samples in shards if not self._shard(samples).is_file()]

    def write(
        self,
        samples: range,
        labels: Labels,
        images: Iterable[Iterable[ByteArray | bytes]],
        masks: Iterable[BoolArray] | None = None,
        captions: Iterable[Iterable[str]] | None = None,
    ) -> None:
        """Writes one shard.

        Args:
            samples: One of `missing()`.
            labels: Of these samples.
            images: For each version, for each sample, (h, w, 3) RGB, or a JPEG file's content.
            masks: For each sample, (h, w) True = hand; only the training part has any.
            captions: For each version, for each sample, a sentence. FreiHAND has none; `*_caption.json` is ours.
        """
        for version, row in enumerate(images):
            for sample, image in zip(samples, row, strict=True):
                self._jpeg("rgb", sample + version * self.count, image, "RGB")
        for sample, mask in zip(samples, masks, strict=True) if masks is not None else ():
            self._jpeg("mask", sample, np.ascontiguousarray(mask[..., None] * np.uint8(255)), "GRAY")
        path = self._shard(samples)
        arrays = {name: value for name, value in vars(labels).items() if value is not None}
        if said := list(captions or ()):
            arrays["caption"] = np.array([list(row) for row in said])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        with draft.open("wb") as file:
            np.savez(file, **arrays)
        os.replace(draft, path)

    def finish(self, *, labels: bool = True) -> None:
        """Joins the shards to the published label files.

        Args:
            labels: False writes only cameras and scales, as the evaluation part was first published.
        """
        if missing := self.missing():
            raise ValueError(f"{self.root}: {len(missing)} shards of {self.part} are not written. Write them first.")
        kinds = (
            ("scale", "xyz", "verts", "mano", "side", "caption", "K") if labels else ("scale", "K")
        )  # K last: it says "finished"
        for kind in () if self.finished else kinds:
            self._json(kind)
        for parts in self.root.glob(f".{self.part}-*"):  # also those of a writer with other numbers
            shutil.rmtree(parts)

    def _shard(self, samples: range) -> Path:
        return self._parts / f"{samples.start:08d}.npz"

    def _jpeg(self, folder: str, number: int, image: ByteArray | bytes, space: str) -> None:
        path = self.root / self.part / folder / f"{number:08d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        chroma = "Gray" if space == "GRAY" else "420"
        if isinstance(image, bytes):
            draft.write_bytes(image)
        else:
            draft.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), self.quality, space, chroma))
        os.replace(draft, path)

    def _json(self, kind: str) -> None:
        path = self.root / f"{self.part}_{kind}.json"
        draft = path.with_suffix(".tmp")
        with draft.open("w") as file:
            start = "["
            for entry in self._captions() if kind == "caption" else self._entries(kind):
                file.write(start + json.dumps(entry.tolist()))
                start = ", "
            file.write("]")
        if start == "[":
            draft.unlink()  # a kind of label that was not given
        else:
            os.replace(draft, path)

    def _captions(self) -> Iterator[np.ndarray]:
        """As the images are numbered: all of the first version, then the next."""
        for version in range(self.versions):
            for path in sorted(self._parts.glob("*.npz")):
                with np.load(path) as shard:
                    yield from shard["caption"][version] if "caption" in shard else ()

    def _entries(self, kind: str) -> Iterator[np.ndarray]:
        for path in sorted(self._parts.glob("*.npz")):
            with np.load(path) as shard:
                joints = shard["joints"].astype(np.float64)
                if kind == "scale":
                    values = np.linalg.norm(joints[:, ROOT_JOINT] - joints[:, SCALE_JOINT], axis=-1)
                elif kind in ("mano", "side") and kind not in shard:
                    values = np.empty(0)
                elif kind == "mano":
                    values = shard["mano"][:, None]
                else:
                    values = shard[{"K": "intrinsics", "xyz": "joints", "verts": "vertices", "side": "side"}[kind]]
            yield from np.round(values.astype(np.float64), _DECIMALS)
