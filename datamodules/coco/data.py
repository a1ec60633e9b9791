"""MSCOCO's hands: photographs of people, keypoints of both hands, captions, fitted MANO parameters."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.base import FolderData
from datamodules.coco.camera import keep_pixels, made_up_camera
from datamodules.coco.files import PARTS, Files, Part, find_annotations, find_files
from datamodules.coco.index import SIDES, Index
from datamodules.hand_models import absolute, find_models, moved, pose_hands, say_no_mesh
from datamodules.photos import read_photo
from datamodules.scene import BoolArray, FloatArray, HandModels, ManoPose, Scene, SceneHand, Scenes, Split
from zoo.hands.model import HandModel
from zoo.hands.skeleton import LEFT, RIGHT

TIPS = (745, 317, 445, 556, 673)  # those of InterHand2.6M's regressor, which the parameters were fitted with
HALF_PIXEL = 0.5
SHARE = 0.02  # of the hand's size in the picture; people who label it differ by more
SMALLEST, OF_PERSON = 8.0, 0.12  # side of a crop's box, pixels, and over the longer side of the person's
_EVERY = 8  # vertices that decide where a hand goes


class COCOScenes(Scenes):
    """People of one part; one scene is one person with up to two hands.

    Each of NeuralAnnot's hands has a camera of its own. The scene's camera is that of the hand seen with the
    longer focal length; the other hand is moved rigidly so that it keeps its pixels. How far one hand is
    behind the other means nothing, before and after. A hand that cannot keep them to half a pixel, or two hundredths
    of its size, keeps its keypoints and loses its parameters. Pictures without parameters get a made-up camera.

    Args:
        index: The labels.
        models: Of the parameters; None leaves the parameters out.
        focal: Focal length of made-up cameras over the longer side of the picture.
        seed: With the scene's number it chooses among the captions.
    """

    def __init__(self, index: Index, models: HandModels | None = None, focal: float = 1.2, seed: int = 0) -> None:
        self.index = index
        self.models = models
        self.focal = focal
        self.seed = seed

    def __len__(self) -> int:
        return len(self.index.arrays["annotation"])

    def sides(self) -> BoolArray:
        return np.array(self.index.arrays["hands"])

    def captions(self, index: int) -> list[str]:
        """All captions of a scene's picture; about five, none where the file is not there."""
        return self.index.captions(int(self.index.arrays["image"][index]))

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        arrays = self.index.arrays
        row = int(arrays["image"][index])
        height, width = arrays["size"][row].tolist()
        path = self.index.files.images / bytes(arrays["file"][row]).decode()
        picture = read_photo(path) if image else None
        size = (height, width) if picture is None else picture.shape[:2]
        camera, poses = self._poses(index, size)
        hands = {side: self._hand(index, side, poses.get(side)) for side in SIDES if arrays["hands"][index, side]}
        captions = self.index.captions(row)
        chosen = int(np.random.default_rng((self.seed, index)).integers(len(captions))) if captions else 0
        return Scene(
            index=index,
            size=size,
            intrinsics=camera,
            hands=hands,
            image=picture,
            caption=captions[chosen] if captions else None,
            name=f"{path.parent.name}/{path.stem}/{int(arrays['annotation'][index])}",
        )

    def _hand(self, index: int, side: int, pose: ManoPose | None) -> SceneHand:
        points = np.array(self.index.arrays["keypoints"][index, side])
        labelled = points[:, 2] > 0
        pixels = np.where(labelled[:, None], points[:, :2], 0).astype(np.float32)
        low, high = pixels[labelled].min(0), pixels[labelled].max(0)
        box = None
        least = max(SMALLEST, OF_PERSON * float(self.index.arrays["box"][index, 2:].max()))
        if (high - low).max() < least / 4:  # one joint, or a few in one place: a crop needs a size
            middle = (low + high) / 2
            box = np.concatenate((middle - least / 2, middle + least / 2)).astype(np.float32)
        return SceneHand(side, joints2d=pixels, joints2d_valid=labelled, box=box, pose=pose)

    def _poses(self, index: int, size: tuple[int, int]) -> tuple[FloatArray, dict[int, ManoPose]]:
        rows = self.index.arrays["mano_row"][index]
        models = self.models
        if models is None or (rows < 0).all():
            return made_up_camera(size, self.focal), {}
        fits = {side: self._fit(models[side], int(rows[side])) for side in (RIGHT, LEFT) if rows[side] >= 0}
        longest = max(fits, key=lambda side: float(fits[side][1][0, 0]))  # which the other one loses least before
        pose, camera = fits.pop(longest)
        poses = {longest: pose}
        for side, (other, own) in fits.items():
            if np.array_equal(own, camera):
                poses[side] = other
            elif (found := keep_in_picture(models, side, other, own, camera)) is not None:
                poses[side] = found
        return camera, poses

    def _fit(self, model: HandModel, row: int) -> tuple[ManoPose, FloatArray]:
        """A hand's parameters and its own camera."""
        numbers = np.array(self.index.arrays["mano"][row])
        camera = np.diag([numbers[61], numbers[62], 1]).astype(np.float32)
        camera[:2, 2] = numbers[63:]
        return ManoPose(absolute(model, numbers[:48]), numbers[48:58], numbers[58:61]), camera


