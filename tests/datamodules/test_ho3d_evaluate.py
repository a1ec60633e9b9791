"""`evaluate ho3d`: scores of whole files, and sentences for files in other axes and orders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import Oracle, hand_in
from posed_hands import posed_hands
from tiny_ho3d import unlabel

from datamodules.ho3d.data import HO3D
from datamodules.ho3d.evaluate import evaluate
from datamodules.ho3d.files import evaluation_truth
from datamodules.ho3d.official import outgoing
from datamodules.submissions import read_submission, write_submission
from zoo.__main__ import main
from zoo.hands.skeleton import SNAP_TO_MANO_TIPS

N = 10
FLIP = np.float32([1, -1, -1])


@pytest.fixture(scope="session")
def labels():
    """In the project's conventions: OpenCV, SNAP-21."""
    return tuple(part.numpy() for part in posed_hands(N))


@pytest.fixture(scope="session")
def root(labels, tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "HO3D_v3"
    return write(root, labels)


def write(root, labels) -> Path:
    root.mkdir()
    (root / "evaluation.txt").write_text("".join(f"SM1/{i:04d}\n" for i in range(N)))
    for kind, array in zip(("xyz", "verts"), (labels[0][:, SNAP_TO_MANO_TIPS], labels[1]), strict=True):
        (root / f"evaluation_{kind}.json").write_text(json.dumps((array * FLIP).tolist()))
    return root


@pytest.fixture
def score(root, tmp_path):
    def score(joints, vertices, **options):
        return evaluate(write_submission(tmp_path, joints, vertices)[0], root, **options).scores

    return score


def test_hands_of_ours_handed_out_score_perfectly(labels, root, tmp_path):
    for file in write_submission(tmp_path, *outgoing(*labels, None)):
        found = evaluate(file, root)
        assert found.scores["xyz_mean3d"] == pytest.approx(0, abs=1e-4)
        assert found.scores["xyz_scale_trans_al_mean3d"] == pytest.approx(0, abs=1e-4)
        assert found.scores["f_score_5"] == 1
        assert len(found.official) == 14
        assert "HO-3D v3" in found.title
        assert max(map(len, str(found).splitlines())) <= 80


def test_tips_are_the_vertices_that_the_labels_use(labels):
    tips = (1, 2, 3, 4, 5)
    joints, vertices = outgoing(*labels, tips)
    np.testing.assert_array_equal(joints[:, 16:], vertices[:, tips])
    np.testing.assert_array_equal(joints[:, :16], outgoing(*labels, None).joints[:, :16])


def test_shift_and_scale_score_their_closed_form(labels, score):
    joints, vertices = outgoing(*labels, None)
    moved = np.float32([0.01, 0, 0])
    found = score(joints + moved, vertices + moved)
    assert (found["xyz_mean3d"], found["mesh_mean3d"]) == pytest.approx((1, 1), abs=1e-4)
    found = score(1.1 * joints, 1.1 * vertices)
    assert found["xyz_mean3d"] == pytest.approx(10 * np.linalg.norm(joints, axis=-1).mean(), abs=1e-3)
    for name in ("xyz_procrustes_al", "xyz_scale_trans_al", "mesh_al"):
        assert found[f"{name}_mean3d"] == pytest.approx(0, abs=1e-4)


def test_a_longer_bone_from_wrist_to_middle_knuckle_shrinks_the_whole_hand(labels, score):
    joints, vertices = outgoing(*labels, None)
    longer = joints.copy()
    longer[:, 4] += longer[:, 4] - longer[:, 0]
    found = score(longer, vertices)
    others = np.delete(joints - joints[:, :1], 4, axis=1)  # all but the knuckle are now half as far from the wrist
    expected = 100 * np.linalg.norm(others, axis=-1).sum(1).mean() / 2 / 21
    assert found["xyz_scale_trans_al_mean3d"] == pytest.approx(expected, abs=1e-3)


def test_bad_predictions_are_scored(labels, score):
    rng = np.random.default_rng(0)
    joints, vertices = outgoing(*labels, None)
    for bad in (
        (0 * joints, 0 * vertices),
        tuple((p + 0.05 * rng.normal(size=p.shape)).astype(np.float32) for p in (joints, vertices)),
        tuple(np.tile(p.mean(0), (N, 1, 1)) for p in (joints, vertices)),
    ):
        found = score(*bad)
        assert np.isfinite(list(found.values())).all()
        assert len(found) == 18


WRONG = {
    "OpenCV": (lambda j, v: (j * FLIP, v * FLIP), "in OpenCV's axes.*y up and the hand along -z"),
    "SNAP": (lambda j, v: (j[:, np.argsort(SNAP_TO_MANO_TIPS)], v), "in the order of SNAP-21.*SNAP_TO_MANO_TIPS"),
    "both": (
        lambda j, v: (j[:, np.argsort(SNAP_TO_MANO_TIPS)] * FLIP, v),
        "in the order of SNAP-21 and in OpenCV's axes",
    ),
    "millimetres": (lambda j, v: (1000 * j, 1000 * v), "in millimetres"),
    "one short": (lambda j, v: (j[1:], v[1:]), "9 joints, but evaluation.txt of HO-3D v3 has 10 samples"),
}


@pytest.mark.parametrize("name", WRONG)
def test_submissions_written_down_wrongly_are_refused(labels, score, name):
    change, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        score(*change(*outgoing(*labels, None)))


def test_hands_behind_the_camera_are_refused_as_the_server_does(labels, score):
    joints, vertices = outgoing(*labels, None)
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=joints.shape) * 0.1).astype(np.float32)
    with pytest.raises(ValueError, match="every joint has a positive z"):
        score(np.abs(noise) + 0.1, vertices)
    assert score(np.abs(noise) + 0.1, vertices, force=True)


