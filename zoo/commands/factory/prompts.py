"""What made pictures are told to show. The prompt of index i is a function of the seed, of i and of its hands alone."""

import string
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import orjson

from datamodules.captions import describe, gesture
from datamodules.openhand.plain import BACKGROUNDS, COLOURS, SHARES, SKIN, caption, place
from datamodules.scene import FloatArray
from zoo.commands.painting.prompts import read_prompts
from zoo.encoders.hand_words import hand_words
from zoo.registry import UsageError

Hands = dict[int, FloatArray | None]  # by side, (21, 3) joints in metres where they are known
PLACEHOLDERS = ("hand", "skin", "place")
_PURPOSE = 14  # of the randomness
_TRIES = 200  # captions that are looked at for one about hands


class Prompts(ABC):
    """Texts for scenes.

    Args:
        seed: Other seeds give other texts.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def of(self, index: int, hands: Hands) -> str:
        """The text for the hands of an index."""
        return self.write(hands, np.random.default_rng((self.seed, _PURPOSE, index)))

    @abstractmethod
    def write(self, hands: Hands, rng: np.random.Generator) -> str:
        """A text, by that randomness."""


class Templates(Prompts):
    """Sentences as those of `openhand-scenes`: what the hand does, its skin, what is behind it."""

    def write(self, hands: Hands, rng: np.random.Generator) -> str:
        skin, behind = _look(rng)
        if len(hands) == 1:
            [(side, joints)] = hands.items()
            if joints is not None:
                return caption(joints, side, skin, None, behind, rng)
        said = describe(hands, seed=int(rng.integers(2**31))) if hands else "A photo of a hand."
        return f"{said.rstrip('.')}, {skin} skin, {behind}."


class Lines(Prompts):
    """Lines of a text file. `{hand}`, `{skin}` and `{place}` in them are filled in.

    Args:
        seed: Other seeds take other lines.
        lines: At least one.
    """

    def __init__(self, seed: int, lines: list[str]) -> None:
        super().__init__(seed)
        self.lines = lines
        for line in lines:
            if not line.strip():
                raise UsageError("--prompts is an empty text. Give templates, a text, or a file of them.")
            try:
                names = [name for _, name, _, _ in string.Formatter().parse(line) if name is not None]
            except ValueError as error:
                raise ValueError(f"The prompt {line!r} has a stray brace ({error}). Write {{{{ for a brace.") from None
            for name in names:
                if name not in PLACEHOLDERS:
                    known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
                    raise ValueError(f"The prompt {line!r} has {{{name}}}; what can be filled in is {known}.")

    def write(self, hands: Hands, rng: np.random.Generator) -> str:
        line = self.lines[int(rng.integers(len(self.lines)))]
        skin, behind = _look(rng)
        named = " and ".join(gesture(joints).of(side) for side, joints in sorted(hands.items())) or "a hand"
        return line.format(hand=named, skin=skin, place=behind)


class Captions(Prompts):
    """Captions of MSCOCO that speak of hands or of what they do; any, where no such one is met.

    Args:
        seed: Other seeds take other captions.
        captions: At least one.
    """

    def __init__(self, seed: int, captions: list[str]) -> None:
        super().__init__(seed)
        self.captions = captions

    def write(self, hands: Hands, rng: np.random.Generator) -> str:
        text = ""
        for _ in range(_TRIES):
            text = " ".join(self.captions[int(rng.integers(len(self.captions)))].split())
            if hand_words(text):
                break
        return text


def prompts_of(given: str, seed: int) -> Prompts:
    """The prompts that `--prompts` names: `templates`, a COCO captions_*.json, a text file, or a text."""
    if given == "templates":
        return Templates(seed)
    path = Path(given).expanduser()
    if path.suffix == ".json":
        return Captions(seed, read_captions(path))
    return Lines(seed, read_prompts(given))


def read_captions(path: Path) -> list[str]:
    """The captions of a file of MSCOCO's."""
    try:
        rows = orjson.loads(path.read_bytes())["annotations"]
        found = [row["caption"] for row in rows if row["caption"].strip()]
    except FileNotFoundError:
        raise FileNotFoundError(f"--prompts {path} is not there. Give a captions_*.json of MSCOCO.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"--prompts {path} is no captions_*.json of MSCOCO ({error!r}). Is it whole?") from None
    if not found:
        raise ValueError(f"--prompts {path} holds no caption. Give another file.")
    return found


def _look(rng: np.random.Generator) -> tuple[str, str]:
    skin = str(rng.choice(SKIN))
    return skin, place(str(rng.choice(BACKGROUNDS, p=SHARES)), str(rng.choice(list(COLOURS))))
