import numpy as np
import pytest
import torch
from legacy_mano import openhand_arrays, write_legacy
from scipy.optimize import least_squares

from zoo.hands import HandModel, OpenHand
from zoo.hands.mano import Mano
from zoo.hands.parameters import Parameters, fit_parameters
from zoo.hands.poses import PosePrior
from zoo.hands.rotations import axis_angle_to_matrix, compose, random_rotations
from zoo.hands.skeleton import LEFT

PRIOR = PosePrior()


def truth(side: int, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(n)
    fingers = PRIOR.sample(n, g).rotations
    fingers = PRIOR.left(fingers) if side == LEFT else fingers
    rotations = torch.cat((random_rotations(n, g)[:, None], fingers), 1)
    return rotations, torch.randn(n, 10, generator=g), torch.randn(n, 3, generator=g)


def mesh(hand: HandModel, fit: Parameters) -> torch.Tensor:
    return hand(fit.rotations, fit.betas, fit.transl).vertices


@pytest.fixture(params=["right", "left", "mano right", "mano left"])
def hand(request, tmp_path, monkeypatch) -> HandModel:
    side = request.param.split()[-1]
    if request.param == side:
        return OpenHand(side)
    path = write_legacy(monkeypatch, tmp_path / f"MANO_{side.upper()}.pkl", openhand_arrays(side))
    return Mano(path, side, fix_left=False)


def test_a_mesh_of_the_model_gives_its_parameters_back(hand):
    rotations, betas, transl = truth(hand.side, 70)  # more than a chunk
    vertices = hand(rotations, betas, transl).vertices
    fit = fit_parameters(hand, vertices)
    assert (mesh(hand, fit) - vertices).norm(dim=-1).max() < 1e-5
    assert fit.residual.max() < 1e-5
    assert (fit.betas - betas).abs().max() < 0.05
    assert (fit.transl - transl).abs().max() < 1e-4
    assert (fit.rotations - rotations).abs().max() < 0.01
    torch.testing.assert_close(compose(fit.rotations, fit.rotations.mT), torch.eye(3).expand(70, 16, 3, 3))


def test_it_reaches_the_least_squares_of_scipy_on_noisy_meshes():
    hand = OpenHand().double()
    rotations, betas, transl = (x.double() for x in truth(hand.side, 2))
    g = torch.Generator().manual_seed(1)
    noisy = hand(rotations, betas, transl).vertices + 0.004 * torch.randn(2, 778, 3, generator=g)
    fit = fit_parameters(hand, noisy, iterations=30, prior=0.0)
    found = (mesh(hand, fit) - noisy).square().sum((1, 2))
    for i in range(2):

        def residuals(x: np.ndarray, i: int = i) -> np.ndarray:
            x = torch.from_numpy(x)
            turned = compose(rotations[i], axis_angle_to_matrix(x[:48].view(16, 3)))
            return (hand(turned, x[48:58], x[58:]).vertices - noisy[i]).flatten().numpy()

        best = least_squares(residuals, np.r_[np.zeros(58), transl[i].numpy()], method="lm", max_nfev=800)
        assert found[i] < 2 * best.cost * (1 + 1e-5)


def test_noise_of_a_network_moves_the_fit_less_than_itself():
    hand = OpenHand()
    rotations, betas, transl = truth(hand.side, 16)
    vertices = hand(rotations, betas, transl).vertices
    noise = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0))
    for size in (0.003, 0.005):
        fit = fit_parameters(hand, vertices + size * noise)
        apart = (mesh(hand, fit) - vertices).norm(dim=-1).mean(-1)
        assert apart.max() < 0.4 * size
        assert fit.betas.abs().max() < 4
        torch.testing.assert_close(fit.residual, (mesh(hand, fit) - vertices - size * noise).norm(dim=-1).mean(-1))


def test_the_prior_pulls_shapes_to_the_mean():
    hand = OpenHand()
    vertices = hand(*truth(hand.side, 4)).vertices
    noisy = vertices + 0.005 * torch.randn(vertices.shape, generator=torch.Generator().manual_seed(2))
    sizes = [fit_parameters(hand, noisy, prior=prior).betas.norm() for prior in (0.0, 1.0, 100.0, 1e6)]
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3]
    assert sizes[3] < 0.05


def test_a_fit_does_not_depend_on_its_neighbours_or_on_the_place():
    hand = OpenHand()
    vertices = hand(*truth(hand.side, 5)).vertices
    noisy = vertices + 0.002 * torch.randn(vertices.shape, generator=torch.Generator().manual_seed(3))
    together, alone = fit_parameters(hand, noisy), fit_parameters(hand, noisy[2:3] + 0.25)
    torch.testing.assert_close(alone.rotations[0], together.rotations[2], atol=1e-3, rtol=0)
    torch.testing.assert_close(alone.transl[0], together.transl[2] + 0.25, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "vertices",
    [
        torch.zeros(2, 778, 3),
        torch.randn(2, 778, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.1, 0]),
        torch.randn(2, 778, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0, 0]),
        torch.randn(2, 778, 3, generator=torch.Generator().manual_seed(0)) * 1e4,
        OpenHand("left")(torch.eye(3).expand(2, 16, 3, 3), torch.zeros(2, 10), torch.zeros(2, 3)).vertices,
    ],
    ids=["point", "plane", "line", "large", "other hand"],
)
def test_degenerate_meshes_give_finite_rotations(vertices):
    fit = fit_parameters(OpenHand(), vertices, iterations=6)
    assert all(x.isfinite().all() for x in fit)
    torch.testing.assert_close(
        compose(fit.rotations, fit.rotations.mT), torch.eye(3).expand(2, 16, 3, 3), atol=1e-4, rtol=0
    )
    assert (torch.linalg.det(fit.rotations) > 0).all()


def test_rows_that_are_not_finite_rest_and_say_so():
    hand = OpenHand()
    vertices = hand(*truth(hand.side, 3)).vertices
    vertices[1, 5] = torch.nan
    fit = fit_parameters(hand, vertices)
    assert fit.residual.isnan().tolist() == [False, True, False]
    assert fit.residual[::2].max() < 1e-5
    assert all(x.isfinite().all() for x in fit[:3])


def test_it_fits_nothing_and_in_half_precision_and_carries_no_gradient():
    hand = OpenHand()
    empty = fit_parameters(hand, torch.zeros(0, 778, 3))
    assert [tuple(x.shape) for x in empty] == [(0, 16, 3, 3), (0, 10), (0, 3), (0,)]
    vertices = hand(*truth(hand.side, 2)).vertices.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        fit = fit_parameters(hand, vertices)
    assert fit.residual.max() < 1e-5
    assert not any(x.requires_grad for x in fit)
    with pytest.raises(ValueError, match="negative"):
        fit_parameters(hand, vertices, prior=-1.0)
