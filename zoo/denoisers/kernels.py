"""Compiled loops over the neighbours of a vertex; they release the interpreter lock.

A matrix is its CSR arrays `start`, `column`, `value`; features are (b, v, c), float32, contiguous.
"""

from typing import no_type_check

import numpy as np
from numba import float32, njit


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def add_row(start, column, value, row, scale, x, first, out):
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


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def mix_rows(start, column, value, x, y):
    """y[b, i] = sum_j value[i, j] x[b, j]."""
    for b in range(x.shape[0]):
        for i in range(y.shape[1]):
            y[b, i, :] = 0
            add_row(start, column, value, i, float32(1), x[b], 0, y[b, i])


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def chebyshev(start, column, value, x, y):
    """Writes T_0(L)x, ..., T_{k-1}(L)x side by side into y (b, v, k c)."""
    channels = x.shape[2]
    order = y.shape[2] // channels
    for b in range(x.shape[0]):
        y[b, :, :channels] = x[b]
        for i in range(x.shape[1]):
            if order > 1:
                term = y[b, i, channels : 2 * channels]
                term[:] = 0
                add_row(start, column, value, i, float32(1), x[b], 0, term)
        for k in range(2, order):
            for i in range(x.shape[1]):
                term, before = y[b, i, k * channels : (k + 1) * channels], y[b, i, (k - 2) * channels :]
                for c in range(channels):
                    term[c] = -before[c]
                add_row(start, column, value, i, float32(2), y[b], (k - 1) * channels, term)


@njit(nogil=True, fastmath=True, cache=True)
@no_type_check
def chebyshev_transposed(start, column, value, g, x):
    """Writes sum_k T_k(L) g_k into x for a symmetric L, by Clenshaw's recurrence; g is (b, v, k c)."""
    channels = x.shape[2]
    order = g.shape[2] // channels
    scratch = np.empty(g.shape[1:], g.dtype)  # one sample, which stays in the cache
    for b in range(x.shape[0]):
        scratch[:] = g[b]
        for k in range(order - 1, 1, -1):
            for i in range(x.shape[1]):
                below = scratch[i, (k - 1) * channels : k * channels]
                add_row(start, column, value, i, float32(2), scratch, k * channels, below)
                low, here = scratch[i, (k - 2) * channels :], scratch[i, k * channels :]
                for c in range(channels):
                    low[c] -= here[c]
        for i in range(x.shape[1]):
            x[b, i, :] = scratch[i, :channels]
            if order > 1:
                add_row(start, column, value, i, float32(1), scratch, channels, x[b, i])
