import pytest
from hands.legacy_mano import openhand_arrays, write_legacy

from zoo.__main__ import main
from zoo.hands.mano import Mano
from zoo.registry import create

FIT = ("fit", "--model", "hhmr", "--tracker", "none", "--trainer.accelerator", "cpu", "--model.hand", "Mano")


@pytest.fixture
def mano(tmp_path, monkeypatch):
    """A folder with both hands, as their authors pickled them."""
    (tmp_path / "mano").mkdir()
    for side in ("right", "left"):
        write_legacy(monkeypatch, tmp_path / "mano" / f"MANO_{side.upper()}.pkl", openhand_arrays(side))
    return tmp_path / "mano"


def test_a_model_is_built_on_your_mano_by_its_short_name(mano):
    model = create("hhmr", hand="Mano", **{"hand.path": str(mano)})
    assert isinstance(model.hand, Mano)


@pytest.mark.parametrize(
    ("make", "words", "code"),
    [
        (lambda mano: mano / "nowhere", "zoo: {path} does not exist. MANO_RIGHT.pkl", 1),
        (lambda mano: mano.parent / "empty", "zoo: Neither MANO_RIGHT.pkl nor MANO_RIGHT.npz is in", 1),
        (lambda mano: mano.parent / "cut", "zoo: {path}/MANO_RIGHT.pkl is not a whole pickle", 1),
        (lambda mano: None, "zoo: --model.hand.path is needed.", 2),
    ],
)
def test_a_missing_or_broken_mano_is_one_sentence(mano, make, words, code, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "MANO_RIGHT.pkl").write_bytes((mano / "MANO_RIGHT.pkl").read_bytes()[:200_000])
    path = make(mano)
    given = () if path is None else ("--model.hand.path", str(path))
    assert main([*FIT, *given, "--out", str(tmp_path / "run")]) == code
    said = capsys.readouterr().err
    assert said.startswith(words.format(path=path)), said
    assert said.count("\n") == 1
