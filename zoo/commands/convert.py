"""`convert`: bases and guidance copies to and from the layouts of diffusers and of the original code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.commands.folder import write_text
from zoo.registry import UsageError

if TYPE_CHECKING:
    from zoo.bases.base import Base
    from zoo.bases.original import Original
    from zoo.bases.report import Line


def show(name: str) -> int:
    """Says what is in a file or folder of weights: read, missing, unexpected.

    Args:
        name: A folder of diffusers, a file in the original layout, such as AttentionHand's own checkpoint, or a name of
            weights that ship.
    """
    from zoo.bases.original import WHOLE

    file = _opened(name)
    if file is None:
        return _done(_base(name, file)[1] if _is_base(name) else _guide(name, "global", file)[1])
    lines = _base(name, file)[1] if file.has_base else []
    lines += _guide(name, "global", file)[1] if file.has_guide else []
    if not lines:
        raise ValueError(f"{name} holds none of {', '.join(WHOLE.values())}.")
    return _done(lines, file)


def base(name: str, to: Path, overwrite: bool = False) -> int:
    """Writes a base as a folder of diffusers, which StableDiffusionPipeline loads.

    Args:
        name: A file in the original layout, a folder, a name of weights that ship, or an id of the hub.
        to: The folder to be made.
        overwrite: Replace a folder of diffusers of that name.
    """
    from zoo.bases.write import write_base

    file = _opened(name)
    found, lines = _base(name, file)
    write_base(found, to, overwrite)
    return _done(lines, file, f"{to}: base {found.hash[:12]}. Use it: --model.base {to}")


def guide(name: str, to: Path, branch: Literal["global", "local"] = "global", overwrite: bool = False) -> int:
    """Writes a guidance copy as a folder of diffusers' ControlNet, which StableDiffusionControlNetPipeline loads.

    Args:
        name: A run, checkpoint or shipped name of attentionhand; a ControlNet's folder; or a file in the original
            layout, such as AttentionHand's own checkpoint.
        to: The folder to be made.
        branch: Whose copy, of a model with two.
        overwrite: Replace a folder of diffusers of that name.
    """
    from zoo.bases.write import write_guide

    file = _opened(name)
    found, lines, strength = _guide(name, branch, file)
    write_guide(found, to, overwrite)
    said = f"{to}: a ControlNet. Use it: --model.guide {to}, or ControlNetModel.from_pretrained"
    if strength:
        write_text(to / "README.md", f"# Guidance copy of {name}\n\n{strength}\n")
        said += f"\n{strength}"
    return _done(lines, file, said)


def original(
    name: str,
    to: Path,
    guide: str | None = None,
    prefix: Literal["control_model", "VAS"] = "control_model",
    overwrite: bool = False,
) -> int:
    """Writes one .safetensors file in the original layout, with a guidance copy in it where one is given.

    Args:
        name: The base: a file, a folder, a name of weights that ship, or an id of the hub.
        to: The file to be made.
        guide: The guidance copy, as for `convert guide`.
        prefix: What its tensors' names begin with: control_model for ControlNet, VAS for AttentionHand's own code.
        overwrite: Replace a file of that name.
    """
    from zoo.bases.guides import check_fits
    from zoo.bases.write import write_original

    if to.suffix != ".safetensors":
        raise UsageError(f"--to {to} does not end in .safetensors, which is what is written.")
    file = _opened(name)
    found, lines = _base(name, file)
    copied, strength = None, ""
    if guide is not None:
        copied, more, strength = _guide(guide, "global", file if guide == name else _opened(guide))
        check_fits(copied, found.unet, guide)
        lines += more
    write_original(found, to, copied, f"{prefix}.", overwrite)
    said = f"{to}: {to.stat().st_size / 1e6:.1f} MB, base {found.hash[:12]}."
    return _done(lines, file, f"{said}\n{strength}" if strength else said)


def _opened(name: str) -> "Original | None":
    """The file of that name, when it is one in the original layout."""
    from zoo.bases.original import open_original

    path = Path(name).expanduser()
    file = open_original(path) if path.is_file() else None
    return file if file is not None and (file.has_base or file.has_guide) else None


def _is_base(name: str) -> bool:
    """Whether a folder or a name that ships is of a base."""
    from zoo.bases.shipped import shipped_names

    path = Path(name).expanduser()
    if path.is_dir():
        return (path / "unet").is_dir() or path.name in shipped_names(path.parent)
    return name in shipped_names()


def _base(name: str, file: "Original | None") -> tuple["Base", list["Line"]]:
    from zoo.bases.folder import base_of_folder
    from zoo.bases.load import load_base
    from zoo.bases.original import base_of
    from zoo.bases.report import Line

    with _shown():
        if file is not None:
            return base_of(file)
        if (Path(name).expanduser() / "unet").is_dir():
            return base_of_folder(Path(name).expanduser())
        found = load_base(name)
    parts = {"U-Net": found.unet, "autoencoder": found.codec, "text encoder": found.text}
    return found, [Line(part, len(module.state_dict())) for part, module in parts.items()]


def _guide(name: str, branch: Literal["global", "local"], file: "Original | None") -> tuple[Any, list["Line"], str]:
    """The guidance copy, what was read of it, and a sentence on its strength where that is not 1."""
    from zoo.bases.guides import read_guide
    from zoo.bases.original import guide_of
    from zoo.bases.report import Line

    with _shown():
        if file is not None:
            found, line = guide_of(file)
            return found, [line], ""
        folder = (Path(name).expanduser() / "config.json").is_file()
        found, strength = (read_guide(name), "") if folder else _trained(name, branch)
    return found, [Line("guidance copy", len(found.state_dict()))], strength


@contextmanager
def _shown() -> Iterator[None]:
    """Prints the whole table when a part does not fit, of which the error has only the first names."""
    from zoo.bases.report import Misfit, table

    try:
        yield
    except Misfit as misfit:
        print(table(misfit.lines))
        raise


def _trained(name: str, branch: Literal["global", "local"]) -> tuple[Any, str]:
    """The guidance copy of a model of ours, and a sentence on its strength where that is not 1."""
    import checkpoints
    from zoo.denoisers.dual_unet import DualUNet

    model = checkpoints.load(name)
    dual = next((module for module in model.modules() if isinstance(module, DualUNet)), None)
    if dual is None:
        raise ValueError(f"{name} is a {type(model).__name__}, which has no guidance copy. Give one of attentionhand.")
    if branch == "local" and dual.guide_local is None:
        raise UsageError(f"{name} has one copy for both branches. Leave --branch out.")
    return (dual.guide_local if branch == "local" else dual.guide), _strength(dual.scales)


def _strength(scales: Sequence[float]) -> str:
    """How to make a copy as strong elsewhere as it is here; nothing to say of 1, which is what all take by default."""
    if set(scales) == {1.0}:
        return ""
    if len(set(scales)) == 1:
        return (
            f"It runs here with a strength of {scales[0]:g}, which its weights do not hold: give diffusers "
            f"controlnet_conditioning_scale={scales[0]:g}, or --model.strength {scales[0]:g}."
        )
    said = ", ".join(f"{scale:g}" for scale in scales)
    return (
        f"It runs here with strengths of {said}, which its weights do not hold. diffusers' "
        "controlnet_conditioning_scale is one number for all: multiply what the ControlNet returns by them."
    )


def _done(lines: list["Line"], file: "Original | None" = None, said: str = "") -> int:
    """Prints what was read and, of a file, what was left and why."""
    from zoo.bases.original import idle_lines
    from zoo.bases.report import table

    print(table(lines if file is None else [*lines, *idle_lines(file)]))
    if said:
        print(said)
    return 0


COMMANDS = {"show": show, "base": base, "guide": guide, "original": original}
