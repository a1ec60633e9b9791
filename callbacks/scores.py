"""Scores what a model predicts, by what it was given."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

from callbacks.console import say
from zoo.batch import HandBatch
from zoo.hands.model import HandModel
from zoo.hands.skeleton import WRIST
from zoo.metrics.generation import APD, SelfIntersection
from zoo.metrics.geometry import PAMPJPE, PAMPVPE
from zoo.metrics.hand_scores import HandScores, computed, known
from zoo.metrics.made_hands import MaskIoU
from zoo.metrics.segmenter import HandSegmenter

GIVEN = ("skeleton3d", "skeleton2d", "image")  # a fixed list, so that all processes reduce the same numbers
BASELINE = "rest"
DARK = 0.02  # meshes are brighter than this, on black


class Scores(L.Callback):
    """Measures validation and test outputs, logs them, keeps `metrics.json` and prints a table at the end.

    A model's validation or test step returns condition name to `Hands`; the first hypothesis counts. `none` is scored
    for variety (APD) and self-intersection (SI). `rest` is the flat, mean-shaped hand after the same alignment: what a
    model must beat.

    A method that makes pictures logs its own numbers. Where it is told of meshes, `hand_iou` is the mean intersection
    over union of their silhouettes with the hands that the shipped segmenter finds in pictures, made and real.

    Args:
        path: Of `metrics.json`, name to number, for the latest evaluation.
        allow_reflection: FreiHAND's official alignment.
        intersections: Unconditional hands tested for self-intersection in an evaluation; 0 for none.
    """

    def __init__(self, path: str | os.PathLike[str], allow_reflection: bool = True, intersections: int = 32) -> None:
        self.path = Path(path)
        self.scores = {name: HandScores(allow_reflection) for name in GIVEN}
        self.rest = {"pa_mpjpe_mm": PAMPJPE(allow_reflection), "pa_mpvpe_mm": PAMPVPE(allow_reflection)}
        self.apd, self.crossing = APD(), SelfIntersection(intersections)
        self.segmenter: HandSegmenter | None = None
        self.hands = {"made": MaskIoU(), "real": MaskIoU()}
        self.latest: dict[str, float] = {}

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        for scores in self.scores.values():
            scores.to(module.device).reset()
        for metric in (*self.rest.values(), self.apd, self.crossing, *self.hands.values()):
            metric.to(module.device).reset()

    def on_validation_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: HandBatch, *_: Any
    ) -> None:
        if not trainer.sanity_checking:
            self.update(module, outputs, batch)

    def on_validation_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._publish(trainer, module, "val")

    def on_test_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self.on_validation_start(trainer, module)

    def on_test_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: HandBatch, *_: Any
    ) -> None:
        self.update(module, outputs, batch)

    def on_test_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._publish(trainer, module, "test")

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.latest:
            say(f"Validation after {trainer.global_step} steps:\n{table(self.latest)}")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.state.fn == "validate":
            say(f"Validation:\n{table(self.latest)}")

    def on_test_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        say(f"Test:\n{table(self.latest)}")

    @torch.no_grad()
    def update(self, module: nn.Module, outputs: Any, batch: Any) -> None:
        """Adds the predictions of one batch.

        Args:
            module: The method.
            outputs: Condition name to `Hands`, or `Painted`.
            batch: A `HandBatch`.
        """
        if paints(module):
            self._look_for_hands(outputs)
            return
        if not isinstance(outputs, Mapping) or not outputs.keys() <= {*GIVEN, "none"}:
            what = ", ".join(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
            raise TypeError(
                f"{type(module).__name__}.validation_step returned {what}; Scores needs a dict from "
                f"{', '.join(GIVEN)} or none to Hands."
            )
        vertices, joints = batch["vertices"], batch["joints"]
        has_mesh, valid = batch["has_mesh"], batch["joints_valid"]
        for name, scores in self.scores.items():
            if name in outputs:
                hands = outputs[name]
                first, first_joints = hands["vertices"][:, 0].float(), hands["joints"][:, 0].float()
                scores.update(first, first_joints, vertices, joints, has_mesh, valid)
        model = next((part for part in module.modules() if isinstance(part, HandModel)), None)
        if model is not None and vertices.shape[0]:
            flat = torch.eye(3, device=vertices.device).expand(1, 16, 3, 3)
            zero = torch.zeros(1, 10, device=vertices.device)
            rest = model(flat, zero, zero[:, :3]).vertices
            self.rest["pa_mpvpe_mm"].update(rest.expand_as(vertices), vertices, has_mesh)
            self.rest["pa_mpjpe_mm"].update(model.regress(rest).expand_as(joints), joints, valid)
        if "none" in outputs:
            free, wrist = outputs["none"]["vertices"].float(), outputs["none"]["joints"][:, :, [WRIST]].float()
            free = (free - wrist).flatten(0, 1)
            self.apd.update(free)
            if model is not None:
                self.crossing.update(free, model.faces)

    def _look_for_hands(self, painted: Any) -> None:
        """Compares the hands in pictures with the silhouettes of the meshes that were asked for."""
        if not isinstance(painted, Mapping) or "mesh" not in painted.get("asked", {}):
            return
        if self.segmenter is None:
            self.segmenter = HandSegmenter.load().to(painted["images"].device)
        silhouettes = painted["asked"]["mesh"].amax(1) > DARK
        for name, key in (("made", "images"), ("real", "real")):
            if key in painted:
                self.hands[name].update(self.segmenter.masks(painted[key].float()), silhouettes)

    def compute(self) -> dict[str, float]:
        """Name to number over all processes, without what could not be measured."""
        found = {f"{k}/{name}": v for name in GIVEN for k, v in self.scores[name].compute().items()}
        found |= {f"{k}/{BASELINE}": computed(metric) for k, metric in self.rest.items()}
        return known({**found, "apd_mm/none": computed(self.apd), "si_percent/none": computed(self.crossing)})

    def _publish(self, trainer: L.Trainer, module: L.LightningModule, split: str) -> None:
        if paints(module):  # it has logged what it measures
            mine, logged = f"{split}/", trainer.callback_metrics.items()
            self.latest = {name.removeprefix(mine): float(x) for name, x in logged if name.startswith(mine)}
            seen = known({f"hand_iou/{name}": computed(metric) for name, metric in self.hands.items()})
            module.log_dict({f"{split}/{name}": value for name, value in seen.items()})
            self.latest |= seen
        else:
            self.latest = self.compute()
            module.log_dict({f"{split}/{name}": value for name, value in self.latest.items()})
        if trainer.is_global_zero:
            place = {"step": trainer.global_step, "epoch": trainer.current_epoch}
            write_metrics(self.path, {**self.latest, **place})


def paints(module: nn.Module) -> bool:
    """Whether a model makes pictures, not hands."""
    return getattr(module, "rows", "hands") == "scenes"


def write_metrics(path: Path, metrics: Mapping[str, float]) -> None:
    """Puts numbers into a flat JSON file, beside those already there, in one step."""
    known = json.loads(path.read_text()) if path.exists() else {}
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(known | dict(metrics), indent=1) + "\n")
    os.replace(part, path)


def table(metrics: Mapping[str, float]) -> str:
    """Measures by condition, at most 80 columns wide."""
    columns = [name for name in (*GIVEN, "none", BASELINE) if any(key.endswith(f"/{name}") for key in metrics)]
    rows = dict.fromkeys(key.rpartition("/")[0] for key in metrics if "/" in key)
    if not columns:
        return "\n".join(f"{name:25}{value:>11.4f}" for name, value in metrics.items())
    lines = [f"{'':25}" + "".join(f"{name:>11}" for name in columns)]
    for row in rows:
        values = (metrics.get(f"{row}/{name}") for name in columns)
        cells = ("-" if value is None else f"{value:.2f}" if value >= 1 else f"{value:.3f}" for value in values)
        lines.append(f"{row:25}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)
