"""Light on painted hands: what the renderer sees per pixel, then lamps, soft shadows and occlusion computed from it."""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.openhand.appearance import THING, Painted
from datamodules.openhand.backgrounds import Rng
from zoo.hands.render import Backend, Lights, render, vertex_normals

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

FLAT = Lights(ambient=(1.0, 1.0, 1.0), directions=(), colors=(), specular=0.0)
# The range of rest coordinates that one byte covers; beyond the wrist the arm is squeezed by SQUEEZE.
LOW = np.array([-0.24, -0.06, -0.11], np.float32)
HIGH = np.array([0.08, 0.06, 0.13], np.float32)
WRIST_END, SQUEEZE = 0.03, 0.15


class Mesh(NamedTuple):
    """Everything in front of the background, in one mesh."""

    vertices: Floats  # (v, 3) metres, camera frame
    rest: Floats  # (v, 3) metres, right hand's rest frame
    palmar: Floats  # (v,) 0 = back of the hand, 1 = palm
    faces: Ints  # (f, 3) counter-clockwise seen from outside
    parts: Ints  # (v,)


class Seen(NamedTuple):
    """Per pixel of a picture what is there; the lists hold the n pixels with a surface, in the mask's order."""

    mask: NDArray[np.bool_]  # (h, w)
    depth: Floats  # (h, w) metres, 0 where empty
    parts: Ints  # (n,)
    rest: Floats  # (n, 3) metres
    palmar: Floats  # (n,)
    normals: Floats  # (n, 3) unit, camera frame
    points: Floats  # (n, 3) metres, camera frame
    occlusion: Floats  # (n,) 1 = open sky, towards 0 in hollows


def _unit(vectors: Floats) -> Floats:
    length = np.sqrt(np.einsum("ni,ni->n", vectors, vectors))
    return np.asarray(vectors / (length[:, None] + 1e-9), dtype=np.float32)


def _squeeze(rest: Floats) -> Floats:
    out = rest.copy()
    out[:, 0] = np.where(rest[:, 0] > WRIST_END, WRIST_END + SQUEEZE * (rest[:, 0] - WRIST_END), rest[:, 0])
    return out


def see(mesh: Mesh, intrinsics: Floats, size: int, backend: Backend) -> Seen:
    """Draws normals and rest coordinates as colours, which gives them at every pixel.

    Args:
        mesh: what is drawn.
        intrinsics: (3, 3) pixels.
        size: side of the picture, pixels.
        backend: of the renderer.
    """
    vertices = torch.from_numpy(mesh.vertices)[None].expand(2, -1, -1)
    faces = torch.from_numpy(mesh.faces)
    # A seen surface faces the camera, so that two numbers tell its normal and the third is free.
    normals = vertex_normals(vertices[:1], faces)[0] * 0.5 + 0.5
    normals[:, 2] = torch.from_numpy(mesh.palmar)
    places = torch.from_numpy((_squeeze(mesh.rest) - LOW) / (HIGH - LOW))
    cameras = torch.from_numpy(intrinsics)[None].expand(2, 3, 3)
    parts = torch.from_numpy(mesh.parts)
    drawn = render(
        vertices,
        faces,
        cameras,
        (size, size),
        colors=torch.stack([normals, places]),
        parts=parts,
        lights=FLAT,
        backend=backend,
    )
    depth, mask = drawn.depth[0].numpy(), drawn.mask[0].numpy()
    colours = drawn.color.permute(0, 2, 3, 1).numpy().astype(np.float32) / 255
    part = drawn.parts[0].numpy().astype(np.int64)[mask]
    v, u = np.nonzero(mask)
    z = depth[mask]
    rays = np.stack([(u - intrinsics[0, 2]) / intrinsics[0, 0], (v - intrinsics[1, 2]) / intrinsics[1, 1]], 1)
    points = np.concatenate([rays * z[:, None], z[:, None]], 1).astype(np.float32)
    palmar = colours[0][mask][:, 2]
    normal = colours[0][mask] * 2 - 1
    normal[:, 2] = -np.sqrt(np.maximum(1 - normal[:, 0] ** 2 - normal[:, 1] ** 2, 0.01))
    normal = _unit(normal)
    rest = colours[1][mask] * (HIGH - LOW) + LOW
    rest[:, 0] = np.where(rest[:, 0] > WRIST_END, WRIST_END + (rest[:, 0] - WRIST_END) / SQUEEZE, rest[:, 0])
    occlusion = _occlusion(depth, mask, float(intrinsics[0, 0]))[mask]
    return Seen(mask, depth, part, rest, palmar, normal, points, occlusion)


def _occlusion(depth: Floats, mask: NDArray[np.bool_], focal: float) -> Floats:
    """Darkens what lies behind its surroundings (unsharp masking of the depth), at two distances."""
    solid = mask.astype(np.float32)
    middle = depth[mask].mean() if mask.any() else 1.0
    out = np.ones_like(depth)
    for reach in (0.006, 0.02):
        sigma = max(0.8, reach * focal / float(middle))
        around = cv2.GaussianBlur(depth * solid, (0, 0), sigma) / (cv2.GaussianBlur(solid, (0, 0), sigma) + 1e-6)
        out *= np.exp(-np.clip(depth - around, 0, 0.03) / (1.1 * reach))
    return np.asarray(out, dtype=np.float32)


