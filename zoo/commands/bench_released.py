"""AttentionHand's training step with the habits of the released code, as a peer to be faster than.

The lines here are our own, from a description of what that code does. Its habits: one sample after the other, because
its text attention holds for one alone; float32; a second U-Net for attention, whose weights want gradients, run to its
end; attention probabilities spelled out in every layer and kept; pictures of both branches coded though one is used;
results left attached to what they came from; and on a GPU the network and that second U-Net take turns on it.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.condition import Condition
from zoo.models.attentionhand import AttentionHand
from zoo.models.attentionhand_batch import Rows

STEP, TEMPERATURE, SIGMA = 20.0, 100.0, 0.5
KEPT = 32 * 32  # places of the largest maps that are kept


class _Store:
    """Attention probabilities of a pass, of every layer."""

    def __init__(self) -> None:
        self.maps: dict[str, list[Tensor]] = {}

    def processor(self, kind: str) -> Callable[..., Tensor]:
        """Plain attention that keeps what it has seen."""

        def attend(attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
            told = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            query, key, value = (attn.head_to_batch_dim(x) for x in (
                attn.to_q(hidden_states), attn.to_k(told), attn.to_v(told)
            ))  # fmt: skip
            probabilities = attn.get_attention_scores(query, key)
            if probabilities.shape[1] <= KEPT:
                self.maps.setdefault(kind, []).append(probabilities)
            mixed = attn.batch_to_head_dim(torch.bmm(probabilities, value))
            return cast(Tensor, attn.to_out[1](attn.to_out[0](mixed)))

        return attend


class ReleasedStep:
    """A step's loss and gradients.

    Args:
        model: Whose weights, schedule and words are used; its own U-Net and copy learn nothing here.
        iterations: Of text attention in each branch.
    """

    def __init__(self, model: AttentionHand, iterations: int = 50) -> None:
        self.model, self.iterations = model, iterations
        self.dual = copy.deepcopy(model.dual)
        for net in (self.dual.base.net, self.dual.guide):
            net.enable_gradient_checkpointing()
        self.dual.guide.train()
        self.attention: Any = copy.deepcopy(model.dual.base.net).eval().requires_grad_(True)
        self.attention.disable_gradient_checkpointing()
        self.store = _Store()
        self.attention.set_attn_processor(
            {name: self.store.processor(_kind(name)) for name in self.attention.attn_processors}
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    def __call__(self, rows: Rows, texts: Sequence[str], t: Tensor, noise: Tensor) -> Tensor:
        """Adds gradients to the copy's weights; the mean loss, detached.

        Args:
            rows: Pictures and meshes.
            texts: Of the rows.
            t: (b,)
            noise: (2, b, c, h, w) of global and local latents.
        """
        total = torch.zeros((), device=self.device)
        for i, text in enumerate(texts):
            own = slice(i, i + 1)
            loss = self._sample(rows, own, text, t[own], noise[:, own]) / len(texts)
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    def _sample(self, rows: Rows, own: slice, text: str, t: Tensor, noise: Tensor) -> Tensor:
        model = self.model
        with torch.no_grad():
            clean = model.codec.encode(rows.pictures["global"][own])
            model.codec.encode(rows.pictures["local"][own])
            states = model.text([text]).tokens
        losses = []
        for weight, branch, drawn in zip(model.weights, ("global", "local"), noise, strict=True):
            x_t = model.schedule.add_noise(clean, drawn, t)
            positions = model.positions([text], cast(Any, branch))[0]
            self._turns(True)
            x_t = self.moved(x_t, t, cast(Tensor, states), positions)
            self._turns(False)
            given = Condition(states, control=rows.meshes[cast(Any, branch)][own])
            losses.append(weight * F.mse_loss(self.dual(x_t, t, given), drawn))
        return torch.stack(losses).sum()

    def moved(self, x_t: Tensor, t: Tensor, states: Tensor, positions: Sequence[int]) -> Tensor:
        """Latents after text attention, still attached to its last step."""
        states = states.detach()
        for i in range(self.iterations):
            x_t = x_t.detach().requires_grad_()
            self.store.maps = {}
            self.attention(x_t, t, states)
            (gradient,) = torch.autograd.grad(self.loss(positions), x_t)
            x_t = x_t - STEP * (1 - 0.5 * i / max(self.iterations - 1, 1)) ** 0.5 * gradient
        return x_t

    def loss(self, positions: Sequence[int]) -> Tensor:
        """How much the worst attended of the words for hands lacks, of the one sample in the store."""
        side = self.model.attention.resolution
        parts = [
            maps for place in ("down", "up") for maps in self.store.maps.get(f"{place}_cross", ())
            if maps.shape[1] == side * side
        ]  # fmt: skip
        mean = torch.cat(parts).mean(0).view(side, side, -1)
        shares = (TEMPERATURE * mean[..., 1:-1]).softmax(-1)
        kernel = _kernel(mean)
        last = shares.shape[-1] - 1
        lacks = []
        for position in positions or [last + 1]:
            around = F.pad(shares[..., position - 1][None, None], (1, 1, 1, 1), mode="reflect")
            lacks.append((1 - F.conv2d(around, kernel).max()).clamp_min(0))
        return torch.stack(lacks).max()

    def _turns(self, attends: bool) -> None:
        """On a GPU: the one goes to the host, the other comes from there."""
        if self.device.type == "cuda":
            self.dual.to("cpu" if attends else self.device)
            self.attention.to(self.device if attends else "cpu")


def _kind(name: str) -> str:
    place = name.split("_")[0]  # down_blocks..., mid_block..., up_blocks...
    return f"{place}_{'cross' if 'attn2' in name else 'self'}"


def _kernel(like: Tensor) -> Tensor:
    offsets = torch.arange(-1, 2, device=like.device, dtype=like.dtype)
    line = torch.exp(-((offsets / (2 * SIGMA)) ** 2))
    square = torch.outer(line, line)
    return (square / square.sum())[None, None]
