"""What every dataset of hands does alike: views, loaders, mixed batches, resuming, images to the device as bytes."""

import os
import warnings
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from datamodules.augment import Augment
from datamodules.batches import Batch, Numbered, PoseSource, TrainBatches, TrainLoader, one_thread
from datamodules.crop_cache import CropScenes, reach_of
from datamodules.folders import not_a_folder
from datamodules.framing import Crop, Fit
from datamodules.hand_view import HandView
from datamodules.scene import Scenes, Split
from datamodules.scene_view import SceneView

_AUGMENT = Augment()


class HandData(LightningDataModule, ABC):
    """A dataset of hands as batches of crops, or of whole pictures with their text and meshes.

    Training batch number k is a function of the seed and of k, so that a resumed run sees what an uninterrupted one
    would have seen. Datasets say how to read a split, and may add an endless source of pose-only hands.

    Args:
        batch_size: Rows a batch on one device.
        size: Side of a crop, or of a whole picture, pixels.
        margin: Side of a crop over the longer side of the box of the hand's joints.
        images: Whether rows have images at all.
        image_fraction: Part of a training batch that has images; the other rows are pose-only.
        batches_per_epoch: Length of a training epoch; None is once through the images.
        augment: Random changes of training crops; null for none. Whole pictures are never changed.
        workers: Processes that read ahead; 0 reads in the training process.
        seed: Decides order and random changes.
        rows: "hands" for a crop of each hand, left ones mirrored; "scenes" for whole pictures.
        fit: How a whole picture becomes a square: "crop" fills it and keeps the hands in view, "pad" shows all of it
            between black bars, "stretch" gives up its aspect.
        crop: The part of a whole picture that is shown larger: "robust" for a square around all hands, "official" for
            the first two outlines in the picture of their meshes, as AttentionHand's released code takes it.
        crop_cache: Folder where the pictures of training hands are kept cut out, which reads several times faster;
            None cuts them every time. Only for rows of hands.
        crop_reach: Side of what is kept there over the side of a crop; None is all that `augment` can show.
    """

    def __init__(
        self,
        batch_size: int = 64,
        size: int = 96,
        margin: float = 1.5,
        images: bool = True,
        image_fraction: float = 1.0,
        batches_per_epoch: int | None = None,
        augment: Augment | None = _AUGMENT,
        workers: int = 0,
        seed: int = 0,
        rows: Literal["hands", "scenes"] = "hands",
        fit: Fit = "crop",
        crop: Crop = "robust",
        crop_cache: str | os.PathLike[str] | None = None,
        crop_reach: float | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= image_fraction <= 1:
            raise ValueError(
                f"image_fraction={image_fraction} is not a part of a batch. "
                "Set --data.image_fraction to a number from 0 to 1."
            )
        if batch_size < 1 or size < 8 or workers < 0 or (batches_per_epoch is not None and batches_per_epoch < 1):
            raise ValueError(
                f"batch_size={batch_size}, size={size}, workers={workers}, batches_per_epoch={batches_per_epoch}: "
                "at least 1 row, 8 pixels, 0 workers and 1 batch are needed. Set --data.NAME of the one that is less."
            )
        if crop_cache is not None and rows == "scenes":
            raise ValueError(
                f"crop_cache={crop_cache} keeps crops of hands, but rows=scenes reads whole pictures. Leave "
                "--data.crop_cache out, or set --data.rows hands."
            )
        self.batch_size = batch_size
        self.size = size
        self.margin = margin
        self.images = images
        self.image_fraction = image_fraction
        self.batches_per_epoch = batches_per_epoch
        self.augment = augment
        self.workers = workers
        self.seed = seed
        self.rows = rows
        self.meshes = True  # False: nobody looks at pictures of meshes, so whole scenes come without
        self.fit: Fit = fit
        self.crop: Crop = crop
        self.crop_cache = None if crop_cache is None else Path(crop_cache).expanduser()
        self.crop_reach = crop_reach

    @abstractmethod
    def scenes(self, split: Split) -> Scenes | None:
        """The scenes of a split; None only for a training split that is all `poses`."""

    @property
    def tips(self) -> tuple[int, ...] | None:
        """Vertices that the labels use as thumb, index, middle, ring, pinky tip; None when they are the model's own."""
        return None

    def poses(self) -> PoseSource | None:
        """Where pose-only training rows come from, hands or scenes; None takes them from the training scenes."""
        return None

    def view(self, split: Split) -> HandView | SceneView:
        """The rows of a split as `rows` says."""
        return self.scene_view(split) if self.rows == "scenes" else self.hand_view(split)

    def scene_view(self, split: Split) -> SceneView:
        """Whole scenes of a split."""
        scenes = self._some_scenes(split)
        return SceneView(
            scenes,
            self.size,
            fit=self.fit,
            crop=self.crop,
            seed=self.seed,
            images=self.images,
            meshes=self.meshes,
        )

    def hand_view(self, split: Split) -> HandView:
        """The hands of a split as crops, which only in training are varied."""
        scenes = self._some_scenes(split)
        augment = self.augment if split == "train" else None
        if self.crop_cache is not None and self.images and split == "train":
            reach = reach_of(augment) if self.crop_reach is None else self.crop_reach
            scenes = CropScenes(scenes, self.crop_cache, self.size, self.margin, reach)
        view = HandView(scenes, self.size, self.margin, augment=augment, seed=self.seed, images=self.images)
        if not len(view):
            raise ValueError(
                f"The {split} split of {type(self).__name__} has {len(scenes)} pictures and no labelled hand in them. "
                "Change --data.root, or the options that leave hands out; --data.rows scenes reads whole pictures."
            )
        return view

    def _some_scenes(self, split: Split) -> Scenes:
        scenes = self.scenes(split)
        if scenes is None:
            raise ValueError(f"{type(self).__name__} has no scenes in its {split} split. Choose another split.")
        return scenes

    def train_batches(self) -> Numbered:
        """The training batches by number, for this device."""
        poses = self.poses()
        image_rows = round(self.batch_size * self.image_fraction) if self.images else 0
        view = None if poses is not None and not image_rows else self.view("train")
        return TrainBatches(
            view,
            poses,
            size=self.batch_size,
            image_rows=image_rows,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world=self.trainer.world_size if self.trainer else 1,
        )

    def train_dataloader(self) -> TrainLoader:
        batches = self.train_batches()
        length = self.batches_per_epoch or batches.once_through()
        part: int | float = getattr(self.trainer, "overfit_batches", 0)
        if part:
            batches.cycle = max(1, int(part * length) if isinstance(part, float) else part)
        return TrainLoader(batches, length, self._reached, self.workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._in_order("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._in_order("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._in_order("predict")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pictures travel to the device as bytes and become numbers in [0, 1] there."""
        bytes_of = {
            key: value for key, value in batch.items() if isinstance(value, torch.Tensor) and value.dtype == torch.uint8
        }
        numbers = {key: value.float() / 255 for key, value in bytes_of.items()}
        return {**batch, **numbers}  # type: ignore[return-value]

    def _reached(self) -> int:
        """Batches trained on so far. Unlike the other counters this one neither restarts nor runs ahead."""
        progress: Any = self.trainer and self.trainer.fit_loop.epoch_loop.batch_progress.total
        return progress.processed if progress else 0

    def _in_order(self, split: Split) -> DataLoader[Batch]:
        warnings.filterwarnings("ignore", r".*does not have many workers")  # that is the user's --data.workers
        return DataLoader(
            self.view(split),
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=_as_is,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=one_thread,
        )


class FolderData(HandData, ABC):
    """A dataset that lies in a folder of the user's, because it may not be passed on.

    Args:
        root: The dataset's folder.
        mano: Folder of MANO_RIGHT and MANO_LEFT, which make meshes of MANO parameters. Datasets that store meshes do
            without; those that `data synth` made bring their own hand.
        cache: Folder for indexes and parsed label files; None is the user's cache.
        options: Of `HandData`.
    """

    title: ClassVar[str]  # the dataset's name for people
    source: ClassVar[str]  # what to get, and where

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        mano: str | os.PathLike[str] | None = None,
        cache: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._root = None if root is None else Path(root).expanduser()
        self.mano = None if mano is None else Path(mano).expanduser()
        self.cache = None if cache is None else Path(cache).expanduser()

    @property
    def root(self) -> Path:
        """The dataset's folder.

        Raises:
            FileNotFoundError: None was given, or it is not there or not a folder.
        """
        if self._root is None:
            raise FileNotFoundError(
                f"{self.title} needs a folder, because the dataset may not be passed on. Get {self.source} and pass "
                "--data.root."
            )
        if said := not_a_folder(self._root):
            raise FileNotFoundError(said)
        return self._root


def held_out_part(val_fraction: float) -> float:
    """The part of the training rows that validation takes, if it is one.

    Raises:
        ValueError: It would take none or all.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction={val_fraction} leaves nothing. Set --data.val_fraction between 0 and 1.")
    return val_fraction


def _as_is(batch: Any) -> Any:
    return batch
