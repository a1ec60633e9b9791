"""What `sample` writes: npz files, meshes, pictures and a manifest."""

import io
import json
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoo.commands.fitting import Placed, What
from zoo.commands.folder import write_text
from zoo.commands.pictures import Drawn, draw_crops, draw_images, draw_sheet
from zoo.commands.skeletons import Skeleton
from zoo.hands.meshfile import save_mesh, write_atomically
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.shapes import Faces

PACKAGES = ("torch", "lightning", "numpy", "hand-model-zoo")


class Results:
    """Collects hands, and writes each as soon as it is there.

    Args:
        folder: Where to; exists and is empty.
        faces: Of the right hand.
        formats: Suffixes of the meshes, without dots.
    """

    def __init__(self, folder: Path, faces: Faces, formats: Sequence[str]) -> None:
        self.folder = folder
        self.faces = {RIGHT: faces.cpu(), LEFT: faces.cpu()[:, [0, 2, 1]]}  # a mirrored mesh keeps its outside outside
        self.formats = formats
        self.entries: list[dict[str, Any]] = []
        self.drawn: list[Drawn] = []
        self.generated: list[tuple[Tensor, Tensor]] = []

    def size(self, hand: Skeleton) -> tuple[int, int]:
        """Height and width of a hand's image: said by the file, or by the image, or guessed from the camera."""
        if hand.size is not None:
            return hand.size
        try:
            with Image.open(hand.image or "") as picture:
                return picture.height, picture.width
        except OSError:
            if hand.intrinsics is not None:
                return round(2 * float(hand.intrinsics[1, 2]) + 1), round(2 * float(hand.intrinsics[0, 2]) + 1)
            right, bottom = hand.pixels[hand.seen].max(0)
            return int(bottom) + 2, int(right) + 2

    def problem(self, hand: Skeleton, what: What) -> str | None:
        """Why a skeleton cannot be fitted."""
        if what in ("3d", "both") and hand.joints is None:
            return f"--given {what} needs 3D joints, and the file has none; use --given 2d"
        if hand.joints is not None and what != "2d":
            return None
        if np.ptp(hand.pixels[hand.seen], axis=0).max() < 1:
            return f"{int(hand.seen.sum())} labelled keypoints at one place do not say where a hand is"
        return None

    def add_failure(self, name: str, reason: str) -> None:
        """Notes a hand that there is no result for."""
        self.entries.append({"name": name, "status": "failed", "reason": reason})

    def add_generated(self, start: int, vertices: Tensor, joints: Tensor) -> None:
        """Hands from noise, (b, 778, 3) and (b, 21, 3)."""
        self.generated.append((vertices, joints))
        for row, mesh in enumerate(vertices):
            name = f"hand_{start + row:04d}"
            self.entries.append({"name": name, "status": "ok", "files": self._meshes(name, mesh, RIGHT)})

    def add_fitted(self, hand: Skeleton, placed: Placed, row: int, camera: Tensor) -> None:
        """One fitted hand, its hypotheses best first."""
        arrays = {
            "vertices": placed.vertices[row].numpy(),
            "joints": placed.joints[row].numpy(),
            "faces": self.faces[hand.side].numpy(),
            "intrinsics": camera.numpy(),
            "side": np.array(hand.side),
            "keypoints": hand.pixels,
            "keypoints_valid": hand.seen,
        }
        best = placed.vertices[row, 0]
        error = float(placed.joint_error[row, 0])
        self.entries.append(
            {
                "name": hand.name,
                "status": "ok",
                "side": "left" if hand.side == LEFT else "right",
                "image": hand.image and str(hand.image),
                "keypoints": int(hand.seen.sum()),
                "reprojection_px": round(float(placed.pixel_error[row, 0]), 3),
                **({} if np.isnan(error) else {"mpjpe_mm": round(1000 * error, 3)}),
                "files": [self._npz(f"hands/{hand.name}.npz", arrays), *self._meshes(hand.name, best, hand.side)],
            }
        )
        self.drawn.append(Drawn(hand, best, self.faces[hand.side], placed.joints[row, 0], camera, self.size(hand)))

    def finish(self, *, checkpoint: Path, digest: str, options: dict[str, Any], seconds: float) -> None:
        """Writes the collected npz file, the pictures and the manifest."""
        pictures: list[str] = []
        if self.generated:
            vertices, joints = (torch.cat(part) for part in zip(*self.generated, strict=True))
            arrays = {"vertices": vertices.numpy(), "joints": joints.numpy(), "faces": self.faces[RIGHT].numpy()}
            self._npz("hands.npz", arrays)
            pictures.append(self._picture("hands.png", draw_sheet(vertices, self.faces[RIGHT])))
        if self.drawn:
            pictures += [self._picture(f"overlays/{name}.png", image) for name, image in draw_images(self.drawn)]
            pictures.append(self._picture("hands.png", draw_crops(self.drawn)))
        manifest = {
            "command": ["python", "-m", "zoo", *sys.argv[1:]],
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": round(seconds, 1),
            "checkpoint": {"path": str(checkpoint), "sha256": digest},
            "options": options,
            "versions": {"python": sys.version.split()[0], **_versions()},
            "frame": "camera: x right, y down, z forward; metres",
            "pictures": pictures,
            "results": self.entries,
        }
        write_text(self.folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")

    def summary(self) -> int:
        """Says what was done, and returns the exit code."""
        failed = [entry for entry in self.entries if entry["status"] != "ok"]
        done = [entry for entry in self.entries if entry["status"] == "ok"]
        print(f"{len(done)} hands in {self.folder}, picture {self.folder / 'hands.png'}" if done else "No hands.")
        for key, unit in (("reprojection_px", "pixels from the keypoints"), ("mpjpe_mm", "mm from the 3D joints")):
            values = [entry[key] for entry in done if key in entry]
            if values:
                print(f"  median {np.median(values):.2f} {unit}, worst {max(values):.2f}")
        for entry in failed[:10]:
            print(f"  left out {entry['name']}: {entry['reason']}", file=sys.stderr)
        if len(failed) > 10:
            print(f"  and {len(failed) - 10} more; manifest.json lists all", file=sys.stderr)
        return int(bool(failed) or not done)

    def _meshes(self, name: str, vertices: Tensor, side: int) -> list[str]:
        paths = [self.folder / "meshes" / f"{name}.{suffix}" for suffix in self.formats]
        for path in paths:
            save_mesh(path, vertices, self.faces[side])
        return [str(path.relative_to(self.folder)) for path in paths]

    def _npz(self, name: str, arrays: dict[str, Any]) -> str:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomically(self.folder / name, file.getvalue())
        return name

    def _picture(self, name: str, image: Image.Image) -> str:
        file = io.BytesIO()
        image.save(file, "PNG")
        write_atomically(self.folder / name, file.getvalue())
        return name


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "from the source folder"
    return found
