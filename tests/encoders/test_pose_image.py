"""The image mapper that guesses a skeleton, and the loss that teaches it."""

import math

import pytest
import torch

from zoo.batch import Given
from zoo.condition import Condition
from zoo.encoders import HandConditioner, Masking, PoseImageMapper, Skeleton2D, Skeleton3D
from zoo.encoders.images import Marks
from zoo.encoders.pose_image import around_z, turn
from zoo.encoders.readout import Readout, means

D = 16
SMALL = {"channels": [8, 8, 16, 16], "stem_width": 8}
OPEN = Masking(modality=0.0, everything=0.0, patch=0.0, finger=0.0, noise_3d=0.0, noise_2d=0.0)


def skeleton() -> Skeleton3D:
    return Skeleton3D(D, 32, 0.0, True, 1)


def mapper(**changes: object) -> PoseImageMapper:
    torch.manual_seed(0)
    return PoseImageMapper(skeleton(), options=SMALL, width=8, waist=4, hidden=16, depth=1, **{"size": 64} | changes)


def test_an_image_speaks_as_the_skeleton_that_it_is_taken_for():
    image, part = mapper().eval(), skeleton().eval()
    image.adopt(part)
    seen = image(Given(image=torch.rand(2, 3, 64, 64)), 2)
    same = part(Given(joints=seen.joints * part.scale), 2)
    torch.testing.assert_close(seen.tokens, same.tokens)
    torch.testing.assert_close(seen.pooled, same.pooled)
    torch.testing.assert_close(image.null(2).tokens, part.null(2).tokens)
    assert image.trust == part.trust


@pytest.mark.parametrize("part", [Skeleton3D(D, 48, 0.0, True, 1), Skeleton2D(D, 32, 0.0, True, 1)])
def test_skeletons_of_another_shape_are_not_adopted(part):
    image = mapper()
    before = {name: value.clone() for name, value in image.state_dict().items()}
    image.adopt(part)
    assert all((value == before[name]).all() for name, value in image.state_dict().items())


def test_the_wrist_is_the_origin_of_the_guess():
    joints = mapper()(Given(image=torch.rand(2, 3, 64, 64)), 2).joints
    assert joints.shape == (2, 21, 3)
    assert (joints[:, 0] == 0).all()
    assert (joints[:, 1:] != 0).all()


def test_rows_without_an_image_get_zeros_and_the_null_token():
    has = torch.tensor([True, False, True])
    made = mapper()(Given(image=torch.rand(2, 3, 64, 64), has_image=has), 3)
    assert made.tokens.shape == (3, 1 + 22, D)
    assert made.heat.shape == (3, 21, 16, 16)
    assert (made.joints[1] == 0).all()
    assert made.mask[:, 0].tolist() == [False, True, False]
    assert not made.mask[1, 1:].any()


def test_hidden_patches_do_not_matter():
    image, pictures = mapper().eval(), torch.rand(1, 3, 64, 64)
    hidden = image.encode(pictures, lambda n, p, device: torch.zeros(n, p, dtype=torch.bool))
    other = image.encode(1 - pictures, lambda n, p, device: torch.zeros(n, p, dtype=torch.bool))
    torch.testing.assert_close(hidden.joints, other.joints)
    assert (image.encode(pictures).joints - hidden.joints).abs().max() > 1e-5


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of 32"):
        mapper(size=100)


def test_the_mean_of_a_heat_map_is_where_its_cell_is():
    heat = torch.full((1, 21, 4, 8), -50.0)
    heat[..., 1, 5] = 50.0
    torch.testing.assert_close(means(heat)[0, 0], torch.tensor([(2 * 5 + 1) / 8 - 1, (2 * 1 + 1) / 4 - 1]))


def test_means_and_the_mapper_agree_on_places():
    image, heat = mapper(), torch.randn(2, 21, 16, 16)
    torch.testing.assert_close(means(heat), heat.flatten(2).softmax(-1) @ image.grid)


