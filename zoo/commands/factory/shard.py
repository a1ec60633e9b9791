"""Makes one shard: scenes, prompts, pictures, scores, files. What it writes follows from its indices and the seed."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datamodules.attentionhand.writer import AttentionHandWriter
from datamodules.mesh_boxes import BRIGHT
from datamodules.scene import BoolArray, FloatArray, Scene, SceneHand
from zoo.batch import SceneBatch
from zoo.commands.factory.gate import Gate, Labelled, pixels_of
from zoo.commands.factory.poses import Poses
from zoo.commands.factory.prompts import Prompts
from zoo.commands.painting.painter import Painter
from zoo.commands.painting.scenes import Posed, squared
from zoo.hands.camera import denormalize_pixels
from zoo.hands.meshfile import write_atomically
from zoo.shapes import Tensor, UInt8

PARTS = ".shards"  # folder of what is known of each shard, until all are there
_NOISE = 15  # purpose of the randomness

Record = dict[str, Any]


@dataclass(frozen=True)
class Draft:
    """A picture that is to be made.

    Args:
        index: Of it.
        scene: Square, with its mesh picture and its prompt.
        mesh: (3, s, s) that picture.
        mask: (s, s) the silhouette.
        record: What is known so far.
    """

    index: int
    scene: Scene
    mesh: UInt8[Tensor, "3 s s"]
    mask: BoolArray
    record: Record


@dataclass(frozen=True)
class ShardMaker:
    """Makes shards; they can be made in any order, by any number of processes.

    Args:
        root: The folder of the set.
        painter: Makes pictures.
        poses: Hands.
        prompts: Texts.
        gate: Refuses pictures.
        writer: Of the folder of rows.
        seed: Other seeds give another set.
        batch: Pictures at once.
        single: Skip all scenes but those of one hand that has a mesh.
    """

    root: Path
    painter: Painter
    poses: Poses
    prompts: Prompts
    gate: Gate
    writer: AttentionHandWriter
    seed: int
    batch: int
    single: bool = False

    def make(self, rows: range, tell: Callable[[int], object] = lambda many: None) -> list[Record]:
        """Writes a shard's files; the one in `PARTS` last, which says that all are there.

        Args:
            rows: Its indices.
            tell: Is called with the number of further indices that are done.
        """
        made: dict[int, Scene] = {}
        records: dict[int, Record] = {}
        masks: dict[int, BoolArray] = {}
        drafts: list[Draft] = []
        for index in rows:
            draft = self._draft(index)
            if isinstance(draft, Draft):
                drafts.append(draft)
            else:
                records[index] = {"index": index, "status": "skipped", "reason": draft}
                tell(1)
        for start in range(0, len(drafts), self.batch):
            some = drafts[start : start + self.batch]
            pictures = self.painter(
                [draft.record["prompt"] for draft in some],
                torch.stack([draft.mesh for draft in some]),
                [draft.record["seed"] for draft in some],
            )
            scores = self.gate(pictures, [_labelled(draft) for draft in some])
            for draft, picture, score in zip(some, pictures, scores, strict=True):
                status = "rejected" if "reason" in score else "made"
                records[draft.index] = {**draft.record, "status": status, **score}
                if status == "made":
                    image = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
                    made[draft.index] = replace(draft.scene, image=image)
                    masks[draft.index] = draft.mask
                tell(1)
        for index, mask in masks.items():
            write_atomically(self.root / "data" / "mask" / f"{made[index].name}.png", _png(mask))
        self.writer.write(rows, (made.get(index) for index in rows))
        whole = [records[index] for index in rows]
        self._keep(rows, whole, [made[index] for index in rows if index in made], list(masks.values()))
        return whole

    def _draft(self, index: int) -> Draft | str:
        """What is asked for at an index, or why nothing is."""
        posed = self.poses.draw(index)
        if isinstance(posed, str):
            return posed
        seen = squared(posed, self.painter.method.size)
        if not len(seen["mesh"]):
            return "its hands have no mesh that can be drawn"
        mesh = seen["mesh"][0]
        mask = np.asarray(mesh.amax(0).numpy() > BRIGHT)
        if not mask.any():
            return "no hand is in the picture"
        scene = _square(index, posed, seen)
        if self.single and not _is_single(scene):
            return "it is not one hand with a mesh"
        joints = {side: _known_joints(hand) for side, hand in scene.hands.items()}
        text = self.prompts.of(index, joints)
        scene = replace(scene, caption=text, mesh_image=np.ascontiguousarray(mesh.permute(1, 2, 0).numpy()))
        record = {
            "index": index,
            "name": scene.name,
            "prompt": text,
            "seed": seed_of(self.seed, index),
            "sides": [("left", "right")[side] for side in sorted(scene.hands)],
            "box": _box(mask),
            **self.painter.notices(text),
        }
        return Draft(index, scene, mesh, mask, record)

    def _keep(self, rows: range, records: list[Record], scenes: list[Scene], masks: list[BoolArray]) -> None:
        """What later layouts need and the folder of rows does not hold: meshes and silhouettes of single hands."""
        arrays: dict[str, NDArray[Any]] = {"records": np.array(json.dumps(records, ensure_ascii=False))}
        chosen = [i for i, scene in enumerate(scenes) if _is_single(scene)]
        single = [scenes[i] for i in chosen]
        arrays["single"] = np.array([scene.name for scene in single])
        if single:
            hands = [hand for scene in single for hand in scene.hands.values()]
            arrays |= {
                "side": np.array([hand.side for hand in hands]),
                "vertices": _stack([hand.vertices for hand in hands]),
                "joints": _stack([hand.joints for hand in hands]),
                "intrinsics": np.stack([scene.intrinsics for scene in single]),
                "caption": np.array([scene.caption for scene in single]),
                "masks": np.packbits(np.stack([masks[i] for i in chosen]), axis=-1),
            }
            poses = [hand.pose for hand in hands if hand.pose is not None]
            if len(poses) == len(hands):
                arrays |= {key: _stack([getattr(pose, key) for pose in poses]) for key in ("rotations", "betas")}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        write_atomically(shard_file(self.root, rows), file.getvalue())


def shard_file(root: Path, rows: range) -> Path:
    """Says that a shard is whole."""
    return root / PARTS / f"{rows.start:09d}.npz"


def read_records(root: Path, rows: range) -> list[Record]:
    """What became of a shard's indices."""
    with np.load(shard_file(root, rows), allow_pickle=False) as arrays:
        records: list[Record] = json.loads(str(arrays["records"]))
    return records


