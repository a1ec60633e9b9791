"""Words and which of them are gerunds, by NLTK or by their endings."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

from zoo.encoders.spans import HandTagger, Span

# what the released code of AttentionHand counts besides gerunds
RELEASED_WORDS = frozenset({"hand", "hands", "gesture", "finger", "fingers"})
# ends like a gerund, but is a noun, a pronoun or a preposition in nearly every caption
_NO_GERUNDS = """
thing nothing something anything everything string spring bring swing sling sting cling fling awning evening
morning ceiling building clothing during railing wedding painting pudding earring frosting icing topping lightning
herring sibling darling duckling dumpling stocking
"""
NO_GERUNDS = frozenset(_NO_GERUNDS.split())


class Word(NamedTuple):
    """A word or a punctuation mark of a text."""

    text: str
    span: Span
    gerund: bool

    @property
    def of_hands(self) -> bool:
        """Whether the released code of AttentionHand attends to it."""
        return self.gerund or self.text.lower() in RELEASED_WORDS


class Grammar(ABC):
    """Splits a text into words and marks and says which of them are gerunds."""

    @abstractmethod
    def __call__(self, text: str) -> list[Word]: ...


@dataclass(frozen=True)
class Nltk(Grammar):
    """NLTK's tokenizer and its perceptron tagger (gerunds are VBG), as AttentionHand's code uses them.

    NLTK is loaded on the first call. Nothing is downloaded: its two data packages have to be there.
    """

    def __call__(self, text: str) -> list[Word]:
        try:
            import nltk
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "The grammar Nltk needs NLTK, which is not installed: pip install nltk. "
                "The grammar Suffix needs nothing, but only looks at how words end."
            ) from error
        try:
            tagged = nltk.pos_tag(nltk.word_tokenize(text))
        except LookupError as error:
            raise RuntimeError(
                "NLTK has not got its data, and nothing is downloaded unasked. Run once: "
                "python -m nltk.downloader punkt_tab averaged_perceptron_tagger_eng (a path goes into NLTK_DATA). "
                "The grammar Suffix needs nothing, but only looks at how words end."
            ) from error
        return list(_placed(text, tagged))


@dataclass(frozen=True)
class Suffix(Grammar):
    """Counts words in -ing as gerunds, but for a list of others. Splits words about as NLTK does."""

    def __call__(self, text: str) -> list[Word]:
        return [
            Word(found.group(), Span(*found.span()), _ends_like_a_gerund(found.group().lower()))
            for found in re.finditer(
                r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\d+(?:[.,:]\d+)*|\w+(?:[-./]\w+)*|\.\.\.|[^\w\s]",
                text,
                re.IGNORECASE,
            )
        ]


@dataclass(frozen=True)
class Gerunds(HandTagger):
    """Finds the words that the released code of AttentionHand means: hand, gesture, finger and every gerund.

    Args:
        grammar: What splits the text and knows gerunds.
    """

    grammar: Grammar = field(default_factory=Nltk)

    def __call__(self, text: str) -> list[Span]:
        return [word.span for word in self.grammar(text) if word.of_hands]


def _ends_like_a_gerund(word: str) -> bool:
    return len(word) > 4 and word.endswith("ing") and word not in NO_GERUNDS


def _placed(text: str, tagged: list[tuple[str, str]]) -> list[Word]:
    """NLTK's words with their places; it only drops white space, and writes double quotes in two ways."""
    words, start = [], 0
    for word, tag in tagged:
        start += len(text[start:]) - len(text[start:].lstrip())
        written = word if text.startswith(word, start) else '"'
        if not text.startswith(written, start):
            raise RuntimeError(
                f"NLTK's word {word!r} is not at character {start} of {text!r}. "
                "Its words must follow one another in the text; choose the grammar Suffix for this text."
            )
        words.append(Word(written, Span(start, start + len(written)), tag == "VBG"))
        start += len(written)
    return words