def test_the_readout_teaches_everything_but_the_reader():
    image = mapper()
    net = HandConditioner(image, None, None, OPEN)
    valid, rows = torch.ones(2, 21, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    each = net.each(Given(image=torch.rand(2, 3, 64, 64)), 2)
    Readout(D)(each, torch.randn(2, 21, 3), torch.rand(2, 21, 2) - 0.5, valid, rows).backward()
    untaught = {name.split(".")[0] for name, weight in image.named_parameters() if weight.grad is None}
    assert untaught == {"reader", "kind", "null_token", "trust"}


def test_the_places_of_joints_are_taught_in_proportion_to_their_weight():
    image = mapper()
    each = HandConditioner(image, None, None, OPEN).each(Given(image=torch.rand(2, 3, 64, 64)), 2)
    joints, places = torch.randn(2, 21, 3), torch.rand(2, 21, 2) - 0.5
    valid, rows = torch.ones(2, 21, dtype=torch.bool), torch.ones(2, dtype=torch.bool)
    none, one, two = (Readout(D, place=w)(each, joints, places, valid, rows) for w in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two - one, one - none)
    assert one > none


def test_a_shrunk_image_is_seen_as_a_small_one():
    image, small = mapper(size=128, seen=64).eval(), mapper(size=64).eval()
    picture = torch.rand(1, 3, 64, 64)
    large = picture.repeat_interleave(2, 2).repeat_interleave(2, 3)
    made = image(Given(image=large), 1)
    assert made.heat.shape == (1, 21, 16, 16)
    blurred = torch.nn.functional.interpolate(large, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(made.tokens, small(Given(image=blurred), 1).tokens)
    with pytest.raises(ValueError, match=r"image\.seen"):
        mapper(size=128, seen=48)


def usable(made: Condition) -> list[torch.Tensor]:
    """The tokens that a denoiser would see, row by row."""
    return [tokens[mask] for tokens, mask in zip(made.tokens, made.mask, strict=True)]


def test_a_denoiser_notices_the_image_branch_only_where_there_is_an_image():
    torch.manual_seed(0)
    two, three, image = Skeleton2D(D, 32, 0.0, True, 1), skeleton(), mapper()
    image.adopt(three)
    with_image = HandConditioner(image, two, three, OPEN).eval()
    without = HandConditioner(None, two, three, OPEN).eval()
    g = Given(joints=torch.randn(3, 21, 3), joints2d=torch.randn(3, 21, 2))
    for some in (g, Given(joints=g["joints"]), Given(joints2d=g["joints2d"]), Given()):
        for ours, theirs in zip(usable(with_image(some, 3)), usable(without(some, 3)), strict=True):
            torch.testing.assert_close(ours, theirs)
    pictures = Given(image=torch.rand(2, 3, 64, 64), has_image=torch.tensor([True, False, True]))
    guess = image(pictures, 3).joints * three.scale
    told = Given(joints=guess, joints_valid=torch.tensor([True, False, True])[:, None].expand(-1, 21))
    made, same = with_image(pictures, 3), without(told, 3)
    torch.testing.assert_close(made.pooled, same.pooled, atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(usable(made), usable(same), strict=True):
        torch.testing.assert_close(ours[ours[:, 0].argsort()], theirs[theirs[:, 0].argsort()], atol=1e-5, rtol=1e-4)


def test_what_a_turned_image_shows_is_turned_clockwise():
    image = torch.zeros(1, 3, 32, 32)
    image[..., 4, 16] = 1.0  # above the middle
    row, column = (int(i) for i in (turn(image, math.pi / 2)[0, 0] == turn(image, math.pi / 2).max()).nonzero()[0])
    assert abs(row - 16) <= 1
    assert column > 24  # right of it
    assert (torch.tensor([0.0, -1, 0]) @ around_z(math.pi / 2, image).T)[0] > 0.99


def test_guesses_of_turned_images_are_turned_back(monkeypatch):
    views = []

    def brightest(self, image, marks=None):
        """Every joint where the image is bright, as a mean place."""
        views.append(len(image))
        line = (2 * torch.arange(64) + 1) / 64 - 1
        bright = image[:, 0] - image[:, 0].amin()
        x, y = ((bright * axis).sum((1, 2)) / bright.sum((1, 2)) for axis in (line, line[:, None]))
        joints = torch.stack([x, y, 0.5 * torch.ones_like(x)], -1)
        return torch.zeros(len(image), 21, 16, 16), joints[:, None].expand(-1, 21, 3)

    monkeypatch.setattr(PoseImageMapper, "look", brightest)
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., 20:24, 44:50] = 1.0
    image = mapper(turns=(-30.0, 40.0, 90.0)).eval()
    made = image(Given(image=picture), 1)
    torch.testing.assert_close(made.joints, mapper().eval()(Given(image=picture), 1).joints, atol=5e-3, rtol=0)
    image.train()(Given(image=picture), 1)
    assert views == [4, 1, 1]  # no extra views while training


def marked(image: torch.Tensor, places: torch.Tensor, known: torch.Tensor) -> Given:
    return Given(image=image, joints2d=places, joints2d_valid=known)


def test_joints_whose_places_are_known_are_not_looked_for():
    image, pictures, places = mapper().eval(), torch.rand(2, 3, 64, 64), torch.rand(2, 21, 2) - 0.5
    every, none = torch.ones(2, 21, dtype=torch.bool), torch.zeros(2, 21, dtype=torch.bool)
    free = image(Given(image=pictures), 2).joints
    unknown = image(marked(pictures, places * torch.nan, none), 2).joints
    torch.testing.assert_close(unknown, free)
    found = image(marked(pictures, places, every), 2).joints
    assert (found - free).abs().amax((1, 2)).min() > 1e-4
    one = every.clone()
    one[:, 4:] = False
    some = image(marked(pictures, places, one), 2).joints
    assert ((some - free).abs().amax((1, 2)) > 1e-5).all()
    assert ((some - found).abs().amax((1, 2)) > 1e-5).all()


def test_a_mark_that_agrees_with_a_sharp_heat_map_changes_nothing():
    image, pictures = mapper().eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        image.heat.weight.mul_(1e8)  # one cell each
    heat, free = image.look(pictures)
    places = image.grid[heat.flatten(2).argmax(-1)]
    _, found = image.look(pictures, Marks(places, torch.ones(2, 21, dtype=torch.bool)))
    torch.testing.assert_close(found, free, atol=1e-5, rtol=1e-4)


def test_marks_are_turned_with_the_views_and_go_to_the_rows_with_images(monkeypatch):
    seen = []

    def look(self, image, marks=None):
        seen.append(marks)
        return torch.zeros(len(image), 21, 16, 16), torch.zeros(len(image), 21, 3)

    monkeypatch.setattr(PoseImageMapper, "look", look)
    places = torch.rand(3, 21, 2) - 0.5
    given = Given(image=torch.rand(2, 3, 64, 64), has_image=torch.tensor([True, False, True]), joints2d=places)
    image = mapper(turns=(90.0,)).eval()
    image(given, 3)
    image.train()(given, 3)
    assert seen.pop() is None  # training leaves conditions out, each for itself
    kept = places[[0, 2]]
    quarter = torch.stack([-kept[..., 1], kept[..., 0]], -1)  # clockwise where y points down
    torch.testing.assert_close(seen[0].places, torch.cat([kept, quarter]))
    assert seen[0].known.shape == (4, 21)
