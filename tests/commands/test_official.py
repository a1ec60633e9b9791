"""What `test` and `predict` hand in: hands of crops, brought back to the cameras of the images."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import Oracle, hand_in
from posed_hands import posed_hands

from datamodules.freihand.data import FreiHAND
from datamodules.freihand.evaluate import evaluate
from datamodules.freihand.writer import Labels
from datamodules.submissions import read_submission
from zoo.commands.official import official_output
from zoo.commands.placing import in_box, on_pixels, resized
from zoo.hands.camera import project

sys.path.insert(0, str(Path(__file__).parents[1] / "datamodules"))
from tiny_freihand import write_freihand

N = 6


@pytest.fixture(scope="module")
def labels():
    """Right and left hands in turn, with another focal length down than across."""
    right, left = posed_hands(N), posed_hands(N, side="left")
    side = torch.arange(N) % 2
    joints, vertices = (torch.where(side[:, None, None] == 1, r, m) for r, m in zip(right, left, strict=True))
    camera = np.tile(np.array([[480, 0, 110], [0, 470, 115], [0, 0, 1]], np.float32), (N, 1, 1))
    return Labels(camera, joints.numpy(), vertices.numpy(), None, side.numpy())


@pytest.fixture(scope="module")
def root(labels, tmp_path_factory):
    root = write_freihand(tmp_path_factory.mktemp("data"), "evaluation", labels, masks=False)
    (root / "openhand.json").write_text("{}")
    return root


def run(root, out, model, *, verb="test", **options):
    hand_in(FreiHAND(root, size=64, batch_size=4, cache=out / "cache"), out, model, verb, **options)


@pytest.mark.parametrize("verb", ["test", "predict"])
@pytest.mark.parametrize("file", ["pred.json", "pred.zip"])
def test_hands_that_are_right_are_handed_in_where_they_were(labels, root, tmp_path, verb, file):
    run(root, tmp_path, Oracle(), verb=verb)
    found = read_submission(tmp_path / "official" / file, N, "FreiHAND")
    np.testing.assert_allclose(found.joints, labels.joints, atol=2e-5)
    np.testing.assert_allclose(found.vertices, labels.vertices, atol=2e-5)


def test_from_the_image_alone_the_box_says_where_the_hand_is(labels, root, tmp_path):
    run(root, tmp_path, Oracle(("image", "skeleton2d", "skeleton3d")))
    found = read_submission(tmp_path / "official" / "pred.json", N, "FreiHAND")
    np.testing.assert_allclose(found.joints, labels.joints, atol=5e-4)


def test_scores_are_printed_and_written_beside_ours(root, tmp_path, capsys):
    run(root, tmp_path, Oracle())
    said = capsys.readouterr().out
    assert "FreiHAND's official evaluation, hands from skeleton2d: 6 samples" in said
    assert "FreiHAND's server takes" in said
    assert max(map(len, said.splitlines())) <= 200
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["official/xyz_mean3d"] < 0.01
    assert (tmp_path / "official/scores.txt").read_text().startswith("xyz_mean3d: 0.0")
    found = evaluate(tmp_path / "official/pred.zip", root, cache=tmp_path / "cache").scores
    assert found["mesh_mean3d"] == pytest.approx(written["official/mesh_mean3d"], abs=1e-3)


def test_the_published_bone_gives_a_hand_its_size_where_asked(labels, root, tmp_path):
    run(root, tmp_path / "with", Oracle(size=1.3), bone=True)
    found = read_submission(tmp_path / "with" / "official" / "pred.json", N, "FreiHAND")
    np.testing.assert_allclose(found.joints, labels.joints, atol=5e-5)
    run(root, tmp_path / "without", Oracle(size=1.3))
    found = read_submission(tmp_path / "without" / "official" / "pred.json", N, "FreiHAND")
    np.testing.assert_allclose(found.joints, 1.3 * labels.joints, atol=5e-4)  # as large, as far


def test_a_part_of_the_samples_is_scored_and_not_handed_in(root, tmp_path, capsys):
    run(root, tmp_path, Oracle(), limit_test_batches=1)
    said = capsys.readouterr().out
    assert "it takes all 6 samples, and 4 were predicted" in said
    assert "a part of the samples: 4 samples" in said
    assert not (tmp_path / "official").exists()


def test_without_labels_everything_comes_from_the_image(labels, tmp_path, capsys):
    root = write_freihand(tmp_path / "data", "evaluation", labels, with_labels=False, masks=False)
    (root / "openhand.json").write_text("{}")
    model = Oracle()
    model.labels = torch.from_numpy(labels.joints), torch.from_numpy(labels.vertices)
    run(root, tmp_path, model, verb="predict")
    assert "hands from: image" in capsys.readouterr().out
    found = read_submission(tmp_path / "official" / "pred.json", N, "FreiHAND")
    assert np.isfinite(found.vertices).all()
    assert (found.joints[..., 2] > 0).all()
    shape = found.joints - found.joints[:, :1]
    np.testing.assert_allclose(shape, labels.joints - labels.joints[:, :1], atol=1e-5)


def test_tips_are_the_datasets(labels, tmp_path):
    tips = [10, 20, 30, 40, 50]
    joints = labels.joints.copy()
    joints[:, 4::4] = labels.vertices[:, tips]
    marked = Labels(labels.intrinsics, joints, labels.vertices, None, labels.side)
    root = write_freihand(tmp_path / "data", "evaluation", marked, masks=False)
    model = Oracle()
    model.hands = lambda batch, hands=model.hands: {k: v * (k != "joints") + 0 for k, v in hands(batch).items()}
    run(root, tmp_path, model)
    found = read_submission(tmp_path / "official" / "pred.json", N, "FreiHAND")
    np.testing.assert_array_equal(found.joints[:, 4::4], found.vertices[:, tips])


def test_only_hands_of_datasets_with_an_official_evaluation_have_one(root, tmp_path):
    from datamodules import COCO, InterHand, OpenHandData

    for data in (FreiHAND(root), InterHand(root), COCO(root)):
        assert official_output(data, tmp_path) is not None
    assert official_output(FreiHAND(root, rows="scenes"), tmp_path) is None
    assert official_output(OpenHandData(root=tmp_path), tmp_path) is None


def test_the_box_and_the_pixels_of_a_hand_say_where_it_is(labels):
    joints = torch.from_numpy(labels.joints)
    pixels = project(joints, torch.from_numpy(labels.intrinsics))
    low, high = pixels.amin(1), pixels.amax(1)
    side, margin, size = (high - low).amax(-1), 1.5, 64
    zoom = size / (margin * side)
    camera = torch.from_numpy(labels.intrinsics).clone()
    camera[:, :2] *= zoom[:, None, None]
    camera[:, :2, 2] += (size - 1) / 2 - zoom[:, None] * (low + high) / 2
    away = torch.tensor([0.3, 0.2, -0.1])
    found = in_box(joints - joints[:, :1] + away, camera, size, margin)
    torch.testing.assert_close(found, joints[:, 0] - away, atol=1e-4, rtol=0)
    seen = 2 * (project(joints, camera) + 0.5) / size - 1
    found = on_pixels(joints - joints[:, :1], seen, torch.ones(N, 21, dtype=torch.bool), camera, size)
    torch.testing.assert_close(found, joints[:, 0], atol=1e-4, rtol=0)


def test_a_hand_without_size_is_placed_somewhere_finite():
    nothing = torch.zeros(2, 21, 3)
    found = in_box(nothing, torch.tensor([[400.0, 0, 32], [0, 400, 32], [0, 0, 1]]).expand(2, 3, 3), 64, 1.5)
    assert found.isfinite().all()
    joints, vertices = resized(nothing, torch.ones(2, 778, 3), torch.tensor([0.03, 0.03]))
    assert joints.isfinite().all()
    assert vertices.amax() == 2
