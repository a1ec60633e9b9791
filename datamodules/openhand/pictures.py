"""Made photographs of hands: one posed hand becomes pictures with an arm, things, light, a background and a lens."""

from functools import cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.openhand.appearance import ARM, CLOTH, THING, Bones, Look, Painted, bones, draw_look, paint, palm_side
from datamodules.openhand.backgrounds import Picture, Rng, background, green_screen
from datamodules.openhand.forearm import boundary_loop, grow
from datamodules.openhand.occluders import Solid, held, in_front
from datamodules.openhand.plain import caption, described_person, plain_background
from datamodules.openhand.shading import Lamps, Mesh, Seen, draw_lamps, see, shade
from zoo.hands.model import HandModel
from zoo.hands.render import Backend
from zoo.hands.skeleton import LEFT

Floats = NDArray[np.floating]
Bytes = NDArray[np.uint8]
Version = Literal["gs", "hom", "sample", "auto", "real", "plain"]
GRAIN = 64  # pixels that the noise map is larger than a picture
MOST_HIDDEN = 0.45  # share of the hand's pixels that a thing may cover


class Studio:
    """Takes pictures of hands of one side.

    Args:
        hand: the model whose vertices are pictured.
        size: side of the pictures, pixels.
        backend: of the renderer.
    """

    def __init__(self, hand: HandModel, size: int = 224, backend: Backend = "auto") -> None:
        self.size = size
        self.backend = backend
        self.side = hand.side
        mirror = np.array([-1 if hand.side == LEFT else 1, 1, 1], np.float32)
        flat = torch.eye(3).repeat(1, 16, 1, 1)
        self.rest = hand(flat, torch.zeros(1, 10), torch.zeros(1, 3)).vertices[0].numpy() * mirror
        self.faces = hand.faces.numpy().astype(np.int64)
        self.parts = hand.parts.numpy().astype(np.int64)
        joints = hand.joint_regressor.numpy() @ self.rest
        self.skeleton: Bones = bones(joints.astype(np.float32), self.rest, self.parts)
        self.palmar = palm_side(self.rest, self.faces, self.parts, self.skeleton)
        self.loop = boundary_loop(self.faces)

    def arrange(
        self, vertices: Floats, joints: Floats, intrinsics: Floats, rng: Rng, *, front: bool = True
    ) -> "Arranged":
        """Puts an arm, and at times a thing, to a hand, and looks at it.

        Args:
            vertices: (778, 3) metres, camera frame.
            joints: (21, 3) metres, camera frame.
            intrinsics: (3, 3) pixels.
            rng: draws what there is.
            front: whether things may stand between the camera and the hand.
        """
        sleeve = rng.uniform(0.015, 0.13) if rng.random() < 0.55 else 1.0
        arm = grow(vertices, self.rest, self.loop, rng, bare=sleeve)
        hand = Mesh(
            np.concatenate([vertices, arm.vertices]),
            np.concatenate([self.rest, arm.rest]),
            np.concatenate([self.palmar, np.tile(self.palmar[self.loop], len(arm.rest) // len(self.loop))]),
            np.concatenate([self.faces, arm.faces]),
            np.concatenate([self.parts, np.where(arm.cloth, CLOTH, ARM)]),
        )
        draw = rng.random()
        thing = held(joints, rng) if draw < 0.28 else in_front(joints, rng) if front and draw < 0.40 else None
        seen = see(hand, intrinsics, self.size, self.backend)
        if thing is not None:
            with_thing = see(_add(hand, thing), intrinsics, self.size, self.backend)
            if _hand(with_thing).sum() > (1 - MOST_HIDDEN) * _hand(seen).sum():
                return Arranged(with_thing, _hand(with_thing), thing.kind)
        return Arranged(seen, _hand(seen), None)

    def paint(self, seen: Seen, look: Look) -> Painted:
        """Colours what is seen."""
        return paint(seen.rest, seen.palmar, seen.parts, look, self.skeleton)

    def photograph(self, seen: Seen, painted: Painted, intrinsics: Floats, version: Version, rng: Rng) -> Bytes:
        """Lights and develops what is seen and painted: (h, w, 3) RGB."""
        behind = green_screen(rng, self.size) if version == "gs" else background(rng, self.size)
        picture = self.compose(seen, painted, intrinsics, behind, rng, shadow=version != "gs")
        if version in ("sample", "auto"):
            picture = _recolour(picture, rng, 0.16 if version == "sample" else 0.05)
        return lens(picture, rng)

    def portray(self, stage: "Arranged", joints: Floats, intrinsics: Floats, rng: Rng) -> tuple[Bytes, str]:
        """Someone's hand before a calm background: (h, w, 3) RGB, and the sentence that says so."""
        look, skin, tone = described_person(rng)
        behind, place = plain_background(rng, self.size)
        picture = self.compose(stage.seen, self.paint(stage.seen, look), intrinsics, behind, rng)
        thing = None if stage.thing is None else f"{tone} {stage.thing}"
        text = caption(joints, self.side, skin, thing, place, rng)
        return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), text

    def compose(
        self,
        seen: Seen,
        painted: Painted,
        intrinsics: Floats,
        behind: Picture,
        rng: Rng,
        *,
        lamps: Lamps | None = None,
        shadow: bool = True,
    ) -> Picture:
        """Lights what is seen and lays it over what is behind it: (h, w, 3) sRGB in [0, 1].

        Args:
            seen: by this studio.
            painted: its colours.
            intrinsics: (3, 3) pixels.
            behind: (h, w, 3) sRGB in [0, 1].
            rng: draws the exposure, and whether there is a shadow.
            lamps: the light; drawn to suit what is behind when None.
            shadow: whether a shadow may fall on what is behind.
        """
        if lamps is None:
            lamps = draw_lamps(rng, behind.reshape(-1, 3).mean(0) ** 2.2)
        linear = shade(seen, painted, lamps, intrinsics)
        lit = linear.mean(1)
        linear = linear * np.clip(0.23 / (np.median(lit) + 0.02), 0.75, 1.5) * rng.uniform(0.8, 1.2)
        shoulder = np.where(linear > 0.7, 0.7 + 0.3 * np.tanh((linear - 0.7) / 0.3), linear)
        front = np.zeros((self.size, self.size, 3), np.float32)
        front[seen.mask] = np.clip(shoulder, 0, 1) ** (1 / 2.2)
        if shadow and rng.random() < 0.4:
            behind = _cast_shadow(behind, seen, lamps.key, rng)
        return np.asarray(_over(front, seen.mask, behind), np.float32)


def _hand(seen: Seen) -> NDArray[np.bool_]:
    out = np.zeros_like(seen.mask)
    out[seen.mask] = seen.parts < ARM
    return out


def _add(mesh: Mesh, thing: Solid) -> Mesh:
    local = thing.vertices - thing.vertices.mean(0)
    return Mesh(
        np.concatenate([mesh.vertices, thing.vertices]),
        np.concatenate([mesh.rest, np.clip(local, -0.02, 0.02).astype(np.float32)]),
        np.concatenate([mesh.palmar, np.zeros(len(thing.vertices), np.float32)]),
        np.concatenate([mesh.faces, thing.faces + len(mesh.vertices)]),
        np.concatenate([mesh.parts, np.full(len(thing.vertices), THING)]),
    )


def _over(front: Floats, mask: NDArray[np.bool_], behind: Picture) -> Floats:
    """Lays the front over the background with an edge one pixel soft."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
    spread = (
        cv2.GaussianBlur(front, (0, 0), 0.9)
        / (cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.9) + 1e-4)[..., None]
    )
    filled = np.where(mask[..., None], front, np.clip(spread, 0, 1))
    return np.asarray(behind + alpha[..., None] * (filled - behind), dtype=np.float32)


def _cast_shadow(behind: Picture, seen: Seen, key: Floats, rng: Rng) -> Picture:
    """The soft shadow of everything in front on a surface close behind."""
    size = behind.shape[0]
    gap = rng.uniform(0.02, 0.25) * size
    move = np.array([[1, 0, -gap * key[0]], [0, 1, -gap * key[1]]], np.float32)
    shadow = cv2.warpAffine(seen.mask.astype(np.float32), move, (size, size))
    shadow = cv2.GaussianBlur(shadow, (0, 0), 1.5 + 0.25 * gap)
    return np.asarray(behind * (1 - rng.uniform(0.2, 0.6) * shadow)[..., None], dtype=np.float32)


def _recolour(picture: Floats, rng: Rng, amount: float) -> Floats:
    gain = 1 + amount * rng.normal(size=3)
    grey = (picture @ np.full(3, 1 / 3, np.float32))[..., None]
    return np.asarray((grey + (1 + amount * rng.normal()) * (picture - grey)) * gain, dtype=np.float32)


def lens(picture: Floats, rng: Rng) -> Bytes:
    """Focus, motion, vignette, exposure and sensor noise."""
    size = picture.shape[0]
    draw = rng.random()
    if draw < 0.15:
        picture = _smear(picture, rng.uniform(2, 9) * size / 224, rng.uniform(0, np.pi))
    else:
        sharp = draw < 0.8
        sigma = (0.45 if sharp else rng.uniform(0.7, 1.6)) * size / 224 + 0.05
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), dtype=np.float32)
    axis = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    picture = picture * (1 - np.float32(rng.uniform(0, 0.18)) * (axis[:, None] + axis[None]))[..., None]
    picture = cv2.pow(np.clip(picture, 0, 1, dtype=np.float32), rng.uniform(0.85, 1.2)) * np.float32(
        rng.uniform(0.88, 1.1)
    )
    level = rng.choice([0.006, 0.015, 0.035], p=[0.55, 0.35, 0.1])
    y, x = rng.integers(0, GRAIN, 2)
    picture = picture + np.float32(level) * _grain(size + GRAIN)[y : y + size, x : x + size]
    return np.asarray(np.clip(picture * 255 + 0.5, 0, 255), dtype=np.uint8)


@cache
def _grain(size: int) -> Floats:
    """Sensor noise of deviation about 1, partly common to the three channels; pictures cut their own piece of it."""
    noise = np.random.default_rng(0).standard_normal((size, size, 3), dtype=np.float32)
    return 0.6 * noise + 0.4 * noise[..., 1:2]


def _smear(picture: Floats, length: float, angle: float) -> Floats:
    """Motion blur along a line of `length` pixels."""
    n = int(length) | 1
    kernel = np.zeros((n, n), np.float32)
    half = (n - 1) / 2
    for t in np.linspace(-half, half, 4 * n):
        kernel[round(half + t * np.sin(angle)), round(half + t * np.cos(angle))] = 1
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), dtype=np.float32)


class Arranged(NamedTuple):
    """A hand with an arm, and at times a thing."""

    seen: Seen
    mask: NDArray[np.bool_]  # (h, w) the visible hand, without arm and thing
    thing: str | None  # its name


class Sitting(NamedTuple):
    """The pictures of one hand."""

    images: tuple[Bytes, ...]  # (h, w, 3) RGB, one a version
    mask: NDArray[np.bool_]  # (h, w) the visible hand, without arm and things
    captions: tuple[str, ...] = ()  # one a version, of plain ones


def sitting(
    studio: Studio, vertices: Floats, joints: Floats, intrinsics: Floats, versions: tuple[Version, ...], rng: Rng
) -> Sitting:
    """One hand, one arrangement and one person, in several versions.

    Args:
        studio: of the hand's side.
        vertices: (778, 3) metres, camera frame.
        joints: (21, 3) metres, camera frame.
        intrinsics: (3, 3) pixels.
        versions: treatments, in order: green screen, two kinds of recolouring, real; or all "plain", each of which
            is another person before another background.
        rng: decides everything else.
    """
    stage = studio.arrange(vertices, joints, intrinsics, rng, front="plain" not in versions)
    if "plain" in versions:
        images, captions = zip(*(studio.portray(stage, joints, intrinsics, rng) for _ in versions), strict=True)
        return Sitting(images, stage.mask, captions)
    seen, mask, _ = stage
    painted = studio.paint(seen, draw_look(rng))
    pictures = []
    for version in versions:
        # A recoloured sample keeps neither the person nor the colours.
        own = studio.paint(seen, draw_look(rng)) if version == "sample" else painted
        pictures.append(studio.photograph(seen, own, intrinsics, version, rng))
    return Sitting(tuple(pictures), mask)
