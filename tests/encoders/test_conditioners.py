import pytest
import torch

from zoo.batch import Given
from zoo.condition import Condition, stack
from zoo.encoders import HandConditioner, ImageMapper, Masking, Skeleton2D, Skeleton3D

D = 16
NO_MASKING = Masking(modality=0.0, everything=0.0, patch=0.0, finger=0.0, noise_3d=0.0, noise_2d=0.0)


def image_mapper() -> ImageMapper:
    return ImageMapper(D, "resnet18", size=64, depth=1, heads=2, width=16)


def conditioner(masking: Masking = NO_MASKING, image: bool = False, per_joint: bool = True) -> HandConditioner:
    torch.manual_seed(0)
    return HandConditioner(
        image_mapper() if image else None,
        Skeleton2D(D, 32, 0.0, per_joint),
        Skeleton3D(D, 32, 0.0, per_joint),
        masking,
    )


def given(rows: int = 3) -> Given:
    return Given(joints=torch.randn(rows, 21, 3), joints2d=torch.randn(rows, 21, 2))


def same(a: Condition, b: Condition) -> bool:
    """Whether a network could not tell the two apart."""
    if not torch.allclose(a.pooled, b.pooled, atol=1e-6):
        return False
    rows = zip(a.tokens, a.mask, b.tokens, b.mask, strict=True)
    return all(torch.allclose(x[m], y[n], atol=1e-6) for x, m, y, n in rows if m.sum() == n.sum())


def test_every_row_has_a_usable_token_whatever_is_missing():
    net = conditioner().eval()
    nothing = torch.zeros(3, 21, dtype=torch.bool)
    for g in (Given(), given(), Given(joints=torch.randn(3, 21, 3), joints_valid=nothing)):
        condition = net(g, 3)
        assert condition.mask.any(dim=1).all()
        assert condition.tokens.shape[:2] == condition.mask.shape


def test_nothing_given_is_the_null_condition():
    net = conditioner().eval()
    assert same(net(Given(), 3), net.null(3))


def test_a_skeleton_without_a_valid_joint_is_absent():
    net = conditioner().eval()
    unseen = Given(joints2d=torch.randn(3, 21, 2), joints2d_valid=torch.zeros(3, 21, dtype=torch.bool))
    assert same(net(unseen, 3), net.null(3))


def test_a_3d_skeleton_may_stand_anywhere():
    net, g = conditioner().eval(), given()
    moved = Given(joints=g["joints"] + torch.tensor([1.0, -2.0, 3.0]), joints2d=g["joints2d"])
    torch.testing.assert_close(net(g, 3).tokens, net(moved, 3).tokens, rtol=1e-3, atol=1e-3)


def test_what_an_invalid_joint_holds_does_not_matter():
    net, g = conditioner().eval(), given()
    valid = torch.ones(3, 21, dtype=torch.bool)
    valid[:, 5:9] = False
    g = Given(joints2d=g["joints2d"], joints2d_valid=valid)
    other = Given(joints2d=g["joints2d"].masked_fill(~valid[..., None], 77.0), joints2d_valid=valid)
    assert same(net(g, 3), net(other, 3))


def test_hiding_joints_changes_the_condition():
    net, g = conditioner().eval(), given()
    valid = torch.ones(3, 21, dtype=torch.bool)
    valid[:, 5:9] = False
    hidden = Given(joints=g["joints"], joints2d=g["joints2d"], joints2d_valid=valid)
    assert (net(g, 3).pooled - net(hidden, 3).pooled).abs().max() > 1e-4


@pytest.mark.parametrize(("per_joint", "tokens"), [(False, 4), (True, 46)])
def test_a_skeleton_is_one_token_or_one_a_joint_and_each_modality_has_a_null_token(per_joint, tokens):
    assert conditioner(per_joint=per_joint).eval()(given(), 3).tokens.shape == (3, tokens, D)


def test_masking_everything_leaves_the_null_condition():
    net = conditioner(Masking(everything=1.0)).train()
    assert same(net(given(), 3), net.null(3))


def test_no_masking_is_the_same_in_training_and_out_of_it():
    net, g = conditioner(), given()
    assert same(net.train()(g, 3), net.eval()(g, 3))


def test_modalities_are_dropped_as_often_as_asked():
    keep = Masking(modality=0.3, everything=0.1).keep(["a", "b"], 100_000, torch.device("cpu"))
    assert abs(keep["a"].float().mean() - 0.9 * 0.7) < 0.01
    both_lost = (~keep["a"] & ~keep["b"]).float().mean()
    assert abs(both_lost - (0.1 + 0.9 * 0.09)) < 0.01


