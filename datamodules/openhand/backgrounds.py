"""Procedural backgrounds for made pictures: rooms, tables, clutter, fabric, blurred lights. No files, no downloads."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]  # (h, w, 3) sRGB in [0, 1]
Rng = np.random.Generator


@cache
def noise_map(kind: int, size: int = 512) -> NDArray[np.float32]:
    """Tileable fractal noise (size, size) with mean 0 and deviation 1; `kind` picks the map, 0 finest, 3 cloudiest."""
    rng = np.random.default_rng(kind)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]) * size
    slope = (0.6, 1.0, 1.5, 2.1)[kind % 4]
    amplitude = np.where(frequency > 0, np.maximum(frequency, 1.0) ** -slope, 0.0)
    phase = np.exp(2j * np.pi * rng.random(frequency.shape))
    field = np.fft.irfft2(amplitude * phase, s=(size, size))
    return np.asarray(field / field.std(), dtype=np.float32)


def colour(rng: Rng, saturation: float = 0.34) -> NDArray[np.float32]:
    """One sRGB colour (3,), mostly muted, of any hue and brightness."""
    hsv = np.array(
        [[[360 * rng.random(), saturation * rng.beta(1.2, 2.0) * 1.6, 0.12 + 0.83 * rng.random()]]], np.float32
    )
    hsv[..., 1] = np.minimum(hsv[..., 1], 1)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0], dtype=np.float32)


def _noise(rng: Rng, size: int, kind: int) -> NDArray[np.float32]:
    field = noise_map(kind)
    zoom = int(size * rng.uniform(0.5, 1.0)) + 8
    y, x = rng.integers(0, field.shape[0] - min(zoom, 504), 2)
    return np.asarray(cv2.resize(field[y : y + zoom, x : x + zoom], (size, size), interpolation=cv2.INTER_LINEAR))


def gradient(rng: Rng, size: int) -> Picture:
    """A lit, slightly uneven surface: a wall, paper, a studio background."""
    angle = rng.uniform(0, 2 * np.pi)
    first = colour(rng)
    second = np.clip(first * rng.uniform(0.5, 1.3) + rng.normal(0, 0.03, 3), 0, 1)
    return _gradient(rng, size, first, second, angle)


def gradient_of(rng: Rng, size: int, first: NDArray[np.float32], second: NDArray[np.float32]) -> Picture:
    """A gradient from one colour (3,) to another."""
    return _gradient(rng, size, first, second, rng.uniform(0, 2 * np.pi))


def _gradient(rng: Rng, size: int, first: NDArray[np.float32], second: NDArray[np.floating], angle: float) -> Picture:
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    ramp = 0.5 + np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None]
    picture = first + ramp[..., None] * (second - first)
    return np.asarray(picture + 0.03 * rng.random() * _noise(rng, size, 1)[..., None], dtype=np.float32)


def cloth(rng: Rng, size: int) -> Picture:
    """Mottled colour: fabric, carpet, stone, foliage, from soft to busy."""
    soft, fine = _noise(rng, size, int(rng.integers(1, 4))), _noise(rng, size, int(rng.integers(0, 3)))
    mix = 1 / (1 + np.exp(-rng.uniform(0.5, 2.5) * soft))
    picture = colour(rng) * mix[..., None] + colour(rng) * (1 - mix[..., None])
    return np.asarray(picture * (1 + rng.uniform(0.02, 0.2) * fine[..., None]), dtype=np.float32)


def cloth_of(rng: Rng, size: int, first: NDArray[np.float32], second: NDArray[np.floating]) -> Picture:
    """Soft folds between two colours (3,)."""
    soft = _noise(rng, size, int(rng.integers(2, 4)))
    mix = 1 / (1 + np.exp(-rng.uniform(1.0, 2.0) * soft))[..., None]
    return np.asarray(first * mix + second * (1 - mix), dtype=np.float32)


def planks(rng: Rng, size: int) -> Picture:
    """Wood: grain stretched along the planks, with dark joints."""
    grain = cv2.resize(noise_map(1)[:, : int(rng.integers(24, 64))], (size, size), interpolation=cv2.INTER_CUBIC).T
    base = np.array([rng.uniform(0.3, 0.8), 0, 0], np.float32)
    base[1] = base[0] * rng.uniform(0.62, 0.85)
    base[2] = base[1] * rng.uniform(0.5, 0.8)
    width = int(size / rng.uniform(2, 6))
    column = np.arange(size) // width
    tone = 1 + 0.12 * rng.standard_normal(size // width + 1)[column] - 0.3 * (np.arange(size) % width < 2)
    return np.asarray(base * (tone[None, :, None] * (1 + rng.uniform(0.04, 0.12) * grain[..., None])), dtype=np.float32)


def _tiles(rng: Rng, size: int) -> Picture:
    """Tiles, bricks, checks or stripes."""
    rows, columns = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    row = np.floor(y * rows)
    column = np.floor(x * columns + (rng.random() < 0.4) * 0.5 * (row % 2))
    first, second = colour(rng), colour(rng)
    alternate = ((row + column) % 2)[..., None]
    picture = first + alternate * (second - first) * (rng.random() < 0.5)
    joint = (y * rows % 1 < 0.04) | ((x * columns + 0.5 * (row % 2)) % 1 < 0.03)
    picture = np.where(joint[..., None] & (rng.random() < 0.6), picture * rng.uniform(0.4, 1.5), picture)
    return np.asarray(picture * (1 + 0.05 * _noise(rng, size, 1)[..., None]), dtype=np.float32)


def surface(rng: Rng, size: int) -> Picture:
    """A patterned plane seen at an angle: a table, a floor, a tiled wall."""
    picture = (planks if rng.random() < 0.5 else _tiles)(rng, size)
    corners = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    spread = rng.uniform(0.25, 1.2)
    moved = (corners - size / 2) * (1.6 + spread * rng.random((4, 2))) + size / 2
    transform = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 1.0)
    transform = np.vstack([turn, [0, 0, 1]]) @ transform
    warped = cv2.warpPerspective(
        picture, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(warped, dtype=np.float32)


def clutter(rng: Rng, size: int) -> Picture:
    """A place full of things: overlapping shapes with shading in front of a wall and a table."""
    picture = gradient(rng, size)
    horizon = int(size * rng.uniform(0.3, 0.9))
    if rng.random() < 0.7:
        picture[horizon:] = surface(rng, size)[horizon:]
    light = np.linspace(rng.uniform(0.6, 1.0), rng.uniform(1.0, 1.3), size, dtype=np.float32)
    for _ in range(int(rng.integers(4, 22))):
        x, y = rng.uniform(-0.1, 1.1, 2) * size
        w, h = size * rng.uniform(0.04, 0.5, 2) ** 1.3 + 3
        layer = np.zeros((size, size), np.uint8)
        shape = rng.random()
        if shape < 0.45:
            box = cv2.boxPoints(((x, y), (float(w), float(h)), rng.choice([0.0, rng.uniform(0, 180)])))
            cv2.fillConvexPoly(layer, np.round(box).astype(np.int32), 255, lineType=cv2.LINE_AA)
        elif shape < 0.75:
            axes = (int(w / 2) + 1, int(h / 2) + 1)
            cv2.ellipse(layer, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        else:
            ends = (rng.uniform(-0.2, 1.2, (2, 2)) * size).astype(int).tolist()
            cv2.line(layer, ends[0], ends[1], 255, int(rng.integers(1, 10)), cv2.LINE_AA)
        alpha = layer[..., None].astype(np.float32) * np.float32(1 / 255)
        tone = colour(rng, 0.7) * (light[None, :, None] if rng.random() < 0.5 else light[:, None, None])
        picture = picture + alpha * (tone - picture)
    return np.asarray(picture, dtype=np.float32)


def lights(rng: Rng, size: int) -> Picture:
    """A dark or dim place far behind, with out-of-focus spots of light."""
    picture = cloth(rng, size) * rng.uniform(0.15, 0.6)
    for _ in range(int(rng.integers(3, 20))):
        centre = (rng.random(2) * size).astype(int).tolist()
        layer = np.zeros((size, size), np.float32)
        cv2.circle(layer, centre, int(rng.integers(3, max(4, size // 9))), 1.0, -1, cv2.LINE_AA)
        picture = picture + layer[..., None] * colour(rng, 0.8) * rng.uniform(0.2, 0.9)
    return np.asarray(picture, dtype=np.float32)


KINDS: tuple[tuple[Callable[[Rng, int], Picture], float], ...] = (
    (gradient, 0.14),
    (cloth, 0.18),
    (surface, 0.22),
    (clutter, 0.36),
    (lights, 0.1),
)


def background(rng: Rng, size: int) -> Picture:
    """One background (size, size, 3), sRGB in [0, 1], in or out of focus."""
    shares = np.array([share for _, share in KINDS])
    make, _ = KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
    picture = make(rng, size)
    blur = rng.choice([0.0, rng.uniform(0.5, 2.0), rng.uniform(2.0, 7.0)], p=[0.25, 0.35, 0.4]) * size / 224
    if blur > 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), dtype=np.float32)
    return np.clip(picture, 0, 1, dtype=np.float32)


def green_screen(rng: Rng, size: int) -> Picture:
    """The recording studio: a green cloth, unevenly lit."""
    green = np.array([rng.uniform(0.05, 0.25), rng.uniform(0.45, 0.75), rng.uniform(0.1, 0.35)], np.float32)
    shade = 1 + 0.12 * _noise(rng, size, 3) + 0.15 * np.linspace(-1, 1, size, dtype=np.float32)[:, None] * rng.normal()
    return np.clip(cv2.GaussianBlur(green * shade[..., None], (0, 0), 1.5), 0, 1, dtype=np.float32)
