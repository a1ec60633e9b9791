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
from datamodules.photos import of_size, read_photo
from datamodules.scene import BoolArray, ByteArray, FloatArray, HandModels, ManoPose, Scene, SceneHand, Scenes, Split
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
        people: Rows of the index; None for all.
    """

    def __init__(
        self,
        index: Index,
        models: HandModels | None = None,
        focal: float = 1.2,
        seed: int = 0,
        people: range | None = None,
    ) -> None:
        self.index = index
        self.people = range(len(index.arrays["annotation"])) if people is None else people
        self.models = models
        self.focal = focal
        self.seed = seed

    def __len__(self) -> int:
        return len(self.people)

    def sides(self) -> BoolArray:
        return np.array(self.index.arrays["hands"][self.people.start : self.people.stop])

    def captions(self, index: int) -> list[str]:
        """All captions of a scene's picture; about five, none where the file is not there."""
        return self.index.captions(int(self.index.arrays["image"][self.people[index]]))

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        arrays, person = self.index.arrays, self.people[index]
        row = int(arrays["image"][person])
        path, size = self._path(index), self._size(index)
        camera, poses = self._poses(person, size)
        hands = {side: self._hand(person, side, poses.get(side)) for side in SIDES if arrays["hands"][person, side]}
        captions = self.index.captions(row)
        chosen = int(np.random.default_rng((self.seed, index)).integers(len(captions))) if captions else 0
        return Scene(
            index=index,
            size=size,
            intrinsics=camera,
            hands=hands,
            image=of_size(read_photo(path), size, path) if image else None,
            caption=captions[chosen] if captions else None,
            name=f"{path.parent.name}/{path.stem}/{int(arrays['annotation'][person])}",
        )

    def picture(self, index: int) -> ByteArray:
        path = self._path(index)
        return of_size(read_photo(path), self._size(index), path)

    def _size(self, index: int) -> tuple[int, int]:
        height, width = self.index.arrays["size"][int(self.index.arrays["image"][self.people[index]])].tolist()
        return height, width

    def _path(self, index: int) -> Path:
        row = int(self.index.arrays["image"][self.people[index]])
        return self.index.files.images / bytes(self.index.arrays["file"][row]).decode()

    def _hand(self, person: int, side: int, pose: ManoPose | None) -> SceneHand:
        points = np.array(self.index.arrays["keypoints"][person, side])
        labelled = points[:, 2] > 0
        pixels = np.where(labelled[:, None], points[:, :2], 0).astype(np.float32)
        low, high = pixels[labelled].min(0), pixels[labelled].max(0)
        box = None
        least = max(SMALLEST, OF_PERSON * float(self.index.arrays["box"][person, 2:].max()))
        if (high - low).max() < least / 4:  # one joint, or a few in one place: a crop needs a size
            middle = (low + high) / 2
            box = np.concatenate((middle - least / 2, middle + least / 2)).astype(np.float32)
        return SceneHand(side, joints2d=pixels, joints2d_valid=labelled, box=box, pose=pose)

    def _poses(self, person: int, size: tuple[int, int]) -> tuple[FloatArray, dict[int, ManoPose]]:
        rows = self.index.arrays["mano_row"][person]
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
    Training has MANO parameters where NeuralAnnot's file (Moon et al. 2022) is there; val2017, which is test and
    predict, has keypoints only. So meshes are validated on held-out training images; where none are, on val2017.

    Args:
        root: Folder that holds `annotations/` and `images/`.
        annotations: COCO-WholeBody's file if it has another name; it then stands for all splits.
        images_root: Folder of the photographs if it is another one.
        focal: Focal length, over the longer side, of pictures whose camera nobody fitted. Their depth means nothing.
        fix_left: Whether MANO's left hand gets the mirrored shape directions that InterWild gives it; None does so
            where the file needs it, as InterWild. NeuralAnnot's own demonstration does not: false.
        held_out: Part of the training images that validation takes where meshes can be made; 0 validates on val2017.
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
        held_out: float = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        if not focal > 0:
            raise ValueError(f"focal={focal} is no camera. Set --data.focal above 0; 1.2 is usual.")
        if not 0 <= held_out < 1:
            raise ValueError(f"held_out={held_out} leaves nothing. Set --data.held_out from 0 to below 1.")
        self.annotations = None if annotations is None else Path(annotations).expanduser()
        self.images_root = None if images_root is None else Path(images_root).expanduser()
        self.focal = focal
        self.fix_left = fix_left
        self.held_out = held_out

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
        if split == "val" and self._holds_out:
            return self._training(validation=True)
        if split == "train":
            return self._training(validation=False)
        return COCOScenes(self._index_with_people("val"), self.models, self.focal, self.seed)

    @property
    def _holds_out(self) -> bool:
        if not self.held_out or self.models is None or find_annotations(self.root, "train", self.annotations) is None:
            return False
        return bool(len(self.index("train").arrays["mano"]))

    def _training(self, *, validation: bool) -> COCOScenes:
        index = self._index_with_people("train")
        image = index.arrays["image"]
        if len(index.arrays["mano"]) and self.models is None:
            say_no_mesh(self.root)
        count = len(image)
        if self._holds_out:
            images = np.unique(image)  # people are sorted by them
            late = images[-max(1, round(len(images) * self.held_out))]
            count = int(np.searchsorted(image, late))
        if not count:
            raise ValueError(
                f"{index.files.annotations} has one image with hands, and validation takes it. Set --data.held_out 0."
            )
        people = range(count, len(image)) if validation else range(count)
        return COCOScenes(index, self.models, self.focal, self.seed, people)

    def _index_with_people(self, part: Part) -> Index:
        index = self.index(part)
        if not len(index.arrays["annotation"]):
            raise ValueError(
                f"{index.files.annotations} has nobody with a labelled hand. Change --data.root or --data.annotations."
            )
        if self.images:
            _look_for_images(index)
        return index


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
