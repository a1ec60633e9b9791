import random

import pytest
from jsonargparse import ArgumentParser

from zoo.encoders import ClipTokens, ExactTokens, Gerunds, HandTokens, Lexicon, ReleasedTokens, Suffix
from zoo.encoders.clip_tokens import FULL
from zoo.encoders.hand_lexicon import NOUNS, VERBS
from zoo.encoders.hand_words import Found, Span, hand_words, token_indices

TOKENS = ClipTokens()


def words(text, tagger=None):
    return [text[start:end] for start, end in hand_words(text, tagger)]


def read(text, found: Found, tokens=TOKENS):
    """What the tokens at the found positions say, one string each."""
    ids = tokens([text])[0]
    return [tokens.decode([int(ids[position])]).strip() for position in found.positions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a hand", ["hand"]),
        ("A man is holding a cup in his Left HAND.", ["holding", "HAND"]),
        ("two hands, ten fingers and a thumb", ["hands", "fingers", "thumb"]),
        ("hand in hand", ["hand", "hand"]),
        ("hands-- clapping!hands", ["hands", "clapping", "hands"]),
        ("a woman's hand's gesture", ["hand", "gesture"]),
        ("left_hand/right_hand", ["hand", "hand"]),
        ("a hand-held camera", ["hand", "held"]),
        ("she grabbed it, he took it, they catch it", ["grabbed", "took", "catch"]),
        ("fists\nknuckles\twrists  palms", ["fists", "knuckles", "wrists", "palms"]),
        ("a person is waving at a big wave", ["waving"]),
        ("a pointing finger and a sharp point", ["pointing", "finger"]),
        ("pressing a type of press", ["pressing"]),
        ("cutting cut fruit on a cutting board", ["cutting"]),
        ("a dog on a sofa", []),
        ("", []),
        ("   ", []),
        ("a handbag on a handrail, secondhand", []),
        ("second-hand clothes, second hand books", []),
        ("a hand-made vase, hand painted", []),
        ("a hand made of clay holds a hand-drawn map", ["hand", "holds"]),
        ("it is, on the other hand, a hand", ["hand"]),
        ("on one hand, a ring on one hand", ["hand"]),
        ("a clock's hands, the minute hand and the hands of the big clock", []),
        ("with his hands on his hips", ["hands"]),
        ("hands-on work, a hands-free kit", []),
        ("on the right-hand side his hand", ["hand"]),
        ("palm trees on a palm of a hand", ["palm", "hand"]),
        ("a plane taking off", []),
        ("taking off his glove", ["taking"]),
        ("a surfer catching a wave and a boy catching a ball", ["catching"]),
        ("a train pulling into a station, a man pulling a cart", ["pulling"]),
        ("throwing a throw pillow", ["throwing"]),
        ("a sign with writing", []),
        ("looking at hand gestures", ["hand", "gestures"]),
        ("a hand truck, hand towels", []),
        ("grabs by the thumb as a rule of thumb", ["grabs", "thumb"]),
    ],
)
def test_the_lexicon_finds_hand_words(text, expected):
    assert words(text) == expected


def test_no_word_is_listed_twice_or_with_a_capital():
    listed = [*NOUNS, *VERBS]
    assert len(set(listed)) == len(listed)
    assert all(word.isalpha() and word.islower() for word in listed)


def test_the_lists_can_be_replaced():
    assert words("a paw on a hand", Lexicon(nouns=("paw",), verbs=(), exclusions=())) == ["paw"]
    assert words("second hand", Lexicon(exclusions=())) == ["hand"]
    assert words("iron hand", Lexicon(exclusions=("iron hand",))) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a   hand ", ["hand"]),
        ("cats &amp; hands &lt;3", ["hands"]),
        ("don\u2019t hold hands", ["hold", "hands"]),
        ("\uff48\uff41\uff4e\uff44 of a \ufb01nger", ["\uff48\uff41\uff4e\uff44", "\ufb01nger"]),
        ("don\u00e2\u20ac\u2122t touch", ["touch"]),
        ("cafe\u0301: ho\x07lding a cup", ["ho\x07lding"]),
        ("on the\n\u00a0other  hand a hand", ["hand"]),
        ("\U0001f44b\U0001f3fd hand", ["hand"]),
        ("\u0130 hand", ["hand"]),
    ],
)
def test_places_are_in_the_text_as_it_is_given(text, expected):
    assert words(text) == expected
    found = token_indices(text, hand_words(text))
    plain = {"\uff48\uff41\uff4e\uff44": "hand", "\ufb01nger": "finger", "ho\x07lding": "holding"}
    assert read(text, found) == [plain.get(word, word) for word in expected]


@pytest.mark.parametrize(
    ("text", "tokens", "positions"),
    [
        ("a hand", ["hand"], (2,)),
        ("Holding a Cup.", ["holding"], (1,)),
        ("hand hand, a hand", ["hand", "hand", "hand"], (1, 2, 5)),
        ("(a) fingernail's edge", ["finger", "nail"], (4, 5)),
        ("a left_hand", ["hand"], (4,)),
        ("hand-held", ["hand", "held"], (1, 3)),
        ("a dog", [], ()),
        ("", [], ()),
    ],
)
def test_words_become_their_tokens(text, tokens, positions):
    found = ExactTokens()(text)
    assert (read(text, found), found.positions, found.cut) == (tokens, positions, ())


