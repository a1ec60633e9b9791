"""Pictures of what a model does while it learns."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from PIL import Image
from torch import Tensor, nn

from callbacks.curves import CurveLog, read_curves
from callbacks.painted import painted_sheet
from zoo.batch import HandBatch, Hands
from zoo.hands.draw import CLAY, comparison, contact_sheet, draw_skeleton, hand_picture, loss_curves
from zoo.hands.model import HandModel
from zoo.hands.skeleton import WRIST

DRAWN = ("pa_mpvpe_mm", "mpvpe_mm", "pa_mpjpe_mm", "pa_f5", "pa_f15", "apd_mm")  # curves worth a panel
TITLES = {"skeleton3d": "from 3D joints", "skeleton2d": "from 2D joints", "image": "from the image"}


class Pictures(L.Callback):
    """Draws the first validation batch: input, prediction from each condition, truth; and unconditional hands.

    The pictures go to `hands-STEP.png` and `samples-STEP.png`, the loss curves at the end to `curves.png`, and the
    first two also to a logger that takes images. A method that makes pictures shows them in `pictures-STEP.png`. All
    show what validation made, so they cost no sampling.

    Args:
        folder: Where they go.
        rows: Hands shown with their predictions.
        samples: Unconditional hands shown.
        size: Side of each picture, pixels.
    """

    def __init__(self, folder: str | os.PathLike[str], rows: int = 6, samples: int = 24, size: int = 160) -> None:
        self.folder = Path(folder)
        self.rows, self.samples, self.size = rows, samples, size

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: HandBatch,
        index: int,
        loader: int = 0,
    ) -> None:
        if index or loader or trainer.sanity_checking or not trainer.is_global_zero:
            return
        if isinstance(outputs, Mapping) and "asked" in outputs:
            self._share(trainer, "pictures", painted_sheet(outputs, self.size))  # type: ignore[arg-type]
            return
        model = next((part for part in module.modules() if isinstance(part, HandModel)), None)
        if model is not None and isinstance(outputs, Mapping):
            self._draw(trainer, model, outputs, batch)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.on_validation_batch_end(*args, **kwargs)

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        for log in trainer.loggers:
            if isinstance(log, CurveLog) and log.path.exists():
                curves = {name: curve for name, curve in read_curves(log.path).items() if _shown(name, curve)}
                if curves:
                    lines = {name: (list(curve), list(curve.values())) for name, curve in curves.items()}
                    self._keep(loss_curves(lines), "curves.png")

    def _draw(self, trainer: L.Trainer, model: HandModel, outputs: Mapping[str, Hands], batch: HandBatch) -> None:
        sheets = {}
        predicted = {name: hands for name, hands in outputs.items() if name != "none"}
        if predicted:
            sheets["hands"] = rows_picture(batch, predicted, model, self.rows, self.size)
        if "none" in outputs:
            hands = outputs["none"]["vertices"].flatten(0, 1)[: self.samples]
            title = f"unconditional samples after {trainer.global_step} steps"
            pictures = hand_picture(hands.float(), model.faces, self.size)
            sheets["samples"] = contact_sheet(list(pictures), min(8, len(pictures)), title=title)
        for name, sheet in sheets.items():
            self._share(trainer, name, sheet)

    def _share(self, trainer: L.Trainer, name: str, sheet: Image.Image) -> None:
        self._keep(sheet, f"{name}-{trainer.global_step:07d}.png")
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(f"pictures/{name}", [sheet], trainer.global_step)

    def _keep(self, sheet: Image.Image, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{name}.part"
        sheet.save(part, format="PNG")
        os.replace(part, self.folder / name)


def _shown(name: str, curve: Mapping[int, float]) -> bool:
    split, _, rest = name.partition("/")
    return len(curve) > 1 and (split == "train" or (split == "val" and rest.split("/")[0] in ("loss", *DRAWN)))


def rows_picture(
    batch: HandBatch, predicted: Mapping[str, Hands], model: HandModel, rows: int = 6, size: int = 160
) -> Image.Image:
    """Hands of a batch in rows: input, first hypothesis from each condition, truth; all at the scale of the truth.

    Args:
        batch: Of which the first hands with a mesh are shown.
        predicted: Condition name to hands, one for each row of the batch.
        model: For its faces.
        rows: Hands shown.
        size: Side of a picture, pixels.
    """
    meshes = batch["has_mesh"].nonzero()[:, 0]
    shown = (meshes if len(meshes) else torch.arange(len(batch["has_mesh"]), device=meshes.device))[:rows]
    truth = (batch["vertices"] - batch["joints"][:, [WRIST]])[shown].float()
    columns: dict[str, list[Tensor]] = {"input": [_input(batch, int(row), size) for row in shown]}
    for name, hands in predicted.items():
        first = (hands["vertices"][:, 0] - hands["joints"][:, 0, [WRIST]])[shown].float()
        frame = truth if len(meshes) else first
        columns[TITLES.get(name, name)] = list(hand_picture(first, model.faces, size, framed_by=frame))
    if len(meshes):
        columns["truth"] = list(hand_picture(truth, model.faces, size, color=CLAY))
    return comparison(columns)


def _input(batch: HandBatch, row: int, size: int) -> Tensor:
    """The crop, white where there is none, with the labelled 2D joints on it."""
    if batch["has_image"][row]:
        image = batch["image"][int(batch["has_image"][:row].sum())].detach().float().cpu()
        picture = nn.functional.interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0]
        picture = (255 * picture.clamp(0, 1)).round().to(torch.uint8)
    else:
        picture = torch.full((3, size, size), 255, dtype=torch.uint8)
    pixels = (batch["joints2d"][row].detach().float().cpu() + 1) / 2 * size - 0.5
    return draw_skeleton(picture, pixels, batch["joints2d_valid"][row].cpu())