@dataclass(frozen=True)
class Lamps:
    """A key lamp, a fill lamp and the surroundings; colours are linear RGB intensities."""

    key: Floats  # (3,) unit, from the surface to the lamp, camera frame
    key_colour: Floats
    fill: Floats
    fill_colour: Floats
    above: Floats  # light from the surroundings on surfaces that face up
    below: Floats
    softness: float  # 0 = hard shadows, 1 = none


def _temperature(rng: Rng) -> Floats:
    warmth = rng.normal(0, 0.6)
    return np.array([1 + 0.16 * warmth, 1.0, 1 - 0.22 * warmth], np.float32).clip(0.4, 1.6)


def draw_lamps(rng: Rng, surroundings: Floats) -> Lamps:
    """Random lamps above the camera's horizon, more often than not, in surroundings of a mean linear colour (3,)."""
    turn, lift = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 1.35)
    key = np.array([np.sin(lift) * np.cos(turn), -abs(np.sin(lift) * np.sin(turn)), -np.cos(lift)], np.float32)
    if rng.random() < 0.2:
        key[1] = -key[1]
    fill = np.array([-np.sign(key[0]) * rng.uniform(0.3, 1), rng.uniform(-0.6, 0.4), -rng.uniform(0.2, 1)], np.float32)
    tint = surroundings / (surroundings.mean() + 0.05)
    tint = 1 + 0.35 * np.clip(tint - 1, -0.8, 0.8)
    ambient = rng.uniform(0.22, 0.6) * tint * _temperature(rng)
    return Lamps(
        key=key,
        key_colour=rng.uniform(0.35, 1.15) * _temperature(rng),
        fill=fill / np.linalg.norm(fill),
        fill_colour=rng.uniform(0.03, 0.35) * _temperature(rng),
        above=ambient.astype(np.float32),
        below=(ambient * rng.uniform(0.4, 0.9)).astype(np.float32),
        softness=float(rng.random()),
    )


def _shadow(seen: Seen, lamps: Lamps, intrinsics: Floats, steps: int = 10, reach: float = 0.07) -> Floats:
    """Marches from each point to the key lamp through the depth picture: (n,) 1 = lit, 0 = in shadow."""
    height, width = seen.depth.shape
    lit = np.ones(len(seen.points), np.float32)
    hidden = np.zeros(len(seen.points), np.float32)
    start = seen.points + 0.0015 * seen.normals
    for distance in np.geomspace(0.004, reach, steps):
        at = start + distance * lamps.key
        u = (at[:, 0] / at[:, 2] * intrinsics[0, 0] + intrinsics[0, 2] + 0.5).astype(np.int32)
        v = (at[:, 1] / at[:, 2] * intrinsics[1, 1] + intrinsics[1, 2] + 0.5).astype(np.int32)
        inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
        there = seen.depth[np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)]
        behind = at[:, 2] - there
        blocked = inside & (there > 0) & (behind > 0.002) & (behind < 0.035)
        hidden = np.maximum(hidden, blocked * (1 - 0.5 * distance / reach))
    picture = np.ones((height, width), np.float32)
    picture[seen.mask] = lit - hidden
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.6 + 1.5 * lamps.softness)[seen.mask])


def shade(seen: Seen, painted: Painted, lamps: Lamps, intrinsics: Floats) -> Floats:
    """The colour of each seen point, (n, 3) linear RGB, unclipped.

    Skin lets red light through, so its terminator is soft and red: each channel wraps around by its own amount.
    """
    rough = seen.normals + 0.05 * painted.height[:, None] * np.roll(seen.normals, 1, 1)
    normals, view = _unit(rough), _unit(-seen.points)
    skin = (seen.parts < THING - 1)[:, None]
    wrap = np.where(skin, np.array([0.42, 0.22, 0.16], np.float32), np.float32(0.05))
    shadow = _shadow(seen, lamps, intrinsics)[:, None] * (1 - 0.5 * lamps.softness) + 0.5 * lamps.softness
    hollow = seen.occlusion[:, None]
    up = 0.5 - 0.5 * normals[:, 1:2]
    light = (lamps.below + up * (lamps.above - lamps.below)) * hollow
    sheen = np.zeros((len(normals), 1), np.float32)
    for direction, strength, open_to in (
        (lamps.key, lamps.key_colour, shadow * np.sqrt(hollow)),
        (lamps.fill, lamps.fill_colour, np.sqrt(hollow)),
    ):
        cosine = (normals @ direction)[:, None]
        light = light + strength * np.maximum(0, (cosine + wrap) / (1 + wrap)) ** 1.2 * open_to
        half = _unit(view + direction)
        glint = np.maximum(0, np.einsum("ni,ni->n", normals, half)) ** (10 + 60 * painted.gloss)
        sheen = sheen + (painted.gloss * glint)[:, None] * strength.mean() * open_to * (cosine > 0)
    edge = (1 - np.abs(np.einsum("ni,ni->n", normals, view))) ** 4
    ambient_sheen = 0.10 * edge[:, None] * lamps.above * hollow
    linear = painted.albedo**2.2
    return np.asarray(linear * light + 0.35 * sheen + ambient_sheen, dtype=np.float32)
