"""MediaPipe's hand landmarker as detector and as estimator, from a model file that the user supplies."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.hands.skeleton import LEFT, RIGHT, WRIST
from zoo.metrics.detectors import NONE, Detections, Keypoints
from zoo.shapes import Float, Images, Side, Tensor

SIDES = {"left": LEFT, "right": RIGHT}  # of the Tasks API, which names the person's own side
FLAG = "--detector"


class MediaPipeHands:
    """Boxes around 21 landmarks, with the handedness as score: the only score that MediaPipe tells.

    A `HandDetector`; `MediaPipeJoints` makes a `KeypointEstimator` of it. Its landmarks are in SNAP-21 order.

    Args:
        landmarker: Has `detect(image)`, as MediaPipe's Tasks API; `from_file` makes one.
        picture: Makes what `detect` takes from RGB bytes (h, w, 3).
    """

    name = "mediapipe"

    def __init__(self, landmarker: Any, picture: Any) -> None:
        self.landmarker, self.picture = landmarker, picture

    @classmethod
    def from_file(cls, path: str | Path, most: int = 2, confidence: float = 0.5) -> "MediaPipeHands":
        """Loads `hand_landmarker.task`.

        Args:
            path: The model file; nothing is downloaded.
            most: Hands in a picture.
            confidence: Least confidence of a detection; Hand1000 uses 0.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(
                f"{FLAG} {path} is not there. Get hand_landmarker.task from MediaPipe's page; nothing is downloaded."
            )
        try:
            mediapipe, tasks, vision = map(
                import_module, ("mediapipe", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
            )
        except ImportError as error:
            raise ValueError(f"{FLAG} {path} needs MediaPipe. Install it with: pip install mediapipe") from error
        options = vision.HandLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(path)),
            num_hands=most,
            min_hand_detection_confidence=confidence,
            min_hand_presence_confidence=confidence,
        )

        def picture(data: np.ndarray[Any, np.dtype[np.uint8]]) -> Any:
            return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)

        return cls(vision.HandLandmarker.create_from_options(options), picture)

    def __call__(self, images: Images, names: Sequence[str] = ()) -> list[Detections]:
        """As `HandDetector`."""
        found = []
        for image in images:
            points, _, scores, hands = self._look(image)
            order = scores.argsort(descending=True)
            whole = torch.cat((points.amin(1), points.amax(1)), 1) + 0.5  # pixel centres to edges
            found.append(Detections(whole[order], scores[order], hands[order]) if len(points) else NONE)
        return found

    def keypoints(self, images: Images, boxes: Float[Tensor, "b 4"], sides: Side) -> Keypoints:
        """Of the hands found in each picture, the one of that side whose box overlaps the given one most."""
        pixels, joints = torch.zeros(len(images), 21, 2), torch.zeros(len(images), 21, 3)
        found = torch.zeros(len(images), dtype=torch.bool)
        for row, (image, box, side) in enumerate(zip(images, boxes.cpu(), sides.tolist(), strict=True)):
            points, world, _, hands = self._look(image)
            if not len(points):
                continue
            overlap = box_iou(torch.cat((points.amin(1), points.amax(1)), 1) + 0.5, box) * (hands == side)
            best = int(overlap.argmax())
            if overlap[best] > 0:
                pixels[row], joints[row], found[row] = points[best], world[best] - world[best, WRIST], True
        return Keypoints(pixels, joints, found)

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels (k, 21, 2), metres (k, 21, 3), scores (k,) and sides (k,) of one picture's hands."""
        height, width = image.shape[1:]
        data = (255 * image).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().cpu().numpy()
        result = self.landmarker.detect(self.picture(data))
        shares = torch.tensor([[(p.x, p.y) for p in hand] for hand in result.hand_landmarks]).view(-1, 21, 2)
        world = torch.tensor([[(p.x, p.y, p.z) for p in hand] for hand in result.hand_world_landmarks]).view(-1, 21, 3)
        best = [max(hand, key=lambda category: category.score) for hand in result.handedness]
        scores = torch.tensor([float(category.score) for category in best])
        sides = torch.tensor([SIDES[category.category_name.lower()] for category in best], dtype=torch.long)
        return shares * torch.tensor([width, height]) - 0.5, world, scores, sides


class MediaPipeJoints:
    """The same as `KeypointEstimator`.

    Args:
        hands: Finds them.
    """

    name = "mediapipe"

    def __init__(self, hands: MediaPipeHands) -> None:
        self.hands = hands

    def __call__(self, images: Images, boxes: Float[Tensor, "b 4"], sides: Side) -> Keypoints:
        return self.hands.keypoints(images, boxes, sides)


def box_iou(boxes: Float[Tensor, "k 4"], box: Float[Tensor, "4"]) -> Float[Tensor, " k"]:
    """Intersection over union of boxes with one box."""
    low, high = torch.maximum(boxes[:, :2], box[:2]), torch.minimum(boxes[:, 2:], box[2:])
    both = (high - low).clamp_min(0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1) + (box[2:] - box[:2]).prod(-1)
    return both / (areas - both).clamp_min(1e-9)
