import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.hands import poses as module
from zoo.hands.build.poses import ASSETS, bone_directions, load_recordings, load_rig, solve, tip_residuals
from zoo.hands.build.poses_relax import intersecting_faces
from zoo.hands.build.poses_table import GRASPS, LEFT_OUT, MENDED, THUMB_OVER
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import FILE, PosePrior, reject_intersecting
from zoo.hands.poses_joints import (
    DIP_BAND,
    DIP_SHARE,
    FREE,
    KNUCKLE_GAPS,
    KNUCKLES,
    LIMITS,
    joint_axis_angle,
    joint_rotations,
    limit,
)
from zoo.hands.rotations import axis_angle_to_matrix
from zoo.metrics.intersection import self_intersections

PRIOR = PosePrior()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_limits_hold_whatever_the_angles_and_limiting_twice_changes_little() -> None:
    once = limit(2 * torch.randn(500, 15, 3, generator=seeded()))
    assert ((once >= LIMITS[..., 0] - 1e-5) & (once <= LIMITS[..., 1] + 1e-5)).all()
    assert once[:, ~FREE].abs().max() == 0
    assert torch.rad2deg(limit(once) - once).abs().max() < 2
    middle, end = once[:, 1:12:3, 0], once[:, 2:12:3, 0]
    assert (end - DIP_SHARE * middle).abs().max() <= DIP_BAND + 1e-5
    gaps = once[:, KNUCKLES, 0].diff(dim=1).abs() - torch.tensor(KNUCKLE_GAPS)
    assert torch.rad2deg(gaps).max() < 2


def test_possible_hands_are_left_alone_by_the_limits() -> None:
    assert torch.rad2deg(limit(PRIOR.angles) - PRIOR.angles).abs().max() < 0.5


def test_angles_are_signed_as_said_flex_to_the_palm_and_spread_to_the_thumb() -> None:
    rig = load_rig()
    flexed, spread = torch.zeros(2, 15, 3, dtype=torch.float64)
    flexed[:12:3, 0] = 0.5
    spread[:12:3, 1] = 0.2
    rest = bone_directions(torch.zeros(15, 3, dtype=torch.float64), rig)
    assert (rest[:4, :, 0] < -0.9).all()  # fingers along -x
    assert ((bone_directions(flexed, rig) - rest)[:4, :, 1] < -0.3).all()  # palm at -y
    assert ((bone_directions(spread, rig) - rest)[:4, :, 2] > 0.1).all()  # thumb at +z


def test_matrices_and_axis_angles_are_the_same_rotations() -> None:
    angles = torch.cat([PRIOR.angles, torch.zeros(1, 15, 3)])
    matrices = joint_rotations(angles, PRIOR.axes)
    vectors = joint_axis_angle(angles, PRIOR.axes).view(-1, 15, 3)
    assert (axis_angle_to_matrix(vectors) - matrices).abs().max() < 1e-5
    assert torch.linalg.det(matrices).sub(1).abs().max() < 1e-5


def test_inverse_kinematics_finds_the_angles_of_a_made_up_hand() -> None:
    rig = load_rig()
    angles = PRIOR.angles[::6].double()
    found = solve(bone_directions(angles, rig), rig, steps=25)
    assert (bone_directions(found, rig) - bone_directions(angles, rig)).norm(dim=-1).mean() < 0.01


def test_recorded_fingertips_are_met_within_five_millimetres() -> None:
    rig = load_rig()
    recordings = load_recordings(rig)
    kept = [i for i, names in enumerate(recordings.names) if names[0] not in LEFT_OUT]
    assert len(kept) >= 50
    found = PRIOR.angles[: len(kept)].double()
    assert PRIOR.names[: len(kept)] == tuple(recordings.names[i][0] for i in kept)
    residuals = 1000 * tip_residuals(found, recordings, rig)[kept]
    assert residuals.mean() < 3.5
    assert residuals.median() < 2


def test_decisions_name_recordings_and_say_why() -> None:
    recorded = {names[0] for names in load_recordings(load_rig()).names}
    assert {*MENDED, *THUMB_OVER, *LEFT_OUT} <= recorded
    assert all(why for _, why in MENDED.values())
    assert not recorded & set(GRASPS)
    assert "Stewart Smith" in (ASSETS / "hand-poses" / "LICENSE").read_text()


def test_named_hands_do_not_pass_through_themselves() -> None:
    assert intersecting_faces(PRIOR.angles, PRIOR.axes, OpenHand("right")).max() <= 8


