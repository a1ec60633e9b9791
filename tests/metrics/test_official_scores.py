"""The servers' scores: closed forms, and agreement with loops in numpy."""

import numpy as np
import official_loops
import pytest
import torch
from posed_hands import posed_hands

from zoo.metrics.geometry import nearest
from zoo.metrics.neighbours import near
from zoo.metrics.official import FREIHAND, HO3D, OfficialScores, scale_translation, scores_text

MESH, F = ["mesh", "mesh_al"], [f"f_{al}score_{mm}" for mm in (5, 15) for al in ("", "al_")]


def keys(*names):
    return [f"{name}_{measure}3d" for name in (*names, *MESH) for measure in ("mean", "auc")] + F


@pytest.fixture(scope="module")
def hands():
    """Six posed hands half a metre away: joints and meshes."""
    return posed_hands(6)


def scored(joints, vertices, hands, names=FREIHAND):
    scores = OfficialScores(names)
    for rows in (slice(0, 4), slice(4, None)):  # in two batches
        scores.update(joints[rows], vertices[rows], hands[0][rows], hands[1][rows])
    return scores.compute()


@pytest.mark.parametrize(
    ("names", "expected"),
    [(FREIHAND, keys("xyz", "xyz_al")), (HO3D, keys("xyz", "xyz_procrustes_al", "xyz_scale_trans_al"))],
)
def test_the_names_are_the_servers_in_their_order(names, expected):
    assert OfficialScores(names).keys == expected


@pytest.mark.parametrize("names", [FREIHAND, HO3D])
@pytest.mark.parametrize("size", [0.004, 0.02])
def test_scores_are_those_of_plain_loops(hands, names, size):
    generator = torch.Generator().manual_seed(1)
    noisy = [p * 1.05 + size * torch.randn(p.shape, generator=generator) for p in hands]
    expected = official_loops.scores(*noisy, *hands, ho3d=names is HO3D)
    found = scored(*noisy, hands, names)
    assert set(expected) <= set(found)
    for name, value in expected.items():
        # The moved wrist's error is rounding alone, which may or may not be above the first threshold, 0.
        slack = 1 / 21 / 2 / 99 if name == "xyz_scale_trans_al_auc3d" else 0
        assert found[name] == pytest.approx(value, abs=2e-5 + slack), name


def test_the_truth_scores_perfectly(hands):
    found = scored(*hands, hands)
    for name in ("xyz", "xyz_al", "mesh", "mesh_al"):
        assert found[f"{name}_mean3d"] == pytest.approx(0, abs=1e-4)
        assert found[f"{name}_auc3d"] > 0.99  # rounding leaves the first of a hundred thresholds
    assert [found[f"f_{al}score_{mm}"] for al in ("", "al_") for mm in (5, 15)] == [1, 1, 1, 1]
    assert found["mirrored_joints"] == found["mirrored_meshes"] == 0


def test_a_shift_of_a_centimetre_is_one_and_none_after_alignment(hands):
    moved = [p + torch.tensor([0.01, 0, 0]) for p in hands]
    found = scored(*moved, hands, HO3D)
    assert found["xyz_mean3d"] == pytest.approx(1, abs=1e-4)
    assert found["mesh_mean3d"] == pytest.approx(1, abs=1e-4)
    # Of a hundred thresholds up to 5 cm the twentieth (index 20: 10.1 mm) is the first that the shift meets.
    assert found["xyz_auc3d"] == pytest.approx(1 - 19.5 / 99, abs=1e-6)
    for name in ("xyz_procrustes_al", "xyz_scale_trans_al", "mesh_al"):
        assert found[f"{name}_mean3d"] == pytest.approx(0, abs=1e-4)


def test_a_larger_hand_is_right_after_alignment(hands):
    wrist = hands[0][:, :1]
    found = scored(*[(p - wrist) * 1.1 + wrist for p in hands], hands, HO3D)
    expected = 100 * 0.1 * (hands[0] - wrist).norm(dim=-1).mean()
    assert found["xyz_mean3d"] == pytest.approx(float(expected), abs=1e-4)
    for name in ("xyz_procrustes_al", "xyz_scale_trans_al", "mesh_al"):
        assert found[f"{name}_mean3d"] == pytest.approx(0, abs=1e-4)


def test_a_mirrored_hand_is_right_for_the_server_and_counted(hands):
    mirrored = [p * torch.tensor([-1.0, 1, 1]) for p in hands]
    found = scored(*mirrored, hands)
    assert found["xyz_al_mean3d"] == pytest.approx(0, abs=1e-4)
    assert found["xyz_proper_al_mean3d"] > 0.5
    assert found["mesh_proper_al_mean3d"] > 0.5
    assert found["mirrored_joints"] == found["mirrored_meshes"] == 6


def test_zeros_score_the_distance_to_the_camera_and_to_the_centre(hands):
    zeros = [torch.zeros_like(p) for p in hands]
    found = scored(*zeros, hands, HO3D)
    joints, vertices = hands
    assert found["xyz_mean3d"] == pytest.approx(100 * float(joints.norm(dim=-1).mean()), abs=1e-3)
    centred = (joints - joints.mean(1, keepdim=True)).norm(dim=-1).mean()
    assert found["xyz_procrustes_al_mean3d"] == pytest.approx(100 * float(centred), abs=1e-3)
    # Without a bone the server divides by zero; ours only puts the wrist in its place.
    rooted = (joints - joints[:, :1]).norm(dim=-1).mean()
    assert found["xyz_scale_trans_al_mean3d"] == pytest.approx(100 * float(rooted), abs=1e-3)
    assert found["f_score_5"] == found["f_score_15"] == 0
    assert found["f_al_score_15"] < 0.2
    assert found["mesh_al_mean3d"] == pytest.approx(
        100 * float((vertices - vertices.mean(1, keepdim=True)).norm(dim=-1).mean()), abs=1e-3
    )


def test_no_sample_has_no_score():
    assert OfficialScores().compute() == {}


def test_the_bone_alignment_is_that_of_the_bone_asked_for(hands):
    joints = hands[0]
    larger = 2 * joints + 0.3
    torch.testing.assert_close(scale_translation(larger, joints, 0, 9), joints, atol=1e-5, rtol=0)
    longer = joints.clone()
    longer[:, 9] = joints[:, 0] + 2 * (joints[:, 9] - joints[:, 0])
    moved = scale_translation(longer, joints, 0, 9)
    torch.testing.assert_close(moved[:, 9], joints[:, 9], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[:, 5] - moved[:, 0], (joints[:, 5] - joints[:, 0]) / 2, atol=1e-5, rtol=0)


def test_near_neighbours_are_the_nearest_and_far_ones_are_infinite(hands):
    moved = hands[1] + 0.006 * torch.randn(hands[1].shape, generator=torch.Generator().manual_seed(2))
    for exact, found in zip(nearest(moved, hands[1]), near(moved, hands[1], 0.008), strict=True):
        close = exact <= 0.008
        torch.testing.assert_close(found[close].float(), exact[close], atol=1e-6, rtol=0)
        assert found[exact > 0.0081].isinf().all()
    assert near(moved + 1, hands[1], 0.015)[0].isinf().all()
    assert near(moved[:0], hands[1][:0], 0.015)[0].shape == (0, 778)


def test_the_text_is_one_name_and_number_a_line():
    assert (
        scores_text({"xyz_mean3d": 1.5, "f_score_5": np.float64(0.25)}) == "xyz_mean3d: 1.500000\nf_score_5: 0.250000\n"
    )
