"""FID and KID: closed forms, torchmetrics' numbers, and what is left of a hand's crop."""

import math

import pytest
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from tests.metrics.noisy_pictures import Flat, Pooled, as_images, blobs
from zoo.metrics.hand_crops import HandCrops
from zoo.metrics.images import FID, FIDH, KID, KIDH, frechet, squared_mmd


def sets(n=200, d=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator)
    real = torch.randn(n, d, generator=generator) @ mix
    return real, 0.7 * torch.randn(n - 20, d, generator=generator) @ mix + 0.5


def fed(metric, real, made, rows=64):
    for is_real, features in ((True, real), (False, made)):
        for part in features.split(rows):
            metric.update(as_images(part), real=is_real)
    return metric


def test_the_distance_of_diagonal_gaussians_is_that_of_their_means_and_deviations():
    a, b = torch.tensor([1.0, 4.0, 0.0]).double(), torch.tensor([9.0, 1.0, 2.0]).double()
    mean = torch.tensor([3.0, 0.0, 4.0]).double()
    expected = 25 + (a.sqrt() - b.sqrt()).square().sum()
    torch.testing.assert_close(frechet(mean, a.diag(), torch.zeros_like(mean), b.diag()), expected)


def test_a_turn_of_both_gaussians_changes_nothing():
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    a, b = torch.tensor([1.0, 4.0, 0.5]).double().diag(), torch.tensor([9.0, 1.0, 2.0]).double().diag()
    zero = torch.zeros(3).double()
    torch.testing.assert_close(frechet(zero, turn @ a @ turn.mT, zero, turn @ b @ turn.mT), frechet(zero, a, zero, b))


def test_fid_is_torchmetrics():
    real, made = sets()
    ours, theirs = FID(Flat(12)), FrechetInceptionDistance(feature=Flat(12))
    torch.testing.assert_close(
        fed(ours, real, made).compute().float(), fed(theirs, real, made).compute(), rtol=1e-4, atol=1e-4
    )


def test_fid_is_torchmetrics_also_with_fewer_pictures_than_features():
    real, made = sets(30, 48)
    ours, theirs = FID(Flat(48)), FrechetInceptionDistance(feature=Flat(48))
    torch.testing.assert_close(
        fed(ours, real, made).compute().float(), fed(theirs, real, made).compute(), rtol=1e-3, atol=1e-3
    )
    assert "fewer than the 48 features" in ours.rule


def test_equal_sets_are_no_distance_apart():
    real, _ = sets()
    assert float(fed(FID(Flat(12)), real, real).compute()) < 1e-6


