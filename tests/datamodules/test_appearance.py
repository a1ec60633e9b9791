import numpy as np
import pytest
import torch

from datamodules.openhand.appearance import ARM, THING, TONES, bones, draw_look, look_up, paint, palm_side
from datamodules.openhand.backgrounds import KINDS, background, green_screen
from datamodules.openhand.forearm import boundary_loop, grow
from datamodules.openhand.occluders import held, in_front, solid
from datamodules.openhand.pictures import Studio, sitting
from datamodules.openhand.shading import Mesh, see
from zoo.hands.openhand import OpenHand

FOCAL = np.array([[110.0, 0, 31.5], [0, 110.0, 31.5], [0, 0, 1]], np.float32)


@pytest.fixture(scope="module")
def hand() -> OpenHand:
    return OpenHand()


@pytest.fixture(scope="module")
def studio(hand) -> Studio:
    return Studio(hand, size=64, backend="torch")


@pytest.fixture(scope="module")
def posed(studio) -> np.ndarray:
    """The rest pose with its back to the camera, fingers up, 0.45 m away."""
    turn = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], np.float32)
    return studio.rest @ turn.T + np.array([0, 0.02, 0.45], np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def edges(faces: np.ndarray) -> np.ndarray:
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def test_tones_reach_from_light_to_dark():
    tones = np.stack([draw_look(np.random.default_rng(i)).tone for i in range(300)]).mean(1)
    assert tones.min() < TONES[-2].mean()
    assert tones.max() > TONES[1].mean()


def test_palms_are_lighter_than_backs_and_most_so_on_dark_skin():
    looks = [draw_look(np.random.default_rng(i)) for i in range(300)]
    gain = np.array([look.palm.mean() / look.tone.mean() for look in looks])
    dark = np.array([look.tone.mean() < 0.4 for look in looks])
    assert gain[dark].mean() > gain[~dark].mean() > 1


def test_the_palm_side_is_what_faces_down_at_rest(studio):
    palmar = palm_side(studio.rest, studio.faces, studio.parts, studio.skeleton)
    assert palmar[studio.rest[:, 1].argmin()] > 0.8
    middle = studio.parts == 4
    top = middle & (studio.rest[:, 1] >= np.quantile(studio.rest[middle, 1], 0.9))
    assert palmar[top].max() < 0.3


def test_nails_sit_on_the_backs_of_the_fingertips(studio):
    points, parts = studio.rest, studio.parts
    gloss = paint(points, studio.palmar, parts, draw_look(rng()), studio.skeleton).gloss
    nails = gloss > 0.3
    assert set(parts[nails]) <= {3, 6, 9, 12, 15}
    assert studio.palmar[nails].max() < 0.5


def test_bones_run_from_joint_to_joint(hand, studio):
    joints = (hand.joint_regressor.numpy() @ studio.rest).astype(np.float32)
    skeleton = bones(joints, studio.rest, studio.parts)
    end = skeleton.start[1] + skeleton.length[1] * skeleton.along[1]
    np.testing.assert_allclose(end, joints[6], atol=1e-6)
    np.testing.assert_allclose((skeleton.along * skeleton.back).sum(1), 0, atol=1e-5)


def test_noise_wraps_around_and_meets_its_samples():
    at = np.array([3.0, 3.0 + 512, 3.0 - 1024], np.float32)
    values = look_up(1, at, at)
    np.testing.assert_allclose(values, values[0])


def test_an_arm_leaves_only_its_far_end_open(posed, studio):
    assert len(studio.loop) == 16
    arm = grow(posed, studio.rest, studio.loop, rng(), bare=1.0)
    faces = np.concatenate([studio.faces, arm.faces])
    assert len(boundary_loop(faces)) == 16
    assert boundary_loop(faces).min() >= 778
    assert not arm.cloth.any()
    directed = {tuple(edge) for edge in edges(faces)}
    assert len(directed) == 3 * len(faces)  # consistent winding: no edge is walked twice the same way


def test_a_sleeve_begins_where_the_bare_arm_ends(posed, studio):
    arm = grow(posed, studio.rest, studio.loop, rng(), bare=0.05)
    assert arm.cloth.any()
    assert arm.rest[arm.cloth, 0].min() >= 0.05
    assert np.isfinite(arm.vertices).all()


@pytest.mark.parametrize("seed", range(8))
def test_things_are_closed_and_turned_outside(seed):
    thing = solid(np.random.default_rng(seed))
    directed = {tuple(edge) for edge in edges(thing.faces)}
    assert all((b, a) in directed for a, b in directed)
    a, b, c = (thing.vertices[thing.faces[:, i]].astype(np.float64) for i in range(3))
    assert (a * np.cross(b, c)).sum() > 0


def test_things_in_front_are_nearer_than_the_hand(hand, posed, studio):
    joints = hand.joint_regressor.numpy() @ posed
    assert in_front(joints, rng()).vertices.mean(0)[2] < joints[:, 2].min()
    assert np.abs(held(joints, rng()).vertices.mean(0) - joints.mean(0)).max() < 0.15


@pytest.mark.parametrize("make", [kind for kind, _ in KINDS] + [green_screen, background])
def test_backgrounds_are_repeatable_and_finite(make):
    picture = make(rng(), 48)
    assert picture.shape == (48, 48, 3)
    assert np.isfinite(picture).all()
    np.testing.assert_array_equal(picture, make(rng(), 48))
    assert not np.array_equal(picture, make(np.random.default_rng(1), 48))


def test_what_is_seen_lies_where_the_mesh_is(posed, studio):
    seen = see(Mesh(posed, studio.rest, studio.palmar, studio.faces, studio.parts), FOCAL, 64, "torch")
    assert seen.mask.sum() == len(seen.parts) == len(seen.points)
    np.testing.assert_allclose(np.linalg.norm(seen.normals, axis=1), 1, atol=1e-3)
    moved = torch.cdist(torch.from_numpy(seen.rest), torch.from_numpy(studio.rest)).min(1).values
    assert moved.max() < 0.012  # a byte and the distance to the nearest vertex
    nearest = torch.cdist(torch.from_numpy(seen.points), torch.from_numpy(posed)).min(1).values
    assert nearest.max() < 0.012


def test_a_sitting_is_repeatable_and_its_mask_is_the_bare_hand(hand, posed, studio):
    joints = (hand.joint_regressor.numpy() @ posed).astype(np.float32)
    first = sitting(studio, posed, joints, FOCAL, ("gs", "sample"), np.random.default_rng(1))
    again = sitting(studio, posed, joints, FOCAL, ("gs", "sample"), np.random.default_rng(1))
    for image, other in zip(first.images, again.images, strict=True):
        np.testing.assert_array_equal(image, other)
    assert first.images[0].shape == (64, 64, 3)
    assert not np.array_equal(*first.images)
    hull = (posed @ FOCAL.T)[:, :2] / posed[:, 2:]
    v, u = np.nonzero(first.mask)
    assert hull[:, 0].min() - 1 <= u.min() <= u.max() <= hull[:, 0].max() + 1
    assert hull[:, 1].min() - 1 <= v.min() <= v.max() <= hull[:, 1].max() + 1


def test_part_ids_of_arm_and_things_follow_the_hands(studio):
    assert studio.parts.max() < ARM < THING
