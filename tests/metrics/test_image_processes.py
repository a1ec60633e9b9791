"""Scores of pictures of two real processes are those of one, however unevenly the pictures are spread."""

import math
import os

import pytest
import torch
from torch import distributed, multiprocessing

from tests.metrics.noisy_pictures import Pooled, blobs
from zoo.metrics.detectors import NONE, Detections
from zoo.metrics.images import FID, FIDH, KID, KIDH
from zoo.metrics.made_hands import HandConfidence, KeypointMSE, MaskIoU

SPREAD = {  # rows of either process: uneven, as last batches are; none but an empty batch; not even a batch
    "uneven": ([slice(0, 1)], [slice(1, 9), slice(9, 12)]),
    "empty": ([slice(0, 12)], [slice(0, 0)]),
    "never": ([], [slice(0, 12)]),
}
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


def work(rank, place, results):
    import warnings

    warnings.filterwarnings("ignore", "The ``compute`` method of metric")
    os.environ |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    results[rank] = {name: score(parts[rank]) for name, parts in SPREAD.items()}
    distributed.destroy_process_group()


@pytest.mark.slow
def test_scores_of_two_processes_are_those_of_one(tmp_path):
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(work, (tmp_path / "meet", results), nprocs=2)
        whole = score([slice(0, 12)])
        assert not any(math.isnan(value) for value in whole.values())
        for rank in (0, 1):
            for name in SPREAD:
                assert results[rank][name] == pytest.approx(whole, rel=1e-4, abs=1e-6), (rank, name)
