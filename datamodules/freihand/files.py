"""The files of FreiHAND v2's layout: which are there, what shape they must have, how one is read.

Zimmermann et al. 2019, https://github.com/lmb-freiburg/freihand. Metres, OpenCV camera, SNAP-21 joints regressed from
the posed mesh. Image `i` of the training part is version `i // n` of sample `i % n`.
"""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from datamodules.freihand.writer import Part
from datamodules.json_arrays import JsonArray
from datamodules.photos import photo_size
from datamodules.scene import FloatArray, IntArray
from zoo.hands.skeleton import RIGHT

SHAPES: dict[str, tuple[int, ...]] = {
    "K": (3, 3),
    "scale": (),
    "xyz": (21, 3),
    "verts": (778, 3),
    "mano": (1, 61),
    "side": (),
}
LABELS = ("xyz", "verts")
SIZE = (224, 224)  # height and width of the published images, pixels
TIPS = (744, 320, 443, 555, 672)  # vertices of MANO that the published labels use as thumb to pinky tip
VERSIONS = ("gs", "hom", "sample", "auto")  # green screen, then three ways to replace it
EVAL_SIBLING = "FreiHAND_pub_v2_eval"
_SAME_POINT = 1e-5  # metres


class ManoEntry(NamedTuple):
    """FreiHAND's MANO numbers of one hand.

    Args:
        pose: (48,) axis-angle, radians; the last 45 are relative to the model's `hands_mean`.
        betas: (10,) standard deviations.
        root_pixel: (2,) pixel of joint 9.
        scale: Focal length over the depth of joint 9; not the bone length of `*_scale.json`.
    """

    pose: FloatArray
    betas: FloatArray
    root_pixel: FloatArray
    scale: float


