"""Scores by condition, in the log, in metrics.json and in a table."""

import json

import lightning as L
import pytest
import torch

from callbacks.scores import Scores, table


def test_scores_are_logged_written_and_shown(make_trainer, make_guess, hands, tmp_path, capsys):
    scores = Scores(tmp_path / "run" / "metrics.json")
    run = make_trainer(scores, num_sanity_val_steps=1)
    run.fit(make_guess(), hands, hands)
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["mpjpe_mm/skeleton3d"] == pytest.approx(3 * 20 / 21, rel=1e-3)
    assert written["pa_mpvpe_mm/skeleton3d"] < 1e-3
    assert written["pa_mpvpe_mm/skeleton2d"] < 1e-3  # FreiHAND lets a mirrored hand pass
    assert written["pa_proper_mpvpe_mm/skeleton2d"] > 1
    assert written["mirrored_percent/skeleton2d"] == written["mirrored_joints_percent/skeleton2d"] == 100
    assert written["apd_mm/none"] > 1
    assert 0 <= written["si_percent/none"] <= 100
    assert 1 < written["pa_mpvpe_mm/rest"] < 10  # the noise put on the vertices
    assert written["step"] == 2
    assert run.callback_metrics["val/mpjpe_mm/skeleton3d"] == pytest.approx(written["mpjpe_mm/skeleton3d"])
    assert not any("image" in name for name in written)
    said = capsys.readouterr().out
    assert "Validation after 2 steps" in said
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("split", ["validate", "test"])
def test_validate_and_test_write_the_same_names(make_trainer, make_guess, hands, tmp_path, capsys, split):
    run = make_trainer(Scores(tmp_path / "metrics.json", intersections=0))
    getattr(run, split)(make_guess(), hands, verbose=False)
    prefix = {"validate": "val", "test": "test"}[split]
    assert f"{prefix}/pa_mpvpe_mm/skeleton3d" in run.callback_metrics
    assert "pa_mpvpe_mm/skeleton3d" in json.loads((tmp_path / "metrics.json").read_text())
    assert "pa_mpvpe_mm" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["validate", "test"])
def test_the_numbers_of_methods_that_make_pictures_are_kept(make_trainer, hands, tmp_path, split):
    class Painter(L.LightningModule):
        rows = "scenes"

        def validation_step(self, batch, index):
            self.log("val/loss", 2.0, batch_size=3)
            self.log("interval/loss", 4.0, batch_size=3)

        def test_step(self, batch, index):
            self.log("test/loss", 3.0, batch_size=3)

    getattr(make_trainer(Scores(tmp_path / "metrics.json")), split)(Painter(), hands, verbose=False)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == {"loss": {"validate": 2, "test": 3}[split], "step": 0, "epoch": 0}


def test_evaluations_do_not_add_up(make_trainer, make_guess, hands, tmp_path):
    scores = Scores(tmp_path / "metrics.json", intersections=0)
    run = make_trainer(scores)
    first = run.validate(make_guess(), hands, verbose=False)
    assert run.validate(make_guess(), hands, verbose=False) == first
    assert scores.scores["skeleton3d"].means["mpjpe_mm"].count[0] == 6


def test_numbers_of_others_stay_in_the_file(make_trainer, make_guess, hands, tmp_path):
    (tmp_path / "metrics.json").write_text('{"minutes": 3.5}')
    make_trainer(Scores(tmp_path / "metrics.json", intersections=0)).validate(make_guess(), hands, verbose=False)
    assert json.loads((tmp_path / "metrics.json").read_text())["minutes"] == 3.5


def test_a_step_that_returns_something_else_is_told_what_is_needed(make_guess, hands, tmp_path):
    with pytest.raises(TypeError, match=r"Guess\.validation_step returned depth.*skeleton3d"):
        Scores(tmp_path / "metrics.json").update(make_guess(), {"depth": {}}, next(iter(hands)))


def test_the_table_fits_eighty_columns():
    names = ("skeleton3d", "skeleton2d", "image", "none", "rest")
    rows = table(
        {f"{metric}/{name}": 123.456 for metric in ("pa_mpvpe_mm", "mirrored_joints_percent") for name in names}
    )
    assert max(map(len, rows.splitlines())) <= 80
    assert rows.splitlines()[1].split() == ["pa_mpvpe_mm", *["123.46"] * 5]
    assert table({"f5/image": 0.5, "apd_mm/none": 3.0, "step": 1}).splitlines() == [
        " " * 31 + "image       none",
        "f5" + " " * 29 + "0.500          -",
        "apd_mm" + " " * 29 + "-       3.00",
    ]


def test_hands_in_pictures_are_logged_beside_the_methods_own_numbers(make_trainer, hands, tmp_path):
    class Finds:
        def masks(self, images):
            return images[:, 0] > 0.5

    class Painter(L.LightningModule):
        rows = "scenes"

        def validation_step(self, batch, index):
            mesh = torch.ones(2, 3, 4, 4)
            return {"images": mesh, "asked": {"text": ["", ""], "mesh": mesh}}

    scores = Scores(tmp_path / "metrics.json")
    scores.segmenter = Finds()
    trainer = make_trainer(scores)
    trainer.validate(Painter(), hands, verbose=False)
    assert float(trainer.callback_metrics["val/hand_iou/made"]) == 1
    assert json.loads((tmp_path / "metrics.json").read_text())["hand_iou/made"] == 1


def test_made_hands_are_compared_with_the_silhouettes_that_were_asked_for(tmp_path):
    class Finds:
        def masks(self, images):
            return images[:, 0] > 0.5

    class Painter(torch.nn.Module):
        rows = "scenes"

    scores = Scores(tmp_path / "metrics.json")
    scores.segmenter = Finds()
    mesh = torch.zeros(2, 3, 4, 4)
    mesh[:, :, :2] = 0.6  # the upper half
    made = torch.zeros(2, 3, 4, 4)
    made[0, :, :2] = made[1, :, :1] = 1  # all of it, and half of it
    scores.update(Painter(), {"images": made, "asked": {"text": ["", ""], "mesh": mesh}, "real": mesh}, None)
    scores.update(Painter(), {"images": made, "asked": {"text": ["", ""]}}, None)  # no mesh, nothing to compare
    scores.update(Painter(), None, None)
    assert scores.hands["made"].compute().item() == 0.75
    assert scores.hands["real"].compute().item() == 1
