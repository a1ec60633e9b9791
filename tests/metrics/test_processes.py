"""Scores of two real processes are those of one."""

import os

import pytest
import torch
from torch import distributed, multiprocessing

from zoo.metrics.geometry import APD
from zoo.metrics.hand_scores import HandScores


def hands():
    generator = torch.Generator().manual_seed(0)
    target = 0.05 * torch.randn(6, 778, 3, generator=generator)
    return target + 0.004 * torch.randn(6, 778, 3, generator=generator), target


def score(rows):
    (predicted, target), scores, apd = hands(), HandScores(), APD()
    predicted, target = predicted[rows], target[rows]
    mesh = torch.ones(len(target), dtype=torch.bool)
    scores.update(predicted, predicted[:, :21], target, target[:, :21], mesh, mesh[:, None].expand(-1, 21))
    apd.update(predicted)
    return {**scores.compute(), "apd": apd.compute().item()}


def work(rank, place, results):
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    results[rank] = score(slice(0, 1) if rank == 0 else slice(1, 6))  # uneven, as the last batches are
    distributed.destroy_process_group()


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one(tmp_path):
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(work, (tmp_path / "meet", results), nprocs=2)
        whole = score(slice(0, 6))
        for rank in (0, 1):
            assert results[rank] == pytest.approx(whole, rel=1e-5)
