"""Skeletons to tokens: the three-layer mapper of HHMR, section 5.1, or a deeper residual one."""

import torch
from torch import Tensor, nn

from zoo.batch import Given
from zoo.condition import Condition
from zoo.encoders.base import Conditioner
from zoo.encoders.residual import Residual
from zoo.hands.skeleton import WRIST
from zoo.shapes import JointMask, Mask


class SkeletonMapper(Conditioner):
    """Base of the two mappers below: flat coordinates and validity bits through three linear layers.

    Args:
        coordinates: 2 or 3.
        dim: Channels per token.
        hidden: Width of the two hidden layers.
        dropout: After each hidden layer.
        per_joint: Also one token a joint, besides the token of the whole skeleton.
        depth: Residual blocks; 0 is the paper's three-layer mapper.
    """

    def __init__(self, coordinates: int, dim: int, hidden: int, dropout: float, per_joint: bool, depth: int) -> None:
        super().__init__(dim)
        self.coordinates, self.tokens = coordinates, 22 if per_joint else 1
        self.shape = (coordinates, dim, hidden, per_joint, depth)
        inputs = 21 * (coordinates + 1)
        self.mapper = (
            _residual(inputs, hidden, self.tokens, dim, depth, dropout)
            if depth
            else _plain(inputs, hidden, self.tokens, dim, dropout)
        )
        self.local = nn.Linear(coordinates, dim) if per_joint else None

    def encode(self, joints: Tensor, valid: JointMask, keep: Mask | None) -> Condition:
        """Joints in the network's units, (b, 21, coordinates)."""
        tokens = self.tokens_of(joints, valid)
        mask = valid.new_ones(len(valid), 1)
        if self.local is not None:
            mask = torch.cat([mask, valid], dim=1)
        present = valid.any(dim=1)
        return self.with_null(tokens, mask, tokens[:, 0], present if keep is None else present & keep)

    def tokens_of(self, joints: Tensor, valid: JointMask) -> Tensor:
        """Tokens (b, 1 or 22, dim) of joints in the network's units, the first of the whole skeleton."""
        joints = joints.masked_fill(~valid[..., None], 0.0)
        tokens: Tensor = self.mapper(torch.cat([joints.flatten(1), valid.to(joints.dtype)], dim=1))
        if self.local is None:
            return tokens
        return torch.cat([tokens[:, :1], tokens[:, 1:] + self.local(joints)], dim=1)


class Skeleton3D(SkeletonMapper):
    """Root-relative 3D joints.

    Args:
        dim: Channels per token.
        hidden: Width of the two hidden layers.
        dropout: After each hidden layer.
        per_joint: Also one token a joint, besides the token of the whole skeleton.
        depth: Residual blocks; 0 is the paper's three-layer mapper.
        scale: Metres that count as one.
    """

    name = "skeleton3d"

    def __init__(
        self,
        dim: int = 512,
        hidden: int = 512,
        dropout: float = 0.05,
        per_joint: bool = False,
        depth: int = 0,
        scale: float = 0.1,
    ) -> None:
        super().__init__(3, dim, hidden, dropout, per_joint, depth)
        self.scale = scale

    def forward(self, given: Given, batch: int, keep: Mask | None = None) -> Condition:
        if "joints" not in given:
            return self.null(batch)
        joints = given["joints"]
        valid = given.get("joints_valid", torch.ones_like(joints[..., 0], dtype=torch.bool))
        # Without its wrist a skeleton has no origin, so such a row counts as absent.
        valid = valid & valid[:, WRIST : WRIST + 1]
        return self.encode((joints - joints[:, WRIST : WRIST + 1]) / self.scale, valid, keep)


class Skeleton2D(SkeletonMapper):
    """2D joints in crop coordinates, -1 to 1.

    Args:
        dim: Channels per token.
        hidden: Width of the two hidden layers.
        dropout: After each hidden layer.
        per_joint: Also one token a joint, besides the token of the whole skeleton.
        depth: Residual blocks; 0 is the paper's three-layer mapper.
    """

    name = "skeleton2d"

    def __init__(
        self, dim: int = 512, hidden: int = 512, dropout: float = 0.05, per_joint: bool = False, depth: int = 0
    ) -> None:
        super().__init__(2, dim, hidden, dropout, per_joint, depth)

    def forward(self, given: Given, batch: int, keep: Mask | None = None) -> Condition:
        if "joints2d" not in given:
            return self.null(batch)
        joints = given["joints2d"]
        valid = given.get("joints2d_valid", torch.ones_like(joints[..., 0], dtype=torch.bool))
        return self.encode(joints, valid, keep)


def _plain(inputs: int, hidden: int, tokens: int, dim: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, tokens * dim),
        nn.Unflatten(1, (tokens, dim)),
    )


def _residual(inputs: int, hidden: int, tokens: int, dim: int, depth: int, dropout: float) -> nn.Sequential:
    blocks = [Residual(hidden, dropout) for _ in range(depth)]
    return nn.Sequential(nn.Linear(inputs, hidden), *blocks, nn.LayerNorm(hidden), Summary(hidden, tokens, dim))


class Summary(nn.Module):
    """One whole token and, through a narrow waist that saves weights, one for each joint.

    Args:
        width: Channels in.
        tokens: How many, the whole one included.
        dim: Channels of a token.
        waist: Channels of each joint before they are widened to `dim`.
    """

    def __init__(self, width: int, tokens: int, dim: int, waist: int = 16) -> None:
        super().__init__()
        self.whole = nn.Linear(width, dim)
        joints = tokens - 1
        self.joints = (
            nn.Sequential(nn.Linear(width, joints * waist), nn.Unflatten(1, (joints, waist)), nn.Linear(waist, dim))
            if joints
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        whole = self.whole(x)[:, None]
        return whole if self.joints is None else torch.cat([whole, self.joints(x)], dim=1)
