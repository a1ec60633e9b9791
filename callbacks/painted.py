"""Pictures that a method makes, beside what was asked for."""

import textwrap

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.batch import Painted
from zoo.hands.draw import comparison


def painted_sheet(painted: Painted, size: int = 160, rows: int = 8) -> Image.Image:
    """A row for each picture: prompt, mesh, attention to the hand's words in its stages, picture, the real one.

    Args:
        painted: What a validation step returned.
        size: Side of each picture, pixels.
        rows: Pictures shown, the first ones.
    """
    asked, count = painted["asked"], min(rows, len(painted["images"]))
    columns: dict[str, list[Tensor]] = {"prompt": [_written(text, size) for text in asked["text"][:count]]}
    if "mesh" in asked:
        columns["mesh"] = [_sized(picture, size) for picture in asked["mesh"][:count]]
    if "attention" in painted:
        for stage in range(painted["attention"].shape[1]):
            maps = painted["attention"][:count, stage, None]
            maps = maps / maps.amax((1, 2, 3), keepdim=True).clamp(min=1e-9)
            columns[f"attention {stage}"] = [_sized(picture.expand(3, -1, -1), size) for picture in maps]
    columns["made"] = [_sized(picture, size) for picture in painted["images"][:count]]
    if "real" in painted:
        columns["real"] = [_sized(picture, size) for picture in painted["real"][:count]]
    return comparison(columns)


def _sized(picture: Tensor, size: int) -> Tensor:
    picture = nn.functional.interpolate(
        picture[None].detach().float().cpu(), (size, size), mode="bilinear", antialias=True
    )
    return (255 * picture[0].clamp(0, 1)).round().to(torch.uint8)


def _written(text: str, size: int) -> Tensor:
    """A sentence on white."""
    import numpy as np
    from PIL import ImageDraw

    sheet = Image.new("RGB", (size, size), "white")
    lines = textwrap.fill(text, max(8, size // 7)).splitlines()[: size // 13]
    ImageDraw.Draw(sheet).multiline_text((4, 4), "\n".join(lines), fill="black", spacing=1)
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1)