def keep_in_picture(
    models: HandModels, side: int, pose: ManoPose, own: FloatArray, other: FloatArray
) -> ManoPose | None:
    """The parameters of a hand before another camera that sees it where its own did; None where none does.

    Args:
        models: By side.
        side: 0 = left, 1 = right.
        pose: In the frame of its own camera.
        own: (3, 3) its camera, pixels.
        other: (3, 3) the other one.
    """
    vertices = pose_hands(models, [side], [pose])[0][0].numpy()
    if (vertices[:, 2] <= 0).any():
        return None
    some = vertices[::_EVERY]
    rotation, translation, worst = keep_pixels(some, own, other)
    rays = some @ own.T
    extent = float(np.ptp(rays[:, :2] / rays[:, 2:], axis=0).max())
    if not worst <= max(HALF_PIXEL, SHARE * extent):
        return None
    return moved(models[side], pose, rotation.astype(np.float32), translation.astype(np.float32))


class COCO(FolderData):
    """MSCOCO: hands of people in photographs (Lin et al. 2014; COCO-WholeBody, Jin et al. 2020).

    People are chosen by InterWild's rules: no crowds, at least one body joint and one hand labelled, a sane box.
    Training has MANO parameters where NeuralAnnot's file (Moon et al. 2022) is there; validation has keypoints only.

    Args:
        root: Folder that holds `annotations/` and `images/`.
        annotations: COCO-WholeBody's file if it has another name; it then stands for all splits.
        images_root: Folder of the photographs if it is another one.
        focal: Focal length, over the longer side, of pictures whose camera nobody fitted. Their depth means nothing.
        fix_left: Whether MANO's left hand gets the mirrored shape directions that InterWild gives it; None does so
            where the file needs it, as InterWild. NeuralAnnot's own demonstration does not: false.
        options: Of `FolderData`.
    """

    title = "MSCOCO"
    source = "COCO's 2017 images and captions, COCO-WholeBody's annotations and NeuralAnnot's MANO parameters"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        annotations: str | os.PathLike[str] | None = None,
        images_root: str | os.PathLike[str] | None = None,
        focal: float = 1.2,
        fix_left: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        if not focal > 0:
            raise ValueError(f"focal={focal} is no camera. Set --data.focal above 0; 1.2 is usual.")
        self.annotations = None if annotations is None else Path(annotations).expanduser()
        self.images_root = None if images_root is None else Path(images_root).expanduser()
        self.focal = focal
        self.fix_left = fix_left

    def prepare_data(self) -> None:
        """Reads the annotation files once, before any other process needs them."""
        there = [part for part in PARTS if find_annotations(self.root, part, self.annotations)]
        for part in there or PARTS[:1]:
            self.index(part).arrays  # noqa: B018

    def index(self, part: Part) -> Index:
        """The labels of a part."""
        return Index(self.files(part), self.cache)

    def files(self, part: Part) -> Files:
        """Where a part lies."""
        return find_files(self.root, part, self.annotations, self.images_root)

    @cached_property
    def models(self) -> HandModels | None:
        """The hands that the parameters belong to."""
        return find_models(self.root, self.mano, TIPS, self.fix_left)

    def scenes(self, split: Split) -> COCOScenes:
        part: Part = "train" if split == "train" else "val"
        index = self.index(part)
        if not len(index.arrays["annotation"]):
            raise ValueError(
                f"{index.files.annotations} has nobody with a labelled hand. Change --data.root or --data.annotations."
            )
        _look_for_images(index)
        if len(index.arrays["mano"]) and self.models is None:
            say_no_mesh(self.root)
        return COCOScenes(index, self.models, self.focal, self.seed)


def _look_for_images(index: Index) -> None:
    folder = index.files.images
    used = index.arrays["file"][np.unique(index.arrays["image"])]
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not there, but COCO keeps its images in it. Unpack them there, or name their folder with "
            "--data.images_root."
        )
    missing = used[~np.isin(used, np.array([os.fsencode(name) for name in os.listdir(folder)], "S"))]
    if len(missing):
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(used)} images that have hands; {missing[0].decode()} is the "
            "first. Unpack the archive again, or name the right folder with --data.images_root; `python -m zoo data "
            "check coco` tells more."
        )
