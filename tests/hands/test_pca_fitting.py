import numpy as np
import pytest
import torch
from scipy.optimize import minimize as peer

from zoo.hands import OpenHand
from zoo.hands.camera import project
from zoo.hands.linearize import joint_points
from zoo.hands.pca import PCAPrior
from zoo.hands.pca_fitting import Weights, _Problem, _starts, fit_2d
from zoo.hands.rotations import random_rotations
from zoo.metrics.alignment import procrustes


@pytest.fixture(scope="module", params=["right", "left"])
def prior(request) -> PCAPrior:
    return PCAPrior(OpenHand(request.param), samples=400)


def scene(prior: PCAPrior, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(n)
    place = torch.randn(n, 1, 3, generator=g) * 0.05 + torch.tensor([0.0, 0, 0.6])
    vertices = prior.sample(n, g, random_rotations(n, g)) + place
    intrinsics = torch.tensor([[500.0, 0, 128], [0, 500, 120], [0, 0, 1]]).expand(n, 3, 3)
    return vertices, project(prior.hand.regress(vertices), intrinsics), torch.ones(n, 21), intrinsics


def errors(found: torch.Tensor, vertices: torch.Tensor) -> torch.Tensor:
    return (procrustes(found, vertices).points - vertices).norm(dim=-1).mean(1)


@pytest.mark.parametrize(("method", "steps"), [("lm", 25), ("lbfgs", 40)])
def test_exact_keypoints_give_the_hand_back(prior, method, steps):
    vertices, pixels, confidence, intrinsics = scene(prior, 8)
    fit = fit_2d(prior, pixels, confidence, intrinsics, restarts=8, steps=steps, method=method)
    assert fit.pixel_error.mean() < 0.5
    assert errors(fit.vertices, vertices).median() < 0.003
    assert errors(fit.vertices, vertices).mean() < 0.006
    torch.testing.assert_close(prior.hand(*fit.posed).vertices, fit.vertices)
    torch.testing.assert_close(prior.hand.regress(fit.vertices), fit.joints)


def test_wild_and_missing_keypoints_do_not_spoil_the_fit(prior):
    vertices, pixels, confidence, intrinsics = scene(prior, 12)
    clean = pixels.clone()
    pixels[:, 7] += 150  # wild, and believed
    confidence[:, 12] = 0
    pixels[:, 12] = torch.nan
    fit = fit_2d(prior, pixels, confidence, intrinsics, restarts=8, steps=25, method="lm")
    apart = (project(fit.joints, intrinsics) - clean).norm(dim=-1)
    assert apart.median() < 2
    assert errors(fit.vertices, vertices).median() < 0.006


def test_restarts_lower_the_loss(prior):
    _, pixels, confidence, intrinsics = scene(prior, 12)
    one, many = (
        fit_2d(prior, pixels, confidence, intrinsics, restarts=n, steps=20, method="lm").loss.mean() for n in (1, 12)
    )
    assert many < one


def test_plain_noise_is_not_taken_for_mistakes(prior):
    vertices, pixels, confidence, intrinsics = scene(prior, 12)
    box = (pixels.amax(1) - pixels.amin(1)).amax(-1)[:, None, None]
    seen = pixels + 0.04 * box * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    off = []
    for outlier in (0.05, 0.2, 1e3):  # the last: squares alone
        weights = Weights(noise=0.04, outlier=outlier)
        off.append(errors(fit_2d(prior, seen, confidence, intrinsics, 4, 20, weights, "lm").vertices, vertices).mean())
    assert off[0] == off[1]
    assert off[0] < 1.1 * off[2]


def test_hands_of_which_nothing_is_seen_stay_at_the_mean(prior):
    _, pixels, confidence, intrinsics = scene(prior, 3)
    for method in ("lm", "lbfgs"):
        fit = fit_2d(prior, pixels, 0 * confidence, intrinsics, steps=5, method=method)
        assert fit.vertices.isfinite().all()
        assert fit.posed.betas.abs().max() < 1e-3
        assert fit.pixel_error.max() == 0
        few = confidence.clone()
        few[:, 2:] = 0
        assert fit_2d(prior, pixels, few, intrinsics, steps=5, method=method).vertices.isfinite().all()
    assert fit_2d(prior, pixels[:0], confidence[:0], intrinsics[:0]).vertices.shape == (0, 778, 3)
    with pytest.raises(ValueError, match="restarts"):
        fit_2d(prior, pixels, confidence, intrinsics, restarts=0)


@pytest.mark.parametrize("redescending", [False, True])
def test_the_loss_falls_as_its_gradient_says_and_ends_where_scipy_ends(redescending):
    prior = PCAPrior(OpenHand().double(), samples=100)
    _, pixels, confidence, intrinsics = (x.double() for x in scene(PCAPrior(OpenHand(), samples=100), 2))
    root, numbers = _starts(prior, pixels, confidence, intrinsics, 2)
    weights = Weights(noise=0.02)
    points = joint_points(prior.hand)
    problem = _Problem(prior, points, root, numbers, pixels, confidence, intrinsics, weights, redescending)
    rows = torch.arange(4)
    x = 0.1 * torch.randn(numbers.shape, generator=torch.Generator().manual_seed(0)).double()
    loss, gradient = problem.evaluate(x, rows)
    again, half, _ = problem.model(x, rows)
    torch.testing.assert_close(loss, again)
    torch.testing.assert_close(gradient, 2 * half)
    for k in range(prior.size):
        step = torch.zeros(prior.size).double()
        step[k] = 1e-6
        slope = (problem.evaluate(x + step, rows)[0] - problem.evaluate(x - step, rows)[0]) / 2e-6
        torch.testing.assert_close(gradient[:, k], slope, rtol=1e-4, atol=1e-4)

    def alone(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = problem.evaluate(torch.from_numpy(x)[None], rows[:1])
        return float(loss[0]), gradient[0].numpy()

    best = peer(alone, np.zeros(prior.size), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    _, loss = problem.marquardt(torch.zeros_like(numbers), 50)
    assert loss[0] < best.fun * 1.01
