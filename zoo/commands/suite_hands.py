"""Held-out hands, hypotheses for them, and how far off those are."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from tqdm import tqdm

from zoo.batch import Given, HandBatch, Hands
from zoo.guidance.base import Diverged, Guidance
from zoo.hands.camera import denormalize_pixels, normalize_pixels
from zoo.hands.skeleton import WRIST
from zoo.metrics.geometry import MILLIMETRES
from zoo.metrics.hypotheses import hypothesis_errors
from zoo.metrics.reprojection import box_sizes
from zoo.models.hhmr import HHMR, conditions_of, only

ROWS = 128  # hands sampled at once
Guide = Callable[["HeldOut"], Sequence[Guidance]]


class Errors(NamedTuple):
    """Millimetres after similarity alignment, (b, n); NaN where a hand diverged."""

    joints: Tensor
    vertices: Tensor

    def best(self, n: int) -> tuple[Tensor, Tensor]:
        """The least of the first n, joints and vertices each for themselves, (b,)."""
        return self.joints[:, :n].amin(1), self.vertices[:, :n].amin(1)


@dataclass(frozen=True)
class HeldOut:
    """Hands that training never saw, with all that is known about them."""

    batch: HandBatch
    name: str  # of the set, for the notes
    size: int  # of a crop, pixels

    def __len__(self) -> int:
        return len(self.batch["vertices"])

    @property
    def vertices(self) -> Tensor:
        """(b, 778, 3) metres, wrist-relative."""
        return self.batch["vertices"] - self.batch["joints"][:, [WRIST]]

    def given(self, *names: str) -> Given:
        """Some of the conditions: skeleton3d, skeleton2d, image."""
        everything, found = conditions_of(self.batch), Given()
        for name in names:
            found.update(only(everything, name))
        return found

    @property
    def pixels(self) -> Tensor:
        """(b, 21, 2) where the joints are seen in the crop."""
        return denormalize_pixels(self.batch["joints2d"], (self.size, self.size))

    def noisy(self, share: float, seed: int = 0) -> "HeldOut":
        """The same hands, their 2D joints seen with normal noise.

        Args:
            share: Standard deviation, of the longer side of the box around a hand's joints.
            seed: Of the noise.
        """
        noise = torch.randn(self.pixels.shape, generator=torch.Generator().manual_seed(seed)).to(self.pixels)
        width = share * box_sizes(self.pixels, self.batch["joints2d_valid"])
        seen = normalize_pixels(self.pixels + width[:, None, None] * noise, (self.size, self.size))
        return dataclasses.replace(self, batch=cast(HandBatch, {**self.batch, "joints2d": seen}))

    def part(self, start: int, stop: int) -> "HeldOut":
        """Some of the hands. Images are packed, and here all hands have one or none has."""
        fields = cast(dict[str, Tensor], self.batch)
        some = {key: value[start:stop] for key, value in fields.items()}
        return dataclasses.replace(self, batch=cast(HandBatch, some))

    def first(self, n: int) -> "HeldOut":
        return self.part(0, n)


def held_out(samples: int, method: HHMR, device: torch.device, /, **other: Any) -> HeldOut:
    """The first hands of OpenHand's test split; with pictures, if the model looks at them.

    Args:
        samples: How many.
        method: That will see them.
        device: Where it is.
        other: Options of `OpenHandData` that are not the default.
    """
    from datamodules.openhand.data import OpenHandData

    part: Any = method.conditioner.parts["image"] if "image" in method.conditioner.names else None
    size = 128 if part is None else int(part.size)
    pictures: dict[str, Any] = {} if part is None else {"images": True, "samples": 1}
    data = OpenHandData(**{"test_samples": samples, "batch_size": ROWS, "size": size, **pictures, **other})
    data.prepare_data()
    batches = [cast(dict[str, Tensor], data.on_after_batch_transfer(b, 0)) for b in data.test_dataloader()]
    batch = {key: torch.cat([part[key] for part in batches]).to(device) for key in batches[0]}
    return HeldOut(cast(HandBatch, batch), "OpenHand's test split" + (", pictured" if pictures else ""), size)


def sampled(
    method: HHMR,
    hands: HeldOut,
    names: Sequence[str],
    n: int = 1,
    *,
    guide: Guide | None = None,
    given: Callable[[HeldOut], Given] | None = None,
    steps: int | None = None,
    seed: int = 0,
    bar: "tqdm[Any] | None" = None,
) -> Hands:
    """Hypotheses from some of the conditions; NaN where guidance diverged.

    Args:
        method: Samples.
        hands: For which.
        names: Conditions that are given; none for unconditional hands.
        n: Hypotheses each.
        guide: Makes the guidance of some hands.
        given: Makes the conditions, instead of `names`.
        steps: Of the sampler; its own when None.
        seed: Of the noise.
        bar: Moved by one for each sampled hand and step.
    """
    made: list[Hands] = []
    count = max(1, ROWS // n)
    with with_steps(method, steps):
        for start in range(0, len(hands), count):
            part = hands.part(start, min(start + count, len(hands)))
            generator = torch.Generator(method.device).manual_seed(seed * 100_003 + start)
            condition = given(part) if given is not None else part.given(*names)
            guidance = guide(part) if guide is not None else ()
            try:
                found = method.sample(condition, n, generator, len(part), guidance=guidance)
            except Diverged as problem:
                found = problem.hands
            made.append(cast(Hands, {key: value.detach() for key, value in cast(dict[str, Tensor], found).items()}))
            if bar is not None:
                bar.update(len(part) * n * getattr(method.sampler, "steps", 1))
    return Hands(
        vertices=torch.cat([hand["vertices"] for hand in made]), joints=torch.cat([hand["joints"] for hand in made])
    )


@contextmanager
def with_steps(method: HHMR, steps: int | None) -> Iterator[None]:
    """The method with so many sampling steps."""
    before = method.sampler
    if steps is not None:
        method.sampler = dataclasses.replace(cast(Any, before), steps=steps)
    try:
        yield
    finally:
        method.sampler = before


def errors(found: Hands, hands: HeldOut) -> Errors:
    """After FreiHAND's similarity alignment, of every hypothesis for itself."""
    joints, vertices = (
        _errors(found["joints"], hands.batch["joints"]),
        _errors(found["vertices"], hands.vertices),
    )
    return Errors(joints, vertices)


