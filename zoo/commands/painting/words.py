"""What the words of `sample` mean for methods that make pictures."""

import json
from collections.abc import Sequence
from importlib import import_module

from zoo.registry import UsageError, class_path, names, option

LISTS = ("--mesh", "--seeds")  # options that take several words


def paints(argv: Sequence[str]) -> bool:
    """Whether the words are for a method that makes pictures: they name one, or have a prompt."""
    if any(word.partition("=")[0] == "--prompt" for word in argv):
        return True
    model = option(argv, "model")
    if model is None or model not in names("model"):
        return False
    home, _, name = class_path("model", model).rpartition(".")
    return getattr(getattr(import_module(home), name), "rows", "hands") == "scenes"


def gathered(argv: Sequence[str]) -> list[str]:
    """The words with `--mesh a.png b.png` as the one list that the parser reads, so that a shell may fill in names."""
    words: list[str] = []
    several: dict[str, list[str]] = {}
    taking = None
    for word in argv:
        flag, equals, inline = word.partition("=")
        if flag in LISTS:
            taking = None if equals else flag
            several.setdefault(flag, []).extend(_listed(inline) if equals else [])
        elif taking is None or word.startswith("--") or word == "-n":
            taking = None
            words.append(word)
        else:
            several[taking].extend(_listed(word))
    for flag, values in several.items():
        if not values:
            raise UsageError(f"{flag} needs a value, or several.")
        words.append(f"{flag}={json.dumps(values if flag == '--mesh' else [_whole(flag, value) for value in values])}")
    return words


def _listed(word: str) -> list[str]:
    """The words of `[a, b]`, or the one word."""
    inside = word.startswith("[") and word.endswith("]")
    return [part.strip().strip("\"'") for part in word[1:-1].split(",")] if inside else [word]


def _whole(flag: str, word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise UsageError(f"{flag} {word} is no whole number.") from None


def check(
    batch: int, n: int, seeds: Sequence[int] | None, fill: float, focal: float | None, resume: bool, fresh: bool,
    out: str | None,
) -> None:  # fmt: skip
    """Refuses numbers that mean nothing and options that contradict each other."""
    if n < 1 or batch < 1:
        raise UsageError(f"-n {n} and --batch {batch} must be at least 1.")
    if seeds is not None and n != 1:
        raise UsageError("--seeds names the pictures of a row, and -n counts them. Give one of them.")
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {' '.join(map(str, seeds))} names a seed twice, which would make a picture twice.")
    if not 0 < fill <= 1:
        raise UsageError(f"--fill {fill} is no share of the picture. Give a number above 0, at most 1.")
    if focal is not None and not focal > 0:
        raise UsageError(f"--focal {focal} is no focal length. Give a number above 0, in pixels.")
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the run to go on with.")
    if resume and fresh:
        raise UsageError("--resume keeps what --overwrite deletes. Give one of them.")
