import numpy as np
import pytest
import torch
from posed_scenes import CAMERA, MODELS, SIZE, Given, batch_of, both, pose, scene, whole

from datamodules.mesh_pictures import draw_meshes
from datamodules.scene import SceneHand
from datamodules.scene_view import SceneView
from zoo.hands.camera import denormalize_pixels, project
from zoo.hands.rotations import axis_angle_to_matrix

FITS = ["crop", "pad", "stretch"]


def bounds(mask):
    v, u = np.nonzero(np.asarray(mask))
    return np.array([u.min() - 0.5, v.min() - 0.5, u.max() + 0.5, v.max() + 0.5])


def finite(batch):
    return all(value.isfinite().all() for value in batch.values() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("fit", FITS)
def test_points_land_on_their_pixels_whatever_the_fit(fit):
    batch = batch_of(both(), fit=fit)
    pixels = denormalize_pixels(batch["joints2d"], (96, 96))
    torch.testing.assert_close(project(batch["joints"], batch["intrinsics"][:, None]), pixels, atol=1e-4, rtol=0)
    assert batch["joints2d_valid"].all()


@pytest.mark.parametrize("fit", FITS)
def test_a_dot_in_the_picture_stays_on_its_joint(fit):
    hand = whole(1)
    u, v = project(torch.from_numpy(hand.joints)[None], torch.from_numpy(CAMERA)[None])[0, 9].tolist()
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    level = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18)
    batch = batch_of(scene([hand], image=np.repeat(level[..., None], 3, 2).round().astype(np.uint8)), fit=fit)
    level = batch["image"][0, 0].double()
    seen = torch.stack([(level.sum(0) * torch.arange(96)).sum(), (level.sum(1) * torch.arange(96)).sum()]) / level.sum()
    joint = denormalize_pixels(batch["joints2d"][0, 1], (96, 96))[9]
    torch.testing.assert_close(seen.float(), joint, atol=0.1, rtol=0)


@pytest.mark.parametrize("fit", FITS)
def test_the_drawn_mesh_covers_its_vertices_and_its_local_part_is_the_box(fit):
    batch = batch_of(scene([whole(1)]), fit=fit, size=256)
    pixels = project(batch["vertices"][:, 1], batch["intrinsics"])[0]
    hull = torch.cat([pixels.amin(0), pixels.amax(0)])
    seen = bounds(batch["mesh"][0, 0] > 0)
    np.testing.assert_allclose(seen, hull, atol=1.5)
    left, top, right, bottom = ((batch["box"][0] + 1) * 128).tolist()
    assert right - left == pytest.approx(bottom - top, abs=1e-3)
    zoom = 256 / (right - left)
    moved = (hull + 0.5 - torch.tensor([left, top, left, top])) * zoom - 0.5
    np.testing.assert_allclose(bounds(batch["mesh_local"][0, 0] > 0), moved, atol=1.5)
    assert max(seen[2] - seen[0], seen[3] - seen[1]) == pytest.approx((right - left) / 1.2, abs=2)


def test_a_mesh_is_cut_where_its_photograph_ends():
    low = scene([whole(1)], size=(50, 200), image=np.full((50, 200, 3), 90, np.uint8))  # the hand goes down to 72
    batch = batch_of(low, fit="pad", size=200)
    for photo, mesh in ((batch["image"], batch["mesh"]), (batch["image_local"], batch["mesh_local"])):
        rows = (photo[0, 0] > 45).any(1).nonzero()[:, 0]
        assert (mesh[0, 0, rows[-1] - 1] > 0).any()
        assert not mesh[0, :, rows[-1] + 2 :].any()
    assert int(rows[-1]) < 198  # the local part, too, shows some of the bar


def test_meshes_that_nobody_looks_at_are_not_drawn_and_change_nothing_else():
    with_meshes, without = batch_of(both()), batch_of(both(), meshes=False)
    assert with_meshes["has_mesh_image"].all()
    assert not without["has_mesh_image"].any()
    assert len(without["mesh"]) == len(without["mesh_local"]) == 0
    assert torch.equal(with_meshes["box"], without["box"])
    assert torch.equal(with_meshes["vertices"], without["vertices"])


