"""Weights of a base and of AttentionHand on it, untrained and small: pictures of 32 pixels in milliseconds."""

import torch
import yaml

import checkpoints
from zoo.registry import build

SIZE = 32  # side of its pictures, pixels
BASE = """class_path: zoo.models.LatentDiffusion
init_args:
  codec: {class_path: KLCodec, init_args: {widths: [8, 8, 8, 8], layers: 1, groups: 4}}
  text: {class_path: zoo.encoders.clip_text.ClipText, init_args: {width: 16, layers: 1, heads: 1, vocab: 600}}
  unet:
    class_path: LatentUNet
    init_args: {widths: [16, 32], layers: 1, heads: 2, context: 16, groups: 8, side: 4}
  size: 32
  sampler: {class_path: DDIM, init_args: {steps: 2}}
"""
STEERED = """class_path: zoo.models.AttentionHand
init_args:
  base: BASE
  resolution: 4
  sampler: {class_path: DDIM, init_args: {steps: 2}}
"""


def tiny_base(folder):
    """Released weights of a base."""
    torch.manual_seed(0)
    config = yaml.safe_load(BASE)
    return checkpoints.save(folder, config, build(config).state_dict(), "A base.")


def tiny_painter(folder, base):
    """Released weights of AttentionHand, whose copy has moved away from the base."""
    config = yaml.safe_load(STEERED.replace("BASE", str(base)))
    model = build(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.dual.guide.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return checkpoints.save(folder, config, model.state_dict(), "A painter.")
