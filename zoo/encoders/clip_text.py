"""The text half of CLIP (Radford et al. 2021) as Stable Diffusion uses it: a state for each token."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from zoo.condition import Condition
from zoo.encoders.clip_tokens import FULL, ClipTokens
from zoo.shapes import TokenIds, Tokens


class ClipText(nn.Module):
    """open_clip's text transformer; its states after the final layer norm are the condition.

    The defaults are ViT-L/14's, which Stable Diffusion 1.x reads. Attention is causal and there is no mask, so every
    state is usable, that of the padding too.

    Args:
        width: Channels of a state.
        layers: Transformer blocks.
        heads: Attention heads; they divide the width.
        context: Tokens a text, start and end included.
        vocab: Size of the vocabulary, see `ClipTokens`.
        quick_gelu: x sigmoid(1.702 x), as OpenAI trained, in place of GELU. Weights are only good with their own.
        padding: What follows the end token, see `ClipTokens`; "end" belongs to Stable Diffusion.
        checkpointing: Recomputes the blocks in the backward pass in place of keeping what they computed.
    """

    def __init__(
        self,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        context: int = 77,
        vocab: int = FULL,
        quick_gelu: bool = True,
        padding: Literal["end", "zero"] = "end",
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        from open_clip.transformer import QuickGELU, TextTransformer  # takes seconds, and configs only name the class

        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}; CLIP has width / 64 heads.")
        self.dim = width
        self.tokens = ClipTokens(context, vocab, padding)
        self.net = TextTransformer(
            context_length=context,
            vocab_size=vocab,
            width=width,
            heads=heads,
            layers=layers,
            output_dim=None,  # no projection: it belongs to the pooled text, which diffusion does not read
            pool_type="none",
            act_layer=QuickGELU if quick_gelu else nn.GELU,
            output_tokens=True,
        )
        self.net.set_grad_checkpointing(checkpointing)

    def forward(self, texts: Sequence[str]) -> Condition:
        """The condition of some texts: tokens (b, context, width). What of a text is not read, `tokens.cut` says."""
        return Condition(self.states(self.tokenize(texts)))

    def states(self, ids: TokenIds) -> Tokens:
        """The states of tokenized texts."""
        _, states = self.net(ids)
        return states

    def tokenize(self, texts: Sequence[str]) -> TokenIds:
        """Token numbers (b, context), on the module's device."""
        return self.tokens(texts).to(self.net.positional_embedding.device)

    def null(self, batch: int) -> Condition:
        """The condition of texts without a word, for classifier-free guidance."""
        return self([""]).repeat(batch)
