"""Folders as AttentionHand's code reads them, of flat grey pictures."""

import json

import numpy as np

from datamodules.attentionhand.data import nominal_camera
from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.scene import Scene

SIZES = ((60, 80), (90, 50), (64, 64))


def scene(number, *, photo=True, hands=None):
    """A picture as grey as its number says and a bright rectangle for a hand."""
    height, width = SIZES[number % 3]
    meshes = np.zeros((height, width, 3), np.uint8)
    meshes[10 : 20 + number, 15:40] = 240
    image = np.full((height, width, 3), 20 * number, np.uint8) if photo else None
    return Scene(
        number,
        (height, width),
        nominal_camera((height, width)),
        hands or {},
        image=image,
        caption=f"Hand number {number}.",
        mesh_image=meshes,
        name=f"{number:012d}",
    )


def write(root, scenes, **options):
    scenes = list(scenes)
    writer = AttentionHandWriter(root, len(scenes), shard=4, **options)
    for rows in writer.missing():
        writer.write(rows, [scenes[row] for row in rows])
    writer.finish()
    return root


def rewrite(root, change):
    """Changes every row of a folder."""
    path = root / "modalities.json"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))
