"""Speed of AttentionHand: training with and without text attention, and sampling, each beside how others do it."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from zoo.batch import Asked
from zoo.commands.bench_attentionhand_setting import RATE, SCALE, STEPS, TEXTS, Setting, random_base
from zoo.commands.bench_diffusers import pipeline, recipe
from zoo.commands.bench_harness import Case
from zoo.commands.bench_rates import wait
from zoo.commands.bench_released import ReleasedStep
from zoo.commands.bench_runs import PaperCase, device_of, run_cases
from zoo.guidance.text_attention_presets import PAPER, RELEASED
from zoo.models.attentionhand import AttentionHand
from zoo.samplers.ddim import DDIM

AGREED = 2  # iterations of text attention in which the two are compared


def small() -> Setting:
    """The embedded size on a CPU, as the cases of `--suite cpu` have it."""
    return Setting(torch.device("cpu"))


def stepper(setting: Setting, model: AttentionHand) -> Callable[[], Tensor]:
    """Our training step, up to the new weights."""
    rows, texts, t, noise = setting.rows(model.size)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=RATE)
    model.train()

    def step() -> Tensor:
        optimizer.zero_grad()
        with setting.precision():
            losses = model.step_losses(rows, texts, t, noise)
        loss = losses["global"] + losses["local"]
        torch.autograd.backward(loss)
        optimizer.step()
        wait(setting.device)
        return loss.detach()

    return step


def against_released(setting: Setting, iterations: int, peer_iterations: int = 50) -> Case:
    """A step with text attention as in the paper, or with the released code's many iterations, against that code's way.

    The two are compared in a step of few iterations by the released code's rules, in float32.

    Args:
        setting: Size and device.
        iterations: Ours: 1 as in the paper, or as many as the peer.
        peer_iterations: The released code's.
    """
    released = {"local_noise": "global"}
    tas = PAPER if iterations == 1 else dataclasses.replace(RELEASED, iterations=iterations)
    ours = stepper(setting, setting.model(tas=tas, **({} if iterations == 1 else released)))

    def difference() -> float:
        model = setting.model(tas=dataclasses.replace(RELEASED, iterations=AGREED), **released).train()
        given = setting.rows(model.size)
        found = model.step_losses(*given)
        expected = ReleasedStep(model, AGREED)(*given)
        return float(((found["global"] + found["local"]).detach() - expected).abs() / expected)

    @dataclass
    class Peer:
        """Made when it is first asked for: its copies of the networks are large."""

        made: Callable[[], None] | None = None

        def __call__(self) -> None:
            if self.made is None:
                self.made = _released_stepper(setting, peer_iterations)
            self.made()

    return Case(
        f"AttentionHand, TAS {iterations}", _shape(setting, f"b={setting.batch}"), ours, Peer(),
        f"the released code's way, {peer_iterations} iterations, one sample after the other, float32",
        difference, 1e-3, setting.batch, "samples", slow=True,
    )  # fmt: skip


def _released_stepper(setting: Setting, iterations: int) -> Callable[[], None]:
    released = ReleasedStep(setting.model(tas=RELEASED, local_noise="global"), iterations)
    given = setting.rows(released.model.size)
    optimizer = torch.optim.AdamW(released.dual.guide.parameters(), lr=RATE)

    def step() -> None:
        optimizer.zero_grad()
        released(*given)
        optimizer.step()
        wait(setting.device)

    return step


def against_recipe(setting: Setting, iterations: int, compiled: bool = False) -> Case:
    """A step with one or no iteration of text attention against diffusers' recipe for ControlNets, which has none.

    Args:
        setting: Size and device.
        iterations: 1 or 0.
        compiled: Whether our base is compiled.
    """
    none = dataclasses.replace(PAPER, at="none")
    model = setting.model(tas=PAPER if iterations else none)
    plain = stepper(setting, setting.model(tas=none))
    peer = recipe(setting, setting.model(tas=none))
    if compiled:
        model.dual.compile()
    ours = stepper(setting, model)

    def difference() -> float:
        expected = peer()
        return float((plain() - expected).abs() / expected)

    return Case(
        f"AttentionHand, TAS {iterations}" + (", compiled" if compiled else ""),
        _shape(setting, f"b={setting.batch}" + (" cached" if setting.cached else "")), ours, peer,
        "diffusers' train_controlnet recipe, without text attention",
        difference, 1e-2 if setting.half else 1e-3, setting.batch, "samples",
    )  # fmt: skip


def sampling(setting: Setting, batch: int, compiled: bool = False) -> Case:
    """Pictures, DDIM, classifier-free guidance, against diffusers' pipeline where transformers is installed.

    Args:
        setting: Size and device.
        batch: Pictures.
        compiled: Whether our network is compiled; the pipeline's too then.
    """
    model = setting.model(tas=dataclasses.replace(PAPER, at="none")).eval()
    if setting.half:
        model.dual.to(torch.bfloat16)
    sampler = DDIM(STEPS, spacing="leading", offset=1)  # the pipeline's times
    mesh = torch.rand(batch, 3, model.size, model.size, generator=torch.Generator().manual_seed(0)).to(setting.device)
    texts, seeds = [TEXTS[i % len(TEXTS)] for i in range(batch)], range(batch)
    peer = pipeline(setting, model, texts, mesh) if find_spec("transformers") else None
    if compiled:
        model.dual.compile()

    def ours() -> Tensor:
        with setting.precision():
            found = model.sample(Asked(text=texts, mesh=mesh), seeds, sampler, SCALE)
        wait(setting.device)
        return found

    return Case(
        "sample" + (", compiled" if compiled else ""), _shape(setting, f"b={batch} {STEPS} steps"), ours, peer,
        "diffusers' StableDiffusionControlNetPipeline" if peer else "",
        None if peer is None else lambda: float((ours() - peer()).abs().mean()),
        0.05 if setting.half else 1e-3, batch, "pictures",
    )  # fmt: skip


def counted(case: Case) -> PaperCase:
    """With the operations of our call, products and convolutions, two for a multiply-add; runs it once."""
    with FlopCounterMode(display=False) as counter:
        case.ours()
    return PaperCase(case, int(counter.get_total_flops()))


def _shape(setting: Setting, words: str) -> str:
    return words + (" bf16" if setting.half else "")


def cases(setting: Setting, iterations: int = 50) -> Iterator[tuple[str, Callable[[], PaperCase]]]:
    """The cases by the word that `--only` takes."""
    yield "step50", lambda: counted(against_released(setting, iterations, iterations))
    yield "step1", lambda: counted(against_recipe(setting, 1))
    yield "step0", lambda: counted(against_recipe(setting, 0))
    yield "sample8", lambda: counted(sampling(setting, 8))
    yield "sample1", lambda: counted(sampling(setting, 1))
    if setting.device.type == "cuda":
        yield "step0-compiled", lambda: counted(against_recipe(setting, 0, compiled=True))
        yield "sample8-compiled", lambda: counted(sampling(setting, 8, compiled=True))
        yield "sample1-compiled", lambda: counted(sampling(setting, 1, compiled=True))


def run_attentionhand(
    device: str, only: list[str] | str | None, seconds: float, batch: int | None = None, small: bool = False
) -> tuple[list[dict[str, Any]], bool]:
    """Times AttentionHand at Stable Diffusion 1.5's size and prints a table; as `bench_runs.run_cases`.

    Args:
        device: auto, cpu or cuda.
        only: A case or several.
        seconds: For a case.
        batch: Rows of a training step; 4 when None.
        small: The embedded size instead.
    """
    place = device_of(device)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(place, batch or 4, lambda: random_base(small), 8 if small else 16, Path(folder))
        name = "attentionhand" if small else "attentionhand-paper"
        return run_cases(name, dict(cases(setting)), place, only, seconds)
