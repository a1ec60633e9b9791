"""Text attention as AttentionHand's paper describes it, and as its released code does it."""

import re
from collections.abc import Sequence

from zoo.guidance.text_attention import TextAttention

PAPER = TextAttention()
# Fifty steps a branch without limit towards the noise as drawn, on the token before the hand's, in training alone.
RELEASED = TextAttention(
    over="hand",
    alpha="inner",
    iterations=50,
    clip=None,
    shift=-1,
    absent="last",
    target="noise",
    at="train",
)

# NLTK's words, nearly: punctuation stands alone, n't and 's come off, hyphens hold together.
WORD = re.compile(r"\w+?(?=n't\b)|n't\b|'(?:s|m|d|ll|re|ve)\b|\w+(?:[-.]\w+)*|[^\w\s]", re.IGNORECASE)


def released_positions(text: str, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Where the released code takes words to be: as if each word of the text were one token.

    Its tagger counts words, and it reads that number as a position in the text states. `RELEASED` shifts by one to the
    left, as its maps have lost the start token, so it attends to the token before when words are of one token each.
    A text without words for hands gives none, which `RELEASED` sends to the last slot.

    Args:
        text: The whole text.
        spans: Start and end of each word for hands, characters.
    """
    starts = [match.start() for match in WORD.finditer(text)]
    return [sum(start < begin for start in starts) + 1 for begin, _ in spans]
