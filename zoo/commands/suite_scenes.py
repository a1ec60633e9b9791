"""Held-out scenes, pictures made for their texts and meshes, and what each picture is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.batch import Asked, SceneBatch
from zoo.hands.camera import denormalize_pixels
from zoo.metrics.detectors import HandDetector, KeypointEstimator
from zoo.metrics.extractors import Extractor
from zoo.metrics.hand_crops import HandCrops
from zoo.metrics.made_hands import CENTIMETRES, mask_iou
from zoo.metrics.reprojection import box_sizes
from zoo.metrics.segmenter import HandSegmenter
from zoo.shapes import Images

ROWS = 25  # pictures made at once
CROPS = HandCrops()


@dataclass(frozen=True)
class Scenes:
    """What is asked for, and the data's own pictures of it; one hand in each."""

    batch: SceneBatch
    size: int  # side of the pictures

    def __len__(self) -> int:
        return len(self.batch["text"])

    @property
    def sides(self) -> Tensor:
        """(b,) of the hand that each shows."""
        return self.batch["joints_valid"].any(-1).long().argmax(1)

    def of_hand(self, name: str) -> Tensor:
        """A label of the hand that each shows."""
        labels = cast(dict[str, Tensor], self.batch)[name]
        return labels[torch.arange(len(labels)), self.sides]

    @property
    def pixels(self) -> Tensor:
        """(b, 21, 2) where the joints are."""
        return denormalize_pixels(self.of_hand("joints2d"), (self.size, self.size))

    @property
    def boxes(self) -> Tensor:
        """(b, 4) left, top, right, bottom edges around the joints."""
        return torch.cat([self.pixels.amin(1), self.pixels.amax(1)], 1) + 0.5


@runtime_checkable
class Maker(Protocol):
    """Makes pictures of texts and meshes, as `AttentionHand`."""

    @property
    def device(self) -> torch.device:
        """Where it is."""
        ...

    def sample(
        self, asked: Asked, seeds: Sequence[int], *, strength: float | None = None, attend: bool | None = None
    ) -> Images:
        """As `AttentionHand.sample`."""
        ...


def held_out_scenes(samples: int, size: int, **options: Any) -> Scenes:
    """The first scenes of OpenHand's plain test split.

    Args:
        samples: How many.
        size: Side of the pictures.
        options: Of `OpenHandData`, besides those of the dataset `openhand-scenes`.
    """
    import yaml

    from datamodules.openhand.data import OpenHandData
    from zoo.registry import find

    config = yaml.safe_load(find("data", "openhand-scenes").read_text())["init_args"]
    data = OpenHandData(**{**config, "size": size, "batch_size": 50, **options})
    data.meshes = True
    data.prepare_data()
    view = data.scene_view("test")
    if samples > len(view):
        raise ValueError(f"--samples {samples} are more than the {len(view)} held-out scenes. Give fewer.")
    parts = [data.on_after_batch_transfer(view.batch(range(i, min(i + 50, samples))), 0) for i in range(0, samples, 50)]
    names = cast(dict[str, Any], parts[0])
    joined = {name: [text for part in parts for text in cast(Any, part)[name]] for name in ("text",)}
    tensors = {name: torch.cat([cast(Any, part)[name] for part in parts]) for name in names if name != "text"}
    return Scenes(cast(SceneBatch, {**joined, **tensors}), size)


def made_pictures(
    model: Maker, scenes: Scenes, seed: int, strength: float | None = None, attend: bool | None = None, bar: Any = None
) -> Tensor:
    """(b, 3, s, s) a picture for each scene; its seed is its number.

    Args:
        model: Makes them.
        scenes: Asked for.
        seed: Moves all seeds.
        strength: Of the guidance copy; 0 is the base alone, the model's own when None.
        attend: Whether text attention acts; as the model says when None.
        bar: Moved by one for each picture.
    """
    made = []
    for start in range(0, len(scenes), ROWS):
        stop = min(start + ROWS, len(scenes))
        asked = Asked(text=scenes.batch["text"][start:stop], mesh=scenes.batch["mesh"][start:stop].to(model.device))
        seeds = [100_003 * seed + i for i in range(start, stop)]
        made.append(model.sample(asked, seeds, strength=strength, attend=attend).float().cpu())
        if bar is not None:
            bar.update(stop - start)
    return torch.cat(made)


