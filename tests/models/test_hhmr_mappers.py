"""The mappers' own loss, and batches of which few rows are denoised."""

import pytest
import torch

from tests.models.test_hhmr import batch, model


def test_rows_that_are_not_denoised_still_train_the_mappers():
    net, data = model(mapper_loss=1.0, denoised=2), batch(8)
    t, noise = torch.tensor([3, 700]), torch.randn(2, 778, 3)
    losses = net.step_losses(data, t, noise)
    some = {key: value[[0, 4]] if isinstance(value, torch.Tensor) and len(value) == 8 else value
            for key, value in data.items()}  # fmt: skip
    few = net.step_losses(some, t, noise)
    torch.testing.assert_close(losses["data"], few["data"])  # rows 0 and 4 of 8 are denoised
    assert (losses["mapper"] - few["mapper"]).abs() > 1e-4


def test_the_mappers_loss_trains_mappers_and_not_the_denoiser():
    net = model(mapper_loss=1.0)
    net.step_losses(batch(4), torch.tensor([3, 700, 20, 999]), torch.randn(4, 778, 3))["mapper"].backward()
    assert all(p.grad is None for p in net.denoiser.parameters())
    assert all(part.mapper[0].weight.grad.abs().max() > 0 for part in net.conditioner.conditioners)


def test_the_mappers_loss_is_weighted_and_absent_at_zero():
    data, t, noise = batch(4), torch.tensor([3, 700, 20, 999]), torch.randn(4, 778, 3)
    one, two = (model(mapper_loss=w).step_losses(data, t, noise)["mapper"] for w in (1.0, 2.0))
    torch.testing.assert_close(two, 2 * one)
    assert "mapper" not in model().step_losses(data, t, noise)


def test_leaving_rows_without_any_loss_is_refused():
    with pytest.raises(ValueError, match=r"--model\.mapper_loss"):
        model(denoised=2)


def test_without_denoised_rows_only_the_mappers_are_trained():
    net, data = model(mapper_loss=1.0, denoised=0), batch(4)
    losses = net.step_losses(data, torch.zeros(0, dtype=torch.long), torch.zeros(0, 778, 3))
    assert set(losses) == {"mapper"}
    losses["mapper"].backward()
    assert all(p.grad is None for p in net.denoiser.parameters())
