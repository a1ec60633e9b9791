import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from zoo.hands.build.mesh import Skinned, build_mesh
from zoo.hands.build.model import ASSETS, Arrays, build
from zoo.hands.build.shape import SHAPE_NAMES, build_shapes
from zoo.hands.build.source import load_source
from zoo.hands.build.surface import boundary_edges, closest, face_normals
from zoo.hands.skeleton import MANO_PARENTS
from zoo.metrics.intersection import self_intersections


def stored(side: str) -> Arrays:
    with np.load(ASSETS / "openhand" / f"openhand_{side}.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def right() -> Arrays:
    return stored("right")


@pytest.fixture(scope="module")
def hand() -> Skinned:
    return build_mesh(load_source(ASSETS / "generic-hand" / "right.glb"))


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = vertices[faces].swapaxes(0, 1)
    return float((a * np.cross(b, c)).sum() / 6)


def bent(arrays: Arrays, joint: int, degrees: float, corrected: bool) -> np.ndarray:
    """Vertices with one joint turned about the palm's z axis."""
    turn = Rotation.from_rotvec([0, 0, np.radians(degrees)]).as_matrix()
    feature = np.zeros((15, 3, 3))
    feature[joint - 1] = turn - np.eye(3)
    rest = arrays["v_template"] + corrected * arrays["posedirs"] @ feature.ravel()
    moving = [
        j for j in range(16) if joint in (j, MANO_PARENTS[j]) or (j > 1 and MANO_PARENTS[MANO_PARENTS[j]] == joint)
    ]
    share = arrays["weights"][:, moving].sum(1, keepdims=True)
    pivot = arrays["J"][joint]
    return (1 - share) * rest + share * ((rest - pivot) @ turn.T + pivot)


def test_rebuild_gives_the_committed_files():
    for side, arrays in build().items():
        committed = stored(side)
        assert arrays.keys() == committed.keys()
        for key, value in arrays.items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(value, committed[key], atol=1e-6, err_msg=key)
            else:
                np.testing.assert_array_equal(value, committed[key], err_msg=key)


def test_shapes_and_types_are_manos(right: Arrays):
    shapes = {key: value.shape for key, value in right.items() if value.ndim and key not in ("tips", "shape_names")}
    assert shapes == {
        "v_template": (778, 3),
        "shapedirs": (778, 3, 10),
        "posedirs": (778, 3, 135),
        "J_regressor": (16, 778),
        "J": (16, 3),
        "weights": (778, 16),
        "kintree_table": (2, 16),
        "f": (1538, 3),
        "hands_components": (45, 45),
        "hands_mean": (45,),
        "hands_coeffs": (len(right["hands_coeffs"]), 45),
    }
    assert right["kintree_table"][0].tolist() == [2**32 - 1, *MANO_PARENTS[1:]]
    assert (str(right["bs_style"]), str(right["bs_type"])) == ("lbs", "lrotmin")
    assert tuple(right["shape_names"].tolist()) == SHAPE_NAMES


def test_the_surface_is_a_disc_with_sixteen_edges_at_the_wrist(right: Arrays):
    faces = right["f"].astype(int)
    edges = {frozenset(edge) for face in faces.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)}
    assert 778 - len(edges) + 1538 == 1
    following = dict(boundary_edges(faces).tolist())
    assert len(following) == 16
    loop = [next(iter(following))]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    assert len(loop) == 16
    assert (right["v_template"][loop, 0] > 0.005).all()


def test_no_face_is_thin_flipped_or_inside_out(right: Arrays):
    vertices, faces = right["v_template"], right["f"].astype(int)
    a, b, c = vertices[faces].swapaxes(0, 1)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    squares = ((b - a) ** 2 + (c - b) ** 2 + (a - c) ** 2).sum(1)
    assert (4 * np.sqrt(3) * area / squares).min() > 0.4  # 1 for an equilateral face, 0 for a line
    normals = face_normals(vertices, faces)
    owner = {(face[k - 1], face[k]): i for i, face in enumerate(faces.tolist()) for k in range(3)}
    pairs = [(face, owner[b, a]) for (a, b), face in owner.items() if (b, a) in owner]
    left, right_ = np.array(pairs).T
    assert (normals[left] * normals[right_]).sum(1).min() > -0.2
    assert 3.0e-4 < volume(vertices, faces) < 4.0e-4


