import math
from functools import partial

import pytest
import torch

from zoo.batch import Given, HandBatch
from zoo.denoisers import MeshUNet
from zoo.encoders import HandConditioner, ImageMapper, Masking, Skeleton2D, Skeleton3D
from zoo.guidance import ClassifierFree
from zoo.hands.openhand import OpenHand
from zoo.hands.rotations import random_rotations
from zoo.models import HHMR
from zoo.models.hhmr import conditions_of, only
from zoo.samplers import DDIM, DDPM

SMALL = {
    "sizes": (64, 16), "widths": (8, 16, 24), "blocks": 1, "heads": 2, "self_attention": (2,),
    "cross_attention": (0, 2), "condition": 16, "time": 32, "pooled": True, "dropout": 0.0,
}  # fmt: skip
NO_MASKING = Masking(modality=0.0, everything=0.0, finger=0.0, noise_3d=0.0, noise_2d=0.0)
HAND = OpenHand()


def model(image: bool = False, masking: Masking = NO_MASKING, **changes: object) -> HHMR:
    torch.manual_seed(0)
    parts = HandConditioner(
        ImageMapper(16, "resnet18", size=32, depth=1, heads=2, width=16) if image else None,
        Skeleton2D(16, 64, 0.0, True),
        Skeleton3D(16, 64, 0.0, True),
        masking,
    )
    return HHMR(parts, partial(MeshUNet, **SMALL), **changes)


def batch(rows: int = 4, images: int = 0, seed: int = 0) -> HandBatch:
    g = torch.Generator().manual_seed(seed)
    rotations = torch.eye(3).repeat(rows, 16, 1, 1)
    rotations[:, 0] = random_rotations(rows, g)
    vertices = HAND(rotations, torch.randn(rows, 10, generator=g), torch.tensor([0.0, 0, 0.5]).expand(rows, 3)).vertices
    joints = HAND.regress(vertices)
    centre = joints.mean(1, keepdim=True)
    return HandBatch(
        image=torch.rand(images, 3, 32, 32, generator=g),
        has_image=torch.arange(rows) < images,
        vertices=vertices,
        has_mesh=torch.ones(rows, dtype=torch.bool),
        joints=joints,
        joints_valid=torch.ones(rows, 21, dtype=torch.bool),
        joints2d=(joints - centre)[..., :2] / 0.15,
        joints2d_valid=torch.ones(rows, 21, dtype=torch.bool),
        intrinsics=torch.eye(3).expand(rows, 3, 3),
        side=torch.ones(rows, dtype=torch.long),
        index=torch.arange(rows),
    )


def test_the_signal_has_its_wrist_at_zero_and_about_unit_spread():
    signal = model().normalized(batch(16)["vertices"])
    assert HAND.regress(signal)[:, 0].abs().max() < 1e-5
    assert 0.4 < signal.std() < 1.2


def test_a_sample_stands_on_its_wrist_and_its_joints_are_regressed_from_it():
    hands = model().eval().sample(conditions_of(batch()), n=3)
    assert hands["vertices"].shape == (4, 3, 778, 3)
    assert hands["joints"][..., 0, :].abs().max() < 1e-6
    torch.testing.assert_close(hands["joints"], HAND.regress(hands["vertices"]), rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_hands_and_hypotheses_differ():
    net, given = trained(), conditions_of(batch())
    a, b = (net.sample(given, n=2, generator=torch.Generator().manual_seed(1))["vertices"] for _ in range(2))
    torch.testing.assert_close(a, b)
    assert (a[:, 0] - a[:, 1]).abs().max() > 1e-5


def test_hypotheses_computed_together_are_those_computed_alone():
    net, given = trained(), conditions_of(batch())
    together = net.sample(given, n=2, generator=torch.Generator().manual_seed(1))["vertices"]
    noise = torch.randn(8, 778, 3, generator=torch.Generator().manual_seed(1))
    condition = net.conditioner(given, 4)
    with torch.no_grad():
        alone = net.sampler(net.denoise(condition), noise[::2], net.schedule) * net.scale
    torch.testing.assert_close(together[:, 0], alone - HAND.regress(alone)[:, :1], rtol=1e-3, atol=1e-5)


def test_nothing_given_needs_the_number_of_hands():
    with pytest.raises(ValueError, match="batch_size"):
        model().sample(Given())
    assert model().eval().sample(Given(), batch_size=2)["vertices"].shape == (2, 1, 778, 3)


@pytest.mark.parametrize("sampler", [DDIM(3), DDIM(3, eta=1.0), DDPM(3)], ids=str)
def test_every_sampler_serves(sampler):
    assert model(sampler=sampler).eval().sample(conditions_of(batch()))["vertices"].isfinite().all()


def test_classifier_free_guidance_changes_hands_and_scale_one_does_not():
    net, given = trained(), conditions_of(batch())

    def sample(scale: float | None) -> torch.Tensor:
        net.guidance = [] if scale is None else [ClassifierFree(scale)]
        return net.sample(given, generator=torch.Generator().manual_seed(0))["vertices"]

    plain = sample(None)
    torch.testing.assert_close(sample(1.0), plain)
    assert (sample(3.0) - plain).abs().max() > 1e-4
    net.guidance = []
    unconditional = net.sample(Given(), batch_size=4, generator=torch.Generator().manual_seed(0))["vertices"]
    torch.testing.assert_close(sample(0.0), unconditional, rtol=1e-3, atol=1e-5)


def test_images_and_pose_only_rows_train_together_and_reach_every_weight():
    net = model(image=True)
    losses = net.step_losses(batch(4, images=2), torch.tensor([10, 200, 600, 999]), torch.randn(4, 778, 3))
    torch.stack(list(losses.values())).sum().backward()
    # Zero-initialised layers hold back the gradient of what lies behind them in the very first step.
    reached = {name for name, p in net.named_parameters() if p.grad is not None}
    unreached = {name for name, _ in net.named_parameters()} - reached
    assert unreached <= {"conditioner.parts.image.hidden"}  # masked patches do not occur without masking
    assert net.conditioner.parts["image"].out.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_trains_and_agrees_roughly(dtype):
    net, data = model(image=True).eval(), batch(4, images=2)
    t, noise = torch.tensor([10, 200, 600, 999]), torch.randn(4, 778, 3)
    whole = net.step_losses(data, t, noise)["data"]
    with torch.autocast("cpu", dtype):
        half = net.step_losses(data, t, noise)["data"]
    half.backward()
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.05, atol=0.01)
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_rows_without_a_mesh_are_not_learned_from():
    net, data = model(), batch(2)
    data["has_mesh"] = torch.tensor([True, False])
    t, noise = torch.tensor([5, 5]), torch.randn(2, 778, 3)
    before = net.step_losses(data, t, noise)["data"]
    data["vertices"] = torch.cat([data["vertices"][:1], 9 * data["vertices"][1:]])
    torch.testing.assert_close(net.step_losses(data, t, noise)["data"], before)


