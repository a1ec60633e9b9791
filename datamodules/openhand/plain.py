"""Pictures that a sentence describes wholly: a person and a background with names, for text-to-image models."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from datamodules.captions import gesture
from datamodules.openhand.appearance import Look, draw_look
from datamodules.openhand.backgrounds import Picture, Rng, cloth_of, gradient_of, planks

Floats = NDArray[np.floating]

COLOURS: dict[str, tuple[float, float, float]] = {  # sRGB
    "red": (0.72, 0.16, 0.15),
    "orange": (0.90, 0.52, 0.18),
    "yellow": (0.90, 0.80, 0.25),
    "green": (0.22, 0.55, 0.28),
    "blue": (0.20, 0.38, 0.72),
    "purple": (0.47, 0.27, 0.62),
    "pink": (0.90, 0.58, 0.68),
    "white": (0.93, 0.93, 0.91),
    "grey": (0.52, 0.53, 0.54),
    "black": (0.09, 0.09, 0.10),
}
SKIN = ("very light", "light", "tan", "brown", "dark")  # from the lightest fifth of tones to the darkest
SPREAD = 0.03  # standard deviation of a named colour
BACKGROUNDS = ("wall", "cloth", "wooden table")
SHARES = (0.5, 0.25, 0.25)  # of the backgrounds


def named_colour(rng: Rng) -> tuple[str, Floats]:
    """A colour of the palette, sRGB, and its name."""
    name = str(rng.choice(list(COLOURS)))
    return name, np.clip(np.array(COLOURS[name]) + rng.normal(0, SPREAD, 3), 0, 1).astype(np.float32)


def plain_background(rng: Rng, size: int) -> tuple[Picture, str]:
    """A calm background (size, size, 3), sRGB in [0, 1], and what it is called."""
    kind = str(rng.choice(BACKGROUNDS, p=SHARES))
    if kind == "wooden table":
        return np.clip(planks(rng, size), 0, 1, dtype=np.float32), place(kind, "")
    name, tone = named_colour(rng)
    if kind == "wall":
        return np.clip(gradient_of(rng, size, tone, tone * rng.uniform(0.75, 1.1)), 0, 1), place(kind, name)
    return np.clip(cloth_of(rng, size, tone, 0.85 * tone), 0, 1), place(kind, name)


def place(kind: str, colour: str) -> str:
    """What a background is called.

    Args:
        kind: One of `BACKGROUNDS`.
        colour: A name of `COLOURS`; not read for a wooden table.
    """
    if kind == "wooden table":
        return "on a wooden table"
    return f"before {_article(colour)} {colour} wall" if kind == "wall" else f"on {colour} cloth"


def described_person(rng: Rng) -> tuple[Look, str, str]:
    """Someone whose things have a named colour: the look, the word for the skin, the colour of things."""
    look = draw_look(rng)
    name, tone = named_colour(rng)
    return replace(look, thing=tone, thing_stripe=0.85 * tone), SKIN[min(int(5 * look.darkness), 4)], name


def caption(joints: Floats, side: int, skin: str, thing: str | None, behind: str, rng: Rng) -> str:
    """The sentence.

    Args:
        joints: (21, 3) metres.
        side: 0 = left, 1 = right.
        skin: A word of `SKIN`.
        thing: What is held and its colour, or None.
        behind: What `plain_background` called itself.
        rng: Chooses the wording.
    """
    hand = gesture(np.asarray(joints, np.float32)).of(side)
    start = str(rng.choice(["A photo of {}", "{}", "A picture of {}"])).format(hand)
    holding = "" if thing is None else f", {rng.choice(['holding', 'with'])} {_article(thing)} {thing}"
    sentence = f"{start}, {skin} skin{holding}, {behind}"
    return sentence[0].upper() + sentence[1:] + "."


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
