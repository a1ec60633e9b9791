"""Scores of pictures of two real processes are those of one, however unevenly the pictures are spread."""

import pytest
import torch

from tests.metrics.noisy_pictures import Pooled, blobs
from tests.metrics.two_processes import check_spread
from zoo.metrics.detectors import NONE, Detections
from zoo.metrics.images import FID, FIDH, KID, KIDH
from zoo.metrics.made_hands import HandConfidence, KeypointMSE, MaskIoU

BOX = torch.tensor([[10.0, 10.0, 40.0, 50.0]])


def score(parts):
    real, made, extractor = blobs(12), blobs(12, seed=1), Pooled()
    fid, kid, fid_h, kid_h = FID(extractor), KID(extractor, 5, 12), FIDH(extractor), KIDH(extractor, subsets=5, size=12)
    sure, flat, deep, mask = HandConfidence(), KeypointMSE("2d"), KeypointMSE("3d"), MaskIoU()
    points = torch.rand(12, 21, 3, generator=torch.Generator().manual_seed(2))
    seen = torch.arange(12) % 3 > 0
    for part in parts:
        for images, is_real in ((real[part], True), (made[part], False)):
            boxes = [BOX] * len(images)
            fid.update(images, is_real)
            kid.update(images, is_real)
            fid_h.update(images, is_real, boxes)
            kid_h.update(images, is_real, boxes)
        hands = [Detections(BOX, row[0, :1], torch.ones(1, dtype=torch.long)) for row in points[part]]
        sure.update([hand if ok else NONE for hand, ok in zip(hands, seen[part].tolist(), strict=True)])
        half = points[part]
        flat.update(half[..., :2], half[..., 1:], seen[part], torch.full((len(half),), 2.0))
        deep.update(half, half.flip(2), seen[part])
        mask.update(half[..., :2] > 0.4, half[..., 1:] > 0.5)
    found = {"fid": fid.compute(), "fid_h": fid_h.compute(), "iou": mask.compute()}
    for name, metric in (("kid", kid), ("kid_h", kid_h), ("sure", sure), ("flat", flat), ("deep", deep)):
        found |= {f"{name}{row}": value for row, value in enumerate(metric.compute())}
    return {name: float(value) for name, value in found.items()}


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one(tmp_path):
    check_spread(score, 12, tmp_path, rel=1e-4, abs=1e-6)
