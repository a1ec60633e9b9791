"""Speed of reading datasets, against others' loaders on the same files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from datamodules.augment import Augment, Variation
from datamodules.freihand.data import FreiHAND
from datamodules.hand_view import HandView
from zoo.commands.bench_harness import Case

_MEAN, _STD = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
_PHOTOS = 24
HAMER = "HaMeR-style: cv2 decode, float warp and colour, numpy normalise"


class Setting(NamedTuple):
    """Rows of a dataset, and what a loader of another kind needs to make the same crops of the same files."""

    view: HandView
    rows: list[int]
    files: list[Path]
    affine: list[NDArray[np.float64]]  # (2, 3) image to crop pixels
    gains: list[NDArray[np.float32]]  # (3,) of the colours
    drawn: list[Variation]
    wanted: Any  # the batch


def small(folder: Path, batch: int = 64) -> Setting:
    """FreiHAND's 224-pixel pictures as crops of 128 pixels, not varied."""
    from datamodules.synth import synth

    root = synth("freihand", folder / "freihand", 16)
    return _setting(FreiHAND(root, size=128, augment=None, cache=folder / "cache").hand_view("train"), batch)


def photos(folder: Path, batch: int = 64, tint: float = 0.1, **options: Any) -> Setting:
    """Photographs of 640 x 480 pixels and some 100 KB as crops of 224, turned, scaled, moved and tinted."""
    varied = Augment(brightness=0.0, contrast=0.0, saturation=0.0, tint=tint, erase=0.0)
    root = _photos(folder / "photos")
    data = FreiHAND(root, size=224, augment=varied, cache=folder / "cache", **options)
    return _setting(data.hand_view("train"), batch)


def loader(setting: Setting, shape: str) -> Case:
    """Our crops and those of a loader in HaMeR's manner: float warp, normalised per channel, row by row."""
    size = setting.view.size
    labels = [_labels(setting, i) for i in range(len(setting.rows))]

    def row_in_hamers_manner(i: int) -> dict[str, Any]:
        picture = np.asarray(cv2.imread(str(setting.files[i])), np.float32)
        patch = cv2.warpAffine(picture, setting.affine[i], (size, size), flags=cv2.INTER_LINEAR)[:, :, ::-1]
        image = np.transpose(patch, (2, 0, 1)).copy()
        for channel in range(3):
            if setting.drawn[i].colour is not None:
                image[channel] = np.clip(image[channel] * setting.gains[i][channel], 0, 255)
            image[channel] = (image[channel] - _MEAN[channel]) / _STD[channel]
        joints, vertices, frame = labels[i]
        return {"image": image, "joints": joints @ frame, "vertices": vertices @ frame}

    def peer() -> dict[str, Tensor]:
        return cast(dict[str, Tensor], default_collate([row_in_hamers_manner(i) for i in range(len(setting.rows))]))

    def difference() -> float:
        restored = peer()["image"].double() * torch.from_numpy(_STD)[:, None, None]
        restored = (restored + torch.from_numpy(_MEAN)[:, None, None]) / 255
        return float((restored - setting.wanted["image"].double() / 255).abs().mean())

    return Case(
        "loader", shape, lambda: setting.view.batch(setting.rows), peer, HAMER, difference, 0.02,
        len(setting.rows), "images",
    )  # fmt: skip


