"""What hands are coloured like: skin tones, nails, creases, knuckles and sleeves, by the place on the hand."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.openhand.backgrounds import Rng, colour, noise_map
from zoo.hands.skeleton import MANO_PARENTS

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

ARM, CLOTH, THING = 16, 17, 18  # part ids after the hand's 16
DISTAL = (15, 3, 6, 12, 9)  # last joint of thumb, index, middle, ring, pinky

# sRGB of the back of the hand from light to dark; a person is a point between two of them.
TONES = np.array(
    [
        [0.97, 0.85, 0.78],
        [0.94, 0.78, 0.67],
        [0.88, 0.69, 0.56],
        [0.79, 0.58, 0.44],
        [0.67, 0.47, 0.34],
        [0.53, 0.36, 0.25],
        [0.39, 0.26, 0.19],
        [0.28, 0.19, 0.15],
    ],
    np.float32,
)


class Bones(NamedTuple):
    """The rest pose's skeleton: where on a finger a point lies. Right hand: fingers -x, back of the hand +y."""

    start: Floats  # (16, 3) metres, joint of the part
    along: Floats  # (16, 3) unit vector to the next joint
    back: Floats  # (16, 3) unit vector out of the back of the part
    length: Floats  # (16,) metres
    radius: Floats  # (16,) metres, half the width of the part


def bones(joints: Floats, rest: Floats, parts: Ints) -> Bones:
    """Reads the bones off a right hand.

    Args:
        joints: (21, 3) SNAP-21 rest joints, metres.
        rest: (778, 3) rest vertices, metres.
        parts: (778,) dominant joint.
    """
    mano = joints[[0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3]]
    ends = mano.copy()
    for child, parent in enumerate(MANO_PARENTS):
        if parent > 0:
            ends[parent] = mano[child]
    ends[list(DISTAL)] = joints[[4, 8, 12, 16, 20]]
    ends[0] = mano[4]
    along = ends - mano
    length = np.linalg.norm(along, axis=1)
    along /= length[:, None]
    back = np.tile(np.array([0, 1, 0], np.float32), (16, 1))
    back[13:] = (0.3, 0.75, 0.6)  # a relaxed thumb is turned a good quarter towards the others
    back -= (back * along).sum(1, keepdims=True) * along
    back /= np.linalg.norm(back, axis=1, keepdims=True)
    side = np.cross(along, back)
    radius = np.array(
        [np.abs((rest - mano[p])[parts == p] @ side[p]).max() if (parts == p).any() else 0.01 for p in range(16)]
    )
    return Bones(*(x.astype(np.float32) for x in (mano, along, back, length, radius)))


@dataclass(frozen=True)
class Look:
    """One person's hand and clothes. Colours are sRGB in [0, 1]."""

    tone: Floats  # (3,) back of the hand
    palm: Floats  # (3,)
    nail: Floats  # (3,)
    polished: bool
    redness: float  # of knuckles and fingertips
    lines: float  # depth of creases
    mottling: float
    cloth: Floats  # (3,)
    thing: Floats  # (3,)
    thing_stripe: Floats  # (3,)
    offset: Floats  # (2,) where in the noise maps this person's skin lies
    darkness: float  # of the tone, 0 the lightest, 1 the darkest


def draw_look(rng: Rng) -> Look:
    """A random person; tones are uniform between the lightest and the darkest."""
    place = rng.uniform(0, len(TONES) - 1)
    first = min(int(place), len(TONES) - 2)
    tone = TONES[first] + (place - first) * (TONES[first + 1] - TONES[first])
    darkness = place / (len(TONES) - 1)
    tone = np.clip(tone * (1 + rng.normal(0, 0.04)) * (1 + rng.normal(0, 0.02, 3)), 0.05, 1).astype(np.float32)
    pink = np.array([0.93, 0.70, 0.61], np.float32) * (1 - 0.25 * darkness)
    palm = tone + rng.uniform(0.25, 0.45) * (0.6 + 0.9 * darkness) * (pink - tone)
    polished = rng.random() < 0.15
    plain = 0.55 * tone + 0.45 * np.array([0.95, 0.76, 0.70], np.float32) * (1 - 0.2 * darkness)
    return Look(
        tone=tone,
        palm=palm.astype(np.float32),
        nail=colour(rng, 0.9) if polished else plain.astype(np.float32),
        polished=bool(polished),
        redness=float(rng.uniform(0.2, 1.0)),
        lines=float(rng.uniform(0.3, 1.0)),
        mottling=float(rng.uniform(0.02, 0.07)),
        cloth=colour(rng),
        thing=colour(rng, 0.7),
        thing_stripe=colour(rng, 0.7),
        offset=rng.uniform(0, 512, 2).astype(np.float32),
        darkness=float(darkness),
    )


