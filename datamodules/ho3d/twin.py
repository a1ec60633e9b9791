"""A synthetic HO-3D: right hands of OpenHand in the published layout, names, keys, types and quirks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from datamodules.batches import one_thread
from datamodules.hand_models import moved
from datamodules.ho3d.files import SIZE, SUFFIXES, Version
from datamodules.ho3d.metas import Part
from datamodules.ho3d.python2 import write_pickle
from datamodules.scene import BoolArray, ByteArray, FloatArray
from datamodules.twins import Stage, TwinHand, drawing, whole_folder
from zoo.hands.skeleton import RIGHT, SNAP_TO_MANO_TIPS

SEQUENCES: dict[Part, tuple[str, ...]] = {"train": ("ABF10", "MC1", "SS2"), "evaluation": ("AP10", "SM1")}
FLIP = np.diag((1.0, -1.0, -1.0)).astype(np.float32)  # OpenCV's camera to OpenGL's and back
_FOCAL = 617.0  # pixels
_BOTTLE = np.array([0.03, 0.025, 0.09])  # metres, half the sides of what stands for an object
_QUALITY = 95


class _Frame(NamedTuple):
    number: int  # of the stage's scene
    part: Part
    name: str  # SEQUENCE/0123
    kind: str  # listed, unlabelled (all None) or bare (no pickle); only listed frames are in the lists


def synth(out: Path, n: int, seed: int, workers: int) -> None:
    """Writes version 3 (JPEG), or version 2 (PNG) if the folder's name has `v2` in it.

    Frames of a sequence are unrelated, and no object is drawn: the object that labels speak of is a box in the palm.
    There are no depth images. Each part has two frames that its list leaves out, one without labels and one without
    a label file.

    Args:
        out: Its folder.
        n: Training frames, at least three; an eighth as many, at least two, for evaluation.
        seed: Other seeds give other hands.
        workers: Processes that draw; 0 draws in this one.
    """
    if n < 3:
        raise ValueError(f"n={n} frames do not fill the three sequences of the training part. Pass --n 3 or more.")
    version: Version = "v2" if "v2" in out.name.lower() else "v3"
    frames = list(_frames(n))
    with whole_folder(out, "ho3d", version=version, n=n, seed=seed) as folder:
        work = _Work(Stage(seed, SIZE, _FOCAL), frames, folder, version)
        loader = DataLoader(work, batch_size=None, num_workers=workers, collate_fn=_as_is, worker_init_fn=one_thread)
        made = dict(zip((frame.name for frame in frames), drawing(loader, "frames", len(frames)), strict=True))
        shuffle = np.random.default_rng(seed)
        for part in SEQUENCES:
            names = [frame.name for frame in frames if frame.part == part and frame.kind == "listed"]
            names = [names[i] for i in shuffle.permutation(len(names))]
            (folder / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for kind, labels in (("xyz", 0), ("verts", 1)):
            entries = [np.round(made[name][labels].astype(np.float64), 7).tolist() for name in names]
            (folder / f"evaluation_{kind}.json").write_text(json.dumps(entries))
        if version == "v3":
            _calibrate(folder / "calibration" / "ABF1" / "calibration", work.stage.intrinsics)


def _frames(n: int) -> Iterator[_Frame]:
    number = 0
    counts: dict[Part, int] = {"train": n, "evaluation": max(2, -(-n // 8))}
    for part, count in counts.items():
        sequences = SEQUENCES[part]
        for i in range(count + 2):
            kind = "listed" if i < count else ("unlabelled", "bare")[i - count]
            yield _Frame(number, part, f"{sequences[i % len(sequences)]}/{i // len(sequences):04d}", kind)
            number += 1


class _Work(Dataset[tuple[FloatArray, FloatArray]]):
    """Frames by number, so that a loader's workers make them; each gives its joints and vertices as HO-3D has them."""

    def __init__(self, stage: Stage, frames: list[_Frame], folder: Path, version: Version) -> None:
        self.stage = stage
        self.frames = frames
        self.folder = folder
        self.version = version

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> tuple[FloatArray, FloatArray]:
        frame = self.frames[index]
        hand = self.stage.hands(frame.number, (RIGHT,))[RIGHT]
        picture = self.stage.photograph(frame.number, {RIGHT: hand})
        sequence, _, file = frame.name.partition("/")
        folder = self.folder / frame.part / sequence
        _write(folder / "rgb" / f"{file}{SUFFIXES[self.version]}", picture.image)
        if frame.part == "train":
            place = folder if self.version == "v3" else self.folder / "HO3D_v2_segmentations_rendered/train" / sequence
            colour, suffix = ((0, 0, 255), ".png") if self.version == "v3" else ((255, 0, 0), ".jpg")
            _write(place / "seg" / f"{file}{suffix}", _segmentation(picture.masks[RIGHT], colour))
        meta = self.meta(frame, hand)
        if frame.kind != "bare":
            path = folder / "meta" / f"{file}.pkl"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_pickle(path, meta if frame.kind == "listed" else dict.fromkeys(meta))
        return hand.joints[list(SNAP_TO_MANO_TIPS)] @ FLIP, hand.vertices @ FLIP

    def meta(self, frame: _Frame, hand: TwinHand) -> dict[str, Any]:
        """What the label file of a frame says; types are mixed as they are in the published files."""
        pose = moved(self.stage.models[RIGHT], hand.pose, FLIP, np.zeros(3, np.float32))
        joints, vertices = hand.joints[list(SNAP_TO_MANO_TIPS)] @ FLIP, hand.vertices @ FLIP
        kind = np.float64 if frame.number % 2 else np.float32
        rng = self.stage.rng(frame.number, 2)
        turn = rng.uniform(-1.5, 1.5, 3)
        rotation, place = cv2.Rodrigues(turn)[0], joints[4] + rng.uniform(-0.03, 0.03, 3)
        rest = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, 8).T * _BOTTLE
        shared = {
            "objRot": turn[:, None] if frame.number % 2 else turn,
            "objTrans": place.astype(kind),
            "objCorners3D": rest @ rotation.T + place,
            "objCorners3DRest": rest,
            "objName": "006_mustard_bottle",
            "objLabel": 5,
            "camMat": self.stage.intrinsics.astype(np.float64),
            "camIDList": ["0", "1", "2", "3", "4"],
        }
        if frame.part == "evaluation":
            box = np.concatenate((hand.pixels.min(0), hand.pixels.max(0))).astype(np.float64)
            return {**shared, "handJoints3D": joints[0].astype(kind), "handBoundingBox": list(box)}
        labels = {
            "handPose": pose.rotations.reshape(48).astype(kind),
            "handTrans": pose.transl.astype(kind),
            "handBeta": pose.betas.astype(np.float64),
            "handJoints3D": joints.astype(kind),
        }
        return {**shared, **labels, **(_contacts((vertices - place) @ rotation) if self.version == "v3" else {})}