def test_fingers_are_hidden_whole_or_from_a_joint_outwards_and_the_wrist_never():
    rows = Given(joints=torch.randn(4000, 21, 3), joints2d=torch.randn(4000, 21, 2))
    out = Masking(finger=0.4).disturb(rows)
    for key in ("joints_valid", "joints2d_valid"):
        fingers = out[key][:, 1:].unflatten(1, (5, 4)).flatten(0, 1).int()
        assert out[key][:, 0].all()
        assert (fingers.diff(dim=-1) <= 0).all()  # nothing is shown beyond a hidden joint
        shown = fingers.sum(-1).bincount(minlength=5) / len(fingers)
        assert torch.allclose(shown, torch.tensor([0.2, 0.2 / 3, 0.2 / 3, 0.2 / 3, 0.6]), atol=0.02)
    assert (out["joints_valid"] != out["joints2d_valid"]).any()


def test_single_joints_are_hidden_at_a_rate_of_their_skeleton_and_the_wrist_never():
    shown = Masking(finger=0.0, joint=0.5).disturb(Given(joints=torch.zeros(4000, 21, 3)))["joints_valid"]
    hidden = 1 - shown[:, 1:].float().mean(1)
    assert shown[:, 0].all()
    assert abs(hidden.mean() - 0.25) < 0.01
    spread = 0.5**2 / 12 + (0.25 - 0.5**2 / 3) / 20  # of the rates, and of twenty draws at each
    assert abs(hidden.var() - spread) < 0.003
    assert Masking(finger=0.0).disturb(Given(joints=torch.zeros(9, 21, 3)))["joints_valid"].all()


def test_noise_is_uniform_in_its_spread_up_to_what_was_asked_and_the_input_is_left_alone():
    joints = torch.zeros(5000, 21, 3)
    out = Masking(noise_3d=0.005).disturb(Given(joints=joints))["joints"]
    spread = out[:, 1:].flatten(1).std(1)  # of each skeleton
    assert abs(spread.mean() - 0.0025) < 1e-4
    assert abs(spread.square().mean().sqrt() - 0.005 / 3**0.5) < 1e-4
    assert spread.max() < 0.0072
    assert (out[:, 0] == 0).all()
    assert (joints == 0).all()


def test_unlabelled_joints_stay_unlabelled():
    valid = torch.zeros(4, 21, dtype=torch.bool)
    out = Masking(finger=0.0).disturb(Given(joints2d=torch.zeros(4, 21, 2), joints2d_valid=valid))
    assert not out["joints2d_valid"].any()


def test_images_are_computed_only_for_rows_that_have_one():
    net = conditioner(image=True).eval()
    images, has = torch.rand(2, 3, 64, 64), torch.tensor([False, True, False, True])
    sizes = []
    net.parts["image"].backbone.register_forward_hook(lambda m, args, out: sizes.append(len(args[0])))
    condition = net(Given(image=images, has_image=has), 4)
    assert sizes == [2]
    alone = net(Given(image=images[1:], has_image=torch.tensor([True])), 1)
    assert same(Condition(*(f[3:] for f in condition.fields()[:3])), alone)
    nothing = net.null(1)
    assert same(Condition(*(f[:1] for f in condition.fields()[:3])), nothing)


def test_a_batch_without_images_never_calls_the_backbone():
    net = conditioner(image=True).eval()
    net.parts["image"].backbone.register_forward_hook(lambda *_: pytest.fail("the backbone ran"))
    empty = Given(image=torch.zeros(0, 3, 64, 64), has_image=torch.zeros(3, dtype=torch.bool))
    assert same(net(empty, 3), net.null(3))


def test_masked_patches_do_not_matter():
    mapper, images = image_mapper().eval(), torch.rand(1, 3, 64, 64)
    hidden = mapper.encode(images, lambda n, p, device: torch.zeros(n, p, dtype=torch.bool)).tokens
    other = mapper.encode(1 - images, lambda n, p, device: torch.zeros(n, p, dtype=torch.bool)).tokens
    torch.testing.assert_close(hidden, other)
    assert (mapper.encode(images)[0] - mapper.encode(1 - images)[0]).abs().max() > 1e-4


def test_an_image_of_another_size_names_the_flag():
    with pytest.raises(ValueError, match=r"--data\.size 64"):
        image_mapper()(Given(image=torch.rand(1, 3, 32, 32)), 1)


def test_the_published_image_branch_has_64_patches_and_a_global_token():
    mapper = ImageMapper().eval()
    assert mapper.patches == 64
    assert mapper.encode(torch.rand(1, 3, 256, 256))[0].shape == (1, 65, 512)


def test_a_conditioner_needs_a_part_and_one_width():
    with pytest.raises(ValueError, match="has no part"):
        HandConditioner()
    with pytest.raises(ValueError, match="dims differ"):
        HandConditioner(None, Skeleton2D(8), Skeleton3D(16))


def test_repeating_a_condition_keeps_the_rows_of_a_sample_together():
    c = conditioner().eval()(given(2), 2)
    torch.testing.assert_close(c.repeat(3).tokens[:3], c.tokens[:1].expand(3, -1, -1))


def test_two_spatial_controls_are_refused():
    c = Condition(control=torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="takes one"):
        stack([c, c])
