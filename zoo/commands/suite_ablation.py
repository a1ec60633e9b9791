"""Tables 2 and 6: short trainings of one network with one thing changed. Both share the unchanged one."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from zoo.batch import Given
from zoo.commands.suite_hands import Errors, HeldOut, errors, sampled, two_fingers, without_fingers
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_table import Table, interval, of_paper, paper
from zoo.commands.suite_training import Budget, Trained, fitted
from zoo.encoders.masking import Masking
from zoo.models.hhmr import HHMR

UNMASKED = [f"--model.conditioner.masking.{part.name}=0" for part in fields(Masking)]
VARIANTS = {"graph": [], "sa_only": ["--model.denoiser.block=sa_only"], "unmasked": UNMASKED}
CALLED = {"graph": "graph convolution", "sa_only": "self-attention only"}
GIVEN = {"skeleton3d": "3D joints", "skeleton2d": "2D joints"}


Train = Callable[[str], Trained]


def trained(variant: str, folder: Path, budget: Budget, progress: Progress) -> Trained:
    """A finished training of an earlier run, or a new one by `fit`: images off, everything else as in `--model`.

    Args:
        variant: Of `VARIANTS`.
        folder: Of all trainings.
        budget: For each.
        progress: Says what is trained.
    """
    words = ["fit", f"--model={budget.model}", *VARIANTS[variant], *budget.words(), "--data.images=false",
             "--data.val_samples=64", "--tracker=none", "--ema.decay=0.999"]  # fmt: skip
    return fitted(variant, words, folder, budget, progress)


def networks(train: Train, hands: HeldOut, progress: Progress, budget: Budget, seed: int = 0) -> Table:
    """Table 2: graph convolution against self-attention alone.

    Args:
        train: Gives a training by name.
        hands: Held-out ones.
        progress: Told of every hand.
        budget: Of a training.
        seed: Of the noise.
    """
    figures, rows, found = paper()["networks"], [], {}
    for variant, called in CALLED.items():
        method, steps, _ = train(variant)
        method.to(hands.batch["vertices"].device)
        for name, given in GIVEN.items():
            off = found[variant, name] = errors(sampled(method, hands, (name,), seed=seed), hands)
            rows.append(
                {
                    "network": called,
                    "steps": steps,
                    "given": given,
                    "PA-MPJPE, mm": interval(off.joints[:, 0]),
                    "PA-MPVPE, mm": interval(off.vertices[:, 0]),
                    "paper": of_paper(figures[variant]) if name == "skeleton3d" else None,
                }
            )
    for name, given in GIVEN.items():
        a, b = (found[variant, name] for variant in CALLED)
        rows.append(
            {
                "network": "graph - self-attention",
                "given": given,
                "PA-MPJPE, mm": interval((a.joints - b.joints)[:, 0]),
                "PA-MPVPE, mm": interval((a.vertices - b.vertices)[:, 0]),
            }
        )
    columns = ("network", "steps", "given", "PA-MPJPE, mm", "PA-MPVPE, mm", "paper")
    notes = [
        f"{len(hands)} hands of {hands.name}. Each network was trained for {budget} on pose-only hands, on this "
        "machine, one after the other; steps says how far that brought it. Paper: MPJPE / MPVPE on FreiHAND, from "
        "the image, after full training."
    ]
    return Table(2, "Graph convolution against self-attention only", columns, rows, notes, len(hands))


def masks(train: Train, hands: HeldOut, progress: Progress, budget: Budget, seed: int = 0) -> Table:
    """Table 6: masks off in training against masks on, given incomplete input.

    Args:
        train: Gives a training by name.
        hands: Held-out ones.
        progress: Told of every hand.
        budget: Of a training.
        seed: Of the noise.
    """
    (on, on_steps, _), (off, off_steps, _) = train("graph"), train("unmasked")
    rows = []
    for called, given in INPUTS.items():
        device = hands.batch["vertices"].device
        with_masks, without = (_errors(method.to(device), hands, given, seed).vertices[:, 0] for method in (on, off))
        rows.append(
            {
                "given": called,
                "masks on": interval(with_masks),
                "masks off": interval(without),
                "off - on": interval(without - with_masks),
            }
        )
    notes = [
        f"PA-MPVPE in mm, {len(hands)} hands of {hands.name}. Both networks were trained for {budget} on pose-only "
        f"hands ({on_steps} steps with masks, {off_steps} without). Masks: modalities left out; fingers, their ends "
        "and single joints hidden; noise. The paper claims this in words; it has no table."
    ]
    return Table(6, "Masks in training", ("given", "masks on", "masks off", "off - on"), rows, notes, len(hands))


def _both(part: HeldOut) -> Given:
    return part.given("skeleton3d", "skeleton2d")


def _noisy(part: HeldOut) -> Given:
    given = part.given("skeleton3d")
    generator = torch.Generator().manual_seed(int(part.batch["index"][0]))
    noise = 0.005 * torch.randn(given["joints"].shape, generator=generator)
    noise[:, 0] = 0
    given["joints"] = given["joints"] + noise.to(given["joints"])
    return given


INPUTS: dict[str, Callable[[HeldOut], Given]] = {
    "3D + 2D joints": _both,
    "3D + 2D joints, two fingers hidden": lambda part: without_fingers(_both(part), two_fingers(part)),
    "3D joints": lambda part: part.given("skeleton3d"),
    "3D joints, two fingers hidden": lambda p: without_fingers(p.given("skeleton3d"), two_fingers(p)),
    "3D joints, noise of 5 mm": _noisy,
    "2D joints": lambda part: part.given("skeleton2d"),
    "2D joints, two fingers hidden": lambda p: without_fingers(p.given("skeleton2d"), two_fingers(p)),
}


def _errors(method: HHMR, hands: HeldOut, given: Callable[[HeldOut], Given], seed: int) -> Errors:
    return errors(sampled(method, hands, (), given=given, seed=seed), hands)
