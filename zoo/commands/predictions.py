"""`predict` keeps what a model predicts, written whole: hands as one npz file a batch, pictures as PNGs."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from PIL import Image
from torch import Tensor

from zoo.batch import HandBatch, Hands, Painted, SceneBatch
from zoo.hands.meshfile import write_atomically


class Predictions(BasePredictionWriter):
    """Writes `predictions/RANK-BATCH.npz`, or `predictions/INDEX.png` and `predictions/RANK-BATCH.json`.

    Hands: vertices (b, n, 778, 3), joints (b, n, 21, 3), index (b,) and side (b,); metres, wrist at the origin, in the
    frame of the crop, left hands mirrored to right, as the model saw them. Pictures: one file each, named by its row in
    the dataset, and for each batch the names and their prompts.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("batch")
        self.folder = folder

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Hands | Painted,
        batch_indices: Sequence[int] | None,
        batch: HandBatch | SceneBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        name = f"{trainer.global_rank:02d}-{batch_idx:06d}"
        if "images" in prediction:
            self._pictures(name, cast(Painted, prediction))
            return
        arrays: dict[str, Any] = {
            "vertices": prediction["vertices"].float().cpu().numpy(),
            "joints": prediction["joints"].float().cpu().numpy(),
            "index": batch["index"].cpu().numpy(),
            "side": batch["side"].cpu().numpy(),  # type: ignore[typeddict-item]  # of hands
        }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomically(self.folder / f"{name}.npz", file.getvalue())

    def _pictures(self, name: str, painted: Painted) -> None:
        """The prompts come last: a batch that has them has its pictures."""
        names = [f"{row:08d}.png" for row in painted["index"].tolist()]
        for file, image in zip(names, painted["images"], strict=True):
            write_atomically(self.folder / file, _png(image))
        said = dict(zip(names, painted["asked"]["text"], strict=True))
        write_atomically(self.folder / f"{name}.json", (json.dumps(said, indent=1) + "\n").encode())


def _png(image: Tensor) -> bytes:
    pixels = (255 * image.detach().float().cpu().clamp(0, 1)).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
