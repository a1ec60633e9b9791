import numpy as np
import torch
from scipy.optimize import minimize as peer
from scipy.optimize import rosen, rosen_der

from zoo.hands.lbfgs import minimize


def rosenbrock(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    values = x.numpy()
    return torch.from_numpy(rosen(values.T)), torch.from_numpy(rosen_der(values.T).T)


def test_it_finds_what_scipy_finds_from_many_starts():
    start = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double()
    found = minimize(rosenbrock, start, 500, 1e-14)
    for row, x, loss in zip(start, found.x, found.loss, strict=True):
        best = peer(rosen, row.numpy(), jac=rosen_der, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9})
        assert abs(loss - best.fun) < 1e-8
        assert np.abs(x.numpy() - best.x).max() < 1e-3


def test_rows_do_not_know_of_each_other():
    start = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)).double()
    together = minimize(rosenbrock, start, 25)
    for i in range(8):
        torch.testing.assert_close(minimize(rosenbrock, start[i : i + 1], 25).x[0], together.x[i])


def test_badly_scaled_quadratics_are_solved_each_by_its_own_curvature():
    g = torch.Generator().manual_seed(2)
    size = 10.0 ** torch.arange(-3, 3).double()[:, None] * (1 + torch.rand(6, 5, generator=g).double() * 20)
    goal = torch.randn(6, 5, generator=g).double()

    def problem(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        apart = x - goal[rows]
        return (size[rows] * apart.square()).sum(1) / 2, size[rows] * apart

    found = minimize(problem, torch.zeros(6, 5).double(), 100, 1e-14)
    torch.testing.assert_close(found.x, goal, atol=1e-4, rtol=0)


def test_it_steps_back_from_infinity_and_leaves_hopeless_rows():
    def problem(x: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss = x[:, 0] - 10 * x[:, 0].log()
        return torch.where(x[:, 0] > 0, loss, torch.inf), 1 - 10 / x

    found = minimize(problem, torch.tensor([[0.01], [3.0], [-1.0]]), 60)
    torch.testing.assert_close(found.x[:2], torch.full((2, 1), 10.0), atol=0.05, rtol=0)
    assert found.x[2] == -1
    assert found.loss[2] == torch.inf
    assert minimize(problem, torch.zeros(0, 1), 3).x.shape == (0, 1)
