"""FreiHAND v2 as published, read unmodified: any number of samples, four versions or one, evaluation labels if any."""

import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.base import FolderData, held_out_part
from datamodules.freihand.files import EVAL_SIBLING, LABELS, FreiHANDPart, find_evaluation
from datamodules.hand_models import absolute, find_models, pose_hands
from datamodules.photos import of_size, read_jpeg
from datamodules.scene import (
    BoolArray,
    ByteArray,
    FloatArray,
    HandArrays,
    HandModels,
    IntArray,
    ManoPose,
    Scene,
    SceneHand,
    Scenes,
    Split,
)
from zoo.hands.skeleton import LEFT, RIGHT


class FreiHANDScenes(Scenes):
    """Images of one part.

    Args:
        part: Where they are.
        numbers: Of the images, (n,); None for all.
        models: Whose faces the meshes have, where they are known.
        poses: Gives hands their parameters too, where the models are known.
    """

    def __init__(
        self,
        part: FreiHANDPart,
        numbers: IntArray | None = None,
        models: HandModels | None = None,
        *,
        poses: bool = False,
    ) -> None:
        self.part = part
        self.models = models
        self.poses = poses and models is not None and "mano" in part.arrays
        self.numbers = np.arange(part.samples * part.versions) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def sides(self) -> BoolArray:
        side = self.part.sides[self.numbers % self.part.samples]
        return np.stack([side == LEFT, side == RIGHT], axis=1)

    def read(self, index: int, *, image: bool = True, mask: bool = False) -> Scene:
        number = int(self.numbers[index])
        sample = number % self.part.samples
        side = int(self.part.sides[sample])
        labels = {kind: self.part.arrays[kind][sample] for kind in LABELS if kind in self.part.arrays}
        picture = self._photo(index, "RGB") if image else None
        pose = self._pose(sample, side, labels["verts"]) if self.poses and "verts" in labels else None
        hand = SceneHand(side, vertices=labels.get("verts"), joints=labels.get("xyz"), pose=pose)
        return Scene(
            index=index,
            size=self.part.image_size if picture is None else picture.shape[:2],
            intrinsics=self.part.arrays["K"][sample],
            hands={side: hand},
            image=picture,
            mask=read_jpeg(self.part.masks / f"{sample:08d}.jpg", "GRAY")[..., 0] > 127 if mask else None,
            caption=None if self.part.captions is None else self.part.captions[number],
            name=f"{self.part.part}/{number:08d}",
        )

    def _pose(self, sample: int, side: int, vertices: FloatArray) -> ManoPose | None:
        """The parameters of a hand; FreiHAND leaves the translation to its mesh."""
        if self.models is None:
            return None
        entry = self.part.mano(sample)
        pose = ManoPose(absolute(self.models[side], entry.pose), entry.betas, np.zeros(3, np.float32))
        posed = pose_hands(self.models, [side], [pose])[0][0].numpy()
        return replace(pose, transl=(vertices - posed).mean(0))

    def picture(self, index: int) -> ByteArray:
        return self._photo(index, "RGBX")

    def _photo(self, index: int, space: Literal["RGB", "RGBX"]) -> ByteArray:
        path = self.part.images / f"{int(self.numbers[index]):08d}.jpg"
        return of_size(read_jpeg(path, space), self.part.image_size, path, "by the first image beside it")

    def arrays(self, scenes: IntArray, sides: IntArray) -> HandArrays | None:
        if not self.part.labelled:
            return None
        samples = self.numbers[scenes] % self.part.samples
        vertices, joints, intrinsics = (self.part.arrays[kind].rows(samples) for kind in ("verts", "xyz", "K"))
        return HandArrays(vertices, joints, intrinsics)


