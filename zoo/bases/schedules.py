"""Noise schedules as other software writes them down."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from zoo.diffusion import NoiseSchedule

Kind = Literal["scaled_linear", "linear", "cosine"]


def by_betas(betas: Tensor, source: object) -> NoiseSchedule:
    """The schedule that has these variances; an error when it is none of ours.

    Args:
        betas: (T,).
        source: Where they came from.
    """
    for kind in get_args(Kind):
        schedule = NoiseSchedule(kind, len(betas))
        if torch.allclose(schedule.beta, betas.float(), rtol=1e-4, atol=1e-7):
            return schedule
    raise ValueError(
        f"{source} was trained with a noise schedule from {float(betas[0]):g} to {float(betas[-1]):g} in {len(betas)} "
        f"steps, which is none of {', '.join(get_args(Kind))}. Give a base with Stable Diffusion 1's schedule."
    )


def by_config(config: Mapping[str, Any], source: object) -> NoiseSchedule:
    """The schedule of a diffusers scheduler.

    Args:
        config: Of its `scheduler_config.json`.
        source: Where it came from.
    """
    predicted = config.get("prediction_type", "epsilon")
    if predicted != "epsilon":
        raise ValueError(
            f"{source} predicts {predicted}, as some models of Stable Diffusion 2 do; the U-Net here predicts the "
            "noise (epsilon). Give a model of version 1, such as 1.5."
        )
    steps, kind = config.get("num_train_timesteps", 1000), config.get("beta_schedule", "linear")
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    if kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    elif kind == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float64)
    elif kind == "squaredcos_cap_v2":
        betas = NoiseSchedule("cosine", steps).beta
    else:
        raise ValueError(
            f"{source} has the noise schedule {kind}, which is not known here. Give a base of version 1.5."
        )
    return by_betas(betas, source)


def to_config(schedule: NoiseSchedule) -> dict[str, Any]:
    """A `scheduler_config.json` for diffusers' DDIM, with the settings of Stable Diffusion 1."""
    kind = {"cosine": "squaredcos_cap_v2"}.get(schedule.kind, schedule.kind)
    return {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.6.0",  # the settings below are those of version 1.5's own folder
        "num_train_timesteps": schedule.steps,
        "beta_schedule": kind,
        "beta_start": float(schedule.beta[0]),
        "beta_end": float(schedule.beta[-1]),
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "prediction_type": "epsilon",
        "timestep_spacing": "leading",
    }