class FreiHANDPart:
    """The files of the training or the evaluation part.

    Args:
        root: The dataset's folder.
        part: `training` or `evaluation`.
        labels: Folder of the label files if it is another one.
        cache: Folder for parsed label files; None is the user's cache.
        photos: False for labels alone: each sample counts once, and its photographs need not be there.
    """

    def __init__(
        self, root: Path, part: Part, labels: Path | None = None, cache: Path | None = None, *, photos: bool = True
    ) -> None:
        self.root = Path(root)
        self.part = part
        self.photos = photos
        folder = Path(labels or root)
        own = {kind: folder / f"{part}_{kind}.json" for kind in SHAPES}
        self.paths = {kind: path if path.is_file() else self.root / path.name for kind, path in own.items()}
        self.arrays = {
            kind: JsonArray(path, SHAPES[kind], cache) for kind, path in self.paths.items() if path.is_file()
        }
        if "K" not in self.arrays:
            inner = sorted(path.parent for path in self.root.glob(f"*/{part}_K.json"))
            raise FileNotFoundError(
                f"{self.paths['K']} is not there, but FreiHAND v2 has it. "
                + (
                    f"Pass --data.root {inner[0]}, which does."
                    if inner
                    else "Unpack FreiHAND_pub_v2 (from its authors' page) and pass its folder with --data.root."
                )
            )
        if re.search(r"pub_v1\b", str(self.root.resolve())):
            raise ValueError(
                f"{self.root} is FreiHAND v1, whose meshes belong to an older hand model. Unpack FreiHAND_pub_v2 and "
                "pass its folder with --data.root."
            )
        here, sibling = self.root / part / "rgb", folder / part / "rgb"
        self.images = here if here.is_dir() or not sibling.is_dir() else sibling
        self.masks = self.root / part / "mask"

    @property
    def labelled(self) -> bool:
        """Whether joints and meshes are there."""
        return all(kind in self.arrays for kind in LABELS)

    @cached_property
    def samples(self) -> int:
        """Unique samples; every label file must agree."""
        count = len(self.arrays["K"])
        for kind, array in self.arrays.items():
            if kind in ("K", "mano", "scale"):
                continue  # `data check` reads these; training does not need them
            self._refuse_another_length(array, count)
        if not count:
            raise ValueError(f"{self.paths['K']} is an empty list. Unpack FreiHAND_pub_v2 again or change --data.root.")
        return count

    def _refuse_another_length(self, array: JsonArray, count: int) -> None:
        if len(array) != count:
            raise ValueError(
                f"{array.path} has {len(array)} entries where {self.paths['K'].name} has {count}. Files of one "
                "dataset must agree: do not mix FreiHAND v1 and v2. Unpack it again or change --data.root."
            )

    @cached_property
    def versions(self) -> int:
        """Images a sample: 4 or 1 in the training part, 1 in the evaluation part, 1 where nobody looks at them."""
        if not self.photos:
            return 1
        found = image_numbers(self.images)
        allowed = (len(VERSIONS), 1) if self.part == "training" else (1,)
        for versions in allowed:
            if len(found) == versions * self.samples and found[-1] == len(found) - 1:
                return versions
        wanted = " or ".join(str(v * self.samples) for v in allowed)
        absent = np.setdiff1d(np.arange(self.samples * allowed[0 if len(found) > self.samples else -1]), found)
        raise FileNotFoundError(
            f"{self.images} holds {len(found)} images named 00000000.jpg and on; {self.samples} samples need {wanted}"
            + (f", and {absent[0]:08d}.jpg is the first that is missing" if len(absent) else "")
            + ". Unpack the archive again, or change --data.root; `python -m zoo data check freihand` tells more."
        )

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels, of the first image; as published where nobody looks and it is not there."""
        first = self.images / f"{0:08d}.jpg"
        return photo_size(first) if self.photos or first.is_file() else SIZE

    @cached_property
    def sides(self) -> IntArray:
        """(samples,) 0 = left, 1 = right; the published dataset has right hands only."""
        if "side" not in self.arrays:
            return np.full(self.samples, RIGHT)
        return np.asarray(self.arrays["side"].array, np.int64)

    @cached_property
    def tips(self) -> tuple[int, ...] | None:
        """The vertices that the labels use as finger tips, thumb to pinky; None if tips are no vertices."""
        some = slice(0, 16)
        tips = self.arrays["xyz"].array[some, 4::4]
        gaps = np.linalg.norm(tips[:, :, None] - self.arrays["verts"].array[some, None], axis=-1).max(0)
        return tuple(gaps.argmin(-1).tolist()) if (gaps.min(-1) < _SAME_POINT).all() else None

    @cached_property
    def captions(self) -> list[str] | None:
        """A sentence an image; the published dataset has none, pictures of ours may."""
        path = self.root / f"{self.part}_caption.json"
        if not path.is_file():
            return None
        said: list[str] = orjson.loads(path.read_bytes())
        if not self.photos:
            said = said[: self.samples]  # those of the first version
        if len(said) != self.samples * self.versions:
            raise ValueError(
                f"{path} has {len(said)} sentences for {self.samples * self.versions} images. Make the dataset again "
                "or change --data.root."
            )
        return said

    def mano(self, sample: int) -> ManoEntry:
        """The MANO numbers of a sample; rougher than its mesh, which is why crops use the mesh."""
        if "mano" not in self.arrays:
            raise FileNotFoundError(
                f"{self.paths['mano']} is not there. Unpack the dataset again or change --data.root."
            )
        self._refuse_another_length(self.arrays["mano"], self.samples)
        numbers = self.arrays["mano"][sample][0]
        return ManoEntry(numbers[:48], numbers[48:58], numbers[58:60], float(numbers[60]))


def find_evaluation(
    root: Path, eval_root: Path | None = None, cache: Path | None = None, *, photos: bool = True
) -> FreiHANDPart | None:
    """The evaluation part with its labels from `eval_root`, `root` or the folder they are published in beside it.

    Args:
        root: The dataset's folder.
        eval_root: Where the labels must be; None looks in the other two places.
        cache: Folder for parsed label files; None is the user's cache.
        photos: As for `FreiHANDPart`.
    """
    if eval_root is not None and not (eval_root / "evaluation_xyz.json").is_file():
        raise FileNotFoundError(
            f"{eval_root / 'evaluation_xyz.json'} is not there, but the evaluation labels must have it. Unpack "
            f"{EVAL_SIBLING} and pass its folder with --data.eval_root, or leave the option out."
        )
    sibling = root.resolve().parent / EVAL_SIBLING
    labels = eval_root
    if labels is None and not (root / "evaluation_xyz.json").is_file() and (sibling / "evaluation_xyz.json").is_file():
        labels = sibling
    if labels is None and not (root / "evaluation_K.json").is_file():
        return None
    return FreiHANDPart(root, "evaluation", labels, cache, photos=photos)


def image_numbers(folder: Path) -> IntArray:
    """The numbers of the images `%08d.jpg` in a folder, sorted."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not there, but FreiHAND keeps its images in it. Unpack the whole archive or change "
            "--data.root."
        )
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    return np.sort(np.array([int(name[:8]) for name in names if _IMAGE.fullmatch(name)], np.int64))


_IMAGE = re.compile(r"\d{8}\.jpg")