def test_no_face_passes_through_another_at_rest_or_three_deviations_away(right: Arrays):
    steps = np.concatenate([np.zeros((1, 10)), 3 * np.eye(10), -3 * np.eye(10)])
    vertices = right["v_template"] + np.einsum("vik,nk->nvi", right["shapedirs"], steps)
    hits = self_intersections(torch.tensor(vertices, dtype=torch.float32), torch.tensor(right["f"].astype(np.int64)))
    assert not hits.any()


def test_the_right_hand_points_to_minus_x_with_the_palm_down_and_the_thumb_to_plus_z(right: Arrays):
    joints, tips = right["J"], right["v_template"][right["tips"]]
    np.testing.assert_allclose(joints[0], 0, atol=1e-12)
    assert (tips[:, 0] < joints[[15, 3, 6, 12, 9], 0]).all()
    assert (np.diff(tips[:, 2]) < 0).all()  # thumb, index, middle, ring, pinky
    palm = right["v_template"][right["f"].astype(int)].mean(1)
    under = face_normals(right["v_template"], right["f"].astype(int))[:, 1] < -0.8
    centre = np.abs(palm - joints[4] / 2)[:, 0] < 0.02
    assert palm[under & centre, 1].mean() < palm[~under & centre, 1].mean()
    assert right["weights"][right["tips"]].argmax(1).tolist() == [15, 3, 6, 12, 9]


def test_weights_are_few_and_sum_to_one(right: Arrays):
    weights = right["weights"]
    assert (weights >= 0).all()
    assert ((weights > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)


def test_regressor_finds_the_joints_of_every_shape_to_a_millimetre(right: Arrays, hand: Skinned):
    regressor, moved = right["J_regressor"], build_shapes(hand)
    assert (regressor >= 0).all()
    assert ((regressor > 0).sum(1) <= 60).all()
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-12)
    corners = np.concatenate([np.zeros((1, 10)), np.random.default_rng(0).choice([-3.0, 3.0], (500, 10))])
    vertices = right["v_template"] + np.einsum("vik,nk->nvi", right["shapedirs"], corners)
    found = np.einsum("jv,nvi->nji", regressor, vertices)
    wished = hand.joints + np.einsum("jik,nk->nji", moved.joints, corners)
    assert np.linalg.norm(found - wished, axis=-1).max() < 1e-3
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-8)


@pytest.mark.parametrize(("joint", "degrees"), [(1, 80), (2, 60), (2, 100), (4, 60), (6, 70), (8, 90), (12, 50)])
def test_regressor_finds_a_bent_joint_from_the_skin(right: Arrays, joint: int, degrees: float):
    found = right["J_regressor"][joint] @ bent(right, joint, degrees, corrected=True)
    assert np.linalg.norm(found - right["J"][joint]) < 1.5e-3


