"""Places in a text, and what finds those of hand words."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Characters `start` up to but not including `end` of a text."""

    start: int
    end: int


class HandTagger(ABC):
    """Finds the words of a text that speak of hands or of what they do."""

    @abstractmethod
    def __call__(self, text: str) -> list[Span]:
        """Where those words are, from left to right."""


Tagger = HandTagger | Callable[[str], Sequence[tuple[int, int]]]


def checked(text: str, spans: Sequence[tuple[int, int]]) -> list[Span]:
    """The same places, each once and in order, after a look at whether they are in the text."""
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"The span ({start}, {end}) is not in a text of {len(text)} characters: {text!r}. "
                "A span is (start, end) with 0 <= start < end <= the text's length."
            )
    return sorted({Span(start, end) for start, end in spans})
