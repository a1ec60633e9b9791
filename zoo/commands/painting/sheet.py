"""Sheets of what was painted: prompt, mesh, picture."""

import numpy as np
import torch
from PIL import Image

from callbacks.painted import painted_sheet
from zoo.batch import Asked, Painted
from zoo.commands.painting.store import PictureStore
from zoo.shapes import Images

MOST = 40  # rows of a sheet


def draw_sheets(store: PictureStore) -> list[str]:
    """pictures.png of whole pictures, pictures-local.png of the parts around hands; their names."""
    made = []
    for branch, name in (("global", "pictures.png"), ("local", "pictures-local.png")):
        records = [record for record in store.records if record["branch"] == branch][:MOST]
        if not records:
            continue
        asked = Asked(text=[record["prompt"] for record in records])
        if all("mesh" in record for record in records):
            asked["mesh"] = _stacked([_read(store, record["mesh"]) for record in records])
        images = _stacked([store.load(record).numpy() for record in records])
        made.append(store.save_sheet(name, painted_sheet(Painted(images=images, asked=asked))))
    return made


def _read(store: PictureStore, name: str) -> np.ndarray:
    with Image.open(store.folder / name) as image:
        return np.array(image.convert("RGB")).transpose(2, 0, 1)


def _stacked(pictures: list[np.ndarray]) -> Images:
    return torch.from_numpy(np.stack(pictures)).float() / 255