def _step(x: Floats, low: float, high: float) -> Floats:
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def look_up(kind: int, u: Floats, v: Floats) -> Floats:
    """Fractal noise at (u, v), in map pixels, wrapped around and interpolated."""
    field = noise_map(kind)
    n = field.shape[0]
    i, j = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    a, b = (u - i).astype(np.float32), (v - j).astype(np.float32)
    i0, j0, i1, j1 = i % n, j % n, (i + 1) % n, (j + 1) % n
    return (field[i0, j0] * (1 - a) + field[i1, j0] * a) * (1 - b) + (field[i0, j1] * (1 - a) + field[i1, j1] * a) * b


class Painted(NamedTuple):
    """Per point: colour, shine and a height to roughen the normals with."""

    albedo: Floats  # (n, 3) sRGB
    gloss: Floats  # (n,) 0 = matt skin, 1 = wet or polished
    height: Floats  # (n,) about -1 to 1


def palm_side(rest: Floats, faces: Ints, parts: Ints, skeleton: Bones, rounds: int = 3) -> Floats:
    """How much each vertex (v,) of a right hand belongs to the palm, 0 to 1, without a jump between parts."""
    above = ((rest - skeleton.start[parts]) * skeleton.back[parts]).sum(1) / skeleton.radius[parts]
    palmar = _step(-above / np.where(parts > 0, 0.35, 0.12), -0.6, 1.0)
    for _ in range(rounds):
        total, count = palmar.copy(), np.ones_like(palmar)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            for one, other in ((a, b), (b, a)):
                np.add.at(total, faces[:, one], palmar[faces[:, other]])
                np.add.at(count, faces[:, one], 1)
        palmar = np.asarray(total / count, dtype=np.float32)
    return palmar


