"""Hand words of a text and the CLIP tokens that they become."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from zoo.encoders.cleaned import clean
from zoo.encoders.clip_tokens import ClipTokens
from zoo.encoders.grammar import Gerunds, Grammar, Nltk, Suffix
from zoo.encoders.hand_lexicon import Lexicon
from zoo.encoders.spans import HandTagger, Span, Tagger, checked

__all__ = [
    "ExactTokens",
    "Found",
    "Gerunds",
    "Grammar",
    "HandTagger",
    "HandTokens",
    "Lexicon",
    "Nltk",
    "ReleasedTokens",
    "Span",
    "Suffix",
    "Tagger",
    "hand_words",
    "token_indices",
]

CLIP = ClipTokens()
RELEASED_CONTEXT = 77
RELEASED_CHARACTERS = 75  # the released code tags so much of a prompt


@dataclass(frozen=True)
class Found:
    """Where hand words are among a text's tokens.

    Args:
        positions: Of their tokens, from left to right; 0 is the start token.
        cut: Words of which tokens are missing because the text is longer than what CLIP reads, as places in the text.
    """

    positions: tuple[int, ...]
    cut: tuple[Span, ...] = ()

    def notice(self, text: str) -> str:
        """What to tell the user about the words that were cut; empty if none was."""
        if not self.cut:
            return ""
        words = ", ".join(repr(text[start:end]) for start, end in self.cut)
        return f"The text is longer than CLIP reads; these hand words are cut off: {words}. Move them forward."


def hand_words(text: str, tagger: Tagger | None = None) -> list[Span]:
    """Where a text speaks of hands, as places in the text as it is given.

    Args:
        text: Any text.
        tagger: Finds the words; by default `Lexicon()`. It gets the text as CLIP reads it (encoding mended, HTML
            entities resolved, white space collapsed) but with its capitals; places in that text are what it returns.
    """
    cleaned = clean(text)
    spans = (tagger or Lexicon())(cleaned.cased)
    return [cleaned.given(span) for span in checked(cleaned.cased, spans)]


def token_indices(text: str, spans: Sequence[tuple[int, int]], tokens: ClipTokens = CLIP) -> Found:
    """The tokens that hold any character of some places in a text.

    Args:
        text: The text as it is given to `ClipText`.
        spans: Places in it, (start, end).
        tokens: `ClipText.tokens`.
    """
    pieces = tokens.pieces(text)
    positions: set[int] = set()
    cut = []
    for span in checked(text, spans):
        at = [
            i for i, piece in enumerate(pieces, start=1) if piece.span.start < span.end and span.start < piece.span.end
        ]
        if not at:
            raise ValueError(
                f"No token holds the characters {span.start} to {span.end} ({text[span.start : span.end]!r}) of "
                f"{text!r}: CLIP drops them. Let the tagger name words, not the space between them."
            )
        positions.update(i for i in at if i <= tokens.room)
        if at[-1] > tokens.room:
            cut.append(span)
    return Found(tuple(sorted(positions)), tuple(cut))


class HandTokens(ABC):
    """Says which tokens of a text TAS attends to."""

    @abstractmethod
    def __call__(self, text: str, tokens: ClipTokens = CLIP) -> Found:
        """The positions of a text's hand words among its tokens; none if it has no such word."""


@dataclass(frozen=True)
class ExactTokens(HandTokens):
    """All tokens of every hand word, as the paper says.

    Args:
        tagger: Finds the words: `Lexicon`, `Gerunds`, or any function from a text to places in it.
    """

    tagger: Tagger = field(default_factory=Lexicon)

    def __call__(self, text: str, tokens: ClipTokens = CLIP) -> Found:
        return token_indices(text, hand_words(text, self.tagger), tokens)


@dataclass(frozen=True)
class ReleasedTokens(HandTokens):
    """What the released code of AttentionHand attends to.

    It takes a word's number among NLTK's words for the position of its token and drops the start token from the maps,
    so where every word is one token it attends to the token before the hand word. The first word, and any text without
    a hand word, becomes number -1, which is the last map: that of the last position before the final one.

    Args:
        grammar: What splits the text and knows gerunds. `Nltk` is the released code's; `Suffix` comes close without it.
    """

    grammar: Grammar = field(default_factory=Nltk)

    def __call__(self, text: str, tokens: ClipTokens = CLIP) -> Found:
        if tokens.context != RELEASED_CONTEXT:
            raise ValueError(
                f"ReleasedTokens counts in {RELEASED_CONTEXT} tokens a text, and this text encoder reads "
                f"{tokens.context}. Choose ExactTokens, or a text encoder with context {RELEASED_CONTEXT}."
            )
        words = self.grammar(text[:RELEASED_CHARACTERS])
        numbers = [number for number, word in enumerate(words) if word.of_hands] or [0]
        return Found(tuple(sorted({number or tokens.room for number in numbers})))
