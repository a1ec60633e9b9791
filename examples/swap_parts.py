"""Builds HHMR with other parts than its config names, takes a few training steps, and samples with two samplers.

python examples/swap_parts.py
"""

import torch

import zoo
from datamodules.openhand.pose_stream import PoseStream
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.models.hhmr import HHMR, conditions_of
from zoo.samplers import DDIM, DDPM


def main(steps: int = 5) -> None:
    model = zoo.create(
        "hhmr",
        **{
            "denoiser.sizes": [49, 16],
            "denoiser.widths": [16, 32, 32],
            "denoiser.block": "sa_only",
            "schedule": {"class_path": "NoiseSchedule", "init_args": {"kind": "linear"}},
        },
    )
    assert isinstance(model, HHMR)
    stream = PoseStream(OpenHand(), PosePrior())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for k in range(steps):
        batch = stream.batch(k, 16)
        t = torch.randint(0, model.schedule.steps, (16,))
        losses = model.step_losses(batch, t, torch.randn_like(batch["vertices"]))
        loss = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        print(f"step {k}: loss {loss.item():.3f}")
    given = conditions_of(stream.batch(steps, 2))
    for sampler in (DDIM(steps=4), DDPM(steps=8)):
        model.sampler = sampler
        print(f"{sampler}: hands {tuple(model.eval().sample(given, n=3)['vertices'].shape)}")


if __name__ == "__main__":
    main()