def paint(rest: Floats, palmar: Floats, parts: Ints, look: Look, skeleton: Bones) -> Painted:
    """Colours points of a hand, its arm, sleeve and what it holds.

    Args:
        rest: (n, 3) where each point is on the right hand at rest, metres (left hands: x mirrored).
        palmar: (n,) from `palm_side`.
        parts: (n,) 0 to 15 the hand's, then `ARM`, `CLOTH`, `THING`.
        look: whose hand.
        skeleton: the right hand's bones.
    """
    bone = np.where(parts < 16, parts, 0)
    relative = rest - skeleton.start[bone]
    along = np.einsum("ni,ni->n", relative, skeleton.along[bone])
    above = np.einsum("ni,ni->n", relative, skeleton.back[bone]) / skeleton.radius[bone]
    sideways = np.cross(skeleton.along, skeleton.back)[bone]
    across = np.einsum("ni,ni->n", relative, sideways) / skeleton.radius[bone]
    length = skeleton.length[bone]
    finger = bone > 0

    u, v = look.offset[0] + rest[:, 0] * 1500, look.offset[1] + rest[:, 2] * 1500 + above * 20
    cloudy, fine = look_up(2, u * 0.35, v * 0.35), look_up(1, u, v)
    albedo: NDArray[np.floating] = look.tone + palmar[:, None] * (look.palm - look.tone)
    albedo = albedo * (1 + look.mottling * (cloudy + 0.6 * fine))[:, None]

    last = np.isin(bone, DISTAL)
    to_joint = np.where(bone % 3 == 1, 1.0, np.abs(along))
    knuckle = np.exp(-((along / 0.007) ** 2)) * finger * (1 - palmar)
    tip = last * _step(along / length, 0.3, 1.0) * palmar
    red = look.redness * (0.5 * knuckle + 0.8 * tip + 0.15 * np.clip(cloudy, -1, 1) * palmar)
    albedo = albedo * (1 - red[:, None] * np.array([0.02, 0.13, 0.11], np.float32))
    albedo = albedo * (1 - 0.12 * knuckle * (0.4 + 0.6 * look.lines))[:, None]

    jag = 0.0007 * fine
    crease = np.exp(-(((to_joint + jag) / 0.0011) ** 2)) * palmar * finger
    wrinkle = (0.5 + 0.5 * np.sin((along + 0.5 * jag) * 2 * np.pi / 0.0032)) * knuckle * (np.abs(across) < 0.8)
    palm = (bone == 0) & (parts == 0)
    crease = crease + palm * palmar * _palm_lines(rest, skeleton, jag)
    albedo = albedo * (1 - look.lines * np.clip(0.38 * crease + 0.16 * wrinkle, 0, 0.6))[:, None]
    height = 0.5 * fine - 1.5 * look.lines * (crease + 0.4 * wrinkle)

    where = (along / length - 0.62) / 0.33
    inside = 1 - _step((np.abs(where) ** 3 + np.abs(across / 0.72) ** 3) ** (1 / 3), 0.88, 1.02)
    nail = last * inside * _step(above, 0.25, 0.45)
    shade = 1 + 0.1 * _step(where, 0.55, 0.8) - 0.05 * (1 - _step(where, -0.9, -0.6))
    albedo = albedo + nail[:, None] * (look.nail * shade[:, None] - albedo)
    gloss = 0.12 + 0.08 * palmar + nail * (0.75 if look.polished else 0.35)
    height = height * (1 - nail)

    cloth, thing = parts == CLOTH, parts == THING
    weave = 1 + 0.08 * fine + 0.05 * np.sin(rest[:, 0] * 900)
    albedo = np.where(cloth[:, None], look.cloth * weave[:, None], albedo)
    height = np.where(cloth, fine, height)
    stripe = _step(np.sin(rest[:, 0] * 90 + look.offset[0]), 0.5, 0.6)[:, None]
    stuff = look.thing + stripe * (look.thing_stripe - look.thing)
    albedo = np.where(thing[:, None], stuff * (1 + 0.03 * cloudy)[:, None], albedo)
    gloss = np.where(cloth, 0.0, np.where(thing, 0.1 + 0.6 * (look.offset[0] % 1), gloss))
    height = np.where(thing, 0, height)
    return Painted(*(x.astype(np.float32) for x in (np.clip(albedo, 0, 1), gloss, height)))


def _palm_lines(rest: Floats, skeleton: Bones, jag: Floats) -> Floats:
    """The heart, head and life lines, drawn between wrist and knuckles."""
    size = skeleton.length[0]
    up = -rest[:, 0] / size
    edge = abs(skeleton.start[1, 2] - skeleton.start[7, 2])
    over = (rest[:, 2] - skeleton.start[7, 2]) / edge  # 0 at the little finger's knuckle, 1 at the index finger's
    heart = up - (0.72 + 0.2 * np.clip(over, 0, 1) ** 1.5)
    head = up - (0.50 + 0.24 * np.clip(over, 0, 1.2) ** 0.8)
    life = np.hypot((up - 0.30) / 0.44, (over - 1.25) / 0.72) - 1
    width = 0.0013 / size
    lines = [
        np.exp(-(((heart + jag / size) / width) ** 2)) * (over < 0.85),
        np.exp(-(((head + jag / size) / width) ** 2)) * (over > 0.15) * (over < 1.15),
        np.exp(-((life * 0.5 + jag / size) ** 2) / width**2) * (over < 1.2) * (up > 0.08),
    ]
    return np.asarray(np.maximum.reduce(lines), dtype=np.float32)
