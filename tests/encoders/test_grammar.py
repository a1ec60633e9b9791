import sys
from types import SimpleNamespace

import pytest

from zoo.encoders import ClipTokens, ExactTokens, Gerunds, Nltk, ReleasedTokens, Suffix
from zoo.encoders.hand_words import Found, hand_words

PROMPTS = {  # prompt: NLTK's words and tags
    "A person is holding a cup.": "A/DT person/NN is/VBZ holding/VBG a/DT cup/NN ./.",
    'he isn\'t "waving"': "he/PRP is/VBZ n't/RB ``/`` waving/VBG ''/''",
    "hand": "hand/NN",
    "Hands in a building": "Hands/NNS in/IN a/DT building/NN",
    "a dog": "a/DT dog/NN",
    "typing and taking, a gesture": "typing/VBG and/CC taking/VBG ,/, a/DT gesture/NN",
}


@pytest.fixture
def nltk(monkeypatch):
    """NLTK with the answers above, as its data cannot be fetched."""
    answers = {text: [tuple(word.rsplit("/", 1)) for word in tagged.split()] for text, tagged in PROMPTS.items()}
    tags = {tuple(word for word, _ in answer): answer for answer in answers.values()}
    fake = SimpleNamespace(
        word_tokenize=lambda text: [word for word, _ in answers[text]], pos_tag=lambda words: tags[tuple(words)]
    )
    monkeypatch.setitem(sys.modules, "nltk", fake)


@pytest.mark.usefixtures("nltk")
@pytest.mark.parametrize("text", PROMPTS)
def test_nltks_words_are_found_in_the_text(text):
    words = Nltk()(text)
    assert [text[start:end] for _, (start, end), _ in words] == [word.text for word in words]
    assert "".join(word.text for word in words) == text.replace(" ", "")


@pytest.mark.usefixtures("nltk")
@pytest.mark.parametrize("text", PROMPTS)
def test_endings_find_the_same_words_and_gerunds_as_nltk(text):
    assert Suffix()(text) == Nltk()(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("two hand-held, 3.5 kg (about) things...", "two hand-held , 3.5 kg ( about ) things ..."),
        ("can't wait till 10:30, she'll wave", "ca n't wait till 10:30 , she 'll wave"),
        ("the cat's paw & dogs' paws", "the cat 's paw & dogs ' paws"),
        ("#hand @you 50% $3 left/right", "# hand @ you 50 % $ 3 left/right"),
    ],
)
def test_endings_split_words_as_nltk_does(text, words):
    # The right-hand sides are what NLTKWordTokenizer of NLTK 3.10 gives.
    assert [word.text for word in Suffix()(text)] == words.split()


def test_things_in_ing_are_no_gerunds():
    text = "bring something in the morning during spring; a king sings, wearing a ring"
    assert [word.text for word in Suffix()(text) if word.gerund] == ["wearing"]


@pytest.mark.usefixtures("nltk")
def test_gerunds_are_mapped_exactly():
    text = "A person is holding a cup."
    assert [text[start:end] for start, end in hand_words(text, Gerunds())] == ["holding"]
    assert ExactTokens(Gerunds())(text) == Found((4,))
    assert ExactTokens(Gerunds(Suffix()))('he isn\'t "waving"  ').positions == (5,)


@pytest.mark.usefixtures("nltk")
@pytest.mark.parametrize(
    ("text", "positions", "tokens"),
    [
        ("A person is holding a cup.", (3,), ["is"]),  # one before the word
        ("typing and taking, a gesture", (2, 5, 75), ["and", "a", "<end_of_text>"]),
        ("Hands in a building", (75,), ["<end_of_text>"]),  # the first word becomes the last map
        ("a dog", (75,), ["<end_of_text>"]),  # no such word: the same
        ("hand", (75,), ["<end_of_text>"]),  # what the local branch always tags
    ],
)
def test_the_released_code_attends_to_one_token_before(text, positions, tokens):
    found = ReleasedTokens()(text)
    assert found == Found(positions)
    ids = ClipTokens()([text])[0]
    assert [ClipTokens().decode([int(ids[i])]).strip() for i in found.positions] == tokens


def test_the_released_code_reads_75_characters():
    text = "a " * 36 + "hand"
    assert ReleasedTokens(Suffix())(text[2:]).positions == (35,)
    assert ReleasedTokens(Suffix())(text).positions == (75,)  # "han" is left of it


def test_the_released_positions_are_those_of_its_own_arithmetic():
    text = "She is pointing with a finger while holding hands"
    words = text.split()
    numbers = [i for i, word in enumerate(words) if word.endswith("ing") or word in ("finger", "hands")]
    maps = list(range(77))[1:-1]  # it drops the first and the last map
    assert ReleasedTokens(Suffix())(text).positions == tuple(sorted(maps[number - 1] for number in numbers))


def test_the_released_way_needs_its_own_context():
    with pytest.raises(ValueError, match="ReleasedTokens counts in 77 tokens a text, and this text encoder reads 20"):
        ReleasedTokens(Suffix())("a hand", ClipTokens(context=20))


def test_without_nltk_the_user_hears_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    for use in (Nltk(), ReleasedTokens(), ExactTokens(Gerunds())):
        with pytest.raises(ModuleNotFoundError, match=r"pip install nltk.*Suffix"):
            use("a hand")


def test_without_nltks_data_the_user_hears_what_to_do(monkeypatch):
    def missing(_):
        raise LookupError("Resource punkt_tab not found.")

    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(word_tokenize=missing, pos_tag=missing))
    with pytest.raises(RuntimeError, match=r"python -m nltk.downloader punkt_tab.*Suffix"):
        Nltk()("a hand")


def test_words_that_are_not_in_the_text_are_refused(monkeypatch):
    fake = SimpleNamespace(word_tokenize=str.split, pos_tag=lambda words: [("paw", "NN")])
    monkeypatch.setitem(sys.modules, "nltk", fake)
    with pytest.raises(RuntimeError, match="NLTK's word 'paw' is not at character 0 of 'a hand'"):
        Nltk()("a hand")
