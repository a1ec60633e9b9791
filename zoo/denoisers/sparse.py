"""Products with a constant sparse matrix along the vertex axis, for a batch of features (b, v, c).

On a CPU a compiled loop over neighbours, run by one thread per core; elsewhere one dense product, which a GPU does
faster than any library's sparse path at these sizes. Matrices are constants, so no gradient reaches their entries.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from zoo.denoisers.kernels import chebyshev, chebyshev_transposed, mix_rows

CACHE = 2**21  # numbers that a buffer may hold and still stay in the last-level cache


@lru_cache(maxsize=1)
def _threads(count: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)  # one a process: threads do not survive a fork


def over_batch(kernel: Callable[..., None], matrix: tuple[Any, ...], source: Tensor, target: Tensor) -> None:
    """Runs a kernel on slices of the batch, one a thread; the kernels release the interpreter lock."""
    x, y = source.numpy(), target.numpy()
    threads = min(torch.get_num_threads(), len(x))
    if threads <= 1:
        kernel(*matrix, x, y)
        return
    cuts = np.linspace(0, len(x), threads + 1).astype(int)
    pool = _threads(threads, os.getpid())
    for job in [pool.submit(kernel, *matrix, x[a:b], y[a:b]) for a, b in pairwise(cuts)]:
        job.result()


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: "SparseMatrix") -> Tensor:
        ctx.matrix = matrix
        y = x.new_empty(x.shape[0], matrix.shape[0], x.shape[2])
        over_batch(mix_rows, matrix.rows, x.contiguous(), y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        x = g.new_empty(g.shape[0], ctx.matrix.shape[1], g.shape[2])
        over_batch(mix_rows, ctx.matrix.columns, g.contiguous(), x)
        return x, None


def _buffer(x: Tensor, weight: Tensor) -> Tensor:
    """Room for the terms of as many samples as the cache holds."""
    return x.new_empty(min(len(x), max(1, CACHE // (x.shape[1] * weight.shape[1]))), x.shape[1], weight.shape[1])


class _ChebyshevLinear(torch.autograd.Function):
    """[T_0(L)x, ..., T_{k-1}(L)x] W + b, a few samples at a time.

    The terms live in one small buffer that stays in the cache; backward computes them again, which is cheaper than to
    keep k times the input.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, matrix: "SparseMatrix") -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.matrix = matrix
        out = x.new_empty(*x.shape[:2], len(weight))
        terms = _buffer(x, weight)
        for part, result in zip(torch.split(x, len(terms)), torch.split(out, len(terms)), strict=True):
            over_batch(chebyshev, matrix.rows, part, terms[: len(part)])
            torch.addmm(bias, terms[: len(part)].flatten(0, 1), weight.T, out=result.flatten(0, 1))
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        g = g.contiguous()
        x_grad, weight_grad = torch.empty_like(x), torch.zeros_like(weight)
        terms = _buffer(x, weight)
        size = len(terms)
        for part, slope, result in zip(*(torch.split(y, size) for y in (x, g, x_grad)), strict=True):
            buffer, rows = terms[: len(part)], slope.flatten(0, 1)
            over_batch(chebyshev, ctx.matrix.rows, part, buffer)
            weight_grad.addmm_(rows.T, buffer.flatten(0, 1))
            torch.mm(rows, weight, out=buffer.flatten(0, 1))
            over_batch(chebyshev_transposed, ctx.matrix.rows, buffer, result)
        return x_grad, weight_grad, g.sum((0, 1)), None


class SparseMatrix(nn.Module):
    """A constant (rows, columns) matrix applied along the vertex axis.

    Args:
        matrix: Any scipy sparse matrix.
    """

    dense: Tensor
    edges: Tensor  # (2, e) column and row of every entry

    def __init__(self, matrix: sparse.sparray) -> None:
        super().__init__()
        csr, csc = sparse.csr_array(matrix, dtype=np.float32), sparse.csc_array(matrix, dtype=np.float32)
        self.shape = csr.shape
        self.rows = (csr.indptr.astype(np.int64), csr.indices.astype(np.int64), csr.data)
        self.columns = (csc.indptr.astype(np.int64), csc.indices.astype(np.int64), csc.data)
        self.register_buffer("dense", torch.from_numpy(csr.toarray()), persistent=False)
        self.register_buffer("edges", self.dense.nonzero().T.flip(0).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, columns, c) -> (b, rows, c)."""
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return _Mix.apply(x.float(), self)
        return self.dense.to(x.dtype) @ x

    def chebyshev_linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(b, v, c) -> (b, v, o): T_0(L)x, ..., T_{k-1}(L)x side by side times weight (o, k c); L symmetric."""
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return _ChebyshevLinear.apply(x.float().contiguous(), weight, bias, self)
        terms = [x]
        if weight.shape[1] > x.shape[2]:
            terms.append(self.dense.to(x.dtype) @ x)
        while len(terms) * x.shape[2] < weight.shape[1]:
            terms.append(2 * (self.dense.to(x.dtype) @ terms[-1]) - terms[-2])
        return functional.linear(torch.cat(terms, dim=-1), weight, bias)
