"""Picture methods of a size for tests: pictures of 64 pixels, latents of 8 places."""

import torch

from zoo.bases.base import Base
from zoo.denoisers.latent_unet import LatentUNet
from zoo.diffusion import NoiseSchedule
from zoo.encoders.clip_text import ClipText
from zoo.encoders.codec import KLCodec
from zoo.guidance.text_attention import TextAttention
from zoo.models import AttentionHand, LatentDiffusion
from zoo.registry import create
from zoo.samplers import DDIM

SIZE = 64
TEXTS = ["a hand holding a cup", "an open hand", "a fist of a person", "two fingers up"]
OFF = TextAttention(at="none")


def parts():
    torch.manual_seed(0)
    codec = KLCodec((8, 8, 16, 16), layers=1, groups=4)
    text = ClipText(32, layers=2, heads=1, vocab=600)
    return codec, text, LatentUNet(4, (16, 32), layers=1, heads=2, context=32, groups=8, side=8)


def base():
    return Base(*parts(), NoiseSchedule("scaled_linear"))


def latent_diffusion(**options):
    options = {"size": SIZE, "sampler": DDIM(steps=2)} | options
    return LatentDiffusion(*parts(), **options)


def attentionhand(folder, preset=None, seed=1, **options):
    """A model whose copy has left its start, from its parts or by a name of the zoo; `seed` None leaves it there."""
    torch.manual_seed(2)
    if preset is None:
        options = {"size": SIZE, "resolution": 8, "sampler": DDIM(steps=3)} | options
        model = AttentionHand(folder, **options)
    else:
        model = create(preset, **{"base": folder, "size": SIZE, "resolution": 8, "sampler.steps": 2} | options)
    if seed is not None:
        touch(model, seed)
    return model


def touch(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.dual.named_parameters():
            if "controlnet" in name:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)


def scenes(n=2, seed=0, size=SIZE, pictured=None, meshed=None):
    """A batch of scenes; some rows may lack a picture or a picture of their mesh."""
    generator = torch.Generator().manual_seed(seed)
    has_image = torch.ones(n, dtype=torch.bool) if pictured is None else torch.tensor(pictured)
    has_mesh = torch.ones(n, dtype=torch.bool) if meshed is None else torch.tensor(meshed)
    image, local, mesh, mesh_local = torch.rand(4, n, 3, size, size, generator=generator)
    return {
        "image": image[has_image], "image_local": local[has_image], "has_image": has_image,
        "mesh": mesh[has_mesh], "mesh_local": mesh_local[has_mesh], "has_mesh_image": has_mesh,
        "text": [TEXTS[i % len(TEXTS)] for i in range(n)], "index": 10 + torch.arange(n),
    }  # fmt: skip


def part(batch, row):
    """One row of a batch without gaps."""
    return {key: value[row : row + 1] for key, value in batch.items()}


def draws(model, n=2, seed=3):
    """Times and noise of a step."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.randint(50, model.schedule.steps, (n,), generator=generator)
    return t, torch.randn(2, *model._noise_shape(n), generator=generator)