def test_the_same_seed_draws_the_same_hands_and_touches_no_global_state() -> None:
    before = torch.get_rng_state()
    first, again, other = (PRIOR.sample(50, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.rotations, again.rotations)
    assert first.names == again.names
    assert not torch.equal(first.rotations, other.rotations)
    assert torch.equal(before, torch.get_rng_state())
    assert PRIOR.sample(0, seeded()).rotations.shape == (0, 15, 3, 3)


def test_samples_are_limited_hinges_and_cover_what_fingers_do() -> None:
    poses = PRIOR.sample(3000, seeded())
    vectors = poses.axis_angle.view(-1, 15, 3)
    along = (vectors * PRIOR.axes[:, 0]).sum(-1)
    hinges = [1, 2, 4, 5, 7, 8, 10, 11, 14]
    assert (vectors - along[..., None] * PRIOR.axes[:, 0])[:, hinges].norm(dim=-1).max() < 1e-3
    assert ((along >= LIMITS[:, 0, 0] - 1e-3) & (along <= LIMITS[:, 0, 1] + 1e-3))[:, hinges].all()
    assert torch.rad2deg(along[:, :12].std(0)).min() > 14
    assert torch.rad2deg(along[:, 12:].std(0)).min() > 10
    widest = torch.rad2deg(along.quantile(0.98, 0) - along.quantile(0.02, 0))
    assert widest[[0, 3, 6, 9, 1, 4, 7, 10]].min() > 75


def test_every_sample_says_which_named_poses_it_comes_from() -> None:
    names = PRIOR.sample(3000, seeded()).names
    assert all(any(known in name for known in PRIOR.names) for name in names)
    assert set(PRIOR.names) <= set(names)
    assert any(name.startswith("between ") for name in names)
    assert any(" with the " in name for name in names)


def test_aliases_name_the_same_hand_and_unknown_names_are_refused() -> None:
    assert torch.equal(PRIOR.named("peace"), PRIOR.named("asl 2"))
    assert PRIOR.named("fist").shape == (15, 3, 3)
    with pytest.raises(ValueError, match=r"no pose named 'handstand'.*asl a"):
        PRIOR.named("handstand")


def test_left_hands_are_mirror_images() -> None:
    poses = PRIOR.sample(20, seeded())
    mirrored = poses.axis_angle.view(-1, 15, 3) * torch.tensor([1.0, -1.0, -1.0])
    left = PRIOR.left(poses.rotations)
    assert (left - axis_angle_to_matrix(mirrored)).abs().max() < 1e-5
    assert torch.equal(PRIOR.left(left), poses.rotations)


def test_left_out_gestures_are_drawn_by_no_road() -> None:
    gestures = ("fist", "peace", "love", "asl w", "tip pinch")
    prior = PosePrior(leave_out=gestures)
    hidden = prior._features(torch.stack([prior._find(name) for name in gestures]))
    assert torch.cdist(prior._features(prior.angles), hidden).min() >= 10

    def distances(poses: module.Poses) -> Tensor:
        vectors = poses.axis_angle.view(-1, 15, 3)
        flex, spread = ((vectors * prior.axes[:, k]).sum(-1) for k in (0, 1))  # nearly the angles: twist is small
        return torch.cdist(prior._features(torch.stack([flex, spread, 0 * flex], -1)), hidden)

    assert distances(prior.sample(4000, seeded())).min() > 9
    assert distances(PRIOR.sample(4000, seeded())).min(0).values.max() < 9
    assert not {"asl s", "asl 2", "love", "asl w", "tip pinch"} & set(prior.names)
    assert prior.named("fist").shape == (15, 3, 3)
    with pytest.raises(ValueError, match="leaves no pose"):
        PosePrior(leave_out=gestures, similar=1000.0)


def test_rejection_keeps_only_hands_that_pass() -> None:
    model = OpenHand("right")
    poses = reject_intersecting(PRIOR, model, self_intersections, 24, seeded())
    assert len(poses.names) == len(poses.rotations) == len(poses.axis_angle) == 24
    full = torch.cat([torch.eye(3).expand(24, 1, 3, 3), poses.rotations], 1)
    vertices = model(full, torch.zeros(24, 10), torch.zeros(24, 3)).vertices
    assert self_intersections(vertices, model.faces).sum(-1).max() <= 8
    assert reject_intersecting(PRIOR, model, self_intersections, 0, seeded()).names == []


def test_rejecting_everything_is_an_error_not_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUNDS", 2)

    def all_faces(vertices: Tensor, faces: Tensor) -> Tensor:
        return torch.ones(len(vertices), len(faces), dtype=torch.bool)

    with pytest.raises(ValueError, match="tolerate more"):
        reject_intersecting(PRIOR, OpenHand("right"), all_faces, 1, seeded())


def test_components_are_orthonormal_and_explain_the_prior() -> None:
    with np.load(FILE, allow_pickle=False) as stored:
        mean, rows, coefficients, deviation = (
            torch.from_numpy(stored[key]) for key in ("hands_mean", "hands_components", "hands_coeffs", "hands_std")
        )
    assert coefficients.shape == (1554, 45)
    assert (rows @ rows.T - torch.eye(45)).abs().max() < 1e-9
    assert (deviation.diff() <= 1e-9).all()
    poses = PRIOR.sample(2000, seeded(5)).axis_angle.double() - mean
    kept = poses @ rows[:30].T @ rows[:30]
    assert (poses - kept).square().sum() < 0.01 * poses.square().sum()
    assert (coefficients.std(0)[:10] / deviation[:10] - 1).abs().max() < 0.1
