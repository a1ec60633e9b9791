"""Table 5: fitting to 2D joints, a PCA prior's optimisation against conditions and guidance."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.batch import Hands
from zoo.commands.suite_generation import method_steps
from zoo.commands.suite_hands import HeldOut, errors, sampled
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_recovery import ABSENT
from zoo.commands.suite_table import Table, interval, of_paper, paper
from zoo.guidance import AlignedGradient, PixelsAt
from zoo.hands.camera import place, project
from zoo.hands.pca import PCAPrior
from zoo.hands.pca_fitting import Weights, fit_2d
from zoo.metrics.reprojection import box_sizes
from zoo.models.hhmr import HHMR

NOISE = 0.02  # of the hand's box: about what a good detector misses by
# Row, its conditions, its figures in the paper.
ROWS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("2D", ("skeleton2d",), "skeleton2d"),
    ("image", ("image",), "image"),
    ("image + 2D", ("image", "skeleton2d"), None),
)


def fitting(method: HHMR, hands: HeldOut, progress: Progress, seed: int = 0) -> Table:
    """Errors with the true 2D joints for supervision, and with noisy ones; every row without and with guidance.

    Args:
        method: With its weights.
        hands: Held-out ones.
        progress: Told of every hand.
        seed: Of the noise.
    """
    rows = _rows(method, hands, hands, progress, seed, 0.0)
    rows += _rows(method, hands, hands.noisy(NOISE, seed), progress, seed, NOISE)
    columns = ("method", "PA-MPVPE, mm", "PA-MPJPE", "by guidance", "vs PCA", "2D, %", "paper")
    notes = [
        f"{len(hands)} hands of {hands.name}, one hypothesis, {method_steps(method)} steps. The camera and the noise "
        "are known to the PCA fit and to guidance, the place of the wrist to nobody; a condition on 2D joints knows "
        f"the crop alone. 'Noisy': 2D joints off by {100 * NOISE:.0f} % of the hand's box (standard deviation). The "
        "hands were made by the hand model that the PCA fits, from poses whose mean and deviations its prior knows: "
        "nothing that it cannot express occurs. 'By guidance': change of PA-MPVPE on the same hands. '2D': distance "
        "of the projected joints from the true ones, percent of the hand's box. Paper: MPJPE / MPVPE, true 2D joints; "
        "which of its four rows below the PCA is which is not certain, their order is."
    ]
    return Table(5, "Fitting to 2D joints", columns, rows, notes, len(hands))


def _rows(
    method: HHMR, hands: HeldOut, seen: HeldOut, progress: Progress, seed: int, noise: float
) -> list[dict[str, Any]]:
    figures = {} if noise else paper()["fitting"]
    tail = ", noisy" if noise else ""
    progress.say(f"table 5: PCA fit of {len(hands)} hands{tail} ...")
    rows = [_row(f"PCA, fitted to 2D{tail}", pca_fit(method, seen, noise), hands, figures.get("pca"))]
    reference = rows[0]["PA-MPVPE, mm"].mean
    for called, names, key in ROWS:
        if noise and "skeleton2d" not in names and "image" not in method.conditioner.names:
            continue
        if not set(names) <= set(method.conditioner.names):
            if not noise:
                for more in ("", " + guidance"):
                    pair = figures.get(f"{key}{'_guided' if more else ''}")
                    rows.append({"method": called + more, "PA-MPVPE, mm": ABSENT, "paper": of_paper(pair)})
            continue
        bar = progress.bar(f"table 5, {called}{tail}", 2 * len(hands) * method_steps(method))
        plain = sampled(method, seen, names, seed=seed, bar=bar)
        guided = sampled(method, seen, names, guide=lambda part: [towards(part, method, noise)], seed=seed, bar=bar)
        bar.close()
        change = errors(guided, hands).vertices[:, 0] - errors(plain, hands).vertices[:, 0]
        rows.append(_row(f"{called}{tail}", plain, hands, figures.get(str(key))))
        rows.append(
            _row(f"{called} + guidance{tail}", guided, hands, figures.get(f"{key}_guided"))
            | {"by guidance": interval(change)}
        )
        for row in rows[-2:]:
            row["vs PCA"] = f"{100 * (row['PA-MPVPE, mm'].mean / reference - 1):+.0f} %"
    return rows


def towards(part: HeldOut, method: HHMR, noise: float = 0.0) -> AlignedGradient:
    """Guidance towards the 2D joints, in the known camera, told how noisy they are as the PCA fit is."""
    camera, valid = part.batch["intrinsics"], part.batch["joints2d_valid"]
    operator = PixelsAt(part.pixels, valid, method.hand, method.scale, camera)
    return AlignedGradient(operator, noise=math.sqrt(2) * noise)  # of a point, from that of a coordinate


def pca_fit(method: HHMR, hands: HeldOut, noise: float) -> Hands:
    """One hand each from the PCA prior's optimisation, told how noisy its pixels are."""
    valid, weights = hands.batch["joints2d_valid"].float(), Weights(noise=max(noise, Weights.noise))
    fit = fit_2d(PCAPrior(method.hand), hands.pixels, valid, hands.batch["intrinsics"], weights=weights)
    joints = method.hand.regress(fit.vertices)
    return Hands(vertices=(fit.vertices - joints[:, :1])[:, None], joints=(joints - joints[:, :1])[:, None])


def _row(called: str, found: Hands, hands: HeldOut, figures: Sequence[float] | None) -> dict[str, Any]:
    off = errors(found, hands)
    return {
        "method": called,
        "PA-MPVPE, mm": interval(off.vertices[:, 0]),
        "PA-MPJPE": float(off.joints[:, 0].nanmean()),
        "2D, %": float(reprojection(found["joints"][:, 0], hands).nanmean()),
        "paper": of_paper(figures),
    }


def reprojection(joints: Tensor, hands: HeldOut) -> Tensor:
    """(b,) mean distance in the picture, percent of the hand's box; the camera's place is fitted."""
    valid, camera, pixels = hands.batch["joints2d_valid"], hands.batch["intrinsics"], hands.pixels
    sound = joints.isfinite().flatten(1).all(1)
    joints = torch.where(sound[:, None, None], joints, hands.batch["joints"])
    there = joints + place(joints, pixels, camera, valid.float())[:, None]
    off = (project(there, camera) - pixels).norm(dim=-1)
    share = (off * valid).sum(-1) / valid.sum(-1).clamp_min(1)
    return torch.where(sound, 100 * share / box_sizes(pixels, valid), torch.nan)
