"""Pictures of fitted and generated hands, drawn over their photographs where there are any."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.commands.skeletons import Skeleton
from zoo.hands.camera import apply_affine, crop_affine, square_box
from zoo.hands.draw import contact_sheet, draw_skeleton, hand_picture, overlay
from zoo.hands.render import render

CROP = 224  # pixels
GREY = 90
LIMIT = 48  # hands on a sheet


class Drawn(NamedTuple):
    """A hand to draw."""

    hand: Skeleton
    vertices: Tensor  # (778, 3) metres, camera frame of the image
    faces: Tensor
    joints: Tensor  # (21, 3)
    camera: Tensor  # (3, 3)
    size: tuple[int, int]


def draw_sheet(vertices: Tensor, faces: Tensor) -> Image.Image:
    """Generated hands, seen from the front."""
    return contact_sheet(hand_picture(vertices[:LIMIT], faces), columns=min(8, len(vertices)))


def draw_crops(drawn: Sequence[Drawn]) -> Image.Image:
    """For each hand its surroundings, the given skeleton, and the fitted hand, side by side."""
    rows: list[Tensor] = []
    captions: list[str] = []
    for one in drawn[:LIMIT]:
        pixels, seen = torch.from_numpy(one.hand.pixels)[None], torch.from_numpy(one.hand.seen)[None]
        center, side = square_box(pixels, seen, 1.8)
        affine = crop_affine(center, side, torch.zeros(1), CROP)
        photo = _warp(_photo(one), affine[0])
        inside = apply_affine(affine, pixels)[0]
        lifted = torch.eye(3)
        lifted[:2] = affine[0]
        hand = render(one.vertices[None], one.faces, (lifted @ one.camera)[None], (CROP, CROP))
        rows += [photo, draw_skeleton(photo, inside, seen[0]), overlay(photo, hand)]
        captions += [one.hand.name, "given", "fitted"]
    return contact_sheet(rows, 3 if len(drawn) <= 4 else 6, captions)


def draw_images(drawn: Sequence[Drawn]) -> Iterator[tuple[str, Image.Image]]:
    """Whole images with all their fitted hands."""
    by_image: dict[str, list[Drawn]] = {}
    for one in drawn:
        if one.hand.image is not None and one.hand.image.is_file():
            by_image.setdefault(str(one.hand.image), []).append(one)
    for group in list(by_image.values())[:LIMIT]:
        photo = _photo(group[0])
        joined = torch.cat([one.vertices for one in group])[None]
        faces = torch.cat([one.faces + 778 * i for i, one in enumerate(group)])
        hands = render(joined, faces, group[0].camera[None], (photo.shape[1], photo.shape[2]))
        picture = overlay(photo, hands)
        image = group[0].hand.image
        yield (
            image.stem if image is not None and len(group) > 1 else group[0].hand.name,
            Image.fromarray(picture.permute(1, 2, 0).numpy()),
        )


def _photo(one: Drawn) -> Tensor:
    """The photograph (3, h, w), or grey where there is none or it cannot be read."""
    try:
        with Image.open(one.hand.image or "") as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except (OSError, Image.DecompressionBombError):
        pixels = np.full((*one.size, 3), GREY, np.uint8)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def _warp(image: Tensor, affine: Tensor) -> Tensor:
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    out = cv2.warpAffine(pixels, affine.double().numpy(), (CROP, CROP), flags=cv2.INTER_CUBIC)
    return torch.from_numpy(out).permute(2, 0, 1)
