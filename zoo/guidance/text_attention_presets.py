"""Text attention as AttentionHand's paper describes it, and as its released code does it."""

from zoo.guidance.text_attention import TextAttention

PAPER = TextAttention()
# Fifty steps a branch without limit, towards the noise as drawn, in training alone. That the released code takes other
# tokens for words for hands is up to what finds them, `ReleasedTokens`.
RELEASED = TextAttention(
    over="hand", alpha="inner", iterations=50, clip=None, absent="last", target="noise", at="train"
)
