"""Speed of the published setting: training, and sampling of several hypotheses, each beside slower ways to do it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from zoo.batch import Given, HandBatch
from zoo.commands.bench_flops import flops
from zoo.commands.bench_harness import Case
from zoo.commands.bench_rates import wait
from zoo.commands.bench_runs import PaperCase, device_of, run_cases
from zoo.diffusion import Denoise
from zoo.encoders.masking import Masking
from zoo.models.hhmr import HHMR, conditions_of
from zoo.registry import create
from zoo.samplers.ddim import DDIM
from zoo.samplers.graphed import graphed

PEER = {"denoiser.conv": "pyg", "denoiser.attention": "math"}
HYPOTHESES, STEPS = 8, 10


@dataclass
class Setting:
    """What the cases share.

    Args:
        device: Where everything runs.
        batch: Rows of a training step and of sampling.
        overrides: Of the model.
        name: Of the model.
    """

    device: torch.device
    batch: int
    overrides: dict[str, Any] = field(default_factory=dict)
    name: str = "hhmr-paper"

    def model(self, **extra: Any) -> HHMR:
        """The same weights every time; nothing is left out of the condition, so that every row has its image."""
        torch.manual_seed(0)
        model = cast(HHMR, create(self.name, **{**self.overrides, **extra}))
        model.conditioner.masking = Masking(modality=0.0, everything=0.0)
        torch.manual_seed(1)
        head = cast(torch.nn.Linear, model.get_submodule("denoiser.head"))
        torch.nn.init.normal_(head.weight, std=0.02)  # it starts at zero, which would make any two networks agree
        return model.to(self.device)

    def rows(self, model: HHMR, images: bool, batch: int | None = None) -> HandBatch:
        """Hands of OpenHand, with noise for images: what they show changes no time."""
        from datamodules.openhand.pose_stream import PoseStream
        from zoo.hands.openhand import OpenHand
        from zoo.hands.poses import PosePrior

        size, n = int(cast(int, model.get_submodule("conditioner.parts.image").size)), batch or self.batch
        found = PoseStream(OpenHand(), PosePrior(), size=size).batch(0, n)
        if images:
            found["has_image"] = torch.ones(n, dtype=torch.bool)
            found["image"] = torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))
        return cast(HandBatch, {k: v.to(self.device) for k, v in found.items() if isinstance(v, Tensor)})

    def precision(self, half: bool) -> AbstractContextManager[None]:
        """Bf16 where it pays, or float32; weights are cast anew each time, so that a recorded step casts them too."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def wait(self) -> None:
        """For the GPU."""
        wait(self.device)


def training(setting: Setting, images: bool, compiled: bool = False) -> PaperCase:
    """A step in bf16; the peer is PyTorch Geometric and plain attention in float32, or our own step not compiled."""
    ours = setting.model()
    peer = setting.model(**({} if compiled else PEER))
    peer.load_state_dict(ours.state_dict())
    if compiled:
        ours.denoiser.compile()
        if images:
            ours.get_submodule("conditioner.parts.image").compile()
    if setting.device.type == "cuda":
        ours.get_submodule("conditioner.parts.image").to(memory_format=torch.channels_last)
    rows = setting.rows(ours, images)
    t = torch.randint(0, 1000, (setting.batch,), generator=torch.Generator().manual_seed(0)).to(setting.device)
    noise = torch.randn(setting.batch, 778, 3, generator=torch.Generator().manual_seed(0)).to(setting.device)

    def loss(model: HHMR, half: bool) -> Tensor:
        with setting.precision(half):
            return torch.stack(list(model.step_losses(rows, t, noise).values())).sum()

    def stepper(model: HHMR, half: bool) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

        def step() -> None:
            model.train()
            optimizer.zero_grad()
            torch.autograd.backward(loss(model, half))
            optimizer.step()
            setting.wait()

        return step

    def difference() -> float:
        ours.eval(), peer.eval()  # without dropout
        with torch.no_grad():
            expected = loss(peer, compiled)
            return float((loss(ours, True) - expected).abs() / expected)

    case = Case(
        f"{'compiled' if compiled else 'train'}, {'images' if images else 'poses'}", f"b={setting.batch} bf16",
        stepper(ours, True), stepper(peer, compiled),
        "the same step, not compiled" if compiled else "PyG ChebConv and plain attention in the same network, float32",
        difference, 1e-2, setting.batch, "samples",
    )  # fmt: skip
    return PaperCase(case, flops(ours, setting.batch, images, training=True))


