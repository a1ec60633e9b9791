"""Floating-point operations of HHMR, counted on the real model without computing anything."""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from zoo.batch import Given
from zoo.models.hhmr import HHMR


def flops(
    model: HHMR, batch: int, images: bool = True, training: bool = False, hypotheses: int = 1, steps: int = 1
) -> int:
    """Operations of a training step, or of sampling with the condition computed once; two for a multiply-add.

    Products and convolutions alone are counted (torch.utils.flop_counter), on the meta device, which takes the path of
    GPUs: graph products are dense, attention is two products. Losses and optimizer are left out. The images of all
    rows are computed, with none masked out.

    Args:
        model: Anything of HHMR's making.
        batch: Rows.
        images: Whether every row has an image.
        training: Adds the backward pass.
        hypotheses: Of each row.
        steps: Denoiser calls.
    """
    conditioner = copy.deepcopy(model.conditioner).to("meta").eval()
    denoiser = copy.deepcopy(model.denoiser).to("meta").eval()
    with torch.device("meta"), torch.set_grad_enabled(training), FlopCounterMode(display=False) as counter:
        given = Given(
            joints=torch.zeros(batch, 21, 3),
            joints_valid=torch.ones(batch, 21, dtype=torch.bool),
            joints2d=torch.zeros(batch, 21, 2),
            joints2d_valid=torch.ones(batch, 21, dtype=torch.bool),
        )
        if images:
            size = model.conditioner.get_submodule("parts.image").size
            given["image"] = torch.zeros(batch, 3, int(size), int(size))  # type: ignore[arg-type]
            given["has_image"] = torch.ones(batch, dtype=torch.bool)
        condition = conditioner(given, batch).repeat(hypotheses)
        rows = batch * hypotheses
        for _ in range(steps):
            found = denoiser(torch.zeros(rows, 778, 3), torch.zeros(rows, dtype=torch.long), condition)
        if training:
            found.sum().backward()
    return int(counter.get_total_flops())
