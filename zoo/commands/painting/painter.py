"""A method that makes pictures, with the settings that the command line gives it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.batch import Asked
from zoo.models.attentionhand import AttentionHand
from zoo.models.base import PictureMethod
from zoo.registry import UsageError
from zoo.samplers.base import Sampler
from zoo.samplers.ddim import DDIM
from zoo.samplers.ddpm import DDPM
from zoo.shapes import RawImages

Branch = Literal["global", "local"]
SamplerName = Literal["ddim", "ddpm"]


@dataclass(frozen=True)
class Settings:
    """How pictures are sampled. None is the method's own choice.

    Args:
        sampler: ddim or ddpm.
        steps: Sampling steps.
        eta: Share of DDIM's noise.
        scale: Of classifier-free guidance.
        strength: Factor on what the guidance copy adds.
        tas: Whether text attention acts.
    """

    sampler: SamplerName | None = None
    steps: int | None = None
    eta: float | None = None
    scale: float | None = None
    strength: float | None = None
    tas: Literal["off", "on"] | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps} makes nothing. Give a number from 1.")
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise UsageError(f"--eta {self.eta} is no share of noise. Give a number from 0 to 1.")
        if self.eta is not None and self.sampler == "ddpm":
            raise UsageError("--eta is DDIM's. Leave it out, or give --sampler ddim.")
        if self.strength is not None and self.strength < 0:
            raise UsageError(f"--strength {self.strength} is negative. Give 0 for no control, 1 for the usual.")

    def sampler_of(self, own: Sampler) -> Sampler:
        """The sampler: the method's own, with the steps and the noise that were asked for."""
        steps = getattr(own, "steps", None) if self.steps is None else self.steps
        kind = self.sampler or ("ddpm" if isinstance(own, DDPM) and self.eta is None else "ddim")
        if kind == "ddpm":
            return DDPM(steps, own.variance) if isinstance(own, DDPM) else DDPM(steps)
        like = own if isinstance(own, DDIM) else DDIM()
        return replace(like, steps=steps or like.steps, eta=like.eta if self.eta is None else self.eta)


@dataclass(frozen=True)
class Painter:
    """Makes pictures.

    Args:
        method: Loaded, on its device, in evaluation mode.
        how: The settings.
        source: Where its weights are.
    """

    method: PictureMethod
    how: Settings
    source: Path

    def __post_init__(self) -> None:
        steers = isinstance(self.method, AttentionHand)
        for name in ("strength", "tas"):
            if not steers and getattr(self.how, name) is not None:
                raise UsageError(f"--{name} is AttentionHand's; {type(self.method).__name__} has none. Leave it out.")

    def __call__(
        self, texts: Sequence[str], meshes: RawImages | None, seeds: Sequence[int], branch: Branch = "global"
    ) -> RawImages:
        """Pictures, on the CPU; each is a function of its text, its mesh and its seed.

        Args:
            texts: A prompt a row.
            meshes: Pictures of meshes; None for a method that looks at none.
            seeds: One a row.
            branch: Whether the pictures are whole or of the part around the hands.
        """
        asked = Asked(text=list(texts))
        if meshes is not None and self.method.meshes:
            asked["mesh"] = meshes.to(self.method.device).float() / 255
        options: dict[str, Any] = {}
        if isinstance(self.method, AttentionHand):
            attend = None if self.how.tas is None else self.how.tas == "on"
            options = {"strength": self.how.strength, "branch": branch, "attend": attend}
        made = self.method.sample(
            asked, list(seeds), self.how.sampler_of(_sampler(self.method)), self.how.scale, **options
        )
        return raw(made)

    def notices(self, text: str) -> dict[str, str]:
        """What of a prompt is not read, by what it is; empty where all is."""
        tokens = self._text().tokens
        found = {"cut": tokens.cut(text)}
        if isinstance(self.method, AttentionHand):
            found["notice"] = self.method.words(text, tokens).notice(text)
        return {key: value for key, value in found.items() if value}

    def described(self) -> dict[str, Any]:
        """Weights, base and settings, for manifests."""
        from zoo.commands.chosen import digest

        sampler = self.how.sampler_of(_sampler(self.method))
        scale = getattr(self.method, "scale", None) if self.how.scale is None else self.how.scale
        said: dict[str, Any] = {
            "checkpoint": {"path": str(self.source), "sha256": digest(self.source)},
            "method": type(self.method).__name__,
            "size": self.method.size,
            "sampler": {"name": type(sampler).__name__, **vars(sampler)},
            "scale": scale,
        }
        if isinstance(self.method, AttentionHand):
            own = self.method.tas.at in ("sample", "both")
            said["base"] = {"name": self.method.base_name, "hash": self.method.base_hash}
            said["tas"] = own if self.how.tas is None else self.how.tas == "on"
            said["strength"] = list(self.method.dual.scales) if self.how.strength is None else self.how.strength
        return said

    def _text(self) -> Any:
        return self.method.text


def raw(images: Tensor) -> RawImages:
    """RGB in [0, 1] to bytes, on the CPU."""
    return (255 * images.detach().float().clamp(0, 1)).round().to(torch.uint8).cpu()


def _sampler(method: PictureMethod) -> Sampler:
    sampler: Any = method.sampler
    return sampler if isinstance(sampler, Sampler) else DDIM()


def load_painter(weights: str, how: Settings, base: str | None = None, device: str = "auto") -> Painter:
    """Loads a method that makes pictures.

    Args:
        weights: As for --ckpt.
        how: Settings.
        base: Another base than the one that the weights name; it must be the same weights.
        device: auto, cpu or cuda.
    """
    import checkpoints

    source = checkpoints.find(weights)
    if base is not None and "base" not in checkpoints.read(source).config.get("init_args", {}):
        raise UsageError(f"--base is for methods on a base; {weights} brings all its weights. Leave it out.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda needs a GPU, and there is none. Give --device cpu.")
    method = checkpoints.load(source, **({} if base is None else {"base": base}))
    if not isinstance(method, PictureMethod):
        raise UsageError(f"{weights} makes hands, not pictures. Leave --prompt out, or give --ckpt of AttentionHand.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Painter(method.to(device).eval(), how, source)
