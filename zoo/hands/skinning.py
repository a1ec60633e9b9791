"""Linear blend skinning as two matrix products and a few passes over memory that stays in the cache.

smplx spends its time on a (b, 778, 4, 4) tensor. Here the batch goes through in chunks, vertices last, so that the
blended transforms of a chunk never leave the cache, and the backward pass computes them anew instead of keeping them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

CHUNK = 128  # hands at a time on a CPU: 5 MB of transforms; with fewer, cores wait for each other more
CUDA_CHUNK = 8192  # bounds the transforms to 300 MB


class Skin(torch.autograd.Function):
    """Features and transforms to vertices: `v = sum_j w_j (R_j x + t_j)` with `x = bias + features @ basis`."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, features: Tensor, transforms: Tensor, bias: Tensor, basis: Tensor, weights: Tensor
    ) -> Tensor:
        """Skins a batch.

        Args:
            ctx: Autograd's.
            features: (b, c) coefficients of the basis.
            transforms: (b, 4, 3, 16): the columns of each joint's rotation, then its translation.
            bias: (3 v,) rest vertices, component by component.
            basis: (3 v, c) offsets for each feature.
            weights: (v, 16).

        Returns:
            Vertices (b, v, 3).
        """
        v = len(weights)
        vertices = features.new_empty(len(features), v, 3)
        blended = features.new_empty(min(_chunk(features), len(features)) * 12, v)
        unposed = []
        learning = any(ctx.needs_input_grad)  # type: ignore[attr-defined]
        with exact_products(features):
            for rows in _chunks(features):
                x = _linear(features[rows], basis, bias).view(-1, 3, v)
                flat = transforms[rows].reshape(-1, 16)
                t = torch.mm(flat, weights.mT, out=blended[: len(flat)]).view(-1, 4, 3, v)
                out = t[:, 3]
                for k in range(3):
                    out.addcmul_(t[:, k], x[:, k : k + 1])
                vertices[rows].copy_(out.mT)
                if learning:
                    unposed.append(x)
        if learning:
            ctx.save_for_backward(transforms, basis, weights, *unposed)
        return vertices

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Gradients of features and transforms.

        Args:
            ctx: Autograd's.
            grad: Of the vertices (b, v, 3).

        Returns:
            Gradients of `forward`'s arguments.
        """
        transforms, basis, weights, *unposed = ctx.saved_tensors  # type: ignore[attr-defined]
        v = len(weights)
        size = min(_chunk(grad), len(grad))
        to_features = grad.new_empty(len(grad), basis.shape[1])
        to_transforms = torch.empty_like(transforms)
        blended = grad.new_empty(size * 9, v)
        outer = grad.new_empty(size, 4, 3, v)
        unturned = grad.new_empty(size, 3, v)
        with exact_products(grad):
            for rows, x in zip(_chunks(grad), unposed, strict=True):
                n = len(x)
                g = outer[:n, 3].copy_(grad[rows].mT)
                t = torch.mm(transforms[rows, :3].reshape(-1, 16), weights.mT, out=blended[: n * 9]).view(n, 3, 3, v)
                to_x = torch.mul(t[:, :, 0], g[:, None, 0], out=unturned[:n])
                to_x.addcmul_(t[:, :, 1], g[:, None, 1]).addcmul_(t[:, :, 2], g[:, None, 2])
                to_features[rows] = _linear(to_x.view(n, 3 * v), basis.mT, None)
                torch.mul(g[:, None], x[:, :, None], out=outer[:n, :3])
                torch.mm(outer[:n].view(-1, v), weights, out=to_transforms[rows].view(-1, 16))
        return to_features, to_transforms, None, None, None


@contextmanager
def exact_products(like: Tensor) -> Iterator[None]:
    """Keeps autocast and TF32 away: with 10 bits of mantissa a hand is a tenth of a millimetre off.

    Args:
        like: A tensor of the device.
    """
    backends = [b.matmul for b in (torch.backends.cuda, torch.backends.mkldnn) if hasattr(b.matmul, "fp32_precision")]
    before = [backend.fp32_precision for backend in backends]
    lowered = [b for b, precision in zip(backends, before, strict=True) if precision not in ("none", "ieee")]
    try:
        for backend in lowered:
            backend.fp32_precision = "ieee"
        with torch.autocast(like.device.type, enabled=False):
            yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            if backend in lowered:
                backend.fp32_precision = precision


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    # oneDNN uses AVX-512 on every CPU that has it, MKL only on some: half the time there, nothing lost elsewhere.
    if (
        len(x) >= 32
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and not torch.compiler.is_compiling()
    ):
        return F.linear(x.to_mkldnn(), weight, bias).to_dense()
    return F.linear(x, weight, bias)


def _chunk(x: Tensor) -> int:
    return CHUNK if x.device.type == "cpu" else CUDA_CHUNK


def _chunks(x: Tensor) -> Iterator[slice]:
    step = _chunk(x)
    return (slice(start, start + step) for start in range(0, len(x), step))