def test_the_version_must_be_the_folders(labels, root, tmp_path):
    file, _ = write_submission(tmp_path, *outgoing(*labels, None))
    assert evaluate(file, root, version="v3").scores
    with pytest.raises(ValueError, match="is HO-3D v3, but --version v2"):
        evaluate(file, root, version="v2")
    assert "HO-3D v2" in evaluate(file, write(tmp_path / "HO3D_v2", labels)).title


def test_labels_that_are_not_there_are_asked_for(labels, tmp_path):
    file, _ = write_submission(tmp_path, *outgoing(*labels, None))
    root = write(tmp_path / "HO3D_v3", labels)
    (root / "evaluation_verts.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"November 2024.*--eval_root"):
        evaluate(file, root)


def test_the_command_writes_the_official_names(labels, root, tmp_path, capsys):
    write_submission(tmp_path, *outgoing(*labels, None))
    out = tmp_path / "out"
    assert main(["evaluate", "ho3d", "--pred", str(tmp_path / "pred.zip"), "--root", str(root), "--out", str(out)]) == 0
    assert "10 samples" in capsys.readouterr().out
    names = [line.partition(":")[0] for line in (out / "scores.txt").read_text().splitlines()]
    assert names == [
        *("xyz_mean3d", "xyz_auc3d", "xyz_procrustes_al_mean3d", "xyz_procrustes_al_auc3d"),
        *("xyz_scale_trans_al_mean3d", "xyz_scale_trans_al_auc3d"),
        *("mesh_mean3d", "mesh_auc3d", "mesh_al_mean3d", "mesh_al_auc3d"),
        *("f_score_5", "f_al_score_5", "f_score_15", "f_al_score_15"),
    ]


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("given", [("skeleton2d",), ("image", "skeleton2d")])
def test_what_a_model_predicts_is_handed_in_with_the_wrist_that_the_dataset_gives(ho3d, tmp_path, labelled, given):
    truth = evaluation_truth(ho3d)
    root = ho3d if labelled else Path(shutil.copytree(ho3d, tmp_path / "HO3D_v3"))
    model = Oracle(given)
    if not labelled:
        unlabel(root)
        joints = (truth.xyz * FLIP)[:, np.argsort(SNAP_TO_MANO_TIPS)]
        model.labels = torch.from_numpy(joints), torch.from_numpy(truth.verts * FLIP)
    hand_in(HO3D(root, size=64), tmp_path, model, "test" if labelled else "predict")
    found = read_submission(tmp_path / "official" / "pred.json", 2, "HO-3D")
    np.testing.assert_allclose(found.joints[:, :16], truth.xyz[:, :16], atol=2e-5)
    np.testing.assert_allclose(found.vertices, truth.verts, atol=2e-5)
    assert (tmp_path / "official" / "scores.txt").is_file() == labelled
    assert evaluate(tmp_path / "official" / "pred.zip", ho3d).scores["mesh_mean3d"] < 0.01
