"""A method as an estimator of joints: where it looks, and how left hands come back."""

import pytest
import torch
from torch import nn

import checkpoints
from zoo.batch import Hands
from zoo.commands.tasks.estimate import MethodEstimator, middles
from zoo.condition import Condition
from zoo.hands.skeleton import LEFT, RIGHT
from zoo.metrics.detectors import KeypointEstimator


class Eye(nn.Module):
    """Sees every joint where the picture is red."""

    size = 32

    def forward(self, given, batch):
        red = given["image"][:, :1] > 0.5
        heat = torch.where(red, 0.0, -1e4).expand(-1, 21, -1, -1)
        return Condition(heat=heat)


class Conditioner(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.parts = nn.ModuleDict({"image": part} if part else {})


class Seer:
    """Stands for a method: its hand's joints go right, away from the wrist."""

    device = torch.device("cpu")

    def __init__(self, part):
        self.conditioner = Conditioner(part)

    def sample(self, given, n, generator, rows):
        joints = torch.zeros(rows, n, 21, 3)
        joints[..., 0] = 0.5 + torch.arange(21) / 100
        return Hands(vertices=torch.zeros(rows, n, 778, 3), joints=joints)


def estimator(part):
    made = object.__new__(MethodEstimator)  # Seer is no Method
    for name, value in (("method", Seer(part)), ("name", "seer"), ("margin", 1.5), ("hypotheses", 2)):
        object.__setattr__(made, name, value)
    return made


def red(x, y):
    images = torch.zeros(1, 3, 96, 120)
    images[:, 0, y - 3 : y + 4, x - 3 : x + 4] = 1.0
    return images


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_what_is_seen_in_the_crop_comes_back_to_its_pixel_on_either_side(side):
    made = estimator(Eye())
    assert isinstance(made, KeypointEstimator)
    found = made(red(60, 40), torch.tensor([[30.0, 20.0, 80.0, 60.0]]), torch.tensor([side]))
    torch.testing.assert_close(found.joints2d, torch.tensor([60.0, 40.0]).expand(1, 21, 2), rtol=0, atol=1.0)
    assert found.found.tolist() == [True]


def test_left_hands_are_mirrored_back_in_space():
    images, boxes = red(60, 40).expand(2, -1, -1, -1), torch.tensor([[30.0, 20.0, 80.0, 60.0]]).expand(2, 4)
    found = estimator(Eye())(images, boxes, torch.tensor([LEFT, RIGHT]))
    torch.testing.assert_close(found.joints3d[1, :, 0], torch.arange(21) / 100)
    torch.testing.assert_close(found.joints3d[0, :, 0], -torch.arange(21) / 100)


def test_a_method_without_images_names_one_that_has_them():
    with pytest.raises(ValueError, match="hhmr-image"):
        estimator(None)(red(60, 40), torch.tensor([[30.0, 20.0, 80.0, 60.0]]), torch.tensor([RIGHT]))


def test_the_middle_of_a_heat_map_is_its_mean_place():
    heat = torch.full((1, 21, 4, 4), -1e4)
    heat[:, :, 1, 2] = heat[:, :, 1, 3] = 0.0
    torch.testing.assert_close(middles(heat, 16), torch.tensor([11.5, 5.5]).expand(1, 21, 2))


def test_no_pictures_give_no_joints():
    found = estimator(Eye())(torch.zeros(0, 3, 8, 8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert len(found.joints2d) == 0


@pytest.mark.slow
def test_the_shipped_weights_see_joints_in_any_picture():
    made = MethodEstimator(checkpoints.load("hhmr-image"))
    found = made(
        torch.rand(2, 3, 100, 120), torch.tensor([[10.0, 10.0, 90.0, 90.0]]).expand(2, 4), torch.tensor([0, 1])
    )
    assert found.found.all()
    assert found.joints3d.norm(dim=-1).max() < 0.4