def split_training(
    part: FreiHANDPart, held_out: int, models: HandModels | None = None, *, poses: bool = False
) -> tuple[FreiHANDScenes, FreiHANDScenes]:
    """Training scenes and held-out scenes, which share no sample.

    Args:
        part: The training part.
        held_out: How many of its last samples are kept out, in every version; each is then seen once, the versions
            taking turns.
        models: Whose faces the meshes have, where they are known.
        poses: As for `FreiHANDScenes`.
    """
    kept = part.samples - held_out
    if kept < 1:
        raise ValueError(
            f"{part.root} has {part.samples} training samples, of which {held_out} are held out: none is left. "
            "Set --data.val_fraction lower or take more data."
        )
    image = np.arange(part.samples * part.versions)
    late = np.arange(kept, part.samples)
    turns = late + part.samples * (np.arange(held_out) % part.versions)
    kept_numbers = image[image % part.samples < kept]
    return FreiHANDScenes(part, kept_numbers, models, poses=poses), FreiHANDScenes(part, turns, models, poses=poses)


class FreiHAND(FolderData):
    """FreiHAND v2: 32,560 samples of a right hand, each in four versions (Zimmermann et al. 2019).

    Validation and test are the evaluation part when its labels are there; otherwise validation is the last samples
    of the training part, in all their versions kept out of training.

    Args:
        root: Folder that holds `training/`, `evaluation/` and the label files.
        eval_root: Folder of the evaluation labels; None looks in `root`, then beside it in FreiHAND_pub_v2_eval.
        val_fraction: Part of the training samples that is held out when there are no evaluation labels.
        options: Of `FolderData`.
    """

    title = "FreiHAND"
    source = "FreiHAND_pub_v2 from its authors' page"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        eval_root: str | os.PathLike[str] | None = None,
        val_fraction: float = 0.05,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.eval_root = None if eval_root is None else Path(eval_root).expanduser()
        self.val_fraction = held_out_part(val_fraction)

    def prepare_data(self) -> None:
        """Parses the label files once, before any other process needs them."""
        if self.evaluation is not None:
            self.evaluation.samples  # noqa: B018
        if self.evaluation is None or (self.root / "training_K.json").is_file():
            self.training.samples  # noqa: B018

    @cached_property
    def training(self) -> FreiHANDPart:
        """The training part."""
        part = FreiHANDPart(self.root, "training", cache=self.cache, photos=self.images)
        for kind in LABELS:
            if kind not in part.arrays:
                raise FileNotFoundError(
                    f"{part.paths[kind]} is not there, but training needs it. Unpack FreiHAND_pub_v2 again or change "
                    "--data.root."
                )
        return part

    @cached_property
    def evaluation(self) -> FreiHANDPart | None:
        """The evaluation part, or None where there is none."""
        return find_evaluation(self.root, self.eval_root, self.cache, photos=self.images)

    @property
    def tips(self) -> tuple[int, ...] | None:
        """The vertices that are thumb to pinky tip; 744, 320, 443, 555, 672 in the published files."""
        part = self.evaluation if self.evaluation is not None and self.evaluation.labelled else self.training
        return part.tips

    @cached_property
    def models(self) -> HandModels | None:
        """Whose faces the meshes have: a twin's own hand, or MANO where it was given."""
        return find_models(self.root, self.mano)

    def scenes(self, split: Split) -> Scenes:
        evaluation, poses = self.evaluation, self.rows == "scenes"
        if split == "predict" and evaluation is not None:
            return FreiHANDScenes(evaluation, models=self.models, poses=poses)
        if split in ("val", "test", "predict") and evaluation is not None and evaluation.labelled:
            return FreiHANDScenes(evaluation, models=self.models, poses=poses)
        if split in ("test", "predict"):
            raise FileNotFoundError(
                f"{self.root} has no evaluation {'images' if split == 'predict' else 'labels'}, which {split} needs. "
                f"Unpack {EVAL_SIBLING} beside it, or pass its folder with --data.eval_root."
            )
        held_out = 0
        if evaluation is None or not evaluation.labelled:
            held_out = max(1, round(self.training.samples * self.val_fraction))
        return split_training(self.training, held_out, self.models, poses=poses)[split == "val"]
