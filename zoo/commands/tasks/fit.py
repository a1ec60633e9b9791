"""`--task fit` and `--task reconstruct`: hands of images, from keypoints, from pixels, or from both."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.commands.tasks.boxes import box_problem
from zoo.commands.tasks.case import Case, Unreadable
from zoo.commands.tasks.crops import Crops, What, crop, put_back
from zoo.commands.tasks.photos import LARGEST, read_photo, size_of
from zoo.commands.tasks.task import Outcome, Task
from zoo.guidance import AlignedGradient, JointsAt, Operator, PixelsAt
from zoo.hands.camera import project
from zoo.models.base import HandMethod
from zoo.registry import UsageError

NEAREST = 0.02  # metres; a hand placed nearer than this to the camera did not fit
STEP = 0.3  # the share of what keypoints say otherwise that a move of guidance takes away
OUTLIER = 0.3  # of the hand's box; keypoints well farther off than this are thought wrong


class Fit(Task):
    """Hands for keypoints or boxes in images.

    Args:
        method: Samples them.
        n: Hypotheses for each.
        guide: Strength of the guidance by keypoints; 1 is usual, 0 none.
        noise: Of keypoints, a share of the hand's box: standard deviation of a coordinate. Guidance by pixels leaves
            what it explains.
        what: Which labels are the model's conditions.
        margin: Side of the crop over the box of the keypoints.
        focal: Pixels, where the camera is not known.
        upright: Turn crops so that the hand points up.
    """

    def __init__(
        self,
        method: HandMethod,
        n: int = 1,
        guide: float = 1.0,
        *,
        noise: float = 0.0,
        what: What = "auto",
        margin: float = 1.5,
        focal: float | None = None,
        upright: bool = True,
    ) -> None:
        super().__init__(method, n, guide)
        self.noise = math.sqrt(2) * noise  # of a point
        self.what, self.options = what, {"margin": margin, "focal": focal, "upright": upright}
        needed = {"image": ["image"], "2d": ["skeleton2d"], "3d": ["skeleton3d"], "both": ["skeleton2d", "skeleton3d"]}
        needed["all"] = ["skeleton2d", "skeleton3d", "image"]
        lacking = [name for name in needed.get(what, []) if name not in self.understands]
        if lacking:
            raise UsageError(
                f"These weights take {' and '.join(self.understands)}, not {' or '.join(lacking)}. Give --ckpt with "
                f"weights that were trained with {' and '.join(lacking)}, or another --given."
            )

    def solve(self, cases: Sequence[Case]) -> list[Outcome | Unreadable]:
        results: dict[int, Outcome | Unreadable] = {}
        groups: dict[tuple[bool, bool], list[tuple[int, Case, tuple[int, int]]]] = defaultdict(list)
        for row, case in enumerate(cases):
            try:
                size = self._size(case)
                self._check(case, size)
                groups[self._labelled(case), self._with_image(case)].append((row, case, size))
            except (ValueError, OSError) as error:
                results[row] = Unreadable(case.name, str(error).rstrip("."))
        for (_, pictured), group in groups.items():
            rows, chunk, sizes = zip(*group, strict=True)
            results.update(zip(rows, self._group(chunk, sizes, pictured), strict=True))
        return [results[row] for row in range(len(cases))]

    def _group(
        self, cases: Sequence[Case], sizes: Sequence[tuple[int, int]], pictured: bool
    ) -> list[Outcome | Unreadable]:
        crops = crop(cases, sizes, what=self.what, image_side=self.image_side if pictured else None, **self.options)  # type: ignore[arg-type]
        guidance = [self._towards(crops)] if self._guided(crops) else []
        hands, lost = self.sample(crops.to(self.method.device), cases, guidance)
        placed = put_back(hands["vertices"], hands["joints"], crops)
        results: list[Outcome | Unreadable] = []
        for row, case in enumerate(cases):
            if row in lost:
                results.append(Unreadable(case.name, lost[row]))
            elif float(placed.vertices[row, ..., 2].min()) < NEAREST:
                results.append(Unreadable(case.name, "the sampled hand cannot be placed in front of the camera"))
            else:
                results.append(self._outcome(case, sizes[row], crops, row, placed.vertices[row], placed.joints[row]))
        return results

    def _guided(self, crops: Crops) -> bool:
        return self.guide > 0 and bool(crops.seen.any() | crops.labelled.any())

    def _towards(self, crops: Crops) -> AlignedGradient:
        noise = 0.0 if bool(crops.labelled.any()) else self.noise
        return AlignedGradient(self._operator(crops), scale=STEP * self.guide, noise=noise)

    def _operator(self, crops: Crops) -> Operator:
        """3D joints where there are any: they say all that keypoints say."""
        scale = float(getattr(self.method, "scale", 0.1))
        if bool(crops.labelled.any()):
            return JointsAt(crops.joints @ crops.frame.mT, crops.labelled.float(), self.method.hand, scale)
        affine = crops.affine
        pixels = crops.pixels @ affine[..., :2].mT + affine[:, None, :, 2]
        return PixelsAt(pixels, crops.confidence, self.method.hand, scale, crops.camera, outlier=OUTLIER)

    def _outcome(
        self, case: Case, size: tuple[int, int], crops: Crops, row: int, vertices: Tensor, joints: Tensor
    ) -> Outcome:
        scores: dict[str, Tensor] = {}
        camera, seen, labelled = crops.intrinsics[row], crops.seen[row], crops.labelled[row]
        if bool(seen.any()):
            apart = (project(joints, camera) - crops.pixels[row]).norm(dim=-1)[:, seen].mean(-1)
            box = crops.corners[row, 1] - crops.corners[row, 0]
            scores["reprojection_px"], scores["reprojection_percent"] = apart, 100 * apart / box.amax().clamp_min(1)
        if bool(labelled.any()):
            off = (joints - crops.joints[row]).norm(dim=-1)[:, labelled]
            scores["mpjpe_mm"] = 1000 * off.mean(-1)
        middle = vertices - joints[:, :1]
        spread = 1000 * (middle - middle.mean(0)).norm(dim=-1).mean(-1)
        if len(vertices) > 1:
            scores["spread_mm"] = spread
        order = scores.get("mpjpe_mm", scores.get("reprojection_px", spread)).argsort()
        extras: dict[str, NDArray[Any]] = {
            "crop_affine": crops.affine[row].numpy(),
            "crop_intrinsics": crops.camera[row].numpy(),
            "crop_frame": crops.frame[row].numpy(),
            "crop_size": np.array(crops.side),
            "box": crops.corners[row].reshape(4).numpy(),
            "translation": joints[order, 0].numpy(),
        }
        return Outcome(
            case,
            vertices[order],
            joints[order],
            {name: score[order] for name, score in scores.items()},
            camera,
            size,
            extras,
        )

    def _labelled(self, case: Case) -> bool:
        return case.joints is not None and self.what not in ("2d", "image")

    def _with_image(self, case: Case) -> bool:
        return self.image_side is not None and self.what in ("auto", "image", "all") and case.image is not None

    def _size(self, case: Case) -> tuple[int, int]:
        """Height and width of the image: said by the file, or by the image, or guessed from camera or keypoints.

        A guess lies between 1 and `LARGEST`, however far outside the camera's centre or a stray keypoint lies.
        """
        if case.image is not None and case.image.is_file():
            found = size_of(case.image)
            if case.size not in (None, found):
                height, width = case.size or found
                raise ValueError(
                    f"its file says {width}x{height}, but {case.image} has {found[1]}x{found[0]} pixels; give the "
                    "folder of the unchanged images with --images"
                )
            return found
        if case.size is not None:
            return case.size
        if case.intrinsics is not None:
            width, height = (2 * case.intrinsics[:2, 2] + 1).clip(1, LARGEST).round().astype(int).tolist()
            return height, width
        if case.image is not None:
            raise ValueError(f"there is no image {case.image}")
        right, bottom = (case.pixels[case.seen].max(0).clip(0) + 2).clip(1, LARGEST).astype(int).tolist()
        return bottom, right

    def _check(self, case: Case, size: tuple[int, int]) -> None:
        """Raises with the reason why a hand cannot be made."""
        if case.box is not None and (problem := box_problem(case.box, size)):
            raise ValueError(problem)
        if self.what in ("3d", "both", "all") and case.joints is None:
            raise ValueError(f"--given {self.what} needs 3D joints, and the file has none; use --given 2d")
        if self.what in ("image", "all") and case.image is None:
            raise ValueError(f"--given {self.what} needs its image; give the folder with --images")
        if self._with_image(case) and case.image is not None:
            read_photo(case.image)  # now, so that one broken image does not stop the others of its batch
        pixels = case.pixels[case.seen]
        if len(pixels) and not self._labelled(case) and np.ptp(pixels, axis=0).max() < 1:
            raise ValueError(f"{len(pixels)} labelled keypoints at one place do not say where a hand is")
        if len(pixels) and not (np.abs(pixels) < 1e6).all():
            raise ValueError("its keypoints lie a million pixels away")


class Reconstruct(Fit):
    """The same from the image alone; hypotheses are ordered by how near they are to their mean."""