@dataclass(frozen=True)
class Judges:
    """What looks at pictures.

    Args:
        extractor: Features for FID and KID.
        estimator: Joints.
        segmenter: The hand's pixels.
        detector: For the hand confidence; the segmenter's own when None.
    """

    extractor: Extractor
    estimator: KeypointEstimator
    segmenter: HandSegmenter
    detector: HandDetector | None = None

    @property
    def sure(self) -> str:
        """What the confidence is."""
        if self.detector is not None:
            return f"the score of {self.detector.name}, 0 for a picture without a hand"
        return "the segmenter's mean probability over the pixels that it calls hand, 0 for a picture without any"

    @torch.no_grad()
    def look(self, images: Tensor, scenes: Scenes) -> dict[str, Tensor]:
        """Features of each picture and of its hand, and one number a picture for every other measure.

        Args:
            images: (b, 3, s, s)
            scenes: What they shall show.
        """
        found: dict[str, list[Tensor]] = {}
        boxes, sides, pixels, joints = scenes.boxes, scenes.sides, scenes.pixels, scenes.of_hand("joints")
        silhouettes = scenes.batch["mesh"].amax(1) > 0
        for start in range(0, len(images), 50):
            own = slice(start, start + 50)
            part = images[own]
            crops = CROPS(part, list(boxes[own, None]), self.extractor.side)
            seen = self.estimator(part, boxes[own], sides[own])
            off2 = 100 * (seen.joints2d - pixels[own]) / _sizes(pixels[own])[:, None, None]
            truth = joints[own] - joints[own, :1]
            off3 = CENTIMETRES * (seen.joints3d - seen.joints3d[:, :1] - truth)
            measured = {
                "features": self.extractor(part),
                "hand_features": self.extractor(crops),
                "confidence": self._confidence(part, start),
                "mse2d": torch.where(seen.found, off2.square().sum(-1).mean(-1), torch.nan),
                "mse3d": torch.where(seen.found, off3.square().sum(-1).mean(-1), torch.nan),
                "iou": mask_iou(self.segmenter.masks(part), silhouettes[own]),
            }
            for name, values in measured.items():
                found.setdefault(name, []).append(values.float().cpu())
        return {name: torch.cat(values) for name, values in found.items()}

    def _confidence(self, images: Tensor, start: int) -> Tensor:
        if self.detector is not None:
            hands = self.detector(images, [str(start + i) for i in range(len(images))])
            return torch.stack([row.scores.max() if len(row.scores) else torch.zeros(()) for row in hands])
        chances: Tensor = self.segmenter(images).sigmoid()
        hand = chances > 0.5
        return (chances * hand).flatten(1).sum(1) / hand.flatten(1).sum(1).clamp_min(1)


def _sizes(pixels: Tensor) -> Tensor:
    return box_sizes(pixels, torch.ones(pixels.shape[:2], dtype=torch.bool)).clamp_min(1)


def stored(path: Path, make: Any, facts: Sequence[str]) -> dict[str, Tensor]:
    """What was measured for a row: from its file where that was made in the same way, else anew and kept at once.

    Args:
        path: Of the file, safetensors.
        make: Measures.
        facts: How.
    """
    from safetensors import safe_open

    said = "; ".join(facts)
    if path.is_file():
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("facts") == said:
                return load_file(path)
    found: dict[str, Tensor] = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    save_file({name: value.contiguous() for name, value in found.items()}, draft, {"facts": said})
    draft.chmod(0o644)
    draft.replace(path)
    return found
