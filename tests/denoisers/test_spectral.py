import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import laplacian
from scipy.sparse.linalg import eigsh

import checkpoints
from zoo.denoisers.chebconv import scaled_laplacian
from zoo.denoisers.hierarchy import mesh_edges
from zoo.denoisers.spectral import SpectralSkip
from zoo.hands.openhand import OpenHand
from zoo.hands.pca import PCAPrior
from zoo.hands.rotations import random_rotations

EDGES = mesh_edges(OpenHand().faces.numpy())
G = torch.Generator().manual_seed(0)
CLEAN, NOISY, EMB = torch.randn(2, 778, 3, generator=G), torch.randn(2, 778, 3, generator=G), torch.ones(2, 4)


def opened(count: int, of_noisy: float = 1.0, of_clean: float = 1.0) -> SpectralSkip:
    skip = SpectralSkip(EDGES, 778, count, 4)
    with torch.no_grad():
        skip.gate.bias.copy_(torch.tensor([of_noisy, of_clean]).repeat_interleave(count))
    return skip


def test_closed_gates_change_nothing():
    assert torch.equal(SpectralSkip(EDGES, 778, 8, 4)(CLEAN, NOISY, EMB), CLEAN)


def test_open_gates_of_all_frequencies_give_the_noisy_mesh():
    torch.testing.assert_close(opened(778)(CLEAN, NOISY, EMB), NOISY, rtol=0, atol=1e-4)


def test_the_smoothest_part_is_scipys_and_is_exchanged_alone():
    smooth = scaled_laplacian(EDGES, 778).toarray()
    adjacency = np.where(np.eye(778), 0.0, np.abs(smooth) > 1e-12)
    normed = laplacian(adjacency, normed=True)
    basis = torch.from_numpy(eigsh(normed, 5, sigma=-0.1)[1]).float()
    project = basis @ basis.mT
    found = opened(5, 0.7, 0.3)(CLEAN, NOISY, EMB)
    torch.testing.assert_close(found, CLEAN + project @ (0.7 * NOISY - 0.3 * CLEAN), rtol=0, atol=1e-4)


def test_every_row_has_the_gates_of_its_own_embedding():
    skip = opened(8)
    torch.nn.init.normal_(skip.gate.weight, generator=torch.Generator().manual_seed(1))
    emb = torch.randn(2, 4, generator=torch.Generator().manual_seed(2))
    rows = [skip(CLEAN[i : i + 1], NOISY[i : i + 1], emb[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(skip(CLEAN, NOISY, emb), torch.cat(rows))
    assert not torch.allclose(skip(CLEAN, NOISY, emb), skip(CLEAN, NOISY, emb.flip(0)), atol=1e-2)


def test_gates_learn_what_a_shrunken_estimate_lacks():
    skip = SpectralSkip(EDGES, 778, 16, 4)
    optimizer = torch.optim.Adam(skip.parameters(), lr=0.02)
    for step in range(150):
        g = torch.Generator().manual_seed(step)
        truth = skip.basis @ torch.randn(8, 16, 3, generator=g)
        noisy = truth + 0.02 * torch.randn(truth.shape, generator=g)
        loss = (skip(0.8 * truth, noisy, torch.ones(8, 4)) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth = skip.basis @ torch.randn(64, 16, 3, generator=G)
    found = skip(0.8 * truth, truth, torch.ones(64, 4))
    assert found.std() / truth.std() > 0.97


@pytest.mark.parametrize("count", [-1, 779])
def test_impossible_frequencies_are_refused(count):
    with pytest.raises(ValueError, match="spectral_skip"):
        SpectralSkip(EDGES, 778, count, 4)


def test_the_weights_that_ship_see_more_of_a_hand_with_their_skip():
    method = checkpoints.load("hhmr")
    g = torch.Generator().manual_seed(0)
    hands = method.normalized(PCAPrior(method.hand, samples=200).sample(32, g, random_rotations(32, g)))
    t = torch.full((32,), 30)
    noisy = method.schedule.add_noise(hands, torch.randn(hands.shape, generator=g), t)
    with torch.inference_mode():
        seen = method.denoise(method.conditioner.null(32))(noisy, t).x0
        torch.nn.init.zeros_(method.denoiser.spectral.gate.weight)
        torch.nn.init.zeros_(method.denoiser.spectral.gate.bias)
        without = method.denoise(method.conditioner.null(32))(noisy, t).x0
    assert (seen - hands).norm(dim=-1).mean() < 0.9 * (without - hands).norm(dim=-1).mean()
    assert (seen.var(0) / hands.var(0)).mean() > (without.var(0) / hands.var(0)).mean()
