"""Sampling without the cost of launching kernels: a denoiser's step as one CUDA graph."""

import torch

from zoo.diffusion import Denoise, Estimate
from zoo.shapes import Signal, Time


def graphed(denoise: Denoise, noise: Signal) -> Denoise:
    """Records one call of a denoiser on the GPU; the result replays it, for signals of the same shape.

    A replay reads the weights and the condition where they were when it was recorded: record again after either
    changes. Gradients do not pass.

    Args:
        denoise: Reads nothing from the host and decides nothing by the values of tensors.
        noise: Gives shape, type and device.
    """
    if noise.device.type != "cuda":
        raise ValueError(f"CUDA graphs need a CUDA device, but the signal is on {noise.device}. Sample without one.")
    x, t = noise.clone(), torch.zeros(len(noise), dtype=torch.long, device=noise.device)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(side):
        for _ in range(3):  # libraries choose their kernels and take their memory before the recording
            denoise(x, t)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        found = denoise(x, t).x0

    def replay(x_t: Signal, time: Time) -> Estimate:
        x.copy_(x_t)
        t.copy_(time)
        graph.replay()
        return Estimate(found.clone(), x_t)

    return replay