def sampling(setting: Setting, batch: int, hypotheses: int, way: str) -> PaperCase:
    """Hands from images, DDIM 10.

    Args:
        setting: Device and model.
        batch: Images.
        hypotheses: Of each image.
        way: `eager`, beside the naive loop: encoder at every step and for every hypothesis, diffusers' scheduler.
            `compiled` and `graph` are beside `eager`.
    """
    model = setting.model().eval()
    given = conditions_of(setting.rows(model, True, batch))
    noise = torch.randn(batch * hypotheses, 778, 3, generator=torch.Generator().manual_seed(0)).to(setting.device)
    sampler, schedule = DDIM(STEPS), model.schedule

    def sampled(model: HHMR) -> Callable[..., Tensor]:
        def sample(half: bool = True) -> Tensor:
            with torch.no_grad(), setting.precision(half):
                found = sampler(model.denoise(model.conditioner(given, batch).repeat(hypotheses)), noise, schedule)
            setting.wait()
            return found

        return sample

    eager = sampled(model)
    if way == "eager":
        quick, slow, peer = eager, _naive(setting, model, given, noise, hypotheses), "encoder in the loop, diffusers"
    elif way == "graph":
        quick, slow, peer = _recorded(setting, model, given, noise, hypotheses), eager, "the same, eager"
    else:
        fast = setting.model().eval()
        fast.denoiser.compile()
        quick, slow, peer = sampled(fast), eager, "the same, eager"
    exact = way == "eager"  # float32 there; the others are compared as they run

    def difference() -> float:
        expected = slow(not exact)
        return float((quick(not exact) - expected).abs().mean() / expected.abs().mean())

    shape = f"b={batch} n={hypotheses} bf16"
    case = Case(f"sample, {way}", shape, quick, slow, peer, difference, 1e-3 if exact else 2e-2, batch, "images")
    return PaperCase(case, flops(model, batch, hypotheses=hypotheses, steps=STEPS))


def _naive(setting: Setting, model: HHMR, given: Given, noise: Tensor, n: int) -> Callable[..., Tensor]:
    from zoo.commands.bench_cases import diffusers_ddim

    scheduler = diffusers_ddim(model.schedule)
    repeated = cast(Given, {k: v.repeat_interleave(n, 0) for k, v in given.items() if isinstance(v, Tensor)})

    def sample(half: bool = True) -> Tensor:
        scheduler.set_timesteps(STEPS)
        x = noise
        with torch.no_grad(), setting.precision(half):
            for t in scheduler.timesteps:
                condition = model.conditioner(repeated, len(noise))
                clean = model.denoiser(x, t.to(setting.device).expand(len(noise)), condition)
                x = scheduler.step(clean.float(), t, x).prev_sample
        setting.wait()
        return x

    return sample


def _recorded(setting: Setting, model: HHMR, given: Given, noise: Tensor, n: int) -> Callable[..., Tensor]:
    """The encoder as it is and the denoiser as a CUDA graph, which reads the condition from where it was recorded."""
    with torch.no_grad(), setting.precision(True):
        held = model.conditioner(given, len(noise) // n).repeat(n)
        denoise: Denoise = graphed(model.denoise(held), noise)

    def sample(half: bool = True) -> Tensor:
        with torch.no_grad(), setting.precision(True):
            fresh = model.conditioner(given, len(noise) // n).repeat(n)
            for old, new in zip(held.fields(), fresh.fields(), strict=True):
                if old is not None and new is not None:
                    old.copy_(new)
            found = DDIM(STEPS)(denoise, noise, model.schedule)
        setting.wait()
        return found

    return sample


def cases(setting: Setting) -> Iterator[tuple[str, Callable[[], PaperCase]]]:
    """The cases by the word that `--only` takes."""
    yield "train", lambda: training(setting, True)
    yield "pose", lambda: training(setting, False)
    yield "sample", lambda: sampling(setting, setting.batch, HYPOTHESES, "eager")
    yield "latency", lambda: sampling(setting, 1, 1, "eager")
    if setting.device.type == "cuda":  # on a CPU the compiler gains nothing, and there are no graphs
        yield "train-compiled", lambda: training(setting, True, compiled=True)
        yield "pose-compiled", lambda: training(setting, False, compiled=True)
        yield "sample-compiled", lambda: sampling(setting, setting.batch, HYPOTHESES, "compiled")
        yield "sample-graph", lambda: sampling(setting, setting.batch, HYPOTHESES, "graph")
        yield "latency-graph", lambda: sampling(setting, 1, 1, "graph")


def run_paper(
    device: str, only: list[str] | str | None, seconds: float, batch: int | None = None, **overrides: Any
) -> tuple[list[dict[str, Any]], bool]:
    """Times the published setting and prints a table.

    Args:
        device: auto, cpu or cuda.
        only: A case or several.
        seconds: For a case.
        batch: Rows; 64 on a GPU, as published, and 2 on a CPU when None.
        overrides: Of the model.

    Returns:
        One record a case, and whether all of them ran and agreed.
    """
    place = device_of(device)
    setting = Setting(place, batch or (64 if place.type == "cuda" else 2), overrides)
    return run_cases(setting.name, dict(cases(setting)), place, only, seconds)
