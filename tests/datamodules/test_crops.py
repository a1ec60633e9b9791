import numpy as np
import pytest
import torch
from tiny_freihand import SIDE, dotted, random_labels

from datamodules.augment import Augment, Variation, paint
from datamodules.crops import Crops, warp
from datamodules.hand_models import fits
from datamodules.hand_view import HandView
from datamodules.scene import Scene, SceneHand, Scenes
from zoo.hands.camera import denormalize_pixels, normalize_pixels, project
from zoo.hands.openhand import OpenHand


class Dots(Scenes):
    """Hands on a grid; picture i shows nothing but a white dot on joint i."""

    def __init__(self, sides=(0, 1)):
        self.labels = random_labels(21, seed=3)
        grid = np.stack(np.meshgrid(np.linspace(-0.05, 0.05, 5), np.linspace(-0.05, 0.05, 5)), -1).reshape(-1, 2)[:21]
        depth = np.linspace(0.45, 0.55, 21)[:, None]
        self.labels.joints[:] = np.concatenate([grid * depth / 0.5, depth], 1)
        self.has = [0 in sides, 1 in sides]

    def __len__(self):
        return 21

    def sides(self):
        return np.tile([self.has], (21, 1))

    def read(self, index, *, image=True, mask=False):
        intrinsics, joints = self.labels.intrinsics[index], self.labels.joints[index]
        hand = {side: SceneHand(side, vertices=self.labels.vertices[index], joints=joints) for side in (0, 1)}
        picture = dotted(intrinsics, joints, grey=0, colours=255 * np.eye(21)[index][:, None]) if image else None
        return Scene(index, (SIDE, SIDE), intrinsics, hand, image=picture)


def middle(image):
    """Centre of brightness, pixels."""
    weight = image.astype(float).sum(-1)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


GEOMETRIES = {
    "nothing": {"rotation": 0.0, "scale": 0.0, "shift": 0.0},
    "rotation": {"rotation": 90.0, "scale": 0.0, "shift": 0.0},
    "scale": {"rotation": 0.0, "scale": 0.4, "shift": 0.0},
    "shift": {"rotation": 0.0, "scale": 0.0, "shift": 0.2},
    "everything": {"rotation": 90.0, "scale": 0.2, "shift": 0.1},
}
STILL = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "tint": 0.0, "erase": 0.0}


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_keypoint_grid_drawn_through_every_transform_stays_under_its_labels(name, side):
    view = HandView(Dots(sides=(side,)), 192, 1.5, augment=Augment(**GEOMETRIES[name], **STILL), seed=1)
    batch = view.batch(range(21))
    labelled = denormalize_pixels(batch["joints2d"], (192, 192)).numpy()
    pixels = [labelled[joint, joint] for joint in range(21)]
    inside = [joint for joint, pixel in enumerate(pixels) if (pixel > 8).all() and (pixel < 183).all()]
    assert len(inside) >= 15
    for joint in inside:
        seen = middle(batch["image"][joint].permute(1, 2, 0).numpy())
        np.testing.assert_allclose(seen, pixels[joint], atol=0.3, err_msg=f"joint {joint}")


@pytest.mark.parametrize("side", [0, 1])
def test_projected_joints_are_the_2d_labels_after_any_augmentation(side):
    view = HandView(Dots(sides=(side,)), 128, 1.5, augment=Augment(), images=False)
    batch = view.batch(list(range(21)) * 2, epochs=list(range(42)))
    again = normalize_pixels(project(batch["joints"], batch["intrinsics"]), (128, 128))
    torch.testing.assert_close(again, batch["joints2d"], atol=2e-5, rtol=0)


def test_a_left_hand_becomes_the_mirrored_right_hand():
    both = Dots()
    left, right = HandView(both, 64, 1.5).batch([0, 1])["vertices"]
    torch.testing.assert_close(left * torch.tensor([-1.0, 1, 1]), right)
    assert HandView(both, 64, 1.5).batch([0, 1])["side"].tolist() == [0, 1]


def test_mirroring_flips_the_picture():
    pixels = torch.tensor([[[20.0, 30.0], [60.0, 80.0]]]).repeat(2, 1, 1)
    pixels = torch.cat([pixels, pixels[:, :1].expand(-1, 19, -1)], 1)
    crops = Crops(pixels, torch.ones(2, 21, dtype=torch.bool), margin=1.2, size=40, mirror=torch.tensor([False, True]))
    image = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    plain, mirrored = crops.image(0, image), crops.image(1, image)
    assert np.abs(plain[:, ::-1].astype(int) - mirrored).max() <= 1


def test_a_crop_at_full_size_is_the_image():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(warp(image, np.eye(3)[:2], 32), image)


def test_a_strong_reduction_averages():
    checker = np.indices((256, 256)).sum(0) % 2 * np.uint8(255)
    small = warp(np.repeat(checker[..., None], 3, 2).astype(np.uint8), np.diag([0.125, 0.125, 1.0])[:2], 16)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() < 40


def test_a_point_keeps_its_place_under_a_strong_reduction():
    image = np.zeros((400, 400, 3), np.uint8)
    image[198:203, 148:153] = 255
    affine = np.array([[0.2, 0, 3.0], [0, 0.2, 5.0]])
    np.testing.assert_allclose(middle(warp(image, affine, 100)), affine @ (150, 200, 1), atol=0.05)


def test_no_colour_change_leaves_the_image():
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    none = Augment(**GEOMETRIES["nothing"], **STILL).draw(np.random.default_rng(0))
    np.testing.assert_allclose(paint(image.copy(), none), image, atol=1)


def test_erasing_paints_the_rectangle_and_nothing_else():
    variation = Variation(erased=(((0.25, 0.5, 0.75, 1.0), (9, 8, 7)),))
    image = paint(np.zeros((8, 8, 3), np.uint8), variation)
    assert (image[4:8, 2:6] == (9, 8, 7)).all()
    assert image.sum() == 16 * 24


def test_the_same_key_draws_the_same_variation():
    first, second = (Augment().draw(np.random.default_rng((1, 2, 3))) for _ in range(2))
    other = Augment().draw(np.random.default_rng((1, 2, 4)))
    assert first.rotation == second.rotation != other.rotation


def test_rotation_stays_within_its_limit():
    drawn = [Augment(rotation=30.0).draw(np.random.default_rng(i)).rotation for i in range(200)]
    assert np.pi / 6 * 0.9 < max(np.abs(drawn)) <= np.pi / 6


def test_faces_fit_the_mesh_that_they_are_of():
    hand = OpenHand()
    identity = torch.eye(3).expand(2, 16, 3, 3)
    vertices = hand(identity, torch.zeros(2, 10), torch.zeros(2, 3)).vertices
    assert fits(vertices, hand.faces)
    assert not fits(vertices[:, torch.randperm(778)], hand.faces)