def _errors(found: Tensor, truth: Tensor) -> Tensor:
    sound = found.isfinite().all(-1).all(-1)  # (b, n)
    found = torch.where(sound[..., None, None], found, truth[:, None])
    valid = torch.ones(truth.shape[:2], dtype=torch.bool, device=truth.device)
    off, _ = hypothesis_errors(found, truth, valid)
    return torch.where(sound, MILLIMETRES * off, torch.nan)


def without_fingers(given: Given, hidden: Tensor) -> Given:
    """The same skeletons, fingers hidden.

    Args:
        given: Skeletons.
        hidden: (b, 5) thumb to little finger.
    """
    changed = copy.copy(given)
    joints = torch.cat([hidden.new_zeros(len(hidden), 1), hidden.repeat_interleave(4, 1)], 1)
    if "joints" in given:
        changed["joints_valid"] = given["joints_valid"] & ~joints
    if "joints2d" in given:
        changed["joints2d_valid"] = given["joints2d_valid"] & ~joints
    return changed


def two_fingers(hands: HeldOut) -> Tensor:
    """(b, 5) two of the five fingers of each hand; which ones depends on the hand's number alone."""
    chosen = []
    for number in hands.batch["index"].tolist():
        order = torch.rand(5, generator=torch.Generator().manual_seed(int(number))).argsort()
        chosen.append(order < 2)
    return torch.stack(chosen).to(hands.batch["vertices"].device)
