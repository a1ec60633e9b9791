"""What `sample`'s words must be, and what they mean."""

from typing import Any

from zoo.hands.skeleton import FINGERS
from zoo.registry import UsageError, nearest

# Options that mean something for some tasks only, and what they are when nobody gives them.
USUAL = {"given": "auto", "guide": 1.0, "margin": 1.5, "upright": True}
ONLY: dict[str, tuple[str, ...]] = {
    "noise": ("fit",),
    "given": ("fit",),
    "guide": ("inpaint", "fit"),
    "focal": ("reconstruct", "fit"),
    "margin": ("reconstruct", "fit"),
    "upright": ("fit",),
    "input": ("inpaint", "reconstruct", "fit"),
    "images": ("reconstruct", "fit"),
    "side": ("inpaint", "reconstruct", "fit"),
    "missing": ("inpaint", "fit"),
    "mask": ("inpaint",),
    "unit": ("inpaint",),
    "box": ("reconstruct",),
    "size": ("fit",),
    "min_confidence": ("fit",),
}


def check_flags(words: dict[str, Any]) -> None:
    """Refuses options that do nothing for a task, and numbers that mean nothing."""
    task = words["task"]
    for name, tasks in ONLY.items():
        if words[name] != USUAL.get(name) and task not in tasks:
            flag = "no-upright" if name == "upright" else name
            raise UsageError(f"--{flag} is only for --task {' or '.join(tasks)}, not {task}. Leave it out.")
    if task != "generate" and words["input"] is None:
        needs = {"inpaint": "meshes or skeletons", "reconstruct": "images or a list of boxes", "fit": "keypoints"}
        raise UsageError(f"sample --task {task} needs --input with {needs[task]}.")
    if words["n"] is not None and words["n"] < 1:
        raise UsageError(f"-n {words['n']} makes nothing. Give a number from 1.")
    for name in ("limit", "batch", "steps"):
        if words[name] is not None and words[name] < 1:
            raise UsageError(f"--{name} {words[name]} leaves nothing to do. Give a number from 1.")
    if words["seed"] < 0:
        raise UsageError(f"--seed {words['seed']} is no seed. Give a number from 0.")
    for name in ("margin", "focal"):
        if words[name] is not None and not words[name] > 0:
            raise UsageError(f"--{name} {words[name]} is no size. Give a number above 0.")
    if not 0 <= words["guide"] <= 10:
        raise UsageError(f"--guide {words['guide']} is no strength. Give 1 for the usual, 0 for none, at most 10.")
    if words["noise"] is not None and not 0 <= words["noise"] <= 100:
        raise UsageError(f"--noise {words['noise']:g} is no percentage of a hand's box. Give 0 to 100; 2 is usual.")
    if words["resume"] and words["out"] is None:
        raise UsageError("--resume needs --out, the folder of the run to go on with.")
    if words["resume"] and words["overwrite"]:
        raise UsageError("--resume keeps what --overwrite deletes. Give one of them.")


def fingers_of(missing: str | None) -> tuple[str, ...]:
    """The fingers that --missing names."""
    words = tuple(word for word in (missing or "").strip("[]").replace(",", " ").lower().split() if word)
    alike = {"little": "pinky", "fore": "index", "forefinger": "index"}
    words = tuple(alike.get(word, word) for word in words)
    for word in words:
        if word not in FINGERS:
            raise UsageError(f"--missing {word} is no finger.{nearest(word, FINGERS)} Known: {', '.join(FINGERS)}.")
    if missing is not None and not words:
        raise UsageError("--missing names no finger. Give some of thumb, index, middle, ring, pinky.")
    return words


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width, from WIDTHxHEIGHT."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"--size {text} is no size. Give WIDTHxHEIGHT in pixels, as 640x480.")
    return int(parts[1]), int(parts[0])
