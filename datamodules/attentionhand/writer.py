"""Writes scenes as a folder that AttentionHand's own code reads; an interrupted writer goes on where it stopped.

`modalities.json` is written last, so that a folder that has it is whole. What is known of the hands goes into the rows
as `labels`, which the authors' code passes over (`attentionhand/labels.py`).
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import orjson
import simplejpeg

from datamodules.attentionhand.files import MODALITIES
from datamodules.attentionhand.labels import labels_of
from datamodules.scene import ByteArray, Scene


class AttentionHandWriter:
    """Writes a folder: `for rows in writer.missing(): writer.write(rows, scenes)`, then `finish()`.

    Args:
        root: The folder.
        count: Rows.
        prefix: What paths begin with: the folder's name as seen from where the authors' code runs; None takes the name
            it has.
        labels: False leaves out what is known of the hands.
        shard: Rows written at once. Another value does not resume an earlier writer.
        quality: Of the JPEG files.
    """

    def __init__(
        self,
        root: Path,
        count: int,
        *,
        prefix: str | None = None,
        labels: bool = True,
        shard: int = 64,
        quality: int = 92,
    ) -> None:
        self.root = Path(root).absolute()
        self.count = count
        self.prefix = self.root.name if prefix is None else prefix
        self.labels = labels
        self.shard = shard
        self.quality = quality
        self._parts = self.root / f".rows-{count}-{shard}"

    @property
    def finished(self) -> bool:
        """Whether `modalities.json` is there, which is written last."""
        return (self.root / MODALITIES).is_file()

    def missing(self) -> list[range]:
        """The shards still to be written."""
        if self.finished:
            return []
        shards = [range(i, min(i + self.shard, self.count)) for i in range(0, self.count, self.shard)]
        return [rows for rows in shards if not self._shard(rows).is_file()]

    def write(self, rows: range, scenes: Iterable[Scene | None]) -> None:
        """Writes one shard.

        Args:
            rows: One of `missing()`.
            scenes: Of these rows. Each needs a caption and a mesh image; one without an image is a row to predict.
                Its name becomes its file id, and must be its own; without one it is the row's number. None leaves a
                row out.
        """
        lines = []
        for number, scene in zip(rows, scenes, strict=True):
            if scene is None:
                continue
            name = scene.name or f"{number:012d}"
            if "/" in name or "\\" in name or name.startswith("."):
                raise ValueError(f"Scene {number} is called {name!r}, which is no name for a file. Name it otherwise.")
            if scene.mesh_image is None or not scene.caption:
                lacks = "a caption" if scene.mesh_image is not None else "a picture of its meshes"
                raise ValueError(f"Scene {name} has not {lacks}, which every row must have. Leave it out.")
            row = {"mesh": self._jpeg("mesh", name, scene.mesh_image)}
            if scene.image is not None:
                row["rgb"] = self._jpeg("rgb", name, scene.image)
            sentence = " ".join(scene.caption.split())  # the authors read one line
            row["text"] = self._put("text", f"{name}.txt", sentence.encode())
            labels = labels_of(scene) if self.labels else None
            lines.append(orjson.dumps(row if labels is None else {**row, "labels": labels}) + b"\n")
        self._replace(self._shard(rows), b"".join(lines))

    def finish(self) -> None:
        """Joins the shards to `modalities.json`."""
        if missing := self.missing():
            raise ValueError(f"{self.root}: {len(missing)} shards are not written. Write them first.")
        if not self.finished:
            path = self.root / MODALITIES
            draft = path.with_suffix(".tmp")
            with draft.open("wb") as file:
                for shard in sorted(self._parts.glob("*.jsonl")):
                    file.write(shard.read_bytes())
            os.replace(draft, path)
        for parts in self.root.glob(".rows-*"):  # also those of a writer with other numbers
            shutil.rmtree(parts)

    def _shard(self, rows: range) -> Path:
        return self._parts / f"{rows.start:09d}.jsonl"

    def _jpeg(self, kind: str, name: str, picture: ByteArray) -> str:
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), self.quality, "RGB", "420")
        return self._put(kind, f"{name}.jpg", data)

    def _put(self, kind: str, name: str, data: bytes) -> str:
        self._replace(self.root / kind / name, data)
        return f"{self.prefix}/{kind}/{name}"

    def _replace(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        draft.write_bytes(data)
        os.replace(draft, path)
