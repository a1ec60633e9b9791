"""AttentionHand starts from the authors' checkpoint, and its copy is exported."""

import layout
import pytest
import reduced
import torch

import checkpoints
from zoo.__main__ import main
from zoo.bases import read_guide
from zoo.models import AttentionHand


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The authors' checkpoint, converted; and a model of ours that starts from it, released."""
    folder, base = tmp_path_factory.mktemp("exchange"), reduced.base()
    state = layout.attentionhand_state(base, reduced.dual(base, spread=0.03).guide)
    torch.save({"state_dict": state}, folder / "attentionhand.ckpt")
    assert main(["convert", "base", str(folder / "attentionhand.ckpt"), "--to", str(folder / "sd")]) == 0
    settings = {"base": str(folder / "sd"), "guide": str(folder / "attentionhand.ckpt"), "size": 64, "resolution": 8}
    model = AttentionHand(**settings)
    config = {"class_path": "zoo.models.AttentionHand", "init_args": {**settings, "guide": None}}
    checkpoints.save(folder / "ours", config, model.state_dict(), "# Reduced")
    assert main(["convert", "guide", str(folder / "ours"), "--to", str(folder / "net")]) == 0
    return folder


def test_the_exported_copy_is_the_one_that_the_authors_checkpoint_held(folder):
    found = checkpoints.load(folder / "ours")
    assert reduced.same(read_guide(str(folder / "net")), found.dual.guide)
    assert reduced.same(read_guide(str(folder / "attentionhand.ckpt")), found.dual.guide)


def test_a_model_with_one_copy_has_no_local_one(folder, capsys):
    words = ["convert", "guide", str(folder / "ours"), "--branch", "local", "--to", str(folder / "local")]
    assert main(words) == 2
    assert "has one copy for both branches. Leave --branch out." in capsys.readouterr().err
