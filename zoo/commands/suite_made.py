"""Tables 1 and 4 and the ablations of text attention: pictures of AttentionHands that were trained a little each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.commands.suite_table import Interval, Table, interval, paper
from zoo.metrics.images import squared_mmd

Measured = dict[str, Tensor]
DRAWS = 100  # resamples behind the intervals of FID and KID
VARIANTS: dict[str, list[str]] = {  # of a training
    "both": [],
    "without_tas": ["--model.tas.at=none"],
    "global": ["--model.branches=[global]"],
    "local": ["--model.branches=[local]"],
    "separate": ["--model.separate=true"],
    "no_refinement": ["--model.tas.refinement=none"],
    "random_refinement": ["--model.tas.refinement=random"],
    "balanced": ["--model.tas.objective=balanced", "--model.tas.scale=0.16"],  # moves latents as far as the others
    "random_alpha": ["--model.tas.alpha=random"],
    # How far apart two trainings are that differ in nothing else, and whether text attention helps another seed too.
    "both_again": ["--seed_everything=1"],
    "without_tas_again": ["--model.tas.at=none", "--seed_everything=1"],
}
BASE, SHIPPED = "base", "shipped"  # rows without a training
SAMPLED = "sampled"  # the row whose text attention also acts while its pictures are made
BORROWED = {BASE: "without_tas", SAMPLED: "both"}  # rows that use the training of another
COMPARED = {"without_tas_again": "both_again"}  # rows that are set against another than "both", of their own seed
ROWS: dict[int | str, dict[str, str]] = {  # row to what it is called, by table
    1: {BASE: "base alone", "without_tas": "guidance copy", "both": "guidance copy, TAS", SHIPPED: "as shipped"},
    4: {"global": "global only", "local": "local only", "both": "both, shared", "separate": "both, separate"},
    "tas": {
        "without_tas": "no TAS", "no_refinement": "TAS, no refinement", "random_refinement": "TAS, random width",
        "both": "TAS, fixed width", "balanced": "TAS, load balancing", "random_alpha": "TAS, random alpha",
        "sampled": "TAS, fixed width, also while sampling", "both_again": "TAS, fixed width, other seed",
        "without_tas_again": "no TAS, other seed",
    },
}  # fmt: skip
TITLES = {1: "Made pictures", 4: "Branches", "tas": "Text attention"}
COLUMNS = {"confidence": "confidence", "mse2d": "MSE-2D", "mse3d": "MSE-3D", "iou": "mask IoU"}


def pictures_table(
    number: int | str, measured: Callable[[str], Measured | None], real: Measured, notes: Sequence[str]
) -> Table:
    """A table of made pictures.

    Args:
        number: 1, 4 or tas.
        measured: By row; None where a row is left out.
        real: Of the data's own pictures.
        notes: How the numbers came about.
    """
    figures, rows, found = paper("attentionhand")["pictures"], [], {}
    for name, called in ROWS[number].items():
        if (own := measured(name)) is None:
            continue
        found[name] = own
        rows.append({"pictures": called, **_cells(own, real), "paper": _of_paper(figures.get(name))})
    rows.append({"pictures": "the data's own", **{c: interval(real[n]) for n, c in COLUMNS.items()}})
    for name, own in found.items():
        other = COMPARED.get(name, "both")
        if name != other and other in found and name not in (BASE, SHIPPED):
            apart = {column: interval(own[part] - found[other][part]) for part, column in COLUMNS.items()}
            rows.append({"pictures": f"{ROWS[number][name]} - {ROWS[number][other]}", **apart})
    columns = ("pictures", "FID", "KID x 1000", "FID-H", "KID-H x 1000", *COLUMNS.values(), "paper")
    count = len(real["iou"])
    apart_too = ["Separate copies learn nothing from each other, and whole pictures come from the global one: but for "
                 "gradients that are clipped together, that row is 'global only' again."]  # fmt: skip
    said = [
        *notes,
        *(apart_too if "separate" in found else ()),
        "Paper: FID / KID x 1000 / FID-H / KID-H x 1000 / confidence / MSE-2D / MSE-3D, of its own data.",
    ]
    return Table(number, TITLES[number], columns, rows, [" ".join(said)], count)


def _cells(own: Measured, real: Measured) -> dict[str, Interval]:
    cells = {}
    for mark, name in (("", "features"), ("-H", "hand_features")):
        cells[f"FID{mark}"] = set_interval(fid, own[name], real[name])
        cells[f"KID{mark} x 1000"] = set_interval(lambda a, b: 1000 * float(squared_mmd(a, b)), own[name], real[name])
    return cells | {column: interval(own[name]) for name, column in COLUMNS.items()}


def fid(made: Tensor, real: Tensor) -> float:
    """Fréchet distance of two sets of features; of few pictures, so that no matrix is larger than their number.

    With covariances A' A and B' B the trace of (A' A B' B)^½ is the sum of the singular values of A B'.
    """
    means = [x.double().mean(0) for x in (made, real)]
    a, b = ((x.double() - mean) / (len(x) - 1) ** 0.5 for x, mean in zip((made, real), means, strict=True))
    shared = torch.linalg.svdvals(a @ b.mT).sum()
    distance = (means[0] - means[1]).square().sum() + a.square().sum() + b.square().sum() - 2 * shared
    return max(float(distance), 0.0)  # below it only by rounding


def set_interval(distance: Callable[[Tensor, Tensor], float], made: Tensor, real: Tensor, seed: int = 0) -> Interval:
    """A distance of two sets, and 1.96 standard deviations of resamples of half of both, scaled to the whole.

    Halves without repetition, since a set with repeated pictures is further away than one without.

    Args:
        distance: Of two sets of features.
        made: (n, d)
        real: (m, d)
        seed: Of the resampling.
    """
    whole = distance(made, real)
    if min(len(made), len(real)) < 4:
        return Interval(whole, float("nan"), float("nan"))
    generator = torch.Generator().manual_seed(seed)

    def half(x: Tensor) -> Tensor:
        return x[torch.randperm(len(x), generator=generator)[: len(x) // 2]]

    # The standard error of a half without repetition is that of the whole (its variance is twice, times 1 - 1/2).
    spread = 1.96 * float(torch.tensor([distance(half(made), half(real)) for _ in range(DRAWS)]).std())
    return Interval(whole, whole - spread, whole + spread)


def _of_paper(figures: Sequence[float] | None) -> str | None:
    if figures is None:
        return None
    fid_, kid, fid_h, kid_h, *rest = figures
    return f"{fid_:.1f} / {1000 * kid:.1f} / {fid_h:.1f} / {1000 * kid_h:.1f} / " + " / ".join(map(str, rest))


def attends(row: str) -> bool | None:
    """Whether text attention acts while a row's pictures are made; None leaves it to the model."""
    return {BASE: False, SAMPLED: True}.get(row)


def words(
    variant: str, base: str, size: dict[str, Any], budget: Sequence[str], data: Sequence[str], cache: Path
) -> list[str]:
    """Of `fit`.

    Args:
        variant: Of `VARIANTS`.
        base: Of all variants.
        size: Of `suite_attentionhand.yaml`.
        budget: Options that say how long.
        data: Options of the data.
        cache: Folder of the latents, which all variants share.
    """
    return [
        "fit", "--model=attentionhand", f"--model.base={base}", *VARIANTS[variant],
        f"--model.optimizer.lr={size['lr']}", "--model.warmup=20", "--model.drop_text=0.2",
        f"--model.cache={cache}", *budget,
        "--data=openhand-scenes", f"--data.batch_size={size['rows']}", *data,
        "--trainer.limit_val_batches=1", "--tracker=none",
    ]  # fmt: skip
