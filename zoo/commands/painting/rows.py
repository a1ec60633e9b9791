"""The rows of a run: a prompt each, with what the method sees of a mesh."""

from collections.abc import Iterator
from typing import NamedTuple

from datamodules.framing import Fit
from zoo.commands.errors import one_line
from zoo.commands.painting.meshes import MeshReader
from zoo.commands.painting.names import Names
from zoo.commands.painting.painter import Branch
from zoo.commands.painting.prompts import paired
from zoo.commands.painting.scenes import Posed, squared
from zoo.commands.painting.store import Picture
from zoo.commands.tasks.case import Unreadable
from zoo.models.base import PictureMethod
from zoo.registry import UsageError


class Wanted(NamedTuple):
    """A prompt with what the method sees of a mesh, or why there is none."""

    name: str
    text: str
    meshes: dict[Branch, Picture]  # empty for a method that looks at none
    reason: str = ""


class Rows(NamedTuple):
    """How many rows there are, and they, each of which is read and drawn when its turn comes."""

    many: int
    each: Iterator[Wanted]


def rows_of(
    method: PictureMethod, reader: MeshReader, mesh: list[str] | None, prompts: list[str] | None, fit: Fit, names: Names
) -> Rows:
    """Pairs meshes and prompts.

    Args:
        method: That makes the pictures.
        reader: Of meshes.
        mesh: Files and folders of them.
        prompts: None takes the meshes' own sentences.
        fit: How a picture becomes a square.
        names: Of the rows.

    Raises:
        UsageError: They are not there, or do not fit each other or the method.
    """
    kind = type(method).__name__
    if not method.meshes:
        if mesh:
            raise UsageError(f"{kind} looks at no meshes. Leave --mesh out.")
        if prompts is None:
            raise UsageError("sample needs --prompt, a text or a text file.")
        return Rows(len(prompts), (Wanted(f"picture_{number:04d}", text, {}) for number, text in enumerate(prompts)))
    if not mesh:
        raise UsageError(f"{kind} needs --mesh: pictures of hand meshes, or hands to draw.")
    found = reader.read(mesh)
    if prompts is None and not found.captioned:
        raise UsageError("sample needs --prompt, a text or a text file; these meshes bring no sentences.")
    pairs = ((item, None) for item in found) if prompts is None else paired(found, prompts)
    many = len(found) if prompts is None else max(len(found), len(prompts))
    return Rows(many, (_wanted(method, item, text, fit, names) for item, text in pairs))


def _wanted(method: PictureMethod, item: Posed | Unreadable, text: str | None, fit: Fit, names: Names) -> Wanted:
    if isinstance(item, Unreadable):
        return Wanted(names.take(item.name), text or "", {}, one_line(item.reason).rstrip("."))
    name, text = names.take(item.scene.name), text or item.scene.caption or "A hand."
    try:
        seen = squared(item, method.size, fit)
    except ValueError as error:
        return Wanted(name, text, {}, one_line(str(error)).rstrip("."))
    if not len(seen["mesh"]):
        return Wanted(name, text, {}, "it has no hand that can be drawn")
    return Wanted(name, text, {"global": seen["mesh"][0], "local": seen["mesh_local"][0]})
