"""One scene for people: the whole picture with everything that is known about it, its meshes and its local part."""

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from zoo.batch import SceneBatch
from zoo.hands.camera import denormalize_pixels
from zoo.hands.draw import draw_skeleton, overlay
from zoo.hands.render import Rendered
from zoo.hands.sheets import INK, PAPER, Picture
from zoo.hands.skeleton import LEFT, RIGHT, WRIST
from zoo.shapes import Tensor

BOX = (255, 214, 10)
DARK = 40  # of a mesh picture: what is darker is not a hand
ABSENT = 128  # grey of a picture that there is not


def draw_scene(batch: SceneBatch, row: int = 0) -> Picture:
    """The whole picture with meshes, skeletons and the local part's box; beside it, half as large, what training sees.

    Above the picture and its local part, below their mesh pictures. Grey is what there is not.

    Args:
        batch: As it comes from a scene view.
        row: Which scene.

    Returns:
        RGB, twice as wide as high, and its text below.
    """
    size = batch["image"].shape[-1]
    photo, local = (_picture(batch, row, key, "has_image") for key in ("image", "image_local"))
    mesh, mesh_local = (_picture(batch, row, key, "has_mesh_image") for key in ("mesh", "mesh_local"))
    whole = photo.clone()
    if batch["has_mesh_image"][row]:
        mask = mesh.amax(0) > DARK
        nothing = torch.zeros(1, size, size)
        whole = overlay(whole[None], Rendered(mesh[None], nothing, mask[None], nothing.short()), 0.55)[0]
    joints = denormalize_pixels(batch["joints2d"][row], (size, size))
    for side in (LEFT, RIGHT):
        whole = draw_skeleton(whole, joints[side], batch["joints2d_valid"][row, side], thickness=max(1.5, size / 220))
    whole = _labelled(whole, batch["box"][row], joints, batch["joints2d_valid"][row])
    beside = torch.cat([torch.cat([_half(photo), _half(local)], 2), torch.cat([_half(mesh), _half(mesh_local)], 2)], 1)
    side = 2 * (size // 2)
    strip = torch.cat([whole[:, :side, :side], beside], 2)
    strip[:, side // 2, side:] = strip[:, :, side] = strip[:, :side, side + side // 2] = 255  # between the parts
    return torch.cat([strip, _written(batch["text"][row], strip.shape[-1])], 1)


def _written(text: str, width: int) -> Tensor:
    """Two lines of text on paper; what does not fit is cut."""
    font = ImageFont.load_default(max(11, width // 48))
    line = round(1.4 * max(11, width // 48))
    paper = Image.new("RGB", (width, 2 * line + line // 2), PAPER)
    ink = ImageDraw.Draw(paper)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    if len(lines) > 2:
        lines[1] = f"{lines[1]} ..."
    for i, part in enumerate(lines[:2]):
        ink.text((width / 2, (i + 0.75) * line), part, INK, font, anchor="mm")
    return torch.from_numpy(np.asarray(paper).copy()).permute(2, 0, 1)


def _picture(batch: SceneBatch, row: int, key: str, has: str) -> Picture:
    pictures: Tensor = batch[key]  # type: ignore[literal-required]
    there: Tensor = batch[has]  # type: ignore[literal-required]
    if not there[row]:
        return torch.full((3, *pictures.shape[-2:]), ABSENT, dtype=torch.uint8)
    picture = pictures[int(there[:row].sum())]
    return (picture * 255).round().byte() if picture.is_floating_point() else picture


def _half(picture: Picture) -> Tensor:
    size = picture.shape[-1] // 2
    array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    small = np.asarray(cv2.resize(array, (size, size), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(small).permute(2, 0, 1)


def _labelled(picture: Picture, box: Tensor, joints: Tensor, valid: Tensor) -> Picture:
    """The box of the local part, and which hand is which."""
    size = picture.shape[-1]
    image = Image.fromarray(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
    ink = ImageDraw.Draw(image)
    edges = ((box + 1) * size / 2).round().clamp(0, size - 1).int().tolist()
    ink.rectangle(edges, outline=BOX, width=max(1, size // 220))
    font = ImageFont.load_default(max(11, size // 26))
    for side, word in ((LEFT, "left"), (RIGHT, "right")):
        if not bool(valid[side].any()):
            continue
        at = joints[side][WRIST] if bool(valid[side, WRIST]) else joints[side][valid[side]].mean(0)
        away = at - joints[side][valid[side]].mean(0)  # beside the wrist, where no bone is
        at = at + away / away.norm().clamp_min(1e-6) * size * 0.05
        x, y = at.clamp(size * 0.06, size * 0.94).tolist()
        ink.text((x, y), word, PAPER, font, anchor="mm", stroke_width=max(2, size // 160), stroke_fill=INK)
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
