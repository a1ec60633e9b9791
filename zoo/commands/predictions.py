"""`predict` keeps what a model predicts: one npz file a batch, written whole."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from zoo.batch import HandBatch, Hands
from zoo.hands.meshfile import write_atomically


class Predictions(BasePredictionWriter):
    """Writes `predictions/BATCH.npz` with vertices (b, n, 778, 3), joints (b, n, 21, 3), index (b,) and side (b,).

    Metres, wrist at the origin, in the frame of the crop, left hands mirrored to right, as the model saw them.

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
        prediction: Hands,
        batch_indices: Sequence[int] | None,
        batch: HandBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        arrays: dict[str, Any] = {
            "vertices": prediction["vertices"].float().cpu().numpy(),
            "joints": prediction["joints"].float().cpu().numpy(),
            "index": batch["index"].cpu().numpy(),
            "side": batch["side"].cpu().numpy(),
        }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomically(self.folder / f"{trainer.global_rank:02d}-{batch_idx:06d}.npz", file.getvalue())
