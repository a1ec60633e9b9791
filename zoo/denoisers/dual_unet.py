"""AttentionHand's dual U-Net: a frozen latent diffusion model, steered by a trainable copy of its encoder."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.condition import Condition
from zoo.denoisers.base import Denoiser
from zoo.denoisers.latent_unet import Halfway, LatentUNet, Residuals, descend, read_tokens, set_attention
from zoo.shapes import Hints, Images, Latents, Time

Branch = Literal["global", "local"]
Scale = float | Sequence[float]


class DualUNet(Denoiser):
    """Visual attention stage: the guidance copy reads a mesh image and adds to the frozen U-Net's skip connections.

    The copy is a ControlNet (Zhang et al. 2023): encoder and middle block of the base, behind 1x1 convolutions that
    start at zero, so that an untrained copy changes nothing. The whole picture (global branch) and the hand's crop
    (local branch) share the copy (Park et al. 2024, equations 5 to 8). The base is taken over and frozen.

    Nothing that the copy adds reaches the base's encoder and middle block, so these run without gradients; its decoder
    keeps what the gradient needs on its way to the copy, and computes none for its weights.

    Args:
        base: The U-Net to steer. Its weights get the prefix `base.`, may be of half precision, and never change.
        separate: Whether the local branch has a copy of its own (an ablation); it starts equal to the other one.
        scale: Factor on what the copy adds; one number, or one for each skip connection and one for the middle.
        hint: Channels of the convolutions that read the mesh image; each step halves its sides.
        checkpointing: Whether gradients recompute the copy's blocks instead of keeping their activations.
        checkpoint_base: The same for the base's decoder.
    """

    prediction = "eps"

    def __init__(
        self,
        base: LatentUNet,
        separate: bool = False,
        scale: Scale = 1.0,
        hint: Sequence[int] = (16, 32, 96, 256),
        checkpointing: bool = False,
        checkpoint_base: bool = False,
    ) -> None:
        from diffusers import ControlNetModel  # takes seconds to load

        super().__init__()
        self.base = base.requires_grad_(False).eval()
        self.factor = 2 ** (len(hint) - 1)
        self.guide = (
            ControlNetModel.from_unet(base.net, conditioning_embedding_out_channels=tuple(hint)).float().train()
        )
        set_attention(self.guide, base.attention)
        if checkpointing:
            self.guide.enable_gradient_checkpointing()
        if checkpoint_base:
            base.net.enable_gradient_checkpointing()
        self.guide_local = deepcopy(self.guide) if separate else None
        self.scales = self._scales(scale)

    def train(self, mode: bool = True) -> "DualUNet":
        """Switches the copy; the base stays as it is used."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(
        self,
        x_t: Latents,
        t: Time,
        condition: Condition,
        branch: Branch = "global",
        hint: Hints | None = None,
        scale: Scale | None = None,
    ) -> Latents:
        """The noise in latents.

        Args:
            x_t: Noisy latents.
            t: Diffusion time.
            condition: Its tokens are read by both halves; its control is the mesh image, eight times as large as the
                latents.
            branch: Which copy steers, where there are two.
            hint: From `hint`, computed once for all steps of sampling; replaces the control.
            scale: Replaces the model's own.
        """
        idle = not torch.is_grad_enabled() and not any(self.scales if scale is None else self._scales(scale))
        residuals = None if idle else self.residuals(x_t, t, condition, branch, hint, scale)
        return self.base.decode(self.encode(x_t, t, condition), residuals).to(x_t.dtype)

    def encode(self, x_t: Latents, t: Time, condition: Condition) -> Halfway:
        """The base's first half, with gradients only where something in front of it needs them."""
        given = [x_t, *(x for x in (condition.tokens,) if x is not None), *self.base.parameters()]
        wanted = torch.is_grad_enabled() and any(x.requires_grad for x in given)
        with nullcontext() if wanted else torch.no_grad():
            return self.base.encode(x_t, t, condition)

    def residuals(
        self,
        x_t: Latents,
        t: Time,
        condition: Condition,
        branch: Branch = "global",
        hint: Hints | None = None,
        scale: Scale | None = None,
    ) -> Residuals:
        """What the copy adds; arguments as for `forward`."""
        guide, scales = self._guide(branch), self.scales if scale is None else self._scales(scale)
        if hint is None:
            if condition.control is None:
                raise ValueError(
                    "The dual U-Net is steered by a mesh image, but the condition has no control. "
                    "Give `mesh` (--mesh on the command line), or use the base alone."
                )
            hint = self.hint(condition.control, branch)
        if hint.shape[-2:] != x_t.shape[-2:]:
            (height, width), (rows, columns) = hint.shape[-2:], x_t.shape[-2:]
            f = self.factor
            raise ValueError(
                f"A mesh image of {f * width} x {f * height} pixels was given for latents of {columns} x {rows}: it "
                f"must be {f} times as large, {f * columns} x {f * rows}. Set --data.size or resize the mesh image."
            )
        tokens, bias = read_tokens(condition)
        half = descend(guide, x_t, t, tokens, bias, hint)
        down = [convolve(skip) for convolve, skip in zip(guide.controlnet_down_blocks, half.skips, strict=True)]
        *added, mid = (
            x if s == 1 else s * x
            for s, x in zip(scales, [*down, guide.controlnet_mid_block(half.hidden)], strict=True)
        )
        return Residuals(tuple(added), mid)

    def hint(self, control: Images, branch: Branch = "global") -> Hints:
        """What a copy sees of mesh images; does not depend on the time."""
        guide = self._guide(branch)
        return guide.controlnet_cond_embedding(control.to(guide.dtype))

    def guide_state(self) -> dict[str, Tensor]:
        """The trained weights alone, under the names that they have in `state_dict`."""
        return {name: x for name, x in self.state_dict().items() if not name.startswith("base.")}

    def load_guide_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what `guide_state` gave; the base stays as it is.

        Raises:
            ValueError: if names or shapes differ; it lists them.
        """
        own = self.guide_state()
        problems = [f"missing {name}" for name in own if name not in state]
        problems += [f"unexpected {name}" for name in state if name not in own]
        problems += [
            f"{name} is {tuple(state[name].shape)}, not {tuple(x.shape)}"
            for name, x in own.items()
            if name in state and state[name].shape != x.shape
        ]
        if problems:
            more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
            raise ValueError(
                f"The guidance copy's weights do not fit: {'; '.join(problems[:8])}{more}. "
                "Load them into a model with the same base and the same --model.separate."
            )
        self.load_state_dict(dict(state), strict=False)

    def _guide(self, branch: Branch) -> Any:
        return self.guide if branch == "global" or self.guide_local is None else self.guide_local

    def _scales(self, scale: Scale) -> tuple[float, ...]:
        count = len(self.guide.controlnet_down_blocks) + 1
        scales = tuple(scale) if isinstance(scale, Sequence) else (scale,) * count
        if len(scales) != count:
            raise ValueError(
                f"{len(scales)} control scales were given; this U-Net takes one, or {count}: one for each skip "
                "connection and one for the middle."
            )
        return scales
