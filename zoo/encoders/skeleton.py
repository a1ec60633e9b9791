"""Skeletons to tokens: the three-layer mapper of HHMR, section 5.1."""

import torch
from torch import Tensor, nn

from zoo.batch import Given
from zoo.condition import Condition
from zoo.encoders.base import Conditioner
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
    """

    def __init__(self, coordinates: int, dim: int, hidden: int, dropout: float, per_joint: bool) -> None:
        super().__init__(dim)
        self.coordinates, self.tokens = coordinates, 22 if per_joint else 1
        self.mapper = nn.Sequential(
            nn.Linear(21 * (coordinates + 1), hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, self.tokens * dim),
        )
        self.local = nn.Linear(coordinates, dim) if per_joint else None

    def encode(self, joints: Tensor, valid: JointMask, keep: Mask | None) -> Condition:
        """Joints in the network's units, (b, 21, coordinates)."""
        joints = joints.masked_fill(~valid[..., None], 0.0)
        flat = torch.cat([joints.flatten(1), valid.to(joints.dtype)], dim=1)
        tokens = self.mapper(flat).unflatten(1, (self.tokens, self.dim))
        mask = valid.new_ones(len(valid), 1)
        pooled = tokens[:, 0]
        if self.local is not None:
            tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + self.local(joints)], dim=1)
            mask = torch.cat([mask, valid], dim=1)
        present = valid.any(dim=1)
        return self.with_null(tokens, mask, pooled, present if keep is None else present & keep)


class Skeleton3D(SkeletonMapper):
    """Root-relative 3D joints.

    Args:
        dim: Channels per token.
        hidden: Width of the two hidden layers.
        dropout: After each hidden layer.
        per_joint: Also one token a joint, besides the token of the whole skeleton.
        scale: Metres that count as one.
    """

    name = "skeleton3d"

    def __init__(
        self, dim: int = 512, hidden: int = 512, dropout: float = 0.05, per_joint: bool = False, scale: float = 0.1
    ) -> None:
        super().__init__(3, dim, hidden, dropout, per_joint)
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
    """

    name = "skeleton2d"

    def __init__(self, dim: int = 512, hidden: int = 512, dropout: float = 0.05, per_joint: bool = False) -> None:
        super().__init__(2, dim, hidden, dropout, per_joint)

    def forward(self, given: Given, batch: int, keep: Mask | None = None) -> Condition:
        if "joints2d" not in given:
            return self.null(batch)
        joints = given["joints2d"]
        valid = given.get("joints2d_valid", torch.ones_like(joints[..., 0], dtype=torch.bool))
        return self.encode(joints, valid, keep)