def test_a_word_of_several_tokens_has_them_all():
    text = "she is gesticulating"
    found = token_indices(text, [Span(7, 20)])
    assert "".join(read(text, found)) == "gesticulating"
    assert len(found.positions) > 1


def test_part_of_a_token_is_the_whole_token():
    assert token_indices("a handshake", [(2, 6)]) == token_indices("a handshake", [(2, 11)]) == Found((2,))


def test_one_character_may_be_several_tokens():
    pieces = TOKENS.pieces("\U0001f9e4")
    assert token_indices("\U0001f9e4", [(0, 1)]).positions == tuple(range(1, len(pieces) + 1))


def test_places_that_overlap_or_repeat_count_once():
    assert token_indices("a hand", [(2, 6), (0, 6), (2, 6)]).positions == (1, 2)


def test_the_last_token_that_is_read_is_the_one_before_the_end():
    text = "a " * 74 + "hand hand hand"
    found = ExactTokens()(text)
    assert (found.positions, read(text, found)) == ((75,), ["hand"])
    assert [text[start:end] for start, end in found.cut] == ["hand", "hand"]
    assert found.cut[0].start == len("a " * 74 + "hand ")
    assert found.notice(text).startswith("The text is longer than CLIP reads; these hand words are cut off: 'hand', 'h")
    assert Found((1,)).notice(text) == ""


def test_a_word_of_which_half_is_read_is_both_found_and_cut():
    text = "a " * 74 + "fingernail"
    found = ExactTokens()(text)
    assert (read(text, found), found.cut) == (["finger"], (Span(148, 158),))


def test_a_shorter_context_is_kept_to():
    found = ExactTokens()("a hand and a hand", ClipTokens(context=5))
    assert found == Found((2,), (Span(13, 17),))


@pytest.mark.parametrize("vocab", [514, 4096, FULL])
@pytest.mark.parametrize("seed", range(20))
def test_the_tokens_of_random_words_spell_them(seed, vocab):
    draw, tokens = random.Random(seed), ClipTokens(vocab=vocab)
    names = [
        *NOUNS,
        *VERBS,
        "dog",
        "skateboarding",
        "\u65e5\u672c",
        "caf\u00e9",
        "xyzzyq",
        "42",
        "\U0001f44b",
        "Straße",
    ]
    gaps = [" ", "  ", ", ", "\n", " - ", "/", "! ", " \u201c", " &amp; ", "_"]
    text, places = "", []
    for name in draw.choices(names, k=draw.randint(1, 30)):
        text += draw.choice(gaps)
        name = draw.choice([name, name.upper(), name.title()])
        places.append((len(text), len(text) + len(name)))
        text += name
    pieces = tokens.pieces(text)
    for start, end in places:
        found = token_indices(text, [(start, end)], tokens)
        at = [i for i, piece in enumerate(pieces, 1) if piece.span.end > start and piece.span.start < end]
        assert found.positions == tuple(i for i in at if i <= 75)
        assert found.cut == (() if at[-1] <= 75 else ((start, end),))
        assert tokens.decode([pieces[i - 1].id for i in at]).strip().replace(" ", "") == text[start:end].lower()
        ids = tokens([text])[0]
        assert [int(ids[i]) for i in found.positions] == [pieces[i - 1].id for i in at if i <= 75]


def test_any_function_may_find_the_words():
    assert words("a paw, a Paw", lambda text: [(7, 12)]) == ["a Paw"]
    assert ExactTokens(lambda text: [(text.index("Paw"), len(text))])("a  paw &amp; Paw").positions == (4,)


@pytest.mark.parametrize("span", [(-1, 2), (3, 3), (4, 2), (2, 7)])
def test_places_outside_the_text_are_refused(span):
    with pytest.raises(ValueError, match="is not in a text of 6 characters: 'a hand'"):
        token_indices("a hand", [span])
    with pytest.raises(ValueError, match="is not in a text of 6 characters"):
        hand_words("a hand", lambda _: [span])


def test_a_place_without_a_token_is_refused():
    with pytest.raises(ValueError, match="No token holds the characters 1 to 2"):
        token_indices("a hand", [(1, 2)])


def test_configs_name_parts_by_class():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--tokens", type=HandTokens, default=ExactTokens())
    assert parser.instantiate_classes(parser.parse_args([])).tokens == ExactTokens()
    args = ["--tokens", "ReleasedTokens", "--tokens.grammar", "Suffix"]
    assert parser.instantiate_classes(parser.parse_args(args)).tokens == ReleasedTokens(Suffix())
    args = ["--tokens", "ExactTokens", "--tokens.tagger", "Gerunds", "--tokens.tagger.grammar", "Suffix"]
    assert parser.instantiate_classes(parser.parse_args(args)).tokens == ExactTokens(Gerunds(Suffix()))
    args = ["--tokens", "ExactTokens", "--tokens.tagger", f"{__name__}.everything"]
    assert parser.instantiate_classes(parser.parse_args(args)).tokens("a paw").positions == (1, 2)


def everything(text: str) -> list[tuple[int, int]]:
    """A user's own tagger."""
    return [(0, len(text))]