def test_means_far_from_zero_do_not_drown_the_covariance():
    real, made = sets()
    near, far = FID(Flat(12)), FID(Flat(12))
    torch.testing.assert_close(
        fed(near, real, made).compute(),
        fed(far, real.double() + 1000, made.double() + 1000).compute(),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kid_of_whole_sets_is_torchmetrics():
    real, made = sets()
    real = real[: len(made)]
    ours = KID(Flat(12), subsets=1, size=len(made))
    theirs = KernelInceptionDistance(feature=Flat(12), subsets=1, subset_size=len(made))
    torch.testing.assert_close(
        fed(ours, real, made).compute().mean, fed(theirs, real, made).compute()[0], rtol=1e-4, atol=1e-4
    )


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_kid_of_subsets_has_torchmetrics_mean_and_spread():
    real, made = sets(400, 6)
    ours = KID(Flat(6), subsets=150, size=100)
    theirs = KernelInceptionDistance(feature=Flat(6), subsets=150, subset_size=100)
    mean, std = fed(ours, real, made).compute()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected, spread = fed(theirs, real, made).compute()
    assert float(mean) == pytest.approx(float(expected), abs=4 * float(spread) / 150**0.5)
    assert float(std) == pytest.approx(float(spread), rel=0.3)
    assert fed(KID(Flat(6), subsets=150, size=100), real, made).compute() == (mean, std)


def test_the_discrepancy_is_the_sum_over_pairs():
    a, b = torch.randn(5, 3), torch.randn(5, 3)

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    within = sum(k(s[i], s[j]) for s in (a, b) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(k(x, y) for x in a for y in b) / 25
    assert float(squared_mmd(a, b)) == pytest.approx(within - 2 * across, rel=1e-4, abs=1e-4)


def test_with_fewer_pictures_than_a_subset_half_of_them_are_drawn_and_the_rule_says_so():
    real, made = sets(60, 6)
    metric = fed(KID(Flat(6)), real, made)
    assert math.isfinite(metric.compute().mean)
    assert "subsets of 20 instead of 1000, for there are only 40" in metric.rule


def test_what_exceeds_the_limit_replaces_what_is_kept_with_the_same_chance():
    metric = KID(Flat(3), limit=500)
    for start in range(0, 5000, 37):
        rows = torch.arange(start, min(start + 37, 5000)).float()[:, None].expand(-1, 3)
        metric.update(as_images(rows), real=True)
    kept = metric.real_kept[:, 0]
    assert len(kept.unique()) == 500
    assert float(kept.mean()) == pytest.approx(2500, abs=4 * 5000 / math.sqrt(12 * 500))
    assert "drawn from 500 of them" in metric.rule


def test_what_is_kept_beyond_the_limit_does_not_depend_on_the_batch():
    features = torch.arange(300.0)[:, None].expand(-1, 3)
    one, other = KID(Flat(3), limit=50), KID(Flat(3), limit=50)
    for metric, many in ((one, 7), (other, 64)):
        for rows in features.split(many):
            metric.add(rows, real=True)
    torch.testing.assert_close(one.real_kept, other.real_kept)


@pytest.mark.parametrize("make", [FID, KID])
def test_a_single_picture_has_no_distance(make):
    metric = make(Flat(6))
    metric.update(torch.rand(1, 3, 1, 2), real=True)
    found = metric.compute()
    assert math.isnan(found if make is FID else found.mean)


def test_a_crop_is_a_square_of_half_again_the_box_around_its_middle():
    crops = HandCrops()
    assert crops.square((50.0, 60.0, 90.0, 80.0), 200, 200) == (40, 40, 60)
    assert crops.square((100.0, 100.0, 104.0, 102.0), 200, 200) == (86, 85, 32)  # the smallest


def test_a_square_that_leaves_the_picture_is_moved_and_one_that_is_larger_is_centred():
    crops = HandCrops()
    assert crops.square((0.0, 0.0, 40.0, 40.0), 200, 200) == (0, 0, 60)
    assert crops.square((180.0, 150.0, 200.0, 190.0), 200, 200) == (140, 140, 60)
    assert crops.square((0.0, 0.0, 100.0, 80.0), 100, 200) == (0, -25, 150)


def test_crops_hold_what_is_in_the_square_and_black_beyond():
    image = torch.rand(1, 3, 64, 64)
    found = HandCrops()(image, [torch.tensor([[16.0, 16.0, 48.0, 48.0]])], 48)
    torch.testing.assert_close(found, image[:, :, 8:56, 8:56])
    whole = HandCrops()(image, [torch.tensor([[0.0, 0.0, 64.0, 64.0]])], 96)
    torch.testing.assert_close(whole[:, :, 16:80, 16:80], image)
    assert float(whole.sum()) == pytest.approx(float(image.sum()), rel=1e-5)


def test_shrunk_crops_are_antialiased():
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    image = checks.float().expand(1, 3, 64, 64).contiguous()
    found = HandCrops(margin=1.0)(image, [torch.tensor([[0.0, 0.0, 64.0, 64.0]])], 16)
    assert float((found - 0.5).abs().max()) < 0.1


def test_a_box_outside_of_the_picture_says_what_a_box_is():
    with pytest.raises(ValueError, match="left, top, right, bottom"):
        HandCrops()(torch.rand(1, 3, 64, 64), [torch.tensor([[70.0, 0.0, 90.0, 9.0]])], 16)


def test_fid_h_is_fid_of_the_crops_and_counts_them():
    real, made = blobs(6), blobs(6, seed=1).flip(3)
    boxes = [torch.tensor([[8.0, 8.0, 40.0, 30.0], [20.0, 20.0, 60.0, 60.0]])] * 5 + [torch.zeros(0, 4)]
    crops = HandCrops()
    hands, whole = FIDH(Pooled(), crops), FID(Pooled())
    kernel = KIDH(Pooled(), crops, subsets=3, size=4)
    for images, is_real in ((real, True), (made, False)):
        hands.update(images, is_real, boxes)
        kernel.update(images, is_real, boxes)
        whole.update(crops(images, boxes, 16), is_real)
    torch.testing.assert_close(hands.compute(), whole.compute())
    assert math.isfinite(kernel.compute().mean)
    for metric in (hands, kernel):
        assert "10 real, 10 made" in metric.rule
        assert "1.5 times the longer side, at least 32 px" in metric.rule


def test_pictures_without_hands_add_nothing():
    metric = FIDH(Pooled())
    metric.update(blobs(2), True, [torch.zeros(0, 4)] * 2)
    assert metric.counts() == (0, 0)