def _contacts(points: NDArray[np.float64]) -> dict[str, Any]:
    """Version 3's labels of contact between vertices, metres in the frame of the box, and its surface."""
    inside = (np.abs(points) < _BOTTLE).all(-1)
    surface = np.clip(points, -_BOTTLE, _BOTTLE)
    nearest = (_BOTTLE - np.abs(points)).argmin(-1)
    rows = np.flatnonzero(inside)
    axis = nearest[inside]
    surface[rows, axis] = np.copysign(_BOTTLE[axis], points[rows, axis])
    distance = np.linalg.norm(points - surface, axis=-1)
    return {
        "handVertContact": distance < 0.004,
        "handVertDist": distance,
        "handVertIntersec": inside,
        "handVertObjSurfProj": surface,
    }


def _segmentation(mask: BoolArray, colour: tuple[int, int, int]) -> ByteArray:
    """A quarter of the size, the hand in its colour on black."""
    return np.where(mask[::4, ::4, None], np.array(colour, np.uint8), np.uint8(0))


def _write(path: Path, image: ByteArray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        data: bytes = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    else:
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), _QUALITY, "RGB", "420")
    path.write_bytes(data)


def _calibrate(folder: Path, intrinsics: FloatArray) -> None:
    """Version 3's files of a set of cameras; this one has one camera."""
    folder.mkdir(parents=True)
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    (folder / "cam_orders.txt").write_text("0\n")
    (folder / "cam_0_depth_scale.txt").write_text("0.00012498664727900177\n")
    (folder / "cam_0_intrinsics.txt").write_text(
        f"width: {SIZE[1]}, height: {SIZE[0]}, ppx: {cx}, ppy: {cy}, fx: {fx}, fy: {fy}\n"
    )
    np.savetxt(folder / "trans_0.txt", np.eye(4))


def _as_is(made: Any) -> Any:
    return made