def test_meshes_of_another_topology_are_refused_with_the_flag():
    net, data = model(), batch()
    net.on_validation_batch_start(data, 0)
    data["vertices"] = data["vertices"][:, torch.randperm(778, generator=torch.Generator().manual_seed(0))]
    with pytest.raises(ValueError, match=r"--model\.hand Mano"):
        net.on_validation_batch_start(data, 0)


def test_times_prefer_noise_when_asked():
    u = torch.rand(20000)
    assert abs((1 - u**1.0).mean() - 0.5) < 0.01
    assert abs((1 - u**3.0).mean() - 0.75) < 0.01


_TRAINED: list[HHMR] = []


def trained() -> HHMR:
    """A small model after 150 steps on four hands; it knows them by heart."""
    if not _TRAINED:
        net, data = model(masking=Masking(0.4, 0.1, 0.0, 0.0, 0.0, 0.0)), batch()
        optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
        for step in range(150):
            torch.manual_seed(step)
            t = torch.randint(0, 1000, (16,))
            many = HandBatch(**{k: v.repeat(4, *[1] * (v.dim() - 1)) for k, v in data.items()})
            losses = net.step_losses(many, t, torch.randn(16, 778, 3))
            optimizer.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] = 4e-3 * (1 + math.cos(math.pi * step / 150)) / 2 + 1e-5
        _TRAINED.append(net.eval())
    _TRAINED[0].guidance = []
    return _TRAINED[0]


@pytest.mark.parametrize("condition", ["skeleton3d", "skeleton2d"])
def test_it_learns_the_hand_that_a_condition_asks_for(condition):
    net, data = trained(), batch()
    hands = net.sample(only(conditions_of(data), condition), generator=torch.Generator().manual_seed(0))
    truth = data["vertices"] - HAND.regress(data["vertices"])[:, :1]
    error = (hands["vertices"][:, 0] - truth).norm(dim=-1).mean()
    swapped = (hands["vertices"][:, 0] - truth.roll(1, 0)).norm(dim=-1).mean()
    assert error < 0.03
    assert error < 0.4 * swapped


def test_predicting_uses_everything_that_the_batch_gives():
    net = trained()
    everything = net.predict_step(batch(), 0)["vertices"]
    given = net.sample(conditions_of(batch()), generator=torch.Generator().manual_seed(0))["vertices"]
    torch.testing.assert_close(everything, given)


def test_it_learns_the_hand_that_an_image_shows():
    net, data = model(image=True, masking=Masking(0.4, 0.1, 0.2, 0.0, 0.0, 0.0)), batch(4, images=4)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for step in range(200):
        torch.manual_seed(step)
        many = HandBatch(**{k: v.repeat(3, *[1] * (v.dim() - 1)) for k, v in data.items()})
        losses = net.step_losses(many, torch.randint(0, 1000, (12,)), torch.randn(12, 778, 3))
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        for group in optimizer.param_groups:  # what it learns must not hang on the last few steps
            group["lr"] = 2e-3 * (1 + math.cos(math.pi * step / 200)) / 2 + 1e-5
    given = only(conditions_of(data), "image")
    hands = net.eval().sample(given, generator=torch.Generator().manual_seed(0))
    truth = data["vertices"] - HAND.regress(data["vertices"])[:, :1]
    error = (hands["vertices"][:, 0] - truth).norm(dim=-1).mean()
    swapped = (hands["vertices"][:, 0] - truth.roll(1, 0)).norm(dim=-1).mean()
    assert error < 0.04
    assert error < 0.5 * swapped
