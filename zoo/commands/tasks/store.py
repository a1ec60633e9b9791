"""The folder that `sample` writes: one npz file a hand, meshes, and a manifest; all of them whole or not there."""

import io
import json
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from zoo.commands.folder import claim, write_text
from zoo.commands.manifest import facts, failed
from zoo.commands.resume import same_run
from zoo.commands.tasks.align import side_name
from zoo.commands.tasks.task import Outcome
from zoo.hands.meshfile import save_mesh, write_atomically
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.shapes import Betas, Faces, Float, Rotations, Translation

KNOWN, MADE = (0.56, 0.66, 0.78), (0.93, 0.62, 0.40)  # colours of what was given and of what was completed
FREE = ("limit", "batch", "mesh", "params", "pictures", "device", "command")  # options that a resumed run may change
# What the npz files hold; n hypotheses, best first.
ARRAYS = {
    "vertices, joints": "(n, 778, 3) and (n, 21, 3) metres; of left hands left ones; in the camera frame of the image, "
    "for inpaint in the frame of the input, for generate with the wrist at the origin",
    "rotations, pose, betas, transl": "MANO's parameters of the hand's own side that make the mesh: (n, 16, 3, 3), the "
    "same as axis-angle (n, 48) where the flat hand is zero, (n, 10), (n, 3) metres",
    "residual": "(n,) metres between that mesh and the vertices, mean",
    "intrinsics, image_size": "of the image: (3, 3) pixels; height and width",
    "box": "left, top, right, bottom of the joints' box, pixels: of the keypoints, or as given",
    "crop_affine, crop_size": "(2, 3) from pixels of the image to pixels of the square crop that the model saw",
    "crop_frame": "(3, 3) from the image's camera frame to the crop's: mirrored for left hands, turned with the crop",
    "crop_intrinsics": "(3, 3) crop_affine @ intrinsics @ crop_frame.T: sees crop_frame @ points where the crop does",
    "translation": "(n, 3) metres, the wrist. With 3D labels, where they are; with keypoints, where the joints fall on "
    "them; with a box alone, where the joints' box has its centre and longer side. Without known intrinsics its depth "
    "follows the guessed focal length (--focal)",
    "known": "inpaint: (778,) vertices, or (21,) joints, that were given and kept",
}

Record = dict[str, Any]


class Parameters(NamedTuple):
    """MANO's parameters of the hypotheses of one hand, for the model of its own side."""

    rotations: Rotations  # (n, 16, 3, 3)
    pose: Float[Tensor, "n 48"]  # the same as axis-angle, absolute
    betas: Betas  # (n, 10)
    transl: Translation  # (n, 3) metres
    residual: Float[Tensor, " n"]  # metres, mean distance of the vertices


