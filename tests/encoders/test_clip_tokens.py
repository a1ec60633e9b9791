import random

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from transformers import CLIPTokenizer

from zoo.encoders import ClipTokens
from zoo.encoders.cleaned import clean

OPEN_CLIP = SimpleTokenizer()
TEXTS = [
    "",
    "a hand",
    "A photo of a left hand, palm up; it's holding 2 cups!",
    "don't touch  the\tglass\nwith  wet   fingers",
    "caf\u00e9 na\u00efve \u65e5\u672c\u8a9e \U0001f44b\U0001f3fd waving",
    "uncharacteristically floccinaucinihilipilification handshake",
    "hand-held, hands-on, left_hand/right_hand (both hands).",
    "word " * 100,
    "\U0001f44b" * 60,
]
DIRTY = [
    "  a hand  ",
    "hand &amp; foot &lt;3 &amp;amp; fist &amp;lt;",
    "it\u2019s a \u201chand\u201d",
    "\uff48\uff41\uff4e\uff44 and \ufb01nger",  # full width, a ligature
    "don\u00e2\u20ac\u2122t hold",  # an encoding gone wrong
    "cafe\u0301 hand",  # a letter and its accent
    "\u0130stanbul hand \u039c\u0391\u03a3",  # capitals whose small letter is two characters or depends on its place
    "a\u00adhand\u200b\x07 fist",
    "line\r\none\u2028two hand",
    "\x1b[36;44mhand",
]


def hugging_face() -> CLIPTokenizer:
    """The tokenizer of transformers with open_clip's vocabulary and merges, as no file of its own can be fetched."""
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {names.get(word, word): number for word, number in OPEN_CLIP.encoder.items()}
    return CLIPTokenizer(vocab=vocab, merges=list(OPEN_CLIP.bpe_ranks), model_max_length=77)


@pytest.mark.parametrize("text", TEXTS + DIRTY)
def test_zero_padding_gives_open_clips_numbers(text):
    assert torch.equal(ClipTokens(padding="zero")([text]), OPEN_CLIP([text]))


def test_end_padding_gives_the_numbers_that_stable_diffusion_reads():
    theirs = hugging_face()(TEXTS, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(ClipTokens()(TEXTS), theirs)


def test_only_the_padding_differs_between_the_two():
    end, zero = ClipTokens()(["a hand"])[0], ClipTokens(padding="zero")(["a hand"])[0]
    assert end[:4].tolist() == zero[:4].tolist() == [49406, 320, 2463, 49407]
    assert set(end[4:].tolist()) == {49407}
    assert set(zero[4:].tolist()) == {0}


@pytest.mark.parametrize("text", TEXTS + DIRTY)
def test_cleaning_is_open_clips_and_accounts_for_every_character(text):
    cleaned = clean(text)
    assert cleaned.text == OPEN_CLIP.clean_fn(text)
    assert len(cleaned.text) == len(cleaned.cased) == len(cleaned.origin)
    assert cleaned.cased.lower() == cleaned.text


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("  a   hand ", ["a", "   ", "h", "a", "n", "d"]),
        ("x &amp; y", ["x", " ", "&amp;", " ", "y"]),
        ("&amp;lt;b", ["&amp;lt;", "b"]),
        ("\ufb01x", ["\ufb01", "\ufb01", "x"]),
        ("e\u0301f", ["e\u0301", "f"]),
        ("o\u00e2\u20ac\u2122t", ["o", "\u00e2\u20ac\u2122", "t"]),
        ("\u0130a", ["\u0130", "\u0130", "a"]),
        ("a\x07b", ["a", "b"]),
    ],
)
def test_every_clean_character_comes_from_the_right_ones(text, given):
    assert [text[start:end] for start, end in clean(text).origin] == given


def test_random_dirt_is_cleaned_as_open_clip_does():
    draw = random.Random(0)
    bits = [
        *"aZ \n\t'&;#<>\u00ad\ufb01\u0301\u00e9\u2019\uff48\u0130\u03a3\U0001f44b",
        "hand",
        "&amp;",
        "&#39;",
        "\u00e2\u20ac\u2122",
    ]
    for _ in range(150):
        text = "".join(draw.choices(bits, k=draw.randint(1, 12)))
        cleaned = clean(text)
        assert cleaned.text == OPEN_CLIP.clean_fn(text), text
        places = [place for span in cleaned.origin for place in span]
        assert all(0 <= start < end <= len(text) for start, end in cleaned.origin)
        assert [span.start for span in cleaned.origin] == sorted(span.start for span in cleaned.origin), places


def test_pieces_tell_their_characters():
    text = "It\u2019s  a HANDSHAKE, uncharacteristically"
    pieces = ClipTokens().pieces(text)
    assert [text[start:end] for _, (start, end) in pieces] == [
        "It",
        "\u2019s",
        "a",
        "HANDSHAKE",
        ",",
        "un",
        "character",
        "ist",
        "ically",
    ]
    assert [piece.id for piece in pieces] == OPEN_CLIP.encode(text)


def test_several_tokens_may_share_a_character():
    pieces = ClipTokens().pieces("\U0001f9e4")  # gloves
    assert len(pieces) > 1
    assert {piece.span for piece in pieces} == {(0, 1)}


def test_a_text_that_is_too_long_keeps_its_end_token_and_says_what_is_cut():
    tokens = ClipTokens()
    text = "hand " * 75
    assert tokens.cut(text) == ""
    assert tokens(["hand " * 90])[0, -2:].tolist() == [2463, 49407]
    assert tokens.cut(text + " and a Fist ") == "and a Fist "


@pytest.mark.parametrize("vocab", [514, 600, 4096, 49407])
def test_a_small_vocabulary_spells_the_same_text_with_numbers_below_it(vocab):
    tokens = ClipTokens(vocab=vocab)
    for text in TEXTS[:6]:
        ids = [piece.id for piece in tokens.pieces(text)]
        assert all(0 <= number < vocab - 2 for number in ids)
        assert tokens.decode(ids) == OPEN_CLIP.decode(OPEN_CLIP.encode(text))
    assert tokens([""])[0, :3].tolist() == [vocab - 2, vocab - 1, vocab - 1]


def test_a_small_vocabulary_has_the_first_merges():
    small = ClipTokens(vocab=8192)
    alike = [word for word in ("the", "hand", "holding") if small.pieces(word) == ClipTokens().pieces(word)]
    assert alike == ["the", "hand", "holding"]
    assert len(small.pieces("fingernails")) > len(ClipTokens().pieces("fingernails"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"context": 2}, "context is 2"), ({"vocab": 100}, "vocab is 100"), ({"vocab": 49409}, "514 to 49408")],
)
def test_impossible_sizes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ClipTokens(**wrong)
