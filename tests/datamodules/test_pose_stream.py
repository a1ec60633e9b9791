import math

import pytest
import torch

from datamodules.openhand.pose_stream import CropCamera, PoseStream, ViewCone, generator_of
from zoo.hands.camera import denormalize_pixels, place, project
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.metrics.intersection import self_intersections


@pytest.fixture(scope="module")
def stream() -> PoseStream:
    return PoseStream(OpenHand(), PosePrior(), size=96, seed=3)


def upright(*views: float) -> torch.Tensor:
    return ViewCone(turn=0.0, tilt=0.0, views=views).sample(1, torch.Generator().manual_seed(0))[0]


def test_a_batch_is_a_function_of_seed_stream_and_number(stream):
    hands, prior = stream.hand, stream.prior
    first, again = stream.batch(5, 4), PoseStream(hands, prior, size=96, seed=3).batch(5, 4)
    assert all(torch.equal(first[key], again[key]) for key in first)
    others = [
        stream.batch(6, 4),
        PoseStream(hands, prior, 96, 4).batch(5, 4),
        PoseStream(hands, prior, 96, 3, 1).batch(5, 4),
    ]
    assert all(not torch.isclose(first["vertices"], other["vertices"]).any(-1).any() for other in others)


def test_nearby_keys_give_unrelated_numbers():
    draws = [torch.randn(8, generator=generator_of(a, b)) for a in range(3) for b in range(3)]
    assert len(torch.stack(draws).unique()) == 9 * 8


def test_joints_are_regressed_and_their_pixels_projected(stream):
    batch = stream.batch(0, 8)
    torch.testing.assert_close(batch["joints"], stream.hand.regress(batch["vertices"]))
    pixels = project(batch["joints"], batch["intrinsics"])
    torch.testing.assert_close(denormalize_pixels(batch["joints2d"], (96, 96)), pixels, atol=1e-3, rtol=1e-5)
    moved = batch["joints"] - batch["joints"][:, :1]
    found = place(moved, pixels, batch["intrinsics"], torch.ones(8, 21))
    torch.testing.assert_close(found, batch["joints"][:, 0], atol=1e-3, rtol=0)


def test_the_box_of_the_joints_takes_its_share_of_the_crop(stream):
    camera = CropCamera(fill=(0.5, 0.5), shift=0.0)
    box = PoseStream(stream.hand, stream.prior, camera=camera).batch(0, 16)["joints2d"]
    side = (box.amax(1) - box.amin(1)).amax(-1) / 2
    torch.testing.assert_close(side, torch.full((16,), 0.5), atol=1e-4, rtol=0)
    torch.testing.assert_close((box.amax(1) + box.amin(1)) / 2, torch.zeros(16, 2), atol=1e-4, rtol=0)


def test_every_hand_stands_in_front_of_the_camera(stream):
    depth = stream.batch(1, 64)["vertices"][..., 2]
    assert depth.min() > 0.1
    assert depth.mean(1).min() >= 0.34
    assert depth.mean(1).max() <= 1.21


def test_solid_hands_do_not_pass_through_themselves(stream):
    flat = CropCamera(off_axis=0.0)
    drawn = PoseStream(stream.hand, stream.prior, camera=flat, shape_std=0.0, solid=True).draw(0, 12)
    assert self_intersections(drawn.vertices, stream.hand.faces).sum(-1).max() <= 12  # rounding after the turn


def test_nothing_is_masked_and_no_image_is_promised(stream):
    batch = stream.batch(0, 2)
    assert batch["image"].shape == (0, 3, 96, 96)
    assert not batch["has_image"].any()
    assert batch["has_mesh"].all() & batch["joints_valid"].all() & batch["joints2d_valid"].all()
    assert batch["index"].tolist() == [0, 1]


# The rest pose: fingers -x, palm -y, thumb +z. The camera: x right, y down, z away.
FINGERS, PALM, THUMB = torch.tensor([-1.0, 0, 0]), torch.tensor([0.0, -1, 0]), torch.tensor([0.0, 0, 1])


@pytest.mark.parametrize(
    ("views", "palm", "thumb"),
    [
        ((1.0, 0.0, 0.0, 0.0), [0.0, 0, 1], [-1.0, 0, 0]),
        ((0.0, 1.0, 0.0, 0.0), [0.0, 0, -1], [1.0, 0, 0]),
        ((0.0, 0.0, 1.0, 0.0), [-1.0, 0, 0], [0.0, 0, -1]),
        ((0.0, 0.0, 0.0, 1.0), [1.0, 0, 0], [0.0, 0, 1]),
    ],
    ids=["back", "palm", "thumb side", "little finger side"],
)
def test_the_canonical_views_show_a_right_hand_with_fingers_up(views, palm, thumb):
    rotation = upright(*views)
    torch.testing.assert_close(rotation @ FINGERS, torch.tensor([0.0, -1, 0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(rotation @ PALM, torch.tensor(palm), atol=1e-6, rtol=0)
    torch.testing.assert_close(rotation @ THUMB, torch.tensor(thumb), atol=1e-6, rtol=0)


def test_turning_stays_within_its_range_and_in_the_picture_plane():
    rotations = ViewCone(turn=0.3, tilt=0.0, views=(1.0, 0.0, 0.0, 0.0)).sample(500, torch.Generator().manual_seed(0))
    fingers = rotations @ FINGERS
    angle = torch.atan2(fingers[:, 0], -fingers[:, 1])
    torch.testing.assert_close(fingers[:, 2], torch.zeros(500), atol=1e-6, rtol=0)
    assert angle.abs().max() <= 0.3
    assert angle.std() > 0.15


def test_tilting_has_the_stated_deviation():
    rotations = ViewCone(turn=0.0, tilt=0.1, views=(1.0, 0.0, 0.0, 0.0)).sample(4000, torch.Generator().manual_seed(0))
    angle = torch.acos((torch.einsum("nij,ij->n", rotations, upright(1.0, 0.0, 0.0, 0.0)) - 1).clamp(-2, 2) / 2)
    assert abs(angle.square().mean().sqrt() - 0.1 * math.sqrt(2)) < 0.01


def test_a_negative_angle_names_the_flags():
    with pytest.raises(ValueError, match=r"Set --data\.turn"):
        ViewCone(turn=-1.0)


def test_a_bank_holds_solid_poses_and_is_renewed_on_time(stream):
    banked = PoseStream(stream.hand, stream.prior, shape_std=0.0, bank=6, renew=3)
    fingers = [banked.draw(k, 32).rotations[:, 1:].flatten(1) for k in (0, 2, 3)]
    assert len(fingers[0].unique(dim=0)) <= 6
    assert torch.cat(fingers[:2]).unique(dim=0).shape[0] <= 6
    assert not (torch.cdist(fingers[2], fingers[0]) < 1e-6).any()
    again = PoseStream(stream.hand, stream.prior, shape_std=0.0, bank=6, renew=3)
    torch.testing.assert_close(again.draw(3, 32).vertices, banked.draw(3, 32).vertices)