def test_a_mesh_picture_is_bright_on_black():
    grey = batch_of(both(), size=192)["mesh"][0].float().mean(0)
    assert (grey[grey > 0] > 127).all()
    assert (grey == 0).float().mean() > 0.5


def test_the_nearer_hand_is_in_front():
    vertices = torch.stack(
        [torch.from_numpy(whole(0, 0.0, 0.6).vertices), torch.from_numpy(whole(1, 0.0, 0.45).vertices)]
    )
    camera, yes = torch.from_numpy(CAMERA)[None], torch.ones(1, 2, dtype=torch.bool)
    pair = draw_meshes(vertices[None], yes, camera, 200, MODELS)
    near = draw_meshes(vertices[None], torch.tensor([[False, True]]), camera, 200, MODELS)
    far = draw_meshes(vertices[None], torch.tensor([[True, False]]), camera, 200, MODELS)
    assert ((near > 0) & (far > 0)).any()
    torch.testing.assert_close(pair, torch.where(near > 0, near, far), rtol=0, atol=0)


def test_parameters_become_meshes_where_the_model_is_known():
    only = scene([SceneHand(0, pose=pose(-0.1)), SceneHand(1, pose=pose(0.1))])
    known, unknown = batch_of(only), batch_of(only, models=None)
    assert known["has_mesh"].all()
    assert known["has_mesh_image"].all()
    for side in (0, 1):
        made = MODELS[side](
            axis_angle_to_matrix(known["rotations"][:, side]), known["betas"][:, side], known["transl"][:, side]
        )
        torch.testing.assert_close(made.vertices, known["vertices"][:, side])
    assert unknown["has_pose"].all()
    assert not unknown["has_mesh"].any()
    assert not unknown["joints2d_valid"].any()
    assert len(unknown["mesh"]) == 0


def test_meshes_whose_faces_are_not_known_are_not_drawn():
    hand = SceneHand(1, vertices=whole(1).vertices[np.random.default_rng(0).permutation(778)])
    batch = batch_of(scene([hand]), models=None)
    assert batch["has_mesh"].tolist() == [[False, True]]
    assert not batch["has_mesh_image"].any()


def test_a_scene_without_any_hand_is_a_row():
    mesh = np.zeros((*SIZE, 3), np.uint8)
    mesh[30:50, 60:100] = 220
    dark, shown = batch_of(scene()), batch_of(scene(mesh_image=mesh, caption="A hand."), fit="stretch")
    assert dark["box"].tolist() == [[-1, -1, 1, 1]]
    assert not dark["has_mesh_image"].any()
    assert finite(dark)
    assert shown["text"] == ["A hand."]
    assert not shown["joints_valid"].any()
    assert not shown["joints2d_valid"].any()
    left, top, right, bottom = ((shown["box"][0] + 1) * 48).tolist()  # 19.2 x 16 pixels: 32 is the least
    assert (left, top, right, bottom) == pytest.approx((22.4, 16, 54.4, 48), abs=1e-3)
    np.testing.assert_allclose(bounds(shown["mesh"][0, 0] > 110), [28.5, 23.5, 47.5, 39.5], atol=0.6)
    assert bounds(shown["mesh_local"][0, 0] > 110)[2] == pytest.approx((48 - left) * 3 - 0.5, abs=1.5)


def test_a_crop_follows_the_mesh_picture_of_hands_without_labels():
    mesh = np.zeros((*SIZE, 3), np.uint8)
    mesh[30:50, 180:195] = 220
    batch = batch_of(scene(mesh_image=mesh), fit="crop")
    assert bounds(batch["mesh"][0, 0] > 110)[2] < 96
    assert batch["mesh"].amax() == 220


def test_official_boxes_are_the_first_two_outlines_and_robust_ones_go_around_all():
    mesh = np.zeros((128, 128, 3), np.uint8)
    for top, left in ((10, 10), (60, 60), (90, 90)):
        mesh[top : top + 20, left : left + 20] = 255
    made = scene(mesh_image=mesh, size=(128, 128), image=np.zeros((128, 128, 3), np.uint8))
    official, robust = (batch_of(made, size=128, crop=crop)["box"][0] for crop in ("official", "robust"))
    torch.testing.assert_close((official + 1) * 64, torch.tensor([60.0, 60, 110, 110]))  # OpenCV begins at the bottom
    torch.testing.assert_close((robust + 1) * 64, torch.tensor([0.0, 0, 120, 120]))


