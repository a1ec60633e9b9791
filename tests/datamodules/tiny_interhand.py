"""Small InterHand2.6M folders: a twin without its pictures' cost, and parts written by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from datamodules.synth import synth
from datamodules.twins import Stage, TwinPicture

KINDS = 8  # frames after which a twin's frames show the same again, with three images each
TURN = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])  # det 1


def twin(root: Path) -> Path:
    """One of each kind of frame by three cameras, in grey pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "photograph", grey)
        return synth("interhand", root, 3 * KINDS)


def grey(stage, number, hands):
    """In place of a drawn picture."""
    return TwinPicture(np.full((*stage.size, 3), 128, np.uint8), {})


def copy(root: Path, to: Path) -> Path:
    """A folder of one's own to damage."""
    return Path(shutil.copytree(root, to / "copy"))


def load(root: Path, part: str, kind: str):
    """The content of an annotation file."""
    return json.loads(file(root, part, kind).read_text())


def file(root: Path, part: str, kind: str) -> Path:
    """An annotation file."""
    return root / "annotations" / part / f"InterHand2.6M_{part}_{kind}.json"


def save(root: Path, part: str, kind: str, content) -> Path:
    """Writes an annotation file."""
    path = file(root, part, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def image(number: int, frame: int = 5, **changes):
    """An image's entry, by the rule of file names."""
    entry = {
        "id": number,
        "file_name": f"Capture3/0007_wave/cam400012/image{frame}.jpg",
        "width": 334,
        "height": 512,
        "capture": 3,
        "subject": 1,
        "seq_name": "0007_wave",
        "camera": "400012",
        "frame_idx": frame,
    }
    return entry | changes


def annotation(number: int, image: int, valid=None, **changes):
    """An annotation's entry."""
    valid = [[1]] * 21 + [[0]] * 21 if valid is None else valid
    entry = {"id": number, "image_id": image, "bbox": [1.5, 2.5, 100.0, 50.0], "joint_valid": valid}
    return entry | {"hand_type": "right", "hand_type_valid": 1} | changes


def world(seed: int = 0):
    """(42, 3) millimetres: before the camera of `write` and within its picture."""
    seen = np.random.default_rng(seed).uniform((-80, -120, 950), (80, 120, 1050), (42, 3))
    return seen @ TURN + (100, 200, -300)


def write(root: Path, part="train", images=None, annotations=None, frames=None, fits=None):
    """A part with one camera; frames and fits are capture 3's."""
    camera = {"campos": [100, 200, -300], "camrot": TURN.tolist(), "focal": [1200, 1210], "princpt": [167, 256]}
    frame = {"world_coord": world().tolist(), "joint_valid": [[True]] * 21 + [[False]] * 21}
    frame |= {"hand_type": "right", "hand_type_valid": True}
    images = [image(0)] if images is None else images
    annotations = [annotation(0, 0)] if annotations is None else annotations
    save(root, part, "data", {"images": images, "annotations": annotations})
    save(root, part, "camera", {"3": {key: {"400012": value} for key, value in camera.items()}})
    save(root, part, "joint_3d", {"3": {"5": frame} if frames is None else frames})
    if fits is not None:
        save(root, part, "MANO_NeuralAnnot", {"3": fits})
    return root


def as_test(root: Path, to: Path) -> Path:
    """A folder whose test part is the training part of another one."""
    made = to / "InterHand2.6M"
    shutil.copytree(root / "annotations" / "train", made / "annotations" / "test")
    for path in (made / "annotations" / "test").glob("*.json"):
        path.rename(path.with_name(path.name.replace("_train_", "_test_")))
    (made / "images").mkdir()
    (made / "images" / "test").symlink_to(root / "images" / "train", target_is_directory=True)
    shutil.copy(root / "openhand.json", made)
    return made
