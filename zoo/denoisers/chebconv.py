"""Chebyshev graph convolution (Defferrard et al. 2016)."""

import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor, nn
from torch.func import functional_call

from zoo.denoisers.sparse import SparseMatrix


def scaled_laplacian(edges: np.ndarray, size: int) -> sparse.csr_array:
    """L - I for L = I - D^-1/2 A D^-1/2, that is 2L/lambda_max - I with lambda_max = 2; eigenvalues in [-1, 1].

    Args:
        edges: (e, 2) undirected vertex pairs, each once.
        size: Number of vertices.
    """
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(size, size))
    degree = adjacency.sum(axis=1)
    scale = sparse.diags_array(np.divide(1, np.sqrt(degree), out=np.zeros(size), where=degree > 0))
    return sparse.csr_array(-(scale @ adjacency @ scale))


class ChebConv(nn.Module):
    """y = [T_0(L)x, ..., T_{k-1}(L)x] W + b on a fixed graph.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        laplacian: The scaled Laplacian of the graph, symmetric, eigenvalues in [-1, 1].
        order: k, the number of Chebyshev terms; 1 mixes no vertices.
        conv: `fast` multiplies by precomputed operators; `pyg` is torch_geometric's ChebConv on the same weights.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        laplacian: SparseMatrix,
        order: int = 2,
        conv: Literal["fast", "pyg"] = "fast",
    ) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"ChebConv(order={order}): the number of Chebyshev terms is at least 1.")
        self.linear = nn.Linear(order * inputs, outputs)
        self.laplacian, self.order, self.conv = laplacian, order, conv
        self.reference = _pyg_layer(inputs, outputs, order) if conv == "pyg" else None

    def forward(self, x: Float[Tensor, "b v inputs"]) -> Float[Tensor, "b v outputs"]:
        if self.reference is None:
            return self.laplacian.chebyshev_linear(x, self.linear.weight, self.linear.bias)
        b, v, c = x.shape
        edges = self.laplacian.edges
        graph = (edges[:, None] + v * torch.arange(b, device=x.device)[:, None]).flatten(1)
        weight = self.linear.weight.view(-1, self.order, c)
        borrowed = {f"lins.{k}.weight": weight[:, k] for k in range(self.order)} | {"bias": self.linear.bias}
        return functional_call(self.reference(), borrowed, (x.reshape(b * v, c), graph)).view(b, v, -1)


def _pyg_layer(inputs: int, outputs: int, order: int) -> Callable[[], nn.Module]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch_geometric scripts a function as it loads
        from torch_geometric.nn import ChebConv as Reference  # takes seconds to import

    layer = Reference(inputs, outputs, order)
    return lambda: layer  # behind a function, so that its own weights are not registered beside the borrowed ones
