"""CLIP score: how well pictures and their texts agree, through open_clip and a file of weights that the user supplies.

Hessel et al. 2021. As torchmetrics' CLIPScore: the mean of 100 times the cosine of both embeddings, and 0 at the least.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from zoo.metrics.weights_file import fill, read_weights
from zoo.shapes import Images, Scalar

FLAG = "--clip_weights"
KNOWN = {"custom_text", "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale"}
SPARE = {"input_resolution", "context_length", "vocab_size", "attn_mask"}  # of old files: sizes, which are no weights


class OpenClip(nn.Module):
    """An open_clip model that embeds pictures and texts. Fixed: it stays in evaluation mode.

    Args:
        model: open_clip's, with `encode_image` and `encode_text`.
        tokenizer: Texts to token numbers.
        name: Part of the name of the number.
        about: What it is, to stand with the number.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor], name: str, about: str) -> None:
        super().__init__()
        from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        self.model, self.tokenizer, self.name, self.about = model, tokenizer, name, about
        size = model.visual.image_size
        self.side = int(size[0] if isinstance(size, Sequence) else size)
        mean = getattr(model.visual, "image_mean", None) or OPENAI_DATASET_MEAN
        std = getattr(model.visual, "image_std", None) or OPENAI_DATASET_STD
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    @classmethod
    def from_file(cls, architecture: str, weights: str | Path, sha256: str | None = None) -> "OpenClip":
        """Builds an architecture and loads its weights; never downloads.

        Args:
            architecture: A name of open_clip's (OpenAI's own weights belong to the names with -quickgelu), or a JSON
                file of its `model_configs` layout.
            weights: A .safetensors file or a plain state dict, read with weights_only.
            sha256: What the file's hash must be or begin with; None takes any.
        """
        import open_clip

        weights = Path(weights)
        name, config = _architecture(architecture)
        if {"hf_model_name", "hf_tokenizer_name"} & config["text_cfg"].keys() or config.keys() - KNOWN:
            raise ValueError(
                f"--clip {architecture} is more than CLIP's two towers, or takes its text tower or tokenizer from "
                "a hub; nothing is downloaded here. Give one such as ViT-B-32, ViT-L-14-quickgelu or RN50."
            )
        file = read_weights(weights, FLAG, sha256)
        options = dict(config)
        builder = open_clip.CustomTextCLIP if options.pop("custom_text", False) else open_clip.CLIP
        model = builder(**options)
        for key in SPARE - model.state_dict().keys():
            file.state.pop(key, None)
        fill(model, file, weights, FLAG)
        text = config["text_cfg"]
        tokenizer = open_clip.SimpleTokenizer(context_length=int(text.get("context_length", 77)))
        return cls(model, tokenizer, name, f"{name}: open_clip, weights with sha256 {file.sha256}.")

    def train(self, mode: bool = True) -> "OpenClip":
        """Stays in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def images(self, images: Images) -> Float[Tensor, "b d"]:
        """Unit vectors of RGB in [0, 1].

        As open_clip's own preparation: the shorter side resized (bicubic, antialiased), the middle square, normalised.
        """
        height, width = images.shape[-2:]
        scale = self.side / min(height, width)
        size = (max(self.side, int(height * scale)), max(self.side, int(width * scale)))
        if size != (height, width):
            images = F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        top, left = round((size[0] - self.side) / 2), round((size[1] - self.side) / 2)
        square = images[..., top : top + self.side, left : left + self.side]
        return F.normalize(self.model.encode_image((square - self.mean) / self.std).float(), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "b d"]:
        """Unit vectors of texts; what exceeds the context is cut off, as open_clip's tokenizer does."""
        tokens = self.tokenizer(list(texts)).to(self.mean.device)
        return F.normalize(self.model.encode_text(tokens).float(), dim=-1)


class CLIPScore(Metric):
    """Mean over pictures of 100 times the cosine with their own text, at least 0.

    Args:
        clip: Embeds both.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, clip: OpenClip) -> None:
        super().__init__()
        self.clip = clip
        self.add_state("total", torch.zeros((), dtype=torch.double), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, images: Images, texts: Sequence[str]) -> None:
        """Takes RGB in [0, 1] and one text for each picture."""
        if len(images) != len(texts):
            raise ValueError(f"CLIPScore got {len(images)} pictures and {len(texts)} texts. Give each picture its own.")
        if len(images):
            self.total += 100 * (self.clip.images(images) * self.clip.texts(texts)).sum(-1).double().sum()
            self.count += len(images)

    def compute(self) -> Scalar:
        """NaN before the first picture."""
        return (self.total / self.count).clamp_min(0).float()

    @property
    def rule(self) -> str:
        """How the number came about."""
        return f"100 x cosine, mean over {int(self.count)} pictures with their texts; {self.clip.about}"


def _architecture(given: str) -> tuple[str, dict[str, Any]]:
    """The name and the configuration of a named or a described architecture."""
    import open_clip

    path = Path(given)
    if path.suffix == ".json":
        if not path.is_file():
            raise FileNotFoundError(f"--clip {given} is not there. Give a name of open_clip's or a JSON file.")
        config = json.loads(path.read_text())
        if not isinstance(config, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= config.keys():
            raise ValueError(f"--clip {given} has no embed_dim, vision_cfg and text_cfg, as open_clip's configs do.")
        return path.stem, config
    config = open_clip.get_model_config(given)
    if config is None:
        from zoo.registry import nearest

        known = open_clip.list_models()
        raise ValueError(f"--clip {given} is no architecture of open_clip.{nearest(given, known)} E.g. ViT-B-32.")
    return given, dict(config)
