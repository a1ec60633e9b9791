"""The hand segmenter: small, deterministic, trainable, and back from its file as it was."""

import pytest
import torch

from zoo.metrics.made_hands import mask_iou
from zoo.metrics.segmenter import HandSegmenter
from zoo.metrics.segmenter_training import segmentation_loss, train_segmenter, varied


def discs(n, side=48, seed=0):
    """Skin-coloured discs on dark noise, as bytes, with their masks."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.linspace(-1, 1, side)
    middle = torch.rand(n, 2, 1, 1, generator=generator) - 0.5
    masks = (line[:, None] - middle[:, 0]) ** 2 + (line - middle[:, 1]) ** 2 < 0.25
    back = 0.3 * torch.rand(n, 3, side, side, generator=generator)
    images = torch.where(masks[:, None], torch.tensor([0.9, 0.6, 0.5])[:, None, None], back)
    return (255 * images).byte(), masks


def test_it_is_small_and_takes_any_size():
    model = HandSegmenter().eval()
    assert sum(value.numel() for value in model.parameters()) < 150_000
    assert model(torch.rand(2, 3, 70, 90)).shape == (2, 128, 128)
    assert model.masks(torch.rand(2, 3, 70, 90)).shape == (2, 70, 90)


def test_it_learns_which_pixels_are_hand_and_the_same_seed_gives_the_same_network(tmp_path):
    images, masks = discs(64)
    small = [HandSegmenter((8, 12, 16), 48) for _ in range(2)]
    small[1].load_state_dict(small[0].state_dict())
    said = []
    first, second = (train_segmenter(images, masks, 40, batch=8, model=model, tell=said.append) for model in small)
    unseen, truth = discs(16, seed=1)
    assert float(mask_iou(first.masks(unseen.float() / 255), truth).mean()) > 0.7
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert said[39].step == 40
    assert said[39].loss < said[0].loss
    digest = first.save(tmp_path / "s.safetensors")
    again = HandSegmenter.load(tmp_path / "s.safetensors")
    assert len(digest) == 64
    assert torch.equal(again(unseen.float() / 255), first(unseen.float() / 255))


def test_pictures_and_masks_are_varied_alike():
    images, masks = discs(32)
    seen, truth = varied(images.float() / 255, masks, 48, torch.Generator().manual_seed(0))
    assert seen.shape == (32, 3, 48, 48)
    assert 0 <= float(seen.min()) <= float(seen.max()) <= 1
    bright = seen.mean(1)
    inside = (bright * truth).sum((1, 2)) / truth.sum((1, 2)).clamp_min(1)
    outside = (bright * ~truth).sum((1, 2)) / (~truth).sum((1, 2)).clamp_min(1)
    shown = truth.flatten(1).any(1) & ~truth.flatten(1).all(1)
    assert (inside > outside)[shown].all()


def test_the_loss_of_a_sure_and_right_answer_is_nothing():
    truth = torch.rand(2, 8, 8) > 0.5
    assert float(segmentation_loss(100 * (2 * truth.float() - 1), truth)) < 1e-3
    assert float(segmentation_loss(-100 * (2 * truth.float() - 1), truth)) > 10


def test_masks_in_training_mode_and_wrong_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="evaluation mode"):
        HandSegmenter().masks(torch.rand(1, 3, 128, 128))
    with pytest.raises(FileNotFoundError, match=r"zoo\.commands\.segmenter"):
        HandSegmenter.load(tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="multiple of 32"):
        HandSegmenter(side=100)


def test_the_shipped_segmenter_finds_a_hand_before_a_plain_wall(tmp_path):
    from datamodules.freihand.data import FreiHANDScenes
    from datamodules.freihand.files import FreiHANDPart
    from datamodules.openhand.generate import generate
    from datamodules.openhand.maker import Recipe

    root = generate(Recipe(6, 1, seed=5, size=128, left=0.5, style="plain"), tmp_path / "plain", progress=False)
    scenes = [FreiHANDScenes(FreiHANDPart(root, "training")).read(i, mask=True) for i in range(24)]
    images = torch.stack([torch.from_numpy(scene.image).permute(2, 0, 1) for scene in scenes]).float() / 255
    masks = torch.stack([torch.from_numpy(scene.mask) for scene in scenes])
    assert mask_iou(HandSegmenter.load().masks(images), masks).mean() > 0.7


@pytest.mark.parametrize("content", [b"", b"no weights" * 9])
def test_a_file_of_something_else_is_told_in_a_sentence(tmp_path, content):
    (tmp_path / "s.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"s\.safetensors is not a whole \.safetensors file"):
        HandSegmenter.load(tmp_path / "s.safetensors")
