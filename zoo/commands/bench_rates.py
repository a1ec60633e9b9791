"""What times mean: operations a second, shares of what the machine can do, memory."""

import resource
import time
from collections.abc import Callable
from typing import Any

import torch

from zoo.commands.bench_harness import Timing, percentiles

H200_BF16 = 790e12  # dense products a second; MFU always means a share of it


def wait(device: torch.device) -> None:
    """For the GPU, if it is one."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rates(timing: Timing, operations: int, ceiling: float) -> dict[str, float]:
    """Calls a second, operations a second, and MFU: operations / time / 790e12, an H200's dense bf16 products."""
    if not timing.ours:
        return {}
    speed = operations / percentiles(timing.ours)[1]
    return {
        "calls_per_second": 1 / percentiles(timing.ours)[1],
        "tflop_per_second": speed / 1e12,
        "mfu_h200_percent": 100 * speed / H200_BF16,
        "of_own_product_percent": 100 * speed / ceiling,
    }


def note(record: dict[str, Any], kind: str) -> str:
    """What the table has no column for."""
    memory = f"{record['tflop']:.4g} TFLOP, peak memory {record['peak_memory_gb']:.3g} GB"
    if "tflop_per_second" not in record:
        return memory
    share = f"{record['of_own_product_percent']:.3g} % of the product"
    mfu = f"MFU {record['mfu_h200_percent']:.3g} % of an H200, {share}" if kind == "cuda" else share
    return f"{record['calls_per_second']:.3g} calls/s, {memory}, {mfu}"


def product_ceiling(device: torch.device) -> float:
    """Operations a second of a large product: bf16 on a GPU, float32 on a CPU; the best of several."""
    cuda = device.type == "cuda"
    n = 8192 if cuda else 1024
    a, b = torch.randn(2, n, n, device=device, dtype=torch.bfloat16 if cuda else torch.float32)
    best = float("inf")
    for _ in range(8):
        wait(device)
        before = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - before)
    return 2 * n**3 / best


def peak_memory(device: torch.device, call: Callable[[], Any]) -> float:
    """Bytes: allocated by tensors of a GPU during one call, or resident in the whole process on a CPU."""
    if device.type == "cuda":
        call()
        torch.cuda.reset_peak_memory_stats()
    call()
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
