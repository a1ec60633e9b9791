"""Pictures of the tables: sheets of generated and completed hands, curves of hypotheses."""

import io
from typing import Any

import torch
from PIL import Image

from zoo.commands.suite_table import Table
from zoo.hands.draw import contact_sheet, hand_picture
from zoo.hands.sheets import LINES
from zoo.shapes import Faces

FINGERS_UP = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # a PCA prior's hands rest along -x


def pictures(table: Table, faces: Faces) -> dict[str, Image.Image]:
    """The pictures of a table by file name; none for most."""
    if table.number == 1:
        return {
            f"table1_{kind}_{name.replace(' ', '-').lower()}.png": _sheet(
                hands, faces, f"{kind}: {name}", (kind, name) == ("generated", "PCA prior")
            )
            for kind in ("generated", "completed")
            for name, hands in table.data[kind].items()
        }
    return {"table4.png": _curves(table)} if table.number == 4 else {}


def _sheet(hands: Any, faces: Faces, title: str, turn: bool) -> Image.Image:
    vertices = torch.tensor(hands)
    sound = vertices[vertices.isfinite().flatten(1).all(1)]
    return contact_sheet(hand_picture(sound @ FINGERS_UP.T if turn else sound, faces.cpu(), size=160), 8, title=title)


def _curves(table: Table) -> Image.Image:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.6), dpi=120, layout="constrained")
    for place, (title, curves) in enumerate((("ours", table.data["curves"]), ("paper", table.data["paper"])), 1):
        axes = figure.add_subplot(1, 2, place)
        for i, (steps, values) in enumerate(curves.items()):
            axes.plot(table.data["n"], values, color=LINES[i], marker="o", label=f"{steps} steps")
        axes.set_title(title, fontsize=11, color="#2d3036")
        axes.set_xlabel("hypotheses", fontsize=9, color="#787c84")
        axes.set_ylabel("PA-MPVPE of the best, mm", fontsize=9, color="#787c84")
        axes.set_xticks(table.data["n"])
        axes.tick_params(labelsize=8, colors="#787c84")
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return Image.open(file).convert("RGB")
