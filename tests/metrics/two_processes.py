"""Scores in two real processes that meet on this machine."""

import math
import os
import warnings

import pytest
import torch
from torch import distributed, multiprocessing


def spread(rows):
    """Rows of either process: uneven, as last batches are; none but an empty batch; not even a batch."""
    half, every = rows // 2, slice(0, rows)
    return {
        "uneven": ([slice(0, 1)], [slice(1, half + 1), slice(half + 1, rows)]),
        "empty": ([every], [slice(0, 0)]),
        "never": ([], [every]),
    }


def check_spread(score, rows, folder, rel, abs=None):
    """Sees that both processes find what one finds; returns that.

    Args:
        score: From slices of rows to name to number; a function that can be imported.
        rows: How many there are.
        folder: Where the processes meet.
        rel: Tolerance.
        abs: Tolerance.
    """
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(_work, (folder / "meet", score, spread(rows), results), nprocs=2)
        whole = score([slice(0, rows)])
        assert not any(math.isnan(value) for value in whole.values())
        for rank in (0, 1):
            for name in spread(rows):
                assert results[rank][name] == pytest.approx(whole, rel=rel, abs=abs), (rank, name)
    return whole


def _work(rank, place, score, parts, results):
    warnings.filterwarnings("ignore", "The ``compute`` method of metric")
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    results[rank] = {name: score(of_both[rank]) for name, of_both in parts.items()}
    distributed.destroy_process_group()
