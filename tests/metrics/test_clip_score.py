"""CLIP score: the cosine of a small open_clip model whose weights come from a file."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity
from torchvision.transforms.v2.functional import to_pil_image

from zoo.metrics.clip_score import CLIPScore, OpenClip

SMALL = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
TEXTS = ["an open hand", "a fist on a wooden table"]


@pytest.fixture
def files(tmp_path):
    """A described architecture, its weights, and the model itself."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**SMALL).eval()
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, tmp_path / "small.safetensors")
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    return tmp_path / "small.json", tmp_path / "small.safetensors", model


def pictures(height=32, width=32):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def direct(model, images):
    """As open_clip's own documentation has it: its transform, its tokenizer, its two towers."""
    transform = open_clip.image_transform(32, is_train=False)
    seen = torch.stack([transform(to_pil_image(image)) for image in images])
    with torch.no_grad():
        return cosine_similarity(model.encode_image(seen), model.encode_text(open_clip.tokenize(TEXTS)))


def test_the_score_is_a_hundred_times_the_cosine_or_nothing(files):
    config, weights, model = files
    images = (255 * pictures()).round() / 255
    expected = 100 * direct(model, images)
    metric = CLIPScore(OpenClip.from_file(str(config), weights))
    metric.update(images, TEXTS)
    torch.testing.assert_close(metric.compute(), expected.mean().clamp_min(0), rtol=1e-4, atol=1e-4)
    each = (metric.clip.images(images) * metric.clip.texts(TEXTS)).sum(-1)
    torch.testing.assert_close(100 * each, expected, rtol=1e-4, atol=1e-4)


def test_larger_pictures_are_prepared_as_open_clip_does(files):
    config, weights, model = files
    images = (255 * pictures(80, 50)).round() / 255
    clip = OpenClip.from_file(str(config), weights)
    each = (clip.images(images) * clip.texts(TEXTS)).sum(-1)
    torch.testing.assert_close(each, direct(model, images), rtol=0, atol=5e-3)  # Pillow rounds to bytes in between


def test_batches_add_up(files):
    clip = OpenClip.from_file(str(files[0]), files[1])
    whole, parts = CLIPScore(clip), CLIPScore(clip)
    whole.update(pictures(), TEXTS)
    for row in range(2):
        parts.update(pictures()[[row]], TEXTS[row : row + 1])
    torch.testing.assert_close(whole.compute(), parts.compute())
    assert "2 pictures" in whole.rule
    assert "sha256" in whole.rule


def test_a_name_of_open_clips_is_an_architecture_and_others_are_suggested(tmp_path):
    with pytest.raises(ValueError, match="Did you mean"):
        OpenClip.from_file("ViT-B-33", tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="--clip_weights"):
        OpenClip.from_file("ViT-B-32", tmp_path / "none.safetensors")
    with pytest.raises(ValueError, match="nothing is downloaded"):
        OpenClip.from_file("xlm-roberta-base-ViT-B-32", tmp_path / "none.safetensors")


def test_weights_of_another_size_are_refused(files, tmp_path):
    config, weights, _ = files
    config.write_text(json.dumps({**SMALL, "embed_dim": 8}))
    with pytest.raises(ValueError, match="of another shape"):
        OpenClip.from_file(str(config), weights)


def test_each_picture_needs_its_text(files):
    with pytest.raises(ValueError, match="2 pictures and 1 texts"):
        CLIPScore(OpenClip.from_file(str(files[0]), files[1])).update(pictures(), TEXTS[:1])
