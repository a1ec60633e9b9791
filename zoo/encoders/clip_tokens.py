"""CLIP's byte-pair tokens with their places in the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import torch

from zoo.encoders.cleaned import clean
from zoo.encoders.spans import Span
from zoo.shapes import TokenIds

FULL = 49408  # 256 bytes, 256 bytes that end a word, 48894 merges, start, end
FEWEST = 514  # no merges


class Piece(NamedTuple):
    """One token: its number in the vocabulary and which characters of the given text it stands for."""

    id: int
    span: Span


@dataclass(frozen=True)
class ClipTokens:
    """open_clip's tokenizer (Radford et al. 2021), which also says where in the text each token is.

    Args:
        context: Tokens a text, start and end included.
        vocab: Size of the vocabulary; fewer than 49408 keep only the most frequent merges, so that words have more
            tokens and the embedding table fewer rows.
        padding: What follows the end token. "end" repeats it, as Stable Diffusion's tokenizer does: its U-Net reads
            all 77 states without a mask, so with pretrained weights the padding is part of the condition. "zero" is
            open_clip's own.
    """

    context: int = 77
    vocab: int = FULL
    padding: Literal["end", "zero"] = "end"

    def __post_init__(self) -> None:
        if self.context < 3:
            raise ValueError(f"context is {self.context}; start, end and a word need 3 tokens or more.")
        if not FEWEST <= self.vocab <= FULL:
            raise ValueError(f"vocab is {self.vocab}; CLIP's byte pairs allow {FEWEST} to {FULL}.")
        if self.padding not in ("end", "zero"):
            raise ValueError(f"padding is {self.padding!r}; it is 'end' (Stable Diffusion) or 'zero' (open_clip).")

    @property
    def start(self) -> int:
        """Number of the token that every text starts with."""
        return self.vocab - 2

    @property
    def end(self) -> int:
        """Number of the token that ends a text."""
        return self.vocab - 1

    @property
    def room(self) -> int:
        """How many tokens of a text are read; they have the positions 1 to `room`."""
        return self.context - 2

    def __call__(self, texts: Sequence[str]) -> TokenIds:
        """Token numbers (b, context): start, text, end, padding; what is too long is cut before the end token."""
        fill = self.end if self.padding == "end" else 0
        ids = torch.full((len(texts), self.context), fill, dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            read = [self.start, *(piece.id for piece in self.pieces(text)[: self.room]), self.end]
            row[: len(read)] = torch.tensor(read)
        return ids

    def pieces(self, text: str) -> list[Piece]:
        """All tokens of a text, also those after the last that is read; start and end are not among them."""
        return list(_pieces(text, self.vocab))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some tokens, words separated by a space."""
        return _tokenizer(self.vocab).decode(list(ids))

    def cut(self, text: str) -> str:
        """The end of a text that is not read because it is too long; empty where everything is."""
        pieces = self.pieces(text)
        return text[pieces[self.room].span.start :] if len(pieces) > self.room else ""


def read_pairs(vocab: int = FULL) -> tuple[list[str], list[tuple[str, str]]]:
    """The vocabulary in the order of its numbers, and the merges from the most frequent on."""
    tokenizer = _tokenizer(vocab)
    words = [tokenizer.decoder[number] for number in range(vocab)]
    return words, sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)


@lru_cache(maxsize=4)
def _tokenizer(vocab: int) -> Any:
    from open_clip.tokenizer import SimpleTokenizer  # takes seconds, and configs only name this module's class

    tokenizer = SimpleTokenizer()
    if vocab < FULL:
        kept = vocab - FEWEST
        tokenizer.bpe_ranks = {merge: rank for merge, rank in tokenizer.bpe_ranks.items() if rank < kept}
        words = [word for word, number in tokenizer.encoder.items() if number < vocab - 2]
        words += ["<start_of_text>", "<end_of_text>"]
        tokenizer.encoder = {word: number for number, word in enumerate(words)}
        tokenizer.decoder = dict(enumerate(words))
    return tokenizer


@lru_cache(maxsize=4096)
def _pieces(text: str, vocab: int) -> tuple[Piece, ...]:
    """Follows `SimpleTokenizer.encode`; its tokens are stretches of bytes, which may even split a character."""
    tokenizer = _tokenizer(vocab)
    cleaned = clean(text)
    found = []
    for word in tokenizer.pat.finditer(cleaned.text):
        character_of = [word.start() + i for i, c in enumerate(word.group()) for _ in c.encode()]
        letters = "".join(tokenizer.byte_encoder[byte] for byte in word.group().encode())
        start = 0
        for token in tokenizer.bpe(letters).split(" "):
            end = start + len(token.removesuffix("</w>"))
            span = Span(character_of[start], character_of[end - 1] + 1)
            found.append(Piece(tokenizer.encoder[token], cleaned.given(span)))
            start = end
    return tuple(found)
