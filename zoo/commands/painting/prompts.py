"""Prompts, from the command line or from a text file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from zoo.registry import UsageError

T = TypeVar("T")


def read_prompts(given: str) -> list[str]:
    """The lines of a text file that are not blank, or the text itself where there is no such file."""
    path = Path(given)
    try:
        is_file = path.is_file()
    except OSError:  # a text may be longer than a name can be
        is_file = False
    if is_file:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--prompt {given} is no UTF-8 text ({error.reason}). Save it as UTF-8.") from None
        found = [" ".join(line.split()) for line in lines if line.strip()]
        if not found:
            raise ValueError(f"--prompt {given} holds no line of text. Write one prompt a line.")
        return found
    if path.suffix == ".txt" and " " not in given:
        raise FileNotFoundError(f"--prompt {given} looks like a file, and is not there. Give a text, or a file.")
    return [given]


def paired(meshes: Sequence[T], prompts: Sequence[str]) -> list[tuple[T, str]]:
    """One prompt for all meshes, one mesh for all prompts, or one each.

    Raises:
        UsageError: There are several of both, and not as many.
    """
    if len(prompts) == 1:
        return [(mesh, prompts[0]) for mesh in meshes]
    if len(meshes) == 1:
        return [(meshes[0], prompt) for prompt in prompts]
    if len(meshes) != len(prompts):
        raise UsageError(
            f"--prompt has {len(prompts)} prompts and --mesh has {len(meshes)} meshes. Give one prompt for all meshes, "
            "one mesh for all prompts, or as many of both."
        )
    return list(zip(meshes, prompts, strict=True))
