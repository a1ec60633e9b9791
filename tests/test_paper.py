"""The published setting at its full size learns from a tiny batch, with and without images, and samples."""

import pytest
import torch

import zoo
from datamodules.openhand.pose_stream import PoseStream
from zoo.batch import Given
from zoo.commands.bench_flops import flops
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.models.hhmr import conditions_of
from zoo.registry import find

pytestmark = pytest.mark.slow  # 54 million parameters


@pytest.mark.parametrize("images", [True, False])
def test_the_published_size_learns_from_a_tiny_batch_and_samples(images):
    torch.manual_seed(0)
    model = zoo.create("hhmr-paper", **{"sampler.steps": 2})
    batch = PoseStream(OpenHand(), PosePrior(), size=256).batch(0, 2)
    if images:
        batch["has_image"] = torch.tensor([False, True])
        batch["image"] = torch.rand(1, 3, 256, 256)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    model.eval()  # nothing is dropped, so that the loss of the same noise must fall
    t, noise = torch.tensor([500, 900]), torch.randn(2, 778, 3)
    losses = []
    for _ in range(3):
        loss = torch.stack(list(model.step_losses(batch, t, noise).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert any("denoiser.middle" in name for name in moved)
    assert any("backbone" in name for name in moved) == images
    for given in (conditions_of(batch), Given()):
        hands = model.sample(given, n=2, batch_size=2)
        assert hands["vertices"].shape == (2, 2, 778, 3)
        assert hands["vertices"].isfinite().all()


def test_the_card_states_the_operations_that_are_counted():
    model, card = zoo.create("hhmr-paper"), find("model", "hhmr-paper").with_suffix(".md").read_text()
    for images, name in ((False, "from skeletons"), (True, "from an image too")):
        counted = [flops(model, 1, images, training) / 1e9 for training in (False, True)]
        assert f"| {name} | {counted[0]:.3g} GFLOP | {counted[1]:.3g} GFLOP |" in card
