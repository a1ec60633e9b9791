"""Sheets of paper: pictures in rows with captions, and curves of a training run."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

Picture = UInt8[Tensor, "3 h w"]
Curves = Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]]

INK, PAPER, GREY = (45, 48, 54), (255, 255, 255), (120, 124, 132)
LINES = ("#3a96e6", "#f25f4c", "#58be68", "#f7a934", "#a066de", "#60656e")


def contact_sheet(
    images: Sequence[Picture] | UInt8[Tensor, "n 3 h w"],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    *,
    size: int | None = None,
    headers: Sequence[str] | None = None,
    title: str | None = None,
) -> Image.Image:
    """Pictures in rows on white paper.

    Args:
        images: RGB; smaller ones are centred in their cell.
        columns: in a row; near a square without.
        captions: under each picture; cut where they do not fit.
        size: longest side of each picture in pixels; theirs without.
        headers: over each column.
        title: over everything.
    """
    cells = [Image.fromarray(image.permute(1, 2, 0).cpu().numpy()) for image in images]
    if not cells:
        raise ValueError("contact_sheet() got no images. Pass at least one.")
    if captions is not None and len(captions) != len(cells):
        raise ValueError(f"contact_sheet() got {len(captions)} captions for {len(cells)} images. Pass one for each.")
    if size is not None:
        cells = [_fitted(cell, size) for cell in cells]
    columns = min(columns or math.ceil(math.sqrt(len(cells))), len(cells))
    width, height = max(cell.width for cell in cells), max(cell.height for cell in cells)
    gap = max(4, round(width / 32))
    letters = _font(max(11, min(22, round(width / 13))))
    large = _font(round(letters.size * 1.25))
    line = round(letters.size * 1.5)
    head = (2 * line if title else 0) + (line if headers else 0)
    step = height + gap + (line if captions else 0)
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (gap + columns * (width + gap), gap + head + rows * step), PAPER)
    ink = ImageDraw.Draw(sheet)
    if title:
        ink.text((gap, gap + 0.75 * line), _cut(title, large, sheet.width - 2 * gap), INK, large, anchor="lm")
    for i, header in enumerate((headers or ())[:columns]):
        middle = gap + i * (width + gap) + width / 2
        ink.text((middle, head + gap / 2 - line / 2), _cut(header, letters, width), INK, letters, anchor="mm")
    for i, cell in enumerate(cells):
        x, y = gap + i % columns * (width + gap), gap + head + i // columns * step
        sheet.paste(cell, (x + (width - cell.width) // 2, y + (height - cell.height) // 2))
        if captions:
            text = _cut(captions[i], letters, width)
            ink.text((x + width / 2, y + height + line / 2), text, GREY, letters, anchor="mm")
    return sheet


def comparison(
    columns: Mapping[str, Sequence[Picture]], size: int | None = None, title: str | None = None
) -> Image.Image:
    """Rows of pictures that belong together, for example `{"input": ..., "prediction": ..., "truth": ...}`."""
    rows = zip(*columns.values(), strict=True)
    return contact_sheet([x for row in rows for x in row], len(columns), size=size, headers=list(columns), title=title)


def loss_curves(curves: Curves, title: str | None = None) -> Image.Image:
    """Curves of a run, one panel for all names that are alike before the slash (`train/loss`, `train/edge`).

    Args:
        curves: names to steps and values.
        title: over everything.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[str]] = {}
    for name in curves:
        panels.setdefault(
            name.rpartition("/")[0] if name.startswith(("train/", "val/")) else name.split("/")[0], []
        ).append(name)
    if not panels:
        raise ValueError("loss_curves() found nothing to draw. Was anything logged before the run ended?")
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), dpi=120, layout="constrained")
    for place, (panel, names) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        least, most = np.inf, -np.inf
        for i, name in enumerate(names):
            steps, values = (np.asarray(x, float) for x in curves[name])
            known = np.isfinite(values)
            steps, values = steps[known], values[known]
            least, most = min(least, values.min(initial=np.inf)), max(most, values.max(initial=-np.inf))
            color = LINES[i % len(LINES)]
            label = name.removeprefix(f"{panel}/")
            if len(values) > 40:
                axes.plot(steps, values, color=color, alpha=0.22, linewidth=0.8)
                axes.plot(steps, _smooth(values), color=color, linewidth=1.8, label=label)
            else:
                axes.plot(steps, values, color=color, linewidth=1.8, marker="o", markersize=3.5, label=label)
        if 0 < 10 * least < most:
            axes.set_yscale("log")
        axes.set_title(panel, fontsize=11, color="#2d3036")
        axes.set_xlabel("step", fontsize=9, color="#787c84")
        axes.tick_params(labelsize=8, colors="#787c84", which="both")
        axes.grid(alpha=0.25, which="both", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#c8ccd2")
        if len(names) > 1 or names[0] != panel:
            axes.legend(fontsize=8, frameon=False)
    if title:
        figure.suptitle(title, fontsize=13, color="#2d3036")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return Image.open(file).convert("RGB")


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A centred mean over a fortieth of the run."""
    window = np.ones(max(5, len(values) // 40))
    return np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")


def _fitted(cell: Image.Image, size: int) -> Image.Image:
    scale = size / max(cell.size)
    if scale == 1:
        return cell
    shape = (max(1, round(cell.width * scale)), max(1, round(cell.height * scale)))
    return cell.resize(shape, Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, so it cannot write captions. Install Pillow's wheel.")
    return font


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
