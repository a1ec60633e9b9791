"""A contact sheet of a dataset with its labels drawn on: what a person looks at before training."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import yaml
from tqdm import tqdm

from datamodules.base import HandData
from datamodules.draw_scenes import draw_scene
from datamodules.hand_models import faces_of
from datamodules.hand_view import HandView
from datamodules.scene import HandModels, Scenes, Split
from datamodules.scene_view import SceneView
from zoo.batch import HandBatch
from zoo.hands.camera import denormalize_pixels, project
from zoo.hands.draw import contact_sheet, draw_skeleton
from zoo.hands.sheets import Picture
from zoo.hands.skeleton import RIGHT
from zoo.registry import find
from zoo.shapes import Vertices

Rows = Literal["hands", "scenes"]
FORMATS = (".png", ".jpg", ".jpeg", ".webp")
NAME = 18  # letters of a scene's name, from its end, that fit under a crop


def draw(
    name: str,
    root: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    n: int = 16,
    seed: int = 0,
    *,
    split: Split = "train",
    size: int = 224,
    view: Rows | None = None,
    mano: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Draws hands or whole scenes with all their labels.

    Args:
        name: Of the dataset.
        root: Its folder; None is openhand's own.
        out: The picture to write, whose suffix is its format, or a folder to write NAME.png in.
        n: How many hands or scenes.
        seed: Which ones, and how crops are varied.
        split: Which part of the dataset.
        size: Side of a crop, pixels; a whole picture has twice that.
        view: `hands` for crops in pairs, as they are and as training varies them; `scenes` for whole pictures with
            their meshes, local parts and text. None takes scenes where there are captions or pairs of hands.
        mano: Folder of MANO's files, for meshes of datasets that need them.
        cache: Folder for indexes and parsed label files; None is the user's cache.
    """
    path = Path(out) / f"{name}.png" if Path(out).is_dir() else Path(out)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"--out {path} is no picture. Give a name that ends in {' or '.join(FORMATS)}.")
    if n < 1:
        raise ValueError(f"n={n} hands make no picture. Pass -n 1 or more.")
    data = load(name, root, mano, cache)
    data.prepare_data()
    scenes = data.scenes(split)
    if scenes is None or not len(scenes):
        raise ValueError(f"{name} has no pictures in its {split} split. Choose another one with --split.")
    view = view or _telling(scenes)
    if view == "scenes":
        pictures, captions = _scenes(scenes, n, seed, size)
        columns, title = min(2, len(pictures)), f"{name}, {split}"
    else:
        pictures, captions = _hands(data, scenes, n, seed, size)
        columns = min(len(pictures), max(2, 2 * round(np.sqrt(len(pictures) / 4))))
        title = f"{name}, {split} (left ones mirrored)"
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(pictures, columns, captions, title=title)
    draft = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        sheet.save(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)  # what a full disk left
    return path


def load(
    name: str,
    root: str | os.PathLike[str] | None = None,
    mano: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> HandData:
    """A dataset by name, with pictures, built as the trainer's command line builds it.

    Args:
        name: Of a file in `datamodules/configs`.
        root: Its folder, where it is not made.
        mano: Folder of MANO's files.
        cache: Folder for indexes and parsed label files; None is the user's cache.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(HandData, "data", fail_untyped=False, required=True)
    words = [f"--data={json.dumps(yaml.safe_load(find('data', name).read_text()))}", "--data.images=true"]
    folders = {"root": root, "mano": mano, "cache": cache}
    words += [f"--data.{key}={value}" for key, value in folders.items() if value is not None]
    try:
        data: HandData = parser.instantiate_classes(parser.parse_args(words)).data
    except ArgumentError as error:
        raise ValueError(f"{name} cannot be opened: {error}") from error
    return data


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


def _telling(scenes: Scenes) -> Rows:
    """The view that shows more: whole scenes where there are captions, two hands, or no labelled hand at all."""
    sides = scenes.sides()
    whole = sides.all(1).any() or not sides.any() or scenes.read(0, image=False).caption is not None
    return "scenes" if whole else "hands"


def _hands(data: HandData, scenes: Scenes, n: int, seed: int, size: int) -> tuple[list[Picture], list[str]]:
    plain = HandView(scenes, size, data.margin)
    if not len(plain):
        raise ValueError("No hand is labelled in these scenes. Draw them whole with --view scenes.")
    varied = HandView(scenes, size, data.margin, augment=data.augment, seed=seed)
    pictures, captions = [], []
    for row in _drawing(np.random.default_rng(seed).permutation(len(plain))[:n].tolist()):
        name = scenes.read(int(plain.rows[row, 0]), image=False).name
        name = name if len(name) <= NAME else f"…{name[1 - NAME :]}"
        for view, note in ((plain, name), (varied, "augmented")):
            batch = view.batch([row])
            pictures.append(draw_crop(batch, models=scenes.models))
            captions.append(f"{'right' if int(batch['side'][0]) == RIGHT else 'left'}, {note}")
    return pictures, captions


def _scenes(scenes: Scenes, n: int, seed: int, size: int) -> tuple[list[Picture], list[str]]:
    view = SceneView(scenes, 2 * size, fit="pad", seed=seed)
    pictures, captions = [], []
    for row in _drawing(np.random.default_rng(seed).permutation(len(view))[:n].tolist()):
        batch = view.batch([row])
        pictures.append(draw_scene(batch))
        captions.append(scenes.read(row, image=False).name or str(row))
    return pictures, captions


def _drawing(rows: list[int]) -> Iterable[int]:
    return tqdm(rows, "Drawing", unit="row", delay=5)


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