def albumentations(setting: Setting, shape: str) -> Case:
    """Our crops and albumentations', which gives no labels; the same turn, scale and shift, no colours."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for its newest version
    import albumentations as alb

    size = setting.view.size

    def pipeline(affine: NDArray[np.float64], height: int, width: int) -> Callable[[NDArray[np.uint8]], Any]:
        zoom = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
        turn = float(np.degrees(np.arctan2(affine[1, 0], affine[0, 0])))
        middle = np.linalg.solve(affine[:, :2], np.full(2, (size - 1) / 2) - affine[:, 2])
        out = affine[:, :2] / zoom @ (middle - [(width - 1) / 2, (height - 1) / 2])
        side = round(size / zoom)
        steps: Any = [
            alb.Affine(
                rotate=(-turn, -turn),
                translate_px={"x": (round(-out[0]), round(-out[0])), "y": (round(-out[1]), round(-out[1]))},
                p=1.0,
            ),
            alb.CenterCrop(side, side, pad_if_needed=True, p=1.0),
            alb.Resize(size, size, p=1.0),
        ]
        whole = alb.Compose(steps)
        return lambda image: whole(image=image)["image"]

    pipelines = [pipeline(affine, 480, 640) for affine in setting.affine]

    def row(i: int) -> Tensor:
        picture = cv2.cvtColor(np.asarray(cv2.imread(str(setting.files[i]))), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(np.ascontiguousarray(pipelines[i](np.asarray(picture, np.uint8)).transpose(2, 0, 1)))

    def peer() -> Tensor:
        return torch.stack([row(i) for i in range(len(setting.rows))])

    def difference() -> float:
        return float((peer().double() - setting.wanted["image"].double()).abs().mean() / 255)

    return Case(
        "loader", shape, lambda: setting.view.batch(setting.rows), peer,
        "albumentations 2.0.8: cv2 decode, Affine, CenterCrop, Resize; no labels", difference, 0.02,
        len(setting.rows), "images",
    )  # fmt: skip


def cached(folder: Path) -> Case:
    """The same crops from a cache that keeps 256 pixels for a crop of 224, and from the photographs."""
    plain, kept = photos(folder), photos(folder, crop_cache=folder / "crops", crop_reach=1.14)

    def difference() -> float:
        return float((kept.view.batch(kept.rows)["joints2d"] - plain.wanted["joints2d"]).abs().max())

    return Case(
        "crop cache", "640 to 224 px", lambda: kept.view.batch(kept.rows), lambda: plain.view.batch(plain.rows),
        "ours without the cache", difference, 1e-3, len(plain.rows), "images",
    )  # fmt: skip


def _labels(setting: Setting, i: int) -> tuple[Any, Any, Any]:
    row = setting.rows[i]
    scene = setting.view.scenes.read(int(setting.view.rows[row, 0]), image=False)
    hand = next(iter(scene.hands.values()))
    turn = setting.drawn[i].rotation
    frame = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]], np.float32)
    return np.asarray(hand.joints, np.float32), np.asarray(hand.vertices, np.float32), frame.T


def _setting(view: HandView, batch: int) -> Setting:
    rows = [i % len(view) for i in range(batch)]
    wanted = view.batch(rows)
    whole: Any = getattr(view.scenes, "scenes", view.scenes)  # behind a cache of crops
    images = whole.part.images
    affine, gains, drawn, files = [], [], [], []
    for i, row in enumerate(rows):
        scene = view.scenes.read(int(view.rows[row, 0]), image=False)
        variation = (
            Variation() if view.augment is None else view.augment.draw(np.random.default_rng((view.seed, 0, row)))
        )
        turn = variation.rotation if wanted["side"][i] else -variation.rotation
        flip = np.diag([1.0 if wanted["side"][i] else -1.0, 1.0, 1.0])
        frame = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]) @ flip
        crop = wanted["intrinsics"][i].double().numpy()
        affine.append((crop @ frame @ np.linalg.inv(scene.intrinsics.astype(np.float64)))[:2])
        gains.append(np.ones(3, np.float32) if variation.colour is None else np.diag(variation.colour).copy())
        drawn.append(variation)
        files.append(images / f"{scene.name.rpartition('/')[2]}.jpg")
    return Setting(view, rows, files, affine, gains, drawn, wanted)


def _photos(root: Path) -> Path:
    """A FreiHAND of detailed 640 x 480 pictures, hands 190 pixels large; written once."""
    from datamodules.freihand.writer import FreiHANDWriter, Labels
    from datamodules.openhand.data import OpenHandData
    from datamodules.openhand.pose_stream import PoseStream

    stream = cast(PoseStream, OpenHandData(bank=0, augment=None, size=288).poses())
    drawn = stream.draw(0, _PHOTOS)
    intrinsics = drawn.intrinsics.clone()
    intrinsics[:, :2, 2] += torch.tensor([176.0, 96.0])
    labels = Labels(intrinsics.numpy(), drawn.joints.numpy(), drawn.vertices.numpy())
    writer = FreiHANDWriter(root, "training", _PHOTOS)
    rng = np.random.default_rng(0)
    for samples in writer.missing():
        writer.write(samples, labels, [[_detailed(rng) for _ in samples]])
    writer.finish()
    return root


def _detailed(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(480, 640, 3) noise whose spectrum falls like a photograph's, so that it takes as many bytes and as long."""
    image = np.full((480, 640, 3), 128, np.float32)
    for octave, amplitude in enumerate((60, 40, 25, 16, 10, 6)):
        coarse = rng.normal(size=(3 * 2**octave, 4 * 2**octave, 3)).astype(np.float32)
        image += amplitude * cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    image += rng.normal(scale=5, size=(480, 640, 1))
    return np.asarray(np.clip(image, 0, 255), np.uint8)
