"""The command line of a method that makes pictures, from `fit` to `predict`, on made scenes."""

import json

import numpy as np
import pytest
from PIL import Image

from zoo.__main__ import main

QUIET = ("--tracker", "none", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true")
SCENES = ("--data.samples", "1", "--data.val_samples", "2", "--data.test_samples", "2", "--data.batch_size", "2",
          "--data.picture_size", "64", "--data.size", "64", "--data.workers", "0", "--data.draw_workers",
          "1")  # fmt: skip


@pytest.mark.slow
def test_a_copy_is_trained_scored_and_used(tmp_path, monkeypatch, capfd):
    from tests.models.tiny_pictures import base
    from zoo.bases.write import write_base

    monkeypatch.chdir(tmp_path)
    write_base(base(), tmp_path / "base")
    model = ("--model.base", "base", "--model.size", "64", "--model.sampler.steps", "2")
    data = (*SCENES, "--data.root", str(tmp_path / "pictures"))
    words = ("--trainer.max_steps", "2", "--trainer.max_time", "null")
    assert main(["fit", "--model", "attentionhand", *model, *data, *words, "--out", "run", *QUIET]) == 0
    said = "".join(capfd.readouterr())
    assert "fit attentionhand on openhand-scenes" in said
    assert "eval mode" not in said
    assert "Pictures from it" in said
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"loss", "global", "local"} <= scores.keys()
    assert list((tmp_path / "run" / "pictures").glob("pictures-*.png"))
    assert main(["validate", "--ckpt", "run", "--out", "scored", *QUIET]) == 0
    again = json.loads((tmp_path / "scored" / "metrics.json").read_text())
    assert again["loss"] == pytest.approx(scores["loss"], rel=1e-3)
    assert main(["predict", "--ckpt", "run", "--out", "made", *QUIET]) == 0
    made = tmp_path / "made" / "predictions"
    prompts = {name: text for file in made.glob("*.json") for name, text in json.loads(file.read_text()).items()}
    assert prompts
    assert {path.name for path in made.glob("*.png")} == prompts.keys()
    for name, text in prompts.items():
        assert np.asarray(Image.open(made / name)).shape == (64, 64, 3)
        assert "hand" in text or text
