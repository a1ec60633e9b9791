"""Generated pictures are as good as any other data to training, and hands that a method samples are poses."""

import json

import numpy as np
import pytest

from datamodules.freihand.data import FreiHAND
from tests.tiny import untrained
from zoo.__main__ import main
from zoo.commands.factory.poses import SampledPoses
from zoo.hands.skeleton import LEFT

pytestmark = pytest.mark.slow


def test_hhmr_learns_from_a_mixture_with_generated_pictures(painter_weights, tmp_path, capsys):
    out, run = tmp_path / "set", tmp_path / "run"
    words = ["-n", "24", "--steps", "2", "--tas", "off", "--layout", "both", "--device", "cpu"]
    assert main(["generate", "--ckpt", str(painter_weights), "--out", str(out), *words]) == 0
    for name in ("attentionhand", "freihand"):
        assert main(["data", "check", name, "--root", str(out)]) == 0
    model = untrained(tmp_path / "hhmr", images=True) / "model.yaml"
    mixture = [f"--data.{kind}.{name}={value}" for name in ("attentionhand", "freihand")
               for kind, value in (("weights", 1), ("roots", out))]  # fmt: skip
    mixture += ["--data.weights.openhand=1", "--data.options.openhand.images=false"]
    trainer = {"max_steps": 3, "max_time": "null", "accelerator": "cpu", "precision": "32-true", "limit_val_batches": 1,
               "val_check_interval": 3, "log_every_n_steps": 1}  # fmt: skip
    flags = [f"--trainer.{key}={value}" for key, value in trainer.items()]
    words = ["--data.size=64", "--data.batch_size=6", "--data.workers=0", "--tracker=none", f"--out={run}"]
    code = main(["fit", "--model", str(model), "--data", "mix", *mixture, *words, *flags])
    assert code == 0, capsys.readouterr().err
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_sampled_hands_are_poses_whose_parameters_make_their_mesh(painter_weights, tmp_path):
    poses = SampledPoses("hhmr", seed=4, size=128, left=0.5)
    drawn = [poses.draw(index) for index in (17, 3, 18, 17)]
    assert sum(not isinstance(item, str) for item in drawn) >= 3
    posed = {index: item for index, item in zip((17, 3, 18), drawn[:3], strict=True) if not isinstance(item, str)}
    for item in posed.values():
        [(side, hand)] = item.scene.hands.items()
        assert item.scene.hands[side].vertices[:, 2].min() > 0.2
        pixels = hand.joints @ item.scene.intrinsics.T
        pixels = pixels[:, :2] / pixels[:, 2:]
        assert pixels.min() > 0
        assert pixels.max() < 127
    if not isinstance(drawn[0], str):  # another block in between changes nothing
        [first], [again] = drawn[0].scene.hands.values(), drawn[3].scene.hands.values()
        np.testing.assert_array_equal(first.vertices, again.vertices)
    words = ["generate", "--ckpt", str(painter_weights), "--poses", "hhmr", "-n", "4", "--steps", "1", "--tas", "off"]
    assert main([*words, "--device", "cpu", "--layout", "freihand", "--out", str(tmp_path / "o")]) == 0
    assert set(FreiHAND(tmp_path / "o", val_fraction=0.3).training.sides.tolist()) <= {LEFT, 1}
