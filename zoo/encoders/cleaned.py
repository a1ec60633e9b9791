"""A text as CLIP's tokenizer reads it, and where in the given text each of its characters comes from."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import ftfy

from zoo.encoders.spans import Span


@dataclass(frozen=True)
class Cleaned:
    """What is left of a text after open_clip's cleaning.

    The cleaning mends encodings, resolves HTML entities, collapses white space and lowers the case, so it may change
    the number of characters. Both texts have one character for each entry of `origin`.

    Args:
        text: What the tokenizer splits, in lower case.
        cased: The same with its capitals.
        origin: Which characters of the given text each character stands for.
    """

    text: str
    cased: str
    origin: tuple[Span, ...]

    def given(self, span: Span) -> Span:
        """The place in the given text of a place in the clean one."""
        return Span(self.origin[span.start].start, self.origin[span.end - 1].end)


@lru_cache(maxsize=4096)
def clean(text: str) -> Cleaned:
    """Cleans a text as open_clip's tokenizer does and keeps account of its characters."""
    characters: list[tuple[str, Span]] = []
    for character, span in _without_outer_and_double_space(_mended(text)):
        lower = character.lower()
        # Some capitals have a lower case of two characters; then both texts carry those two.
        characters += [(character, span)] if len(lower) == 1 else [(c, span) for c in lower]
    cased = "".join(character for character, _ in characters)
    return Cleaned(cased.lower(), cased, tuple(span for _, span in characters))


def _mend(text: str) -> str:
    return html.unescape(html.unescape(ftfy.fix_text(text)))  # twice, as open_clip does


def _mended(text: str) -> Iterator[tuple[str, Span]]:
    """Every character of the mended text with what it was made from."""
    whole = _mend(text)
    pieces = [text]
    if whole != text:
        words = re.findall(r"\s+|\S+", text)
        if "".join(map(_mend, words)) == whole:  # nothing that is mended reaches across words
            pieces = words
    start = 0
    for piece in pieces:
        for part, (begin, end) in _parts(piece):
            yield from ((character, Span(start + begin, start + end)) for character in part)
        start += len(piece)


def _parts(piece: str) -> Iterator[tuple[str, Span]]:
    """The shortest stretches of a piece that can be mended each for itself with the same result."""
    rest = _mend(piece)
    if rest == piece:
        yield from ((character, Span(i, i + 1)) for i, character in enumerate(piece))
        return
    start = 0
    while start < len(piece):
        for end in range(start + 1, len(piece) + 1):
            part, following = _mend(piece[start:end]), _mend(piece[end:])
            if part + following == rest:
                break
        yield part, Span(start, end)
        start, rest = end, following


def _without_outer_and_double_space(characters: Iterator[tuple[str, Span]]) -> Iterator[tuple[str, Span]]:
    gap: Span | None = None
    started = False
    for character, span in characters:
        if character.isspace():
            gap = span if gap is None else Span(gap.start, span.end)
            continue
        if started and gap is not None:
            yield " ", gap
        started, gap = True, None
        yield character, span
