"""How a training crop is varied. Geometry here is only drawn; `crops` applies it to image and labels at once."""

from dataclasses import dataclass

import cv2
import numpy as np

from datamodules.scene import ByteArray, FloatArray

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Variation:
    """One draw of an augmentation.

    Args:
        rotation: Radians, clockwise as seen in the image.
        scale: Factor on the side of the box.
        shift: (2,) in sides of the box.
        colour: (3, 4) affine map of RGB in 0..255, or None.
        erased: Rectangles (left, top, right, bottom) in parts of the crop, each with its RGB colour.
    """

    rotation: float = 0.0
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    colour: FloatArray | None = None
    erased: tuple[tuple[tuple[float, float, float, float], tuple[int, int, int]], ...] = ()


@dataclass(frozen=True)
class Augment:
    """Random changes of a training crop; validation uses none. Ranges after HandMesh and IntagHand.

    Args:
        rotation: Largest in-plane rotation, degrees either way.
        scale: Largest relative change of the crop's side.
        shift: Largest move of the crop, in sides of the box.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        tint: Largest relative change of one colour channel.
        erase: Probability that a rectangle of the crop is painted over.
        erase_side: Smallest and largest side of that rectangle, in parts of the crop.
    """

    rotation: float = 90.0
    scale: float = 0.2
    shift: float = 0.1
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    tint: float = 0.1
    erase: float = 0.3
    erase_side: tuple[float, float] = (0.1, 0.4)

    def draw(self, rng: np.random.Generator) -> Variation:
        """Draws one variation; the same generator state gives the same one."""
        turn, zoom, dx, dy, light, contrast, saturation, *tint = rng.uniform(-1, 1, 10)
        gain = (1 + self.brightness * light) * (1 + self.tint * np.array(tint))
        keep, contrast = 1 + self.saturation * saturation, 1 + self.contrast * contrast
        matrix = gain[:, None] * (keep * np.eye(3) + (1 - keep) * _LUMA)
        colour = np.concatenate([contrast * matrix, np.full((3, 1), 127.5 * (1 - contrast))], axis=1)
        erased = (self._rectangle(rng),) if rng.random() < self.erase else ()
        return Variation(
            rotation=float(np.deg2rad(self.rotation * turn)),
            scale=float(1 + self.scale * zoom),
            shift=(float(self.shift * dx), float(self.shift * dy)),
            colour=colour.astype(np.float32),
            erased=erased,
        )

    def _rectangle(self, rng: np.random.Generator) -> tuple[tuple[float, float, float, float], tuple[int, int, int]]:
        width, height = rng.uniform(*self.erase_side, 2)
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        red, green, blue = rng.integers(0, 256, 3)
        return (float(left), float(top), float(left + width), float(top + height)), (int(red), int(green), int(blue))


def paint(image: ByteArray, variation: Variation, out: ByteArray | None = None) -> ByteArray:
    """Applies the colour map and the rectangles to a crop.

    Args:
        image: (h, w, 3) RGB, or (h, w, 4) whose last channel is dropped.
        variation: What to apply.
        out: (h, w, 3) where the result goes, or None.

    Returns:
        (h, w, 3).
    """
    out = np.empty((*image.shape[:2], 3), np.uint8) if out is None else out
    if image.shape[2] == 4:  # first, because OpenCV maps three channels far faster than four
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB, dst=out), np.uint8)
    if variation.colour is not None:
        cv2.transform(image, variation.colour, dst=out)
    elif image is not out:
        out[:] = image
    height, width = out.shape[:2]
    for (left, top, right, bottom), colour in variation.erased:
        out[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = colour
    return out
