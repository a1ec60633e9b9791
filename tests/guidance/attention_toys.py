"""Attention whose gradient is known."""

import torch

R, N = 4, 7  # side of the maps, text states: start, five words, end


def linear(x_t, t, states):
    """A place's attention to token k is the k-th channel there; not probabilities, but anything goes."""
    return x_t.permute(0, 2, 3, 1)


def softmaxed(x_t, t, states):
    """Attention by agreement of latents and text states."""
    return (x_t.permute(0, 2, 3, 1) @ states[:, :, : x_t.shape[1]].mT[:, None]).softmax(-1)


def latents(rows=1, seed=0):
    return torch.rand(rows, N, R, R, generator=torch.Generator().manual_seed(seed))


def told(rows=1, seed=0):
    """Times and text states."""
    source = torch.Generator().manual_seed(seed + 100)
    return torch.full((rows,), 500), torch.randn(rows, N, N, generator=source)
