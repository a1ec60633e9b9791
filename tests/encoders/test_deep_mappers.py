"""The deeper mappers, and how pooled vectors come together."""

import pytest
import torch

from zoo.batch import Given
from zoo.encoders import HandConditioner, JointImageMapper, Masking, Skeleton2D, Skeleton3D
from zoo.encoders.readout import Readout

D = 16
OPEN = Masking(modality=0.0, everything=0.0, patch=0.0, finger=0.0, noise_3d=0.0, noise_2d=0.0)


def image_mapper() -> JointImageMapper:
    torch.manual_seed(0)
    return JointImageMapper(D, "resnet18", size=64, width=8, waist=4, hidden=16, depth=1)


def both(masking: Masking = OPEN) -> HandConditioner:
    torch.manual_seed(0)
    return HandConditioner(None, Skeleton2D(D, 32, 0.0, True, 2), Skeleton3D(D, 32, 0.0, True, 1), masking)


def given(rows: int = 3) -> Given:
    return Given(joints=torch.randn(rows, 21, 3), joints2d=torch.randn(rows, 21, 2))


def test_a_heat_peak_is_where_the_joint_tokens_say():
    mapper = image_mapper().eval()
    heat = torch.full((1, 21, 64), -50.0)
    heat[..., 13] = 50.0  # row 1, column 5 of 8
    places = heat.softmax(-1) @ mapper.grid
    torch.testing.assert_close(places[0, 0], torch.tensor([(2 * 5 + 1) / 8 - 1, (2 * 1 + 1) / 8 - 1]))


def test_every_image_gets_one_token_a_joint_and_its_heat():
    made = image_mapper()(Given(image=torch.rand(2, 3, 64, 64), has_image=torch.tensor([True, False, True])), 3)
    assert made.tokens.shape == (3, 1 + 1 + 21, D)
    assert made.heat.shape == (3, 21, 8, 8)
    assert (made.heat[1] == 0).all()
    assert made.mask[:, 0].tolist() == [False, True, False]


def test_images_of_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        JointImageMapper(size=100)


def test_hidden_patches_change_the_tokens():
    mapper = image_mapper().eval()
    image = Given(image=torch.rand(1, 3, 64, 64))
    none = mapper(image, 1, None, lambda m, n, device: torch.ones(m, n, dtype=torch.bool))
    torch.testing.assert_close(none.tokens, mapper(image, 1).tokens)
    some = mapper(image, 1, None, lambda m, n, device: torch.arange(n).expand(m, n) > 0)
    assert (some.pooled - none.pooled).abs().max() > 1e-4


def test_one_condition_alone_keeps_its_pooled_vector_and_two_meet_between():
    net, g = both().eval(), given()
    two, three = (part(g, 3).pooled for part in net.conditioners)
    torch.testing.assert_close(net(Given(joints2d=g["joints2d"]), 3).pooled, two)
    torch.testing.assert_close(net(g, 3).pooled, (two + three) / 2)
    with torch.no_grad():
        net.conditioners[1].trust.fill_(20.0)
    torch.testing.assert_close(net(g, 3).pooled, three)
    assert (net(Given(), 3).pooled == net.nothing).all()


def test_joining_without_masks_is_forward_and_with_them_leaves_out_as_often_as_asked():
    net, g = both().eval(), given(400)
    torch.testing.assert_close(net.join(net.each(g, 400)).pooled, net(g, 400).pooled)
    net = both(Masking(modality=0.5, everything=0.0, finger=0.0)).train()
    mask = net.join(net.each(g, 400)).mask
    absent = mask[:, [0, 23]].float().mean(0)
    assert ((absent - 0.5).abs() < 0.1).all()
    assert not mask[mask[:, 0], 1:23].any()  # a left-out part shows its null token alone


def test_left_out_rows_are_null_rows():
    net, g = both().eval(), given()
    part = net.conditioners[0]
    out = part.left_out(part(g, 3), torch.tensor([True, False, True]))
    assert (out.pooled[1] == 0).all()
    assert out.mask[1].sum() == 1
    torch.testing.assert_close(out.pooled[0], part(g, 3).pooled[0])


def test_a_readout_learns_from_every_mapper_and_from_the_places_of_joints():
    torch.manual_seed(0)
    net = HandConditioner(image_mapper(), Skeleton2D(D, 32, 0.0, True, 1), Skeleton3D(D, 32, 0.0, True, 1), OPEN)
    readout = Readout(D)
    g = given() | Given(image=torch.rand(3, 3, 64, 64))
    valid, rows = torch.ones(3, 21, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    places = g["joints2d"].clamp(-0.9, 0.9)
    for name, condition in net.each(g, 3).items():
        net.zero_grad()
        readout({name: condition}, g["joints"], places, valid, rows).backward()
        learns = {key.split(".")[1] for key, value in net.named_parameters() if value.grad is not None}
        assert learns == {name}
    image = net.conditioners[0]
    readout(net.each(g, 3), g["joints"], places, valid, rows).backward()
    assert image.heat.weight.grad.abs().max() > 0


def test_a_readout_ignores_rows_without_input_labels_or_place():
    readout, net, g = Readout(D), both().eval(), given()
    valid, rows = torch.ones(3, 21, dtype=torch.bool), torch.tensor([True, True, False])
    each = net.each(g, 3)
    before = readout(each, g["joints"], g["joints2d"], valid, rows)
    g["joints"][2] = 100.0
    assert readout(each, g["joints"], g["joints2d"], valid, rows) == before
    nothing = {part.name: part.null(3) for part in net.conditioners}
    assert readout(nothing, g["joints"], g["joints2d"], valid, rows) == 0


def test_the_cross_entropy_of_a_heat_map_is_torchs():
    from zoo.encoders.readout import _cross_entropy

    heat, joints2d = torch.randn(2, 21, 4, 4), 1.8 * torch.rand(2, 21, 2) - 0.9
    cell = ((joints2d + 1) * 2).long()
    expected = torch.nn.functional.cross_entropy(
        heat.flatten(2).flatten(0, 1), (cell[..., 1] * 4 + cell[..., 0]).flatten(), reduction="none"
    )
    torch.testing.assert_close(_cross_entropy(heat, joints2d).flatten(), expected)
