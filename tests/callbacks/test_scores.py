"""Scores by condition, in the log, in metrics.json and in a table."""

import json

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from callbacks.scores import Scores, table
from zoo.hands.openhand import OpenHand


def batch(n=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hand = OpenHand()
    vertices = hand.template.float().expand(n, 778, 3) if hasattr(hand, "template") else rest(hand).expand(n, 778, 3)
    vertices = 1.1 * vertices + 0.003 * torch.randn(n, 778, 3, generator=generator) + torch.tensor([0.1, 0.0, 0.6])
    joints = hand.regress(vertices)
    return {
        "image": torch.zeros(0, 3, 32, 32),
        "has_image": torch.zeros(n, dtype=torch.bool),
        "vertices": vertices,
        "has_mesh": torch.ones(n, dtype=torch.bool),
        "joints": joints,
        "joints_valid": torch.ones(n, 21, dtype=torch.bool),
        "joints2d": torch.zeros(n, 21, 2),
        "joints2d_valid": torch.ones(n, 21, dtype=torch.bool),
        "intrinsics": torch.eye(3).expand(n, 3, 3),
        "side": torch.ones(n, dtype=torch.long),
        "index": torch.arange(n),
    }


def rest(hand):
    return hand(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), torch.zeros(1, 3)).vertices


class Guess(L.LightningModule):
    """Returns the truth moved by 3 mm for the 3D skeleton, mirrored for the 2D skeleton, and two shapes for none."""

    def __init__(self):
        super().__init__()
        self.hand = OpenHand()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        return self.weight.sum()

    def validation_step(self, batch, index):
        vertices, joints = batch["vertices"], batch["joints"]
        moved = joints.clone()
        moved[:, 1:, 1] += 0.003
        mirror = torch.tensor([-1.0, 1.0, 1.0])
        free = torch.stack([vertices, 1.2 * vertices], 1)
        return {
            "skeleton3d": {"vertices": vertices[:, None] + 0.2, "joints": moved[:, None] + 0.2},
            "skeleton2d": {"vertices": mirror * vertices[:, None], "joints": mirror * joints[:, None]},
            "none": {"vertices": free, "joints": self.hand.regress(free)},
        }

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def loader(n=2):
    return DataLoader([batch(seed=seed) for seed in range(n)], batch_size=None)


def test_scores_are_logged_written_and_shown(make_trainer, tmp_path, capsys):
    scores = Scores(tmp_path / "run" / "metrics.json")
    run = make_trainer(scores, num_sanity_val_steps=1)
    run.fit(Guess(), loader(), loader())
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["mpjpe_mm/skeleton3d"] == pytest.approx(3 * 20 / 21, rel=1e-3)
    assert written["pa_mpvpe_mm/skeleton3d"] < 1e-3
    assert written["pa_mpvpe_mm/skeleton2d"] < 1e-3  # FreiHAND lets a mirrored hand pass
    assert written["mirrored_percent/skeleton2d"] == 100
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
def test_validate_and_test_write_the_same_names(make_trainer, tmp_path, capsys, split):
    run = make_trainer(Scores(tmp_path / "metrics.json", intersections=0))
    getattr(run, split)(Guess(), loader(), verbose=False)
    prefix = {"validate": "val", "test": "test"}[split]
    assert f"{prefix}/pa_mpvpe_mm/skeleton3d" in run.callback_metrics
    assert "pa_mpvpe_mm/skeleton3d" in json.loads((tmp_path / "metrics.json").read_text())
    assert "pa_mpvpe_mm" in capsys.readouterr().out


def test_evaluations_do_not_add_up(make_trainer, tmp_path):
    scores = Scores(tmp_path / "metrics.json", intersections=0)
    run = make_trainer(scores)
    first = run.validate(Guess(), loader(), verbose=False)
    assert run.validate(Guess(), loader(), verbose=False) == first
    assert scores.scores["skeleton3d"].means["mpjpe_mm"].count[0] == 6


def test_numbers_of_others_stay_in_the_file(make_trainer, tmp_path):
    (tmp_path / "metrics.json").write_text('{"minutes": 3.5}')
    make_trainer(Scores(tmp_path / "metrics.json", intersections=0)).validate(Guess(), loader(), verbose=False)
    assert json.loads((tmp_path / "metrics.json").read_text())["minutes"] == 3.5


def test_a_step_that_returns_something_else_is_told_what_is_needed(tmp_path):
    with pytest.raises(TypeError, match=r"Guess\.validation_step returned depth.*skeleton3d"):
        Scores(tmp_path / "metrics.json").update(Guess(), {"depth": {}}, batch())


def test_the_table_fits_eighty_columns():
    names = ("skeleton3d", "skeleton2d", "image", "none", "rest")
    rows = table({f"{metric}/{name}": 123.456 for metric in ("pa_mpvpe_mm", "mirrored_percent") for name in names})
    assert max(map(len, rows.splitlines())) <= 80
    assert rows.splitlines()[1].split() == ["pa_mpvpe_mm", *["123.46"] * 5]
    assert table({"f5/image": 0.5, "apd_mm/none": 3.0, "step": 1}).splitlines() == [
        " " * 24 + "image        none",
        "f5" + " " * 22 + "0.500           -",
        "apd_mm" + " " * 22 + "-        3.00",
    ]
