"""One camera for a picture of COCO, whose hands each come with their own, or with none."""

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.scene import FloatArray

STEPS = 12  # of Gauss and Newton; six do


def made_up_camera(size: tuple[int, int], focal: float) -> FloatArray:
    """(3, 3): a camera that looks straight at the middle of the picture.

    Args:
        size: Height and width, pixels.
        focal: Focal length over the longer side; 1.2 sees 45 degrees.
    """
    height, width = size
    length = focal * max(size)
    return np.array([[length, 0, (width - 1) / 2], [0, length, (height - 1) / 2], [0, 0, 1]], np.float32)


def keep_pixels(
    points: FloatArray, own: FloatArray, other: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The rigid motion after which another camera sees points where their own camera saw them.

    It starts with the middle of the points on the ray of its pixel, as far away as makes them as large, turned with
    that ray, and ends where the squared distances of the pixels are least. That is not exact, for a nearer hand is seen
    in another perspective; how far off the worst pixel is comes with it.

    Args:
        points: (n, 3) metres, in front of their own camera.
        own: (3, 3) their own camera, pixels.
        other: (3, 3) the other camera.

    Returns:
        (3, 3) rotation and (3,) translation in metres, `x -> R x + t`, and the largest distance in pixels.
    """
    at, camera = points.astype(np.float64), other.astype(np.float64)
    wanted = _seen(at, own.astype(np.float64))
    middle = at.mean(0)
    focus = own.astype(np.float64) @ middle
    ray = np.linalg.solve(camera, focus / focus[2])
    placed = ray * middle[2] * camera[0, 0] / float(own[0, 0])
    rotation = _turn(middle / np.linalg.norm(middle), ray / np.linalg.norm(ray))
    around = (at - middle) @ rotation.T
    for _ in range(STEPS):
        moved = around + placed
        error = (_seen(moved, camera) - wanted).ravel()
        slope = _slopes(moved, around, camera)
        step = np.linalg.lstsq(slope, -error, rcond=None)[0]
        turn = cv2.Rodrigues(step[:3])[0]
        rotation, around, placed = turn @ rotation, around @ turn.T, placed + step[3:]
        if np.abs(step).max() < 1e-9:
            break
    moved = around + placed
    worst = np.linalg.norm(_seen(moved, camera) - wanted, axis=-1).max() if (moved[:, 2] > 0).all() else np.inf
    return rotation, placed - rotation @ middle, float(worst)


def _seen(points: NDArray[np.float64], camera: NDArray[np.float64]) -> NDArray[np.float64]:
    rays = points @ camera.T
    return rays[:, :2] / rays[:, 2:]


def _slopes(
    moved: NDArray[np.float64], around: NDArray[np.float64], camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(2 n, 6) change of the pixels by a small turn about the middle and a small shift."""
    depth = moved[:, 2]
    pixel = np.zeros((len(moved), 2, 3))
    pixel[:, 0, 0], pixel[:, 1, 1] = camera[0, 0] / depth, camera[1, 1] / depth
    pixel[:, 0, 2] = -camera[0, 0] * moved[:, 0] / depth**2
    pixel[:, 1, 2] = -camera[1, 1] * moved[:, 1] / depth**2
    x, y, z = around.T
    zero = np.zeros_like(x)
    cross = np.stack((zero, z, -y, -z, zero, x, y, -x, zero), 1).reshape(-1, 3, 3)
    return np.concatenate((pixel @ cross, pixel), 2).reshape(-1, 6)


def _turn(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rotation that takes one direction to another."""
    axis = np.cross(start, end)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, start @ end)
    return np.asarray(cv2.Rodrigues(axis / max(float(sine), 1e-12) * angle)[0], np.float64)