def test_shape_directions_do_what_their_names_say(right: Arrays):
    names = right["shape_names"].tolist()
    change = np.einsum("jv,vik->jik", right["J_regressor"], right["shapedirs"])
    span = (
        np.ptp(right["shapedirs"] + right["v_template"][..., None], axis=0)
        / np.ptp(right["v_template"], axis=0)[:, None]
    )
    np.testing.assert_allclose(span[:, names.index("size")], 1.05, atol=1e-6)
    assert change[4, 0, names.index("palm_length")] < -0.002  # the middle knuckle goes to -x
    assert change[1, 2, names.index("palm_width")] > 0 > change[7, 2, names.index("palm_width")]
    assert change[6, 0, names.index("finger_length")] < -0.002
    assert np.abs(change[4, :, names.index("finger_length")]).max() < 3e-4
    assert np.linalg.norm(change[15, :, names.index("thumb_length")]) > 0.002
    outer = change[:, 0, names.index("outer_finger_length")]
    assert outer[3] < 0 < outer[6]
    assert outer[9] < 0 < outer[12]
    for thicker in ("palm_thickness", "finger_thickness", "fingertip_thickness", "joint_prominence"):
        fatter = right["v_template"] + right["shapedirs"][..., names.index(thicker)]
        assert volume(fatter, right["f"].astype(int)) > volume(right["v_template"], right["f"].astype(int))


@pytest.mark.parametrize("joint", [1, 2, 5, 8, 11])
def test_correctives_keep_volume_and_skin_apart_at_right_angles(right: Arrays, joint: int):
    faces = right["f"].astype(int)
    plain, corrected = (bent(right, joint, 90, corrected) for corrected in (False, True))
    lost = [volume(right["v_template"], faces) - volume(vertices, faces) for vertices in (plain, corrected)]
    assert abs(lost[1]) < 0.6 * lost[0]
    both = torch.tensor(np.stack([plain, corrected]), dtype=torch.float32)
    hits = self_intersections(both, torch.tensor(faces)).sum(1)
    assert hits[1] < hits[0]


def test_correctives_are_local_and_vanish_at_rest(right: Arrays):
    posedirs = right["posedirs"].reshape(778, 3, 15, 9)
    away = np.linalg.norm(right["v_template"][:, None] - right["J"][1:], axis=-1)
    for joint in (2, 3, 5, 6, 8, 9, 11, 12, 15):
        touched = np.abs(posedirs[:, :, joint - 1]).max((1, 2)) > 0
        assert away[touched, joint - 1].max() < 0.045


def test_nearest_points_lie_on_the_surface(right: Arrays):
    vertices, faces = right["v_template"], right["f"].astype(int)
    inside = np.array([0.2, 0.3, 0.5])
    points = np.einsum("k,fki->fi", inside, vertices[faces[::97]])
    face, share = closest(points, vertices, faces)
    assert face.tolist() == list(range(0, 1538, 97))
    np.testing.assert_allclose(share, np.tile(inside, (len(points), 1)), atol=1e-9)


def test_smplx_reads_both_files_and_the_left_hand_mirrors_the_right(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import smplx

        (tmp_path / "mano").mkdir()
        models = {}
        for side in ("right", "left"):
            source = ASSETS / "openhand" / f"openhand_{side}.npz"
            shutil.copy(source, tmp_path / "mano" / f"MANO_{side.upper()}.npz")
            models[side] = smplx.create(
                *(str(tmp_path), "mano"), ext="npz", use_pca=False, flat_hand_mean=True, is_rhand=side == "right"
            )
    generator = torch.Generator().manual_seed(0)
    pose, betas = torch.randn(4, 48, generator=generator) / 2, torch.randn(4, 10, generator=generator)
    points, turns = torch.tensor([-1.0, 1, 1]), torch.tensor([1.0, -1, -1]).repeat(16)
    with torch.no_grad():
        right = models["right"](global_orient=pose[:, :3], hand_pose=pose[:, 3:], betas=betas).vertices
        pose = pose * turns
        left = models["left"](global_orient=pose[:, :3], hand_pose=pose[:, 3:], betas=betas).vertices
    torch.testing.assert_close(left, right * points, atol=1e-6, rtol=0)


def test_left_faces_point_outwards_too():
    left = stored("left")
    assert volume(left["v_template"], left["f"].astype(int)) > 3e-4


@pytest.mark.parametrize("name", ["right.glb", "left.glb", "LICENSE.md"])
def test_the_vendored_hand_comes_with_its_licence(name: str):
    assert (ASSETS / "generic-hand" / name).stat().st_size > 0
