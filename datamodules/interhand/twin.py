"""A synthetic InterHand2.6M: OpenHand's hands seen by several cameras at once, in the published files and quirks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from datamodules.batches import one_thread
from datamodules.hand_models import moved
from datamodules.interhand.files import PARTS, Part
from datamodules.interhand.index import ROOTS
from datamodules.interhand.indexer import JOINTS, NAME, SIDES
from datamodules.scene import FloatArray
from datamodules.twins import Stage, TwinHand, whole_folder
from zoo.hands.skeleton import LEFT, RIGHT, SNAP_TO_INTERHAND

Floats = NDArray[np.float64]
BOX = 1.2  # the stored box over the tight one of the valid joints
_MM = 1e3
_SIZES = ((512, 334), (334, 512), (512, 334))  # height, width of each camera's images
_CAMERAS = (("400262", "400263", "410001"), ("410014", "400030", "410028"))  # by capture
_CAPTURES: dict[Part, tuple[int, ...]] = {"train": (0, 1), "val": (0,), "test": (0, 1)}
_FOCAL = 1270.0
_SHARE = (0.56, 0.64)  # of the shorter side that a hand's length takes, in the first camera
_AWAY = 1.14  # metres from the first camera to where all cameras look
_ANGLES = ((0, 0), (0.5, -0.3), (-0.65, 0.25))  # radians around that point, sideways and down


class _Kind(NamedTuple):
    """What a frame shows and what its labels leave out."""

    seq: str
    sides: tuple[int, ...]
    hand_type: str
    invalid: tuple[int, ...] = ()  # joints of the 42 without a 3D label
    null: tuple[int, ...] = ()  # sides whose MANO parameters are null
    absent: tuple[int, ...] = ()  # sides whose MANO parameters are left out
    no_fit: bool = False  # the frame is left out of MANO's file


_BOTH, _LEFT_JOINTS = (RIGHT, LEFT), tuple(range(21, JOINTS))
_KINDS = (
    _Kind("0001_clasp", _BOTH, "interacting"),
    _Kind("0002_fist", (RIGHT,), "right", null=(LEFT,)),
    _Kind("0003_fist", (LEFT,), "left", absent=(RIGHT,)),
    _Kind("0001_clasp", _BOTH, "interacting", invalid=_LEFT_JOINTS, null=(LEFT,)),  # one hand is not labelled
    _Kind("0002_fist", (RIGHT,), "right", invalid=(16, 17, 3), null=(LEFT,)),  # of little finger and thumb
    _Kind("0004_two", _BOTH, "right"),  # two hands that are labelled as one
    _Kind("0001_clasp", _BOTH, "interacting", invalid=(ROOTS[LEFT],)),  # a hand without its wrist
    _Kind("0001_clasp", _BOTH, "interacting", no_fit=True),
)


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes it.

    Args:
        out: Its folder: new or empty.
        n: Training images; an eighth as many for validation and for test. Three cameras share a frame.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    if n < 1:
        raise ValueError(f"n={n} images make no dataset. Pass -n 1 or more.")
    with whole_folder(out, "interhand", images=n, seed=seed) as folder:
        for part in PARTS:
            _Part(folder, part, n if part == "train" else -(-n // 8), seed).write(workers)
        (folder / "annotations" / "skeleton.txt").write_text(_skeleton())
        (folder / "annotations" / "subject.txt").write_text("# capture subject\n0 0\n1 1\n")


@dataclass(frozen=True)
class _Part(Dataset[dict[str, Any]]):
    """Frames of one part; each is drawn and described on its own."""

    folder: Path
    part: Part
    images: int
    seed: int

    def __len__(self) -> int:
        return -(-self.images // len(_SIZES))

    def write(self, workers: int) -> None:
        loader = DataLoader(self, batch_size=None, num_workers=workers, worker_init_fn=one_thread)
        captures = [str(capture) for capture in _CAPTURES[self.part]]
        data: dict[str, list[Any]] = {"images": [], "annotations": []}
        joints: dict[str, dict[str, Any]] = {capture: {} for capture in captures}
        fits: dict[str, dict[str, Any]] = {capture: {} for capture in captures}
        for made in tqdm(loader, desc=f"Drawing {self.part}", unit=" frames", delay=5):
            data["images"] += made["images"]
            data["annotations"] += made["annotations"]
            joints[made["capture"]][made["frame"]] = made["joints"]
            if made["fits"] is not None:
                fits[made["capture"]][made["frame"]] = made["fits"]
        data["annotations"].reverse()  # so that images and annotations are found by id and not by place
        cameras = {capture: self._cameras(int(capture)) for capture in captures}
        home = self.folder / "annotations" / self.part
        home.mkdir(parents=True)
        for name, content in {"data": data, "camera": cameras, "joint_3d": joints, "MANO_NeuralAnnot": fits}.items():
            (home / f"InterHand2.6M_{self.part}_{name}.json").write_text(json.dumps(content))

    @cached_property
    def _stages(self) -> list[Stage]:
        return [Stage(self.seed, size, _FOCAL * (1 + 0.02 * i), _SHARE) for i, size in enumerate(_SIZES)]

    def _cameras(self, capture: int) -> dict[str, dict[str, Any]]:
        names = _CAMERAS[capture]
        places = [place(capture, i) for i in range(len(names))]
        return {
            "campos": {name: (_MM * at.position).tolist() for name, at in zip(names, places, strict=True)},
            "camrot": {name: at.rotation.tolist() for name, at in zip(names, places, strict=True)},
            "focal": {name: [stage.focal] * 2 for name, stage in zip(names, self._stages, strict=True)},
            "princpt": {
                name: _floats(stage.intrinsics[:2, 2]) for name, stage in zip(names, self._stages, strict=True)
            },
        }

    def __getitem__(self, number: int) -> dict[str, Any]:
        kind = _KINDS[number % len(_KINDS)]
        captures = _CAPTURES[self.part]
        capture = captures[number // 2 % len(captures)]
        shown = number + 1_000_000 * PARTS.index(self.part)
        hands = self._stages[0].hands(shown, kind.sides)
        first = place(capture, 0)
        valid = np.zeros(JOINTS, np.bool_)
        world = np.full((JOINTS, 3), 1 / _MM)  # what is not known is [1, 1, 1] millimetres
        for side, hand in hands.items():
            start = 0 if side == RIGHT else JOINTS // 2
            known = hand.regressed[list(SNAP_TO_INTERHAND)].astype(np.float64)
            world[start : start + JOINTS // 2] = known @ first.rotation + first.position
            valid[start : start + JOINTS // 2] = True
        valid[list(kind.invalid)] = False
        world[~valid] = 1 / _MM
        made: dict[str, Any] = {"capture": str(capture), "frame": str(7 + 83 * number), "images": [], "annotations": []}
        made["joints"] = {
            "world_coord": (_MM * world).tolist(),
            "joint_valid": valid[:, None].tolist(),
            "hand_type": kind.hand_type,
            "hand_type_valid": True,
        }
        made["fits"] = None if kind.no_fit else self._fits(kind, hands, first)
        for view in range(min(len(_SIZES), self.images - len(_SIZES) * number)):
            image, annotation = self._view(kind, capture, number, view, world, valid)
            self._photograph(image["file_name"], shown, view, hands)
            made["images"].append(image)
            made["annotations"].append(annotation)
        return made

    def _view(
        self, kind: _Kind, capture: int, number: int, view: int, world: Floats, valid: NDArray[np.bool_]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        stage, at, ident = self._stages[view], place(capture, view), len(_SIZES) * number + view
        height, width = stage.size
        rays = (world - at.position) @ at.rotation.T @ stage.intrinsics.T.astype(np.float64)
        pixels = rays[:, :2] / rays[:, 2:]
        seen = valid & ((pixels >= 0) & (pixels < (width, height))).all(1)
        image = {
            "id": ident,
            "file_name": NAME.format(capture, kind.seq, _CAMERAS[capture][view], 7 + 83 * number),
            "width": width,
            "height": height,
            "capture": capture,
            "subject": capture,
            "seq_name": kind.seq,
            "camera": _CAMERAS[capture][view],
            "frame_idx": 7 + 83 * number,
        }
        annotation = {
            "id": ident,
            "image_id": ident,
            "bbox": _box(pixels[seen] if seen.any() else np.array([[0, 0], [width, height]])),
            "joint_valid": seen[:, None].astype(int).tolist(),
            "hand_type": kind.hand_type,
            "hand_type_valid": 1,
        }
        return image, annotation

    def _fits(self, kind: _Kind, hands: Mapping[int, TwinHand], first: "Place") -> dict[str, Any]:
        fits: dict[str, Any] = {}
        for side in (RIGHT, LEFT):
            if side in kind.absent:
                continue
            fits[SIDES[side]] = None
            if side in hands and side not in kind.null:
                model = self._stages[0].models[side]
                back = first.rotation.T.astype(np.float32)
                pose = moved(model, hands[side].pose, back, first.position.astype(np.float32))
                turns = pose.rotations.astype(np.float64).reshape(48)
                turns[3:] -= model.hands_mean.numpy()
                fits[SIDES[side]] = {
                    "pose": turns.tolist(),
                    "shape": _floats(pose.betas),
                    "trans": _floats(pose.transl),
                }
        return fits

    def _photograph(self, name: str, shown: int, view: int, hands: Mapping[int, TwinHand]) -> None:
        at = looking(view)
        seen = {
            side: hand._replace(
                vertices=at.see(hand.vertices), joints=at.see(hand.joints), regressed=at.see(hand.regressed)
            )
            for side, hand in hands.items()
        }
        picture = self._stages[view].photograph(shown, seen)
        path = self.folder / "images" / self.part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(simplejpeg.encode_jpeg(picture.image, 92, "RGB", "420"))


class Place(NamedTuple):
    """A camera: X_camera = rotation @ (X - position), metres."""

    rotation: Floats  # (3, 3)
    position: Floats  # (3,)

    def see(self, points: FloatArray) -> FloatArray:
        return ((points - self.position) @ self.rotation.T).astype(np.float32)


def looking(view: int) -> Place:
    """Where a camera is in the frame of the first one; all look at one point."""
    sideways, down = _ANGLES[view]
    ahead = np.array((np.sin(sideways) * np.cos(down), np.sin(down), np.cos(sideways) * np.cos(down)))
    right = np.cross((0, 1, 0), ahead)
    right /= np.linalg.norm(right)
    return Place(np.stack([right, np.cross(ahead, right), ahead]), np.array((0, 0, _AWAY)) - _AWAY * ahead)


def place(capture: int, view: int) -> Place:
    """Where a camera is in the world of its capture."""
    turn = cv2.Rodrigues(np.array((2.1, -0.4 - 0.3 * capture, 0.7)))[0]
    origin = np.array((0.35, -0.9 + 0.2 * capture, 0.6))
    rotation, position = looking(view)
    return Place(rotation @ turn, origin + turn.T @ position)


def _box(pixels: Floats) -> list[float]:
    low, high = pixels.min(0), pixels.max(0)
    size = BOX * (high - low)
    return [*((low + high - size) / 2).tolist(), *size.tolist()]


def _floats(values: FloatArray) -> list[float]:
    return values.astype(np.float64).tolist()


def _skeleton() -> str:
    """Name, number and number of the parent of each joint: tips first, wrists last."""
    lines = ["# joint_name joint_id joint_parent_id"]
    for letter, start in (("r", 0), ("l", 21)):
        for finger, name in enumerate(("thumb", "index", "middle", "ring", "pinky")):
            for i in range(4):
                own = start + 4 * finger + i
                lines.append(f"{letter}_{name}{4 - i} {own} {own + 1 if i < 3 else start + 20}")
        lines.append(f"{letter}_wrist {start + 20} -1")
    return "\n".join(lines) + "\n"
