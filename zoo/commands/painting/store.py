"""The folder that `sample` writes for pictures: each one whole or not there, with what it is written into it."""

import hashlib
import io
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from zoo.commands.folder import claim, write_text
from zoo.commands.manifest import facts, failed
from zoo.commands.resume import same_run
from zoo.hands.meshfile import write_atomically
from zoo.shapes import Tensor, UInt8

FREE = ("batch", "device", "pictures")  # options that a resumed run may change
KEY = "hand-model-zoo"  # of the text in a PNG file

Record = dict[str, Any]
Picture = UInt8[Tensor, "3 h w"]


class PictureStore:
    """Writes each picture as soon as it is there, and knows those of an earlier run.

    Args:
        folder: Where to.
        header: What the manifest says besides the results; `options` and `checkpoint` must be those of the run that is
            resumed.
        overwrite: Empty the folder first.
        resume: Keep the pictures that are there.
        inputs: What the run reads, which emptying the folder must not delete.
    """

    def __init__(
        self,
        folder: Path,
        header: dict[str, Any],
        overwrite: bool = False,
        resume: bool = False,
        inputs: Iterable[Path | str | None] = (),
    ) -> None:
        self.folder, self.header = folder, json.loads(json.dumps(header))
        self.records: list[Record] = []
        self.failures: dict[str, str] = {}
        self.began = time.time()
        if resume and (folder / "manifest.json").is_file():
            same_run(folder, self.header, "pictures", FREE)
        else:
            claim(folder, overwrite, inputs=inputs)
        self.write_manifest("running")

    def earlier(self, record: Record) -> bool:
        """Whether a picture is there, whole, from the run that is resumed."""
        try:
            found = read_record(self.folder / record["file"])
        except (OSError, ValueError, UnidentifiedImageError, SyntaxError):
            return False
        return found == json.loads(json.dumps(record))

    def add(self, record: Record, picture: Picture) -> None:
        """Writes one picture."""
        about = PngImagePlugin.PngInfo()
        about.add_itxt(KEY, json.dumps(record))
        self._png(self.folder / record["file"], _image(picture), about)

    def add_mesh(self, name: str, picture: Picture) -> str:
        """Writes a picture of meshes; returns its place in the folder."""
        path = self.folder / "meshes" / f"{name}.png"
        self._png(path, _image(picture), None)
        return path.relative_to(self.folder).as_posix()

    def load(self, record: Record) -> Picture:
        """A picture that is there."""
        with Image.open(self.folder / record["file"]) as image:
            return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    def save_sheet(self, name: str, sheet: Image.Image) -> str:
        """Writes a sheet; returns its name."""
        self._png(self.folder / name, sheet, None)
        return name

    def write_manifest(self, status: str, pictures: Sequence[str] = ()) -> None:
        """What is there: "running" until the run is "done" or "stopped"."""
        manifest = {
            **facts(self.header, status, self.began),
            "pictures": list(pictures),
            "results": [*failed(self.failures), *({**record, "status": "ok"} for record in self.records)],
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")

    def _png(self, path: Path, image: Image.Image, about: PngImagePlugin.PngInfo | None) -> None:
        file = io.BytesIO()
        image.save(file, "PNG", pnginfo=about)
        write_atomically(path, file.getvalue())


def read_record(path: Path) -> Record:
    """What a picture says of itself.

    Raises:
        ValueError: It is none of ours, or damaged.
    """
    with Image.open(path) as image:
        image.load()
        text = getattr(image, "text", {}).get(KEY)
    if text is None:
        raise ValueError(f"{path} does not say how it was made.")
    record: Record = json.loads(text)
    return record


def pixel_hash(picture: Picture) -> str:
    """SHA-256 of the pixels of a picture, and of its shape."""
    pixels = picture.contiguous().numpy()
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _image(picture: Picture) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