def test_official_boxes_of_drawn_meshes_are_around_both_hands():
    batch = batch_of(both(), crop="official", fit="stretch", size=512)
    np.testing.assert_allclose(
        (batch["box"][0].numpy() + 1) * 256 - 0.5, bounds(batch["mesh"][0].float().mean(0) > 127), atol=1
    )


def test_pictures_are_packed_in_the_order_of_their_rows():
    pictures = [np.full((*SIZE, 3), level, np.uint8) for level in (10, 20, 30)]
    rows = [
        scene([whole(1)], image=pictures[0]),
        scene(image=None),
        scene([whole(0)], image=None),
        scene(image=pictures[2]),
    ]
    batch = batch_of(*rows)
    assert batch["has_image"].tolist() == [True, False, False, True]
    assert batch["has_mesh_image"].tolist() == [True, False, True, False]
    assert batch["image"].shape == batch["image_local"].shape == (2, 3, 96, 96)
    assert batch["image"][:, 0, 48, 48].tolist() == [10, 30]
    assert batch["mesh"].shape == batch["mesh_local"].shape == (2, 3, 96, 96)
    assert all(batch[key].dtype == torch.uint8 for key in ("image", "image_local", "mesh", "mesh_local"))


def test_rows_beyond_the_pictured_ones_get_no_pictures():
    view = SceneView(Given([both(), both(), both()]), 64)
    batch = view.batch([0, 1, 2], images=1)
    assert batch["has_image"].tolist() == batch["has_mesh_image"].tolist() == [True, False, False]
    assert len(SceneView(Given([both()]), 64, images=False).batch([0])["mesh"]) == 0


def test_what_is_not_labelled_is_masked_and_never_nan():
    valid = np.arange(21) < 5
    joints, joints2d = whole(1).joints.copy(), np.full((21, 2), 70, np.float32)
    joints[~valid], joints2d[~valid] = np.nan, np.inf
    hand = SceneHand(1, joints=joints, joints_valid=valid, joints2d=joints2d, joints2d_valid=valid)
    batch = batch_of(scene([hand]), scene([SceneHand(0, joints=joints, joints_valid=valid)]))
    assert finite(batch)
    assert batch["joints_valid"][0].tolist() == [[False] * 21, valid.tolist()]
    assert batch["joints2d_valid"][1].tolist() == [valid.tolist(), [False] * 21]
    assert not batch["has_pose"].any()
    assert not batch["has_mesh"].any()
    assert batch["text"][1].split(",")[0].endswith("left hand.") or "left hand" in batch["text"][1]


def test_a_box_alone_decides_the_local_part():
    hand = SceneHand(1, box=np.float32([59.5, 19.5, 119.5, 79.5]))
    batch = batch_of(scene([hand]), fit="stretch", size=200)
    expected = torch.tensor([60, 20 * 200 / 120, 120, 80 * 200 / 120])
    middle = (expected[:2] + expected[2:]) / 2
    box = (batch["box"][0] + 1) * 100
    torch.testing.assert_close((box[:2] + box[2:]) / 2, middle)
    torch.testing.assert_close(box[2:] - box[:2], torch.full((2,), 100.0))  # the longer side, with the margin it had


def test_a_box_counts_beside_a_joint():
    one = np.arange(21) == 0
    box = np.float32([59.5, 19.5, 119.5, 79.5])
    boxed = batch_of(scene([SceneHand(1, box=box)]), size=200)
    labelled = SceneHand(1, joints2d=np.full((21, 2), (90, 50), np.float32), joints2d_valid=one, box=box)
    torch.testing.assert_close(batch_of(scene([labelled]), size=200)["box"], boxed["box"])


def test_hands_outside_of_the_picture_do_not_count():
    batch = batch_of(scene([whole(1, 5.0)]))
    assert batch["box"].tolist() == [[-1, -1, 1, 1]]
    assert finite(batch)
