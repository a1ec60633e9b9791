"""`test` and `predict` on a dataset with an official evaluation: the file that it takes, and its scores."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from callbacks.console import say
from callbacks.scores import write_metrics
from datamodules.base import HandData
from datamodules.receiver import Receiver
from zoo.batch import HandBatch, Hands
from zoo.commands.placing import in_box, on_pixels, out_of_crop, resized
from zoo.hands.skeleton import WRIST

CONDITIONS = ("image", "skeleton2d", "skeleton3d")  # the first that a model was given is handed in
FOLDER = "official"


def official_output(data: HandData, out: Path) -> "OfficialOutput | None":
    """The callback, for rows that are hands of a dataset whose package has a module `official`; None for others."""
    return OfficialOutput(data, out) if data.rows == "hands" and find_spec(_module(data)) is not None else None


def _module(data: HandData) -> str:
    return f"{type(data).__module__.rpartition('.')[0] or 'datamodules'}.official"


class OfficialOutput(L.Callback):
    """Brings hands of crops back to the images' cameras and hands them in: files in `official`, scores beside ours.

    A model gives hands about their wrists in the frame of a crop. Mirroring is undone. A hand's place is the wrist's
    where the dataset gives that away (HO-3D), or where it lies on the joints that the model was given in 2D, or, where
    it was given the image alone, where its box fills the crop as crops are made.
    Of the conditions that `test` tries, the image is handed in if the model has an image branch, else the skeleton.

    Args:
        data: A dataset with an official evaluation; its rows are hands.
        out: The run's folder.
        bone: Gives hands the size at which one bone has the length that the dataset gives away (FreiHAND's `scale`).
            The protocol allows it, but one bone is a poor measure of a hand. Aligned scores do not change.
    """

    def __init__(self, data: HandData, out: Path, bone: bool = False) -> None:
        self.data = data
        self.out = Path(out)
        self.bone = bone
        self.receiver: Receiver | None = None
        self.given = ""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.given, self.receiver = "", None
        if trainer.world_size == 1:
            split = "test" if stage == "test" else "predict"  # an Enum's name is another string
            self.receiver = import_module(_module(self.data)).official(self.data, split, self.out / FOLDER)
        if self.receiver is None:
            say(
                "No official file or scores: that needs the dataset's evaluation part and one device "
                "(--trainer.devices 1)."
            )

    def on_test_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: HandBatch, *_: Any
    ) -> None:
        if not isinstance(outputs, Mapping):
            return
        self.given = self.given or next((name for name in CONDITIONS if name in outputs), "")
        if self.given in outputs:
            self._keep(outputs[self.given], batch, pixels=self.given != "image")

    def on_predict_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: HandBatch, *_: Any
    ) -> None:
        labelled = bool((batch["joints2d_valid"].sum(-1) > 1).any())  # HO-3D's wrist is no label
        self.given = "everything the dataset knows, labels too" if labelled else "image"
        self._keep(outputs, batch, pixels=labelled)

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._finish()

    def on_predict_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._finish()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self.receiver is not None:
            self.receiver.drop()

    @torch.no_grad()
    def _keep(self, hands: Hands, batch: HandBatch, pixels: bool) -> None:
        """Places the first hypothesis of each row."""
        if self.receiver is None:
            return
        rows = batch["index"].cpu().numpy()
        joints, vertices = hands["joints"][:, 0].float(), hands["vertices"][:, 0].float()
        if self.bone and self.receiver.bones is not None:
            lengths = torch.from_numpy(np.array(self.receiver.bones[rows], np.float32))
            joints, vertices = resized(joints, vertices, lengths.to(joints.device))
        camera, size = batch["intrinsics"], self.data.size
        where = in_box(joints, camera, size, self.data.margin)
        valid = batch["joints2d_valid"]
        if pixels:
            known = on_pixels(joints, batch["joints2d"], valid, camera, size)
            good = (valid.sum(-1, keepdim=True) >= 2) & known.isfinite().all(-1, keepdim=True) & (known[:, 2:] > 0)
            where = torch.where(good, known, where)
        if self.receiver.gives_wrist:
            where = torch.where(batch["joints_valid"][:, [WRIST]], batch["joints"][:, WRIST] - joints[:, WRIST], where)
        placed = (out_of_crop(points + where[:, None], batch["side"]).cpu().numpy() for points in (joints, vertices))
        self.receiver.put(rows, *placed)

    def _finish(self) -> None:
        if self.receiver is None or not self.receiver.seen.any():
            return
        say(self.receiver.write(self.given))
        if (found := self.receiver.score(self.given)) is not None:
            say(f"\n{found}")
            write_metrics(
                self.out / "metrics.json", {f"official/{name}": value for name, value in found.scores.items()}
            )
