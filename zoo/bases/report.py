"""What was read from a file of weights, and what was not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Line:
    """How a part of a model and a file of weights fit.

    Args:
        part: Of the model, or of the file where nothing of it is needed.
        read: Tensors that were taken.
        missing: Names, in the file's spelling, of tensors that it should have and has not.
        wrong: Tensors of another shape, both shapes said.
        unexpected: Names in the file that no tensor of the part goes by.
        note: Why tensors were left; what was assumed.
    """

    part: str
    read: int = 0
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    note: str = ""

    @property
    def fits(self) -> bool:
        """Whether everything was there, and nothing else."""
        return not (self.missing or self.wrong or self.unexpected)


class Misfit(ValueError):  # noqa: N818 - what was found, as in StopIteration
    """Weights are not those of the model that they were read for; `lines` say where."""

    def __init__(self, message: str, lines: Sequence[Line]) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


def match(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], part: str, needless: str = ""
) -> tuple[Line, dict[str, Tensor]]:
    """Takes the tensors that a part needs from those of a file; all of them or none.

    Args:
        wanted: By the file's names, tensors of the shapes that they must have.
        state: Tensors of the file that belong to the part.
        part: What to call it in the report.
        needless: End of names that a file may have without need, such as `position_ids`.

    Returns:
        How they fit, and float32 copies, none where they do not fit.
    """
    missing = tuple(name for name in wanted if name not in state)
    idle = tuple(name for name in state if name not in wanted and needless and name.endswith(needless))
    unexpected = tuple(name for name in state if name not in wanted and name not in idle)
    found = {name: _shaped(state[name], value.shape) for name, value in wanted.items() if name in state}
    wrong = tuple(
        f"{name} {list(value.shape)} for {list(wanted[name].shape)}"
        for name, value in found.items()
        if value.shape != wanted[name].shape
    )
    note = f"{', '.join(idle)} not needed" if idle else ""
    line = Line(part, len(found), missing, wrong, unexpected, note)
    copies = {name: value.to(torch.float32, copy=True).contiguous() for name, value in found.items()}
    return line, copies if line.fits else {}


def fill(module: nn.Module, state: Mapping[str, Tensor], spelled: Callable[[str], str], part: str) -> Line:
    """Puts the tensors of a file into a module, which may be on the meta device; all of them or none.

    Args:
        module: To be filled, in float32.
        state: Tensors of the file that belong to it.
        spelled: The file's name of a tensor of the module.
        part: What to call the module in the report.
    """
    own = module.state_dict()
    line, found = match({spelled(key): value for key, value in own.items()}, state, part)
    if line.fits:
        module.load_state_dict({key: found[spelled(key)] for key in own}, assign=True)
    return line


def demand(lines: Sequence[Line], path: object) -> None:
    """Raises unless every part fits, and says for each what does not.

    Args:
        lines: Of the report.
        path: Where the weights came from.
    """
    said = [f"{line.part}: {told}" for line in lines if not line.fits for told in _told(line)]
    if said:
        raise Misfit(
            f"{path} does not fit: {'; '.join(said)}. Copy it again, or give the weights of another model.", lines
        )


def table(lines: Sequence[Line]) -> str:
    """The report as text: a line a part, and below it the names that do not fit."""
    width = max(len(line.part) for line in lines)
    rows = [f"{'':<{width}}  {'read':>6} {'missing':>8} {'wrong':>6} {'unexpected':>11}"]
    for line in lines:
        counts = f"{line.read:>6} {len(line.missing):>8} {len(line.wrong):>6} {len(line.unexpected):>11}"
        rows.append(f"{line.part:<{width}}  {counts}  {line.note}".rstrip())
    for line in lines:
        for kind, names in (("missing", line.missing), ("wrong", line.wrong), ("unexpected", line.unexpected)):
            rows += [f"  {line.part}: {kind} {name}" for name in names]
    return "\n".join(rows)


def _told(line: Line, limit: int = 3) -> list[str]:
    kinds = (("missing", line.missing), ("of another shape", line.wrong), ("unexpected", line.unexpected))
    return [
        f"{len(names)} {kind} ({', '.join(names[:limit])}{', ...' if len(names) > limit else ''})"
        for kind, names in kinds
        if names
    ]


def _shaped(value: Tensor, shape: torch.Size) -> Tensor:
    """A matrix that the original keeps as a convolution of one pixel, as a matrix."""
    one_pixel = value.ndim == 4 and len(shape) == 2 and value.shape[2:] == (1, 1)
    return value[:, :, 0, 0] if one_pixel else value
