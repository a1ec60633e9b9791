"""A tiny FreiHAND, written by code: a grey picture with a coloured dot on every joint."""

from pathlib import Path

import numpy as np

from datamodules.freihand.writer import FreiHANDWriter, Labels, Part, mano_rows

SIDE = 224
# 21 colours that survive JPEG and differ from the grey background.
COLOURS = (np.stack(np.meshgrid([0, 128, 255], [0, 128, 255], [0, 128, 255]), -1).reshape(-1, 3))[
    [1, 2, 3, 5, 6, 7, 8, 9, 11, 15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 10, 16]
]


def random_labels(n: int, seed: int = 0, spread: float = 0.07, focal: tuple[float, float] = (480.0, 475.0)) -> Labels:
    """Hands that are a cloud of points half a metre away, all of it inside of the picture."""
    rng = np.random.default_rng(seed)
    joints = rng.uniform(-spread, spread, (n, 21, 3)) + np.array([0, 0, 0.5])
    joints[:, 10] = joints[:, 9] + 0.3 * (joints[:, 10] - joints[:, 9])  # the bone that gives the scale: 5 to 70 mm
    joints[:, 10, 2] = joints[:, 9, 2] + 0.02
    vertices = rng.uniform(-spread, spread, (n, 778, 3)) + np.array([0, 0, 0.5])
    intrinsics = np.zeros((n, 3, 3))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1], intrinsics[:, 2, 2] = *focal, 1
    intrinsics[:, :2, 2] = SIDE / 2 + rng.uniform(-5, 5, (n, 2))
    joints, intrinsics = joints.astype(np.float32), intrinsics.astype(np.float32)
    pose, betas = rng.normal(size=(n, 48)).astype(np.float32), rng.normal(size=(n, 10)).astype(np.float32)
    mano = mano_rows(pose, betas, joints, intrinsics)
    return Labels(intrinsics, joints, vertices.astype(np.float32), mano)


def dotted(
    intrinsics: np.ndarray, joints: np.ndarray, grey: int = 60, radius: int = 3, colours: np.ndarray = COLOURS
) -> np.ndarray:
    """(h, w, 3): a disc of each joint's own colour around its pixel, its centre right to a part of a pixel."""
    pixels = joints @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    image = np.full((SIDE, SIDE, 3), grey, np.float64)
    reach = np.arange(-radius - 1, radius + 2)
    for colour, (u, v) in zip(colours, pixels, strict=True):
        if np.any(colour):  # black dots are not drawn, so that a picture can show one joint
            x, y = round(u) + reach, (round(v) + reach)[:, None]
            keep = (x >= 0) & (x < SIDE), ((y >= 0) & (y < SIDE))[:, 0]
            x, y = x[keep[0]], y[keep[1]]
            cover = np.clip(radius + 0.5 - np.hypot(x - u, y - v), 0, 1)[..., None]
            image[y, x] = image[y, x] * (1 - cover) + colour * cover
    return image.round().astype(np.uint8)


def write_freihand(
    root: Path, part: Part, labels: Labels, *, versions: int = 1, with_labels: bool = True, masks: bool = True
) -> Path:
    n = len(labels.joints)
    writer = FreiHANDWriter(root, part, n, versions=versions, shard=2, quality=95)
    for samples in writer.missing():
        rows = slice(samples.start, samples.stop)
        shard = Labels(**{name: value if value is None else value[rows] for name, value in vars(labels).items()})
        images = [
            [dotted(k, j, grey=60 + 10 * version) for k, j in zip(shard.intrinsics, shard.joints, strict=True)]
            for version in range(versions)
        ]
        silhouettes = [np.tri(SIDE, dtype=np.bool_) for _ in samples] if masks else None
        writer.write(samples, shard, images, silhouettes)
    writer.finish(labels=with_labels)
    return root
