"""Where the hands are in a picture of their meshes, bright on dark: the part that becomes the local picture."""

from typing import Literal

import cv2
import numpy as np

from datamodules.scene import BoolArray, ByteArray, FloatArray

BRIGHT = 127  # grey values above it are hand: the background of a mesh picture must be darker
OFFICIAL = 512  # pixels; AttentionHand's own code stretches a picture to this square before it looks for hands
SPECK = 0.03  # of the largest blob's area: what is smaller is compression noise
LEAST = 16  # pixels of the largest blob: where even that is smaller, no hand is drawn

BoxMode = Literal["robust", "official"]


def local_box(mesh_image: ByteArray, mode: BoxMode = "robust") -> FloatArray | None:
    """The box of all hands in a picture of meshes, without a margin.

    Args:
        mesh_image: (h, w, 3) RGB or (h, w) grey, hands bright on dark.
        mode: `robust` goes around every blob that is no speck. `official` does what AttentionHand's code does: around
            the first two outlines that OpenCV finds in the picture stretched to 512 x 512, whatever they are.

    Returns:
        (4,) left, top, right, bottom: the outer edges of the pixels, so that pixel 3 alone is 2.5 to 3.5. None where
        no hand is drawn (there the authors' code stops with an IndexError).
    """
    if mode == "official":
        return _first_two(mesh_image)
    boxes = blob_boxes(mesh_image)
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]) if len(boxes) else None


def blob_boxes(mesh_image: ByteArray) -> FloatArray:
    """The boxes of the blobs that are no specks; hands that touch are one blob.

    Args:
        mesh_image: (h, w, 3) RGB or (h, w) grey, hands bright on dark.

    Returns:
        (n, 4) left, top, right, bottom as `local_box` has them, the largest blob first.
    """
    _, _, blobs, _ = cv2.connectedComponentsWithStats(_bright(mesh_image).astype(np.uint8), connectivity=8)
    blobs = blobs[1:]  # the first is the background
    blobs = blobs[np.argsort(-blobs[:, cv2.CC_STAT_AREA], kind="stable")]
    area = blobs[:, cv2.CC_STAT_AREA]
    blobs = blobs[(area >= LEAST) & (area >= SPECK * area.max(initial=0))][:, :4].astype(np.float32)
    return np.concatenate([blobs[:, :2], blobs[:, :2] + blobs[:, 2:]], axis=1) - np.float32(0.5)


def outlines(mesh_image: ByteArray) -> int:
    """How many outlines AttentionHand's code finds: with 0 it stops, of more than 2 it leaves some out."""
    return len(_contours(mesh_image))


def _first_two(mesh_image: ByteArray) -> FloatArray | None:
    rectangles = np.array([cv2.boundingRect(outline) for outline in _contours(mesh_image)[:2]], np.float32)
    if not len(rectangles):
        return None
    edges = np.concatenate([rectangles[:, :2].min(0), (rectangles[:, :2] + rectangles[:, 2:]).max(0)])
    height, width = mesh_image.shape[:2]
    return (edges * np.array([width, height, width, height]) / OFFICIAL - 0.5).astype(np.float32)


def _contours(mesh_image: ByteArray) -> list[np.ndarray]:
    square = np.asarray(cv2.resize(mesh_image, (OFFICIAL, OFFICIAL)), np.uint8)
    found, _ = cv2.findContours(_bright(square).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return list(found)


def _bright(mesh_image: ByteArray) -> BoolArray:
    grey = mesh_image if mesh_image.ndim == 2 else cv2.cvtColor(mesh_image, cv2.COLOR_RGB2GRAY)
    return np.asarray(grey > BRIGHT)
