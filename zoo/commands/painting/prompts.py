"""Prompts, from the command line or from a text file."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from zoo.registry import UsageError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
# A suffix of texts, or a slash and another suffix behind it: `my prompts/all.lst`, but not `a 1/2 cup, no. 5`.
FILE = re.compile(r".*\.(txt|csv|jsonl?)|.*/[^/\s]+\.[a-z]\w{0,4}", re.IGNORECASE | re.DOTALL)


@runtime_checkable
class Counted(Protocol[T_co]):
    """Things whose number is known before the first is read."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T_co]: ...


def read_prompts(given: str) -> list[str]:
    """The lines of a text file that are not blank, or the text itself where there is no such file.

    Raises:
        FileNotFoundError: It looks like a file, and there is none.
        ValueError: It is a folder, or a file without a line of UTF-8 text.
    """
    path = Path(given)
    try:
        is_file, is_folder = path.is_file(), bool(given) and path.is_dir()
    except OSError:  # a text may be longer than a name can be
        is_file = is_folder = False
    if is_file:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"--prompt {given} is no UTF-8 text ({error.reason}). Save it as UTF-8.") from None
        found = [" ".join(line.split()) for line in lines if line.strip()]
        if not found:
            raise ValueError(f"--prompt {given} holds no line of text. Write one prompt a line.")
        return found
    if is_folder:
        raise ValueError(f"--prompt {given} is a folder. Give a text, or a text file with one prompt a line.")
    if FILE.fullmatch(given):
        raise FileNotFoundError(
            f"--prompt {given} looks like a file, and is not there. Give a text file that is, or a text; one that ends "
            "as file names do needs a full stop at its end."
        )
    return [given]


def paired(meshes: Counted[T], prompts: Sequence[str]) -> Iterator[tuple[T, str]]:
    """One prompt for all meshes, one mesh for all prompts, or one each.

    Raises:
        UsageError: There are several of both, and not as many.
    """
    if len(prompts) == 1:
        return ((mesh, prompts[0]) for mesh in meshes)
    if len(meshes) == 1:
        return ((mesh, prompt) for mesh in meshes for prompt in prompts)
    if len(meshes) != len(prompts):
        raise UsageError(
            f"--prompt has {len(prompts)} prompts and --mesh has {len(meshes)} meshes. Give one prompt for all meshes, "
            "one mesh for all prompts, or as many of both."
        )
    return zip(meshes, prompts, strict=True)
