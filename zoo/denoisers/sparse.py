"""Products with a constant sparse matrix along the vertex axis, for a batch of features (b, v, c).

On a CPU a compiled loop over neighbours, run by one thread per core; elsewhere one dense product, which a GPU does
faster than any library's sparse path at these sizes. Matrices are constants, so no gradient reaches their entries.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

CACHE = 2**21  # numbers that a buffer may hold and still stay in the last-level cache


@numba.njit(nogil=True, fastmath=True, cache=True, boundscheck=False)
def add_row(start: Any, column: Any, value: Any, row: int, scale: float, x: Any, first: int, out: Any) -> None:
    """out[c] += scale * sum_j value[row, j] x[j, first + c], four neighbours at a time to spare loads and stores."""
    c_end = out.shape[0]
    last = first + c_end
    e, end = start[row], start[row + 1]
    while e + 3 < end:
        w0, w1, w2, w3 = scale * value[e], scale * value[e + 1], scale * value[e + 2], scale * value[e + 3]
        x0, x1 = x[column[e], first:last], x[column[e + 1], first:last]
        x2, x3 = x[column[e + 2], first:last], x[column[e + 3], first:last]
        for c in range(c_end):
            out[c] += w0 * x0[c] + w1 * x1[c] + w2 * x2[c] + w3 * x3[c]
        e += 4
    while e + 1 < end:
        w0, w1 = scale * value[e], scale * value[e + 1]
        x0, x1 = x[column[e], first:last], x[column[e + 1], first:last]
        for c in range(c_end):
            out[c] += w0 * x0[c] + w1 * x1[c]
        e += 2
    if e < end:
        w0, x0 = scale * value[e], x[column[e], first:last]
        for c in range(c_end):
            out[c] += w0 * x0[c]


@numba.njit(nogil=True, fastmath=True, cache=True, boundscheck=False)
def mix_rows(start: Any, column: Any, value: Any, x: Any, y: Any) -> None:
    """y[b, i] = sum_j value[i, j] x[b, j]."""
    for b in range(x.shape[0]):
        for i in range(y.shape[1]):
            y[b, i, :] = 0
            add_row(start, column, value, i, numba.float32(1), x[b], 0, y[b, i])


@numba.njit(nogil=True, fastmath=True, cache=True, boundscheck=False)
def chebyshev(start: Any, column: Any, value: Any, x: Any, y: Any) -> None:
    """Writes T_0(L)x, ..., T_{k-1}(L)x side by side into y (b, v, k c)."""
    channels = x.shape[2]
    order = y.shape[2] // channels
    for b in range(x.shape[0]):
        y[b, :, :channels] = x[b]
        for i in range(x.shape[1]):
            if order > 1:
                term = y[b, i, channels : 2 * channels]
                term[:] = 0
                add_row(start, column, value, i, numba.float32(1), x[b], 0, term)
        for k in range(2, order):
            for i in range(x.shape[1]):
                term, before = y[b, i, k * channels : (k + 1) * channels], y[b, i, (k - 2) * channels :]
                for c in range(channels):
                    term[c] = -before[c]
                add_row(start, column, value, i, numba.float32(2), y[b], (k - 1) * channels, term)


@numba.njit(nogil=True, fastmath=True, cache=True, boundscheck=False)
def chebyshev_transposed(start: Any, column: Any, value: Any, g: Any, x: Any) -> None:
    """x = sum_k T_k(L) g_k for a symmetric L, by Clenshaw's recurrence; g is (b, v, k c)."""
    channels = x.shape[2]
    order = g.shape[2] // channels
    scratch = np.empty(g.shape[1:], g.dtype)  # one sample, which stays in the cache
    for b in range(x.shape[0]):
        scratch[:] = g[b]
        for k in range(order - 1, 1, -1):
            for i in range(x.shape[1]):
                below = scratch[i, (k - 1) * channels : k * channels]
                add_row(start, column, value, i, numba.float32(2), scratch, k * channels, below)
                low, here = scratch[i, (k - 2) * channels :], scratch[i, k * channels :]
                for c in range(channels):
                    low[c] -= here[c]
        for i in range(x.shape[1]):
            x[b, i, :] = scratch[i, :channels]
            if order > 1:
                add_row(start, column, value, i, numba.float32(1), scratch, channels, x[b, i])


@lru_cache(maxsize=1)
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def over_batch(kernel: Callable[..., None], matrix: tuple[Any, ...], source: Tensor, target: Tensor) -> None:
    """Runs a kernel on slices of the batch, one a thread; the kernels release the interpreter lock."""
    x, y = source.numpy(), target.numpy()
    threads = min(torch.get_num_threads(), len(x))
    if threads <= 1:
        kernel(*matrix, x, y)
        return
    cuts = np.linspace(0, len(x), threads + 1).astype(int)
    jobs = [_threads(threads).submit(kernel, *matrix, x[a:b], y[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
    for job in jobs:
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
        for part, result in zip(x.split(len(terms)), out.split(len(terms)), strict=True):
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
        for part, slope, result in zip(x.split(size), g.split(size), x_grad.split(size), strict=True):
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

    def __init__(self, matrix: sparse.spmatrix) -> None:
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
        """(b, v, c) -> (b, v, o): T_0(L)x, ..., T_{k-1}(L)x side by side, times weight (o, k c). Needs a symmetric matrix."""
        if x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                return _ChebyshevLinear.apply(x.float().contiguous(), weight, bias, self)
        terms = [x]
        if weight.shape[1] > x.shape[2]:
            terms.append(self.dense.to(x.dtype) @ x)
        while len(terms) * x.shape[2] < weight.shape[1]:
            terms.append(2 * (self.dense.to(x.dtype) @ terms[-1]) - terms[-2])
        return functional.linear(torch.cat(terms, dim=-1), weight, bias)
