"""FreiHAND's parameters posed by the hand model: they meet the stored meshes, joints and pixels."""

import shutil

import numpy as np
import pytest
import torch
from tiny_freihand import write_freihand

from datamodules.freihand.files import FreiHANDPart
from datamodules.freihand.mano import parameters
from datamodules.freihand.writer import Labels, mano_rows
from datamodules.hand_models import pose_hands
from zoo.hands.camera import project
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import axis_angle_to_matrix

N = 6
MODELS = {0: OpenHand("left"), 1: OpenHand("right")}


def write(root, focal):
    """Right and left hands in turn; parameters as FreiHAND stores them."""
    generator = torch.Generator().manual_seed(0)
    turns = 0.4 * torch.randn(N, 16, 3, generator=generator)
    betas = torch.randn(N, 10, generator=generator)
    transl = torch.tensor([0.01, -0.02, 0.6]) + 0.03 * torch.randn(N, 3, generator=generator)
    side = torch.arange(N) % 2
    vertices, joints, pose = torch.zeros(N, 778, 3), torch.zeros(N, 21, 3), turns.reshape(N, 48).clone()
    for which, model in MODELS.items():
        rows = side == which
        with torch.no_grad():
            vertices[rows] = model(axis_angle_to_matrix(turns[rows]), betas[rows], transl[rows]).vertices
        joints[rows] = model.regress(vertices[rows])
        pose[rows, 3:] -= model.hands_mean
    camera = np.tile(np.array([[focal[0], 0, 112], [0, focal[1], 110], [0, 0, 1]], np.float32), (N, 1, 1))
    mano = mano_rows(pose.numpy(), betas.numpy(), joints.numpy(), camera)
    labels = Labels(camera, joints.numpy(), vertices.numpy(), mano, side.numpy())
    return FreiHANDPart(write_freihand(root, "evaluation", labels, masks=False), "evaluation")


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    return write(tmp_path_factory.mktemp("freihand"), (480.0, 480.0))


def posed(part):
    poses = [parameters(part, sample, MODELS) for sample in range(N)]
    return pose_hands(MODELS, part.sides.tolist(), poses)


def test_parameters_meet_meshes_joints_and_pixels(part):
    vertices, joints = posed(part)
    np.testing.assert_allclose(vertices.numpy(), part.arrays["verts"].array, atol=2e-5)  # 20 micrometres
    np.testing.assert_allclose(joints.numpy(), part.arrays["xyz"].array, atol=2e-5)
    pixels = project(joints, torch.tensor(np.array(part.arrays["K"].array)))
    stored = np.einsum("nij,nkj->nki", part.arrays["K"].array, part.arrays["xyz"].array)
    np.testing.assert_allclose(pixels.numpy(), stored[..., :2] / stored[..., 2:], atol=0.05)


def test_fingers_are_relative_to_the_mean_pose_and_the_root_is_not(part):
    assert np.abs(MODELS[1].hands_mean.numpy()).max() > 0.1  # else this test says nothing
    for sample in range(N):
        found, stored = parameters(part, sample, MODELS).rotations.reshape(48), part.mano(sample).pose
        mean = MODELS[int(part.sides[sample])].hands_mean.numpy()
        np.testing.assert_allclose(found[:3], stored[:3], atol=1e-6)
        np.testing.assert_allclose(found[3:], stored[3:] + mean, atol=1e-6)


def test_a_list_of_parameters_of_another_length_is_refused(part, tmp_path):
    root = shutil.copytree(part.root, tmp_path / "copy")
    (root / f"{part.part}_mano.json").write_text("[]")
    with pytest.raises(ValueError, match=r"_mano\.json has 0 entries where \w+_K\.json has 6"):
        FreiHANDPart(root, part.part).mano(0)


def test_two_focal_lengths_leave_some_millimetres_as_the_format_does(tmp_path):
    part = write(tmp_path, (492.0, 468.0))
    vertices, _ = posed(part)
    stored = part.arrays["verts"].array
    error = np.linalg.norm(vertices.numpy() - stored, axis=-1)
    assert 1e-4 < error.max() < 5e-3
    shape = vertices.numpy() - vertices.numpy().mean(1, keepdims=True)
    np.testing.assert_allclose(shape, stored - stored.mean(1, keepdims=True), atol=2e-5)
