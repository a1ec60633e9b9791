import json

import numpy as np
import pytest
from tiny_coco import scenes

from datamodules.coco.data import COCO
from datamodules.hand_models import pose_hands


def test_the_twin_has_the_quirks_of_the_real_files(coco_twin):
    whole = json.loads((coco_twin / "annotations/coco_wholebody_train_v1.0.json").read_text())
    lines = json.loads((coco_twin / "annotations/captions_train2017.json").read_text())["annotations"]
    mano = json.loads((coco_twin / "annotations/MSCOCO_train_MANO_NeuralAnnot.json").read_text())
    people = whole["annotations"]
    assert {(image["height"], image["width"]) for image in whole["images"]} == {(480, 640), (640, 480)}
    assert [image["id"] for image in whole["images"]] != sorted(image["id"] for image in whole["images"])
    assert len(lines) == 5 * len(whole["images"])
    assert any("\n" in line["caption"] for line in lines)
    assert all(one["category_id"] == 1 for one in people)
    crowd = next(one for one in people if one["iscrowd"])
    assert sum(crowd["segmentation"]["counts"]) == np.prod(crowd["segmentation"]["size"])
    assert any(one["num_keypoints"] == 0 and not one["iscrowd"] for one in people)
    assert any(one["lefthand_valid"] is False and one["righthand_valid"] is True for one in people)
    sizes = {"keypoints": 51, "foot_kpts": 18, "face_kpts": 204, "lefthand_kpts": 63, "righthand_kpts": 63}
    assert all(len(one[name]) == size for one in people for name, size in sizes.items())
    seen = np.concatenate([np.reshape(one["lefthand_kpts"], (21, 3))[:, 2] for one in people])
    assert {0, 1, 2} < set(seen.tolist())
    assert ((seen > 0) & (seen < 1)).any()
    used = [str(one["id"]) for one in people if one["lefthand_valid"] or one["righthand_valid"]]
    assert set(mano) < set(used)
    assert any(
        mano[str(one["id"])]["left"] is None for one in people if one["lefthand_valid"] and str(one["id"]) in mano
    )


def test_meshes_of_the_twin_lie_on_their_keypoints(coco_twin):
    found = scenes(coco_twin)
    errors = []
    for index in range(len(found)):
        scene = found.read(index, image=False)
        for side, hand in scene.hands.items():
            if hand.pose is not None:
                joints = pose_hands(found.models, [side], [hand.pose])[1][0].numpy() @ scene.intrinsics.T
                pixels = joints[:, :2] / joints[:, 2:]
                extent = np.ptp(hand.joints2d[hand.joints2d_valid], axis=0).max()
                errors.append(np.abs(pixels - hand.joints2d)[hand.joints2d_valid].max() / extent)
    assert len(errors) > 5
    assert max(errors) < 0.05  # regressed joints are not the kinematic ones, and cameras differ


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_the_twin(coco_twin, workers):
    data = COCO(coco_twin, size=48, batch_size=6, workers=workers)
    data.prepare_data()
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (6, 3, 48, 48)
    assert batch["has_mesh"].any()
    assert len(next(iter(data.val_dataloader()))["index"]) > 0
    assert not next(iter(data.test_dataloader()))["has_mesh"].any()
