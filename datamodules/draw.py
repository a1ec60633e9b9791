"""A contact sheet of a dataset's crops with their labels drawn on: what a person looks at before training."""

import os
from pathlib import Path

import cv2
import numpy as np
import torch

from datamodules.base import HandData
from datamodules.freihand.data import FreiHAND, FreiHANDScenes
from datamodules.freihand.files import VERSIONS
from datamodules.hand_models import faces_of
from datamodules.hand_view import HandView
from datamodules.scene import HandModels, Scenes, Split
from zoo.batch import HandBatch
from zoo.hands.camera import denormalize_pixels, project
from zoo.hands.draw import contact_sheet, draw_skeleton
from zoo.hands.sheets import Picture
from zoo.hands.skeleton import RIGHT
from zoo.shapes import Vertices


def draw(
    name: str,
    root: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    n: int = 16,
    seed: int = 0,
    *,
    split: Split = "train",
    size: int = 224,
) -> Path:
    """Draws crops in pairs, as they are and as training varies them, with skeleton and outline of the mesh.

    Args:
        name: `freihand` or `openhand`.
        root: The dataset's folder; None is openhand's own.
        out: The picture to write; its suffix is its format.
        n: How many hands.
        seed: Which hands, and how they are varied.
        split: Which part of the dataset.
        size: Side of a crop, pixels.
    """
    if n < 1:
        raise ValueError(f"n={n} hands make no picture. Pass -n 1 or more.")
    data = _data(name, root)
    data.prepare_data()
    scenes = data.scenes(split)
    if scenes is None:
        raise ValueError(f"{name} has no pictures in its {split} split. Choose another one with --split.")
    plain = HandView(scenes, size, data.margin)
    varied = HandView(scenes, size, data.margin, augment=data.augment, seed=seed)
    rows = np.random.default_rng(seed).permutation(len(plain))[:n].tolist()
    pictures, captions = [], []
    for row in rows:
        for view, note in ((plain, _describe(scenes, int(plain.rows[row, 0]))), (varied, "augmented")):
            batch = view.batch([row])
            pictures.append(draw_crop(batch, models=scenes.models))
            captions.append(("left, " if not int(batch["side"][0]) else "right, ") + note)
    columns = min(2 * len(rows), max(2, 2 * round(np.sqrt(len(rows) / 2))))
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(pictures, columns, captions, title=f"{name}, {split}: left hands are mirrored to right")
    draft = path.with_name(f".{path.stem}.tmp{path.suffix}")
    sheet.save(draft)
    os.replace(draft, path)
    return path


def draw_crop(batch: HandBatch, row: int = 0, models: HandModels | None = None) -> Picture:
    """One row of a batch with its labels: outline of the mesh, bones, joints; grey where it has no image.

    Args:
        batch: As it comes from a hand view.
        row: Which one.
        models: Whose faces the meshes have; None tries OpenHand's.
    """
    size = batch["image"].shape[-1]
    image = np.full((size, size, 3), 128, np.uint8)
    if batch["has_image"][row]:
        packed = batch["image"][int(batch["has_image"][:row].sum())]
        packed = (packed * 255).round().byte() if packed.is_floating_point() else packed
        image = packed.permute(1, 2, 0).contiguous().numpy().copy()
    if batch["has_mesh"][row]:
        vertices = batch["vertices"][row]
        pixels = project(vertices[None], batch["intrinsics"][row : row + 1])[0].numpy()
        contours, _ = cv2.findContours(
            _silhouette(vertices, pixels, size, models), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(image, contours, -1, (255, 255, 255), 1, cv2.LINE_AA)
    picture = torch.from_numpy(image).permute(2, 0, 1)
    joints = denormalize_pixels(batch["joints2d"][row], (size, size))
    return draw_skeleton(picture, joints, batch["joints2d_valid"][row])


def _silhouette(vertices: Vertices, pixels: np.ndarray, size: int, models: HandModels | None) -> np.ndarray:
    """(size, size) 255 = hand: the faces where they are known, else blots around the vertices."""
    mask = np.zeros((size, size), np.uint8)
    fixed = np.round(np.clip(pixels, -4 * size, 5 * size) * 16).astype(np.int32)
    if (faces := faces_of(vertices, models, RIGHT)) is not None:
        for triangle in fixed[faces.numpy()]:
            cv2.fillConvexPoly(mask, triangle, 255, shift=4)
        return mask
    for u, v in fixed.tolist():
        cv2.circle(mask, (u, v), 16 * size // 64, 255, -1, shift=4)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size // 32 | 1, size // 32 | 1))
    return np.asarray(cv2.erode(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel), kernel), np.uint8)


def _describe(scenes: Scenes, index: int) -> str:
    if not isinstance(scenes, FreiHANDScenes):
        return f"{index}"
    version, sample = divmod(int(scenes.numbers[index]), scenes.part.samples)
    return f"{sample} {VERSIONS[version] if scenes.part.versions > 1 else ''}".strip()


def _data(name: str, root: str | os.PathLike[str] | None) -> HandData:
    if name == "freihand":
        return FreiHAND(root)
    if name == "openhand":
        from datamodules.openhand.data import OpenHandData

        return OpenHandData(root=root, images=True)
    raise ValueError(f"data draw {name}: it cannot be drawn yet. Known: freihand, openhand.")
