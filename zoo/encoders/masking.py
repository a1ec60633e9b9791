"""Random masking of conditions while training, on two levels: whole modalities, and parts of each."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.batch import Given
from zoo.hands.skeleton import FINGERS
from zoo.shapes import JointMask, Mask


@dataclass(frozen=True)
class Masking:
    """What is hidden from the network, and how the rest is disturbed (HHMR section 4.3; no value is published).

    Args:
        modality: Probability that a modality is left out, for each on its own.
        everything: Probability that all of them are left out together.
        patch: Image patches are left out with a probability drawn from 0 to this, anew for each image.
        finger: Probability that a finger is hidden from a skeleton, for each finger and skeleton: half of the time all
            of it, else from one of its other joints outwards, as where a picture ends.
        noise_3d: Largest standard deviation of the noise on 3D joints, metres.
        noise_2d: Largest standard deviation of the noise on 2D joints, crop coordinates. For each skeleton it is drawn
            from 0 to this, so that exact skeletons are trusted and noisy ones are not.
        joint: Largest probability that a joint is hidden, for each joint but the wrist, as where a detector is not
            sure. For each skeleton it is drawn from 0 to this.
    """

    modality: float = 0.3
    everything: float = 0.1
    patch: float = 0.5
    finger: float = 0.2
    noise_3d: float = 0.005
    noise_2d: float = 0.02
    joint: float = 0.0

    def keep(self, names: list[str], batch: int, device: torch.device) -> dict[str, Mask]:
        """Rows that keep each modality."""
        some = torch.rand(batch, device=device) >= self.everything
        return {name: some & (torch.rand(batch, device=device) >= self.modality) for name in names}

    def disturb(self, given: Given) -> Given:
        """The same inputs with noisy skeletons and hidden fingers."""
        given = given.copy()
        if "joints" in given:
            given["joints"], valid = self._skeleton(given["joints"], self.noise_3d)
            given["joints_valid"] = valid & given.get("joints_valid", valid)
        if "joints2d" in given:
            given["joints2d"], valid = self._skeleton(given["joints2d"], self.noise_2d)
            given["joints2d_valid"] = valid & given.get("joints2d_valid", valid)
        return given

    def _skeleton(self, joints: Tensor, noise: float) -> tuple[Tensor, JointMask]:
        level = noise * torch.rand(len(joints), 1, 1, device=joints.device)
        moved = joints + level * torch.randn_like(joints)
        if joints.shape[-1] == 3:
            moved = torch.cat([joints[:, :1], moved[:, 1:]], dim=1)
        return moved, self._shown(len(joints), joints.device)

    def _shown(self, rows: int, device: torch.device) -> JointMask:
        """Joints that are left. The wrist is the origin of the 3D skeleton: it stays, and stays where it is."""
        hidden = torch.rand(rows, len(FINGERS), device=device) < self.finger
        first = torch.randint(-2, 4, hidden.shape, device=device).clamp_min(0)  # the knuckle half of the time
        along = torch.arange(4, device=device) >= first[..., None]
        level = self.joint * torch.rand(rows, 1, 1, device=device)
        single = torch.rand(rows, len(FINGERS), 4, device=device) < level
        shown = ~(hidden[..., None] & along | single)
        return torch.cat([shown.new_ones(rows, 1), shown.flatten(1)], dim=1)

    def patches(self, images: int, patches: int, device: torch.device) -> Tensor:
        """(images, patches) True = shown."""
        hidden = self.patch * torch.rand(images, 1, device=device)
        return torch.rand(images, patches, device=device) >= hidden