def seed_of(seed: int, index: int) -> int:
    """Of the noise of a picture."""
    return int(np.random.SeedSequence((seed, _NOISE, index)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _square(index: int, posed: Posed, seen: SceneBatch) -> Scene:
    """The scene in the coordinates of its square picture, with all labels of the hands that the picture shows."""
    size = int(seen["mesh"].shape[-1])
    has_mesh = seen["has_mesh"][0].tolist()
    hands = {}
    for side, hand in posed.scene.hands.items():
        meshed = has_mesh[side]
        if any(has_mesh) and not meshed:
            continue  # only meshes are drawn and painted
        pixels = denormalize_pixels(seen["joints2d"][0, side], (size, size)).numpy()
        hands[side] = SceneHand(
            side,
            vertices=seen["vertices"][0, side].numpy() if meshed else None,
            joints=seen["joints"][0, side].numpy() if meshed else hand.joints,
            joints_valid=None if meshed else hand.joints_valid,
            joints2d=None if hand.joints2d is None else pixels,
            joints2d_valid=None if hand.joints2d is None else hand.joints2d_valid,
            pose=hand.pose,
        )
    return Scene(index, (size, size), seen["intrinsics"][0].numpy(), hands, name=f"{index:09d}")


def _labelled(draft: Draft) -> Labelled:
    hands = [hand for hand in draft.scene.hands.values() if hand.joints is not None and hand.joints_valid is None]
    joints = torch.from_numpy(_stack([hand.joints for hand in hands])) if hands else torch.zeros(0, 21, 3)
    pixels = pixels_of(joints, torch.from_numpy(draft.scene.intrinsics))
    return Labelled(torch.from_numpy(draft.mask), pixels, torch.tensor([hand.side for hand in hands], dtype=torch.long))


def _known_joints(hand: SceneHand) -> FloatArray | None:
    """Joints that a sentence can speak of: all of them, or none."""
    return hand.joints if hand.joints_valid is None or hand.joints_valid.all() else None


def _stack(parts: Sequence[FloatArray | None]) -> FloatArray:
    return np.stack([part for part in parts if part is not None])


def _is_single(scene: Scene) -> bool:
    return len(scene.hands) == 1 and all(
        hand.vertices is not None and hand.joints is not None for hand in scene.hands.values()
    )


def _box(mask: BoolArray) -> Sequence[int]:
    """Left, top, right, bottom of what is seen, edges in pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _png(mask: BoolArray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()
