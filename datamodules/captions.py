"""A sentence about hands, from their labels: for datasets whose pictures have none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from datamodules.scene import FloatArray
from zoo.hands.skeleton import FINGERS, LEFT, RIGHT, WRIST

STRAIGHT, CURLED = 0.9, 0.68  # share of a finger's length, with its palm bone, that lies between wrist and tip
CLOSED = 0.55  # the same, mean of four fingers: a fist
TOUCH = 0.02  # metres between the tips of a pinch
CLOSE, NEAR, APART = 0.01, 0.04, 0.1  # metres between two hands
REACH = (0.15, 2.0)  # metres from the camera that are worth saying

_NAMES = {LEFT: "left", RIGHT: "right"}
_STARTS = ("{}", "there is {}", "a view of {}", "here is {}")
_PLURAL_STARTS = ("two hands: {}", "there are two hands, {}", "a view of two hands, {}", "{}")


@dataclass(frozen=True)
class Gesture:
    """What a hand does, as it is said before or after its noun.

    Args:
        before: An adjective, or nothing.
        after: The rest.
    """

    before: str = ""
    after: str = ""

    def of(self, side: int) -> str:
        """`an open left hand`, `a right hand making a fist`."""
        words = " ".join(filter(None, (self.before, f"{_NAMES[side]} hand", self.after)))
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def describe(
    hands: Mapping[int, FloatArray | None],
    meshes: Mapping[int, FloatArray] | None = None,
    *,
    seed: int = 0,
    index: int = 0,
) -> str:
    """A sentence that says no more than the labels do.

    Args:
        hands: By side, each hand there is with its (21, 3) joints, metres, camera frame, or None.
        meshes: By side, (778, 3) metres where there are any; they tell better how near two hands are.
        seed: Together with the index it decides the wording, and nothing else does.
        index: Of the scene.
    """
    rng = np.random.default_rng((seed, index))
    if not hands:
        return "A picture."
    known = {side: joints for side, joints in hands.items() if joints is not None}
    phrases = [gesture(known.get(side)).of(side) for side in sorted(hands)]
    rng.shuffle(phrases)
    start = str(rng.choice(_STARTS if len(hands) == 1 else _PLURAL_STARTS))
    place = distance(known) if rng.random() < 0.6 else ""
    sentence = start.format(" and ".join(phrases)) + (relation(known, meshes or {}) if len(hands) > 1 else "") + place
    return sentence[0].upper() + sentence[1:] + "."


def gesture(joints: FloatArray | None) -> Gesture:
    """What is certain about the fingers of (21, 3) joints of any scale but a pinch's, which is in metres."""
    if joints is None:
        return Gesture()
    bends = [bend(joints, finger) for finger in range(1, 5)]
    # A thumb lies in the palm where its tip is nearer to the little finger's knuckle than the index finger's is.
    tucked = np.linalg.norm(joints[4] - joints[17]) < np.linalg.norm(joints[5] - joints[17])
    if all(b == "straight" for b in bends) and not tucked:
        return Gesture(before="open")
    if all(b == "curled" for b in bends):
        closed = np.mean([_reach(joints, finger) for finger in range(1, 5)]) < CLOSED
        return Gesture(after="making a fist" if closed else "with curled fingers")
    if bends[0] == "straight" and all(b == "curled" for b in bends[1:]):
        return Gesture(after="pointing with the index finger")
    if np.linalg.norm(joints[4] - joints[8]) < TOUCH:
        return Gesture(after="with the tips of thumb and index finger together")
    if "straight" in bends and all(b != "between" for b in bends):
        straight = [name for name, b in zip(FINGERS[1:], bends, strict=True) if b == "straight"]
        return Gesture(after=f"with the {_listed(straight)} {'finger' if len(straight) == 1 else 'fingers'} straight")
    return Gesture(after="with bent fingers") if all(b == "between" for b in bends) else Gesture()


def bend(joints: FloatArray, finger: int) -> Literal["straight", "between", "curled"]:
    """How far a finger (1 = index, 4 = little finger) is bent."""
    reach = _reach(joints, finger)
    return "straight" if reach > STRAIGHT else "curled" if reach < CURLED else "between"


def _reach(joints: FloatArray, finger: int) -> float:
    chain = joints[[WRIST, *range(1 + 4 * finger, 5 + 4 * finger)]]
    length = float(np.linalg.norm(np.diff(chain, axis=0), axis=1).sum())
    return float(np.linalg.norm(chain[-1] - chain[0])) / max(length, 1e-9)


def relation(hands: Mapping[int, FloatArray], meshes: Mapping[int, FloatArray]) -> str:
    """How near two hands are, where both are labelled in 3D."""
    if len(hands) < 2:
        return ""
    least = gap(meshes[LEFT][::3], meshes[RIGHT][::3]) if len(meshes) == 2 else gap(hands[LEFT], hands[RIGHT]) - 0.015
    if least < CLOSE:
        return ", interacting closely"
    return ", close together" if least < NEAR else ", apart from each other" if least > APART else ""


def gap(first: FloatArray, second: FloatArray) -> float:
    """The smallest distance between two sets of points, metres."""
    squares = (first**2).sum(-1)[:, None] + (second**2).sum(-1) - 2 * first @ second.T
    return float(np.sqrt(max(float(squares.min()), 0.0)))


def distance(hands: Mapping[int, FloatArray]) -> str:
    """How far the nearest hand is from the camera, in steps of ten centimetres."""
    if not hands:
        return ""
    far = min(float(np.linalg.norm(joints.mean(0))) for joints in hands.values())
    if not REACH[0] <= far <= REACH[1]:
        return ""
    return f", about {round(10 * far) * 10} centimetres from the camera"


def _listed(names: list[str]) -> str:
    named = ["little" if name == "pinky" else name for name in names]
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
