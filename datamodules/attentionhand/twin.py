"""A synthetic AttentionHand: OpenHand's hands as photographs, meshes and sentences, with the quirks of the real files.

Pictures of several sizes, one or two hands, meshes as JPEG with specks, sentences that do not end in a newline.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.attentionhand.data import INFERENCE, TRAINING
from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.scene import ByteArray, Scene
from datamodules.twins import Stage, TwinHand, drawing, whole_folder
from zoo.hands.render import Lights, render
from zoo.hands.skeleton import LEFT, RIGHT

SIZES = ((640, 481), (640, 416), (536, 640), (427, 640))  # height, width: what COCO's pictures are like
FOCAL = 600.0
SHARD = 8
LIGHTS = Lights(
    ambient=(0.5, 0.5, 0.5), directions=((-0.3, -0.6, -1.0),), colors=((0.45, 0.45, 0.45),), specular=0.0, wrap=0.4
)
OPENINGS = ("A photo of", "Someone shows", "A person holds up", "This picture is of")
HANDS = {(LEFT,): "a left hand", (RIGHT,): "a right hand", (LEFT, RIGHT): "both hands"}
ENDINGS = ("in front of a wall", "close to the camera", "with the fingers in view", "")


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes `data` and `samples`, side by side as the authors' code expects them.

    Row 0 and every third from there has one hand, the next has two, the next has one and specks.

    Args:
        out: Their folder.
        n: Training rows; an eighth as many to predict.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    with whole_folder(out, "attentionhand", seed=seed) as draft:
        for part, first, count in ((TRAINING, 0, n), (INFERENCE, n, -(-n // 8))):
            work = _Work(draft / part, first, count, seed, pictured=part == TRAINING)
            for _ in drawing(DataLoader(work, batch_size=None, num_workers=workers), f"shards of {part}"):
                pass
            work.writer.finish()


class _Work(Dataset[int]):
    """Shards as a dataset, so that a loader's workers draw them."""

    def __init__(self, root: Path, first: int, count: int, seed: int, *, pictured: bool) -> None:
        self.writer = AttentionHandWriter(root, count, labels=False, shard=SHARD, quality=80)
        self.shards = self.writer.missing()
        self.first, self.seed, self.pictured = first, seed, pictured

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> int:
        self.writer.write(self.shards[index], (self._scene(self.first + row) for row in self.shards[index]))
        return index

    @cached_property
    def _stages(self) -> list[Stage]:
        return [Stage(self.seed, size, FOCAL, fill=(0.25, 0.5)) for size in SIZES]

    def _scene(self, number: int) -> Scene:
        stage = self._stages[number % len(SIZES)]
        rng = stage.rng(number, 2)
        sides = (LEFT, RIGHT) if number % 3 == 1 else (int(rng.integers(2)),)
        hands = stage.hands(number, sides)
        meshes = draw_meshes(hands, stage)
        if number % 3 == 2:
            add_specks(meshes, rng)
        words = (rng.choice(OPENINGS), HANDS[sides], rng.choice(ENDINGS))
        return Scene(
            index=number,
            size=stage.size,
            intrinsics=stage.intrinsics,
            image=stage.photograph(number, hands).image if self.pictured else None,
            caption=" ".join(word for word in words if word) + ".",
            mesh_image=meshes,
            name=f"{number:012d}",
        )


def draw_meshes(hands: Mapping[int, TwinHand], stage: Stage) -> ByteArray:
    """(h, w, 3) hands drawn white on black, the nearer one in front.

    Args:
        hands: By side, before the stage's camera.
        stage: Whose camera.
    """
    vertices = torch.from_numpy(np.concatenate([hand.vertices for hand in hands.values()]))
    faces = torch.cat([stage.models[side].faces + 778 * i for i, side in enumerate(hands)])
    camera = torch.from_numpy(stage.intrinsics)
    white = torch.ones(1, len(vertices), 3)
    drawn = render(vertices[None], faces, camera[None], stage.size, colors=white, lights=LIGHTS)
    return np.ascontiguousarray(drawn.color[0].permute(1, 2, 0).cpu().numpy())


def add_specks(meshes: ByteArray, rng: np.random.Generator, count: int = 6) -> None:
    """Puts bright dots of a few pixels near the edges, as noise does, into a picture of meshes."""
    height, width = meshes.shape[:2]
    for _ in range(count):
        x, y = int(rng.integers(2, width - 2)), int(rng.choice([3, height - 4]))
        cv2.circle(meshes, (x, y), int(rng.integers(1, 3)), (235, 235, 235), -1)
