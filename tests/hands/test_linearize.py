import pytest
import torch

from zoo.hands import OpenHand
from zoo.hands.linearize import joint_points, linearize, mesh_points, solve
from zoo.hands.rotations import axis_angle_to_matrix, compose, random_rotations
from zoo.hands.skeleton import MANO_PARENTS


def state(hand, n: int = 3):
    g = torch.Generator().manual_seed(n)
    rotations = random_rotations(16 * n, g, torch.float64).view(n, 16, 3, 3)
    return rotations, torch.randn(n, 10, generator=g).double(), torch.randn(n, 3, generator=g).double()


@pytest.mark.parametrize("side", ["right", "left"])
def test_points_are_those_of_the_hand(side):
    hand = OpenHand(side).double()
    rotations, betas, transl = state(hand)
    vertices = hand(rotations, betas, transl).vertices
    torch.testing.assert_close(linearize(hand, mesh_points(hand), rotations, betas, transl).points.mT, vertices)
    few = joint_points(hand)
    assert few.bias.shape[1] < 60
    found = linearize(hand, few, rotations, betas, transl).points @ few.to_joints
    torch.testing.assert_close(found.mT, hand.regress(vertices))


@pytest.mark.parametrize("points", [mesh_points, joint_points])
def test_the_jacobian_is_the_derivative(points):
    hand = OpenHand().double()
    rotations, betas, transl = state(hand)
    parts = points(hand)
    found = linearize(hand, parts, rotations, betas, transl)
    step = 1e-6
    for k in range(61):
        moved = []
        for sign in (-step, step):
            delta = torch.zeros(61).double()
            delta[k] = sign
            turned = rotations.clone()
            spin = axis_angle_to_matrix(delta[:48].view(16, 3))
            for joint in range(16):
                if joint == 0:
                    turned[:, 0] = compose(spin[0], rotations[:, 0])
                else:
                    world = found.turns[:, MANO_PARENTS[joint]]
                    turned[:, joint] = world.mT @ spin[joint] @ found.turns[:, joint]
            moved.append(linearize(hand, parts, turned, betas + delta[48:58], transl + delta[58:]).points)
        torch.testing.assert_close(found.jacobian[:, k], (moved[1] - moved[0]) / (2 * step), rtol=1e-5, atol=1e-7)


def test_the_step_solves_and_never_fails():
    g = torch.Generator().manual_seed(0)
    root = torch.randn(4, 7, 9, generator=g).double()
    matrix, right = root @ root.mT, torch.randn(4, 7, generator=g).double()
    found = solve(matrix, right, torch.zeros(4).double())
    torch.testing.assert_close((matrix @ found[..., None])[..., 0], right)
    assert solve(torch.zeros(4, 7, 7), right.float(), torch.zeros(4)).isfinite().all()
    assert (solve(-matrix, right, torch.zeros(4)) == 0).all()
    assert (solve(matrix * torch.nan, right, torch.ones(4)) == 0).all()