class Store:
    """Writes each hand as soon as it is there, and knows those of an earlier run.

    Args:
        folder: Where to.
        faces: Of the right hand.
        formats: Suffixes of the meshes, without dots.
        header: What the manifest says besides the results; `options` and `checkpoint` must be those of the run that is
            resumed.
        overwrite: Empty the folder first.
        inputs: What the run reads, which that must not delete.
        resume: Keep the hands that are there.
    """

    def __init__(
        self,
        folder: Path,
        faces: Faces,
        formats: Sequence[str],
        header: dict[str, Any],
        overwrite: bool = False,
        resume: bool = False,
        inputs: Iterable[Path | str] = (),
    ) -> None:
        self.folder, self.formats, self.header = folder, formats, header
        self.faces = {RIGHT: faces.cpu(), LEFT: faces.cpu()[:, [0, 2, 1]]}  # a mirrored mesh keeps its outside outside
        self.records: dict[str, Record] = {}
        self.failures: dict[str, str] = {}
        self.extra: list[str] = []
        self.pictures: list[str] = []
        self.began = time.time()
        if resume and (folder / "manifest.json").is_file():
            same_run(folder, header, "hands", FREE)
        else:
            claim(folder, overwrite, inputs=inputs)
        self.write_manifest("running")

    def earlier(self, name: str) -> bool:
        """Whether a hand is there, whole, from the run that is resumed."""
        path = self.path(name)
        try:
            with np.load(path, allow_pickle=False) as file:
                record = json.loads(str(file["record"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        if not all((self.folder / made).is_file() for made in record["files"]):
            return False
        if not {f".{suffix}" for suffix in self.formats} <= {Path(made).suffix for made in record["files"][1:]}:
            return False  # the meshes of this run may be of other formats
        self.records[name] = record
        return True

    def path(self, name: str) -> Path:
        """The npz file of a hand."""
        return self.folder / "hands" / f"{name}.npz"

    def load(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of a hand."""
        with np.load(self.path(name), allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def fail(self, name: str, reason: str) -> None:
        """Notes a hand that there is no result for."""
        self.failures[name] = reason

    def add(self, outcome: Outcome, parameters: Parameters | None) -> None:
        """Writes one hand; its npz file last, for it says that all is there."""
        case = outcome.case
        scores = {name: score.numpy() for name, score in outcome.scores.items()}
        arrays: dict[str, Any] = {
            "vertices": outcome.vertices.numpy(),
            "joints": outcome.joints.numpy(),
            "faces": self.faces[case.side].numpy(),
            "side": np.array(case.side),
            **outcome.extras,
            **scores,
        }
        if outcome.camera is not None:
            arrays["intrinsics"] = outcome.camera.numpy()
        if outcome.size is not None:
            arrays["image_size"] = np.array(outcome.size)
        if case.seen.any():
            arrays |= {"keypoints": case.pixels, "keypoints_valid": case.seen, "confidence": case.confidence}
        if case.joints is not None:
            arrays |= {"given_joints": case.joints, "given_joints_valid": case.labelled}
        if parameters is not None:
            arrays |= {key: value.numpy() for key, value in parameters._asdict().items()}
        record: Record = {
            "name": case.name,
            "status": "ok",
            "side": side_name(case.side),
            "hypotheses": len(outcome.vertices),
            "files": [f"hands/{case.name}.npz", *self._meshes(outcome)],
            **{name: round(float(score[0]), 4) for name, score in scores.items()},
        }
        if len(outcome.vertices) > 1:
            record["scores"] = {name: [round(float(x), 4) for x in score] for name, score in scores.items()}
        if case.image is not None:
            record["image"] = str(case.image)
        if case.source is not None:
            record["input"] = str(case.source)
        if case.seen.any():
            record["keypoints"] = int(case.seen.sum())
        arrays["record"] = np.array(json.dumps(record))
        self._npz(self.path(case.name), arrays)
        self.records[case.name] = record

    def _meshes(self, outcome: Outcome) -> list[str]:
        """The best hypothesis, or for completions, which are all as good, every one of them."""
        case, names = outcome.case, [outcome.case.name]
        colors = None
        if case.known is not None:
            # names of hands hold no "+", so a second completion is never another hand's first
            names += [f"{case.name}+{number}" for number in range(1, len(outcome.vertices))]
            colors = paint(case.known).float()
        made = []
        for name, vertices in zip(names, outcome.vertices, strict=False):
            for suffix in self.formats:
                path = self.folder / "meshes" / f"{name}.{suffix}"
                save_mesh(path, vertices, self.faces[case.side], colors)
                made.append(str(path.relative_to(self.folder)))
        return made

    def save_together(self, name: str, arrays: dict[str, Any]) -> None:
        """One npz file for all hands."""
        self._npz(self.folder / name, arrays)
        self.extra.append(name)

    def save_picture(self, name: str, image: Image.Image) -> None:
        """Writes a PNG."""
        file = io.BytesIO()
        image.save(file, "PNG")
        write_atomically(self.folder / name, file.getvalue())
        self.pictures.append(name)

    def write_manifest(self, status: str) -> None:
        """What is there: "running" until the run is "done" or "stopped"."""
        manifest = {
            **facts(self.header, status, self.began),
            "frame": "camera: x right, y down, z forward; metres",
            "arrays": ARRAYS,
            "files": self.extra,
            "pictures": self.pictures,
            "results": [*failed(self.failures), *self.records.values()],
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")

    def _npz(self, path: Path, arrays: dict[str, Any]) -> None:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomically(path, file.getvalue())


def paint(known: NDArray[np.bool_]) -> Float[Tensor, "778 3"]:
    """One colour for vertices that were given, another one for those that were made."""
    import torch

    return torch.where(torch.from_numpy(known)[:, None], torch.tensor(KNOWN), torch.tensor(MADE))
