"""What is timed, against whom. Every pair computes the same thing on the same numbers, and is compared first."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from zoo.commands.bench_harness import Case
from zoo.diffusion import NoiseSchedule


def chebconv(channels: int, batch: int = 64, order: int = 3) -> Case:
    """Our graph convolution and torch_geometric's, forward and backward."""
    from zoo.denoisers.chebconv import ChebConv, scaled_laplacian
    from zoo.denoisers.hierarchy import mesh_edges
    from zoo.denoisers.sparse import SparseMatrix
    from zoo.hands.openhand import OpenHand

    laplacian = SparseMatrix(scaled_laplacian(mesh_edges(OpenHand().faces.numpy()), 778))
    torch.manual_seed(0)
    layers = {kind: ChebConv(channels, channels, laplacian, order, kind) for kind in ("fast", "pyg")}
    layers["pyg"].load_state_dict(layers["fast"].state_dict())
    x = torch.randn(batch, 778, channels)
    gradient = torch.randn(batch, 778, channels)

    def run(kind: str) -> list[Tensor]:
        source = x.detach().requires_grad_()
        result = layers[kind](source)
        weights = (layers[kind].linear.weight, layers[kind].linear.bias)
        return [result, *torch.autograd.grad(result, (source, *weights), gradient)]

    return Case(
        f"ChebConv C={channels}",
        f"b={batch} K={order} fwd+bwd",
        lambda: run("fast"),
        lambda: run("pyg"),
        "torch_geometric ChebConv, same weights",
        lambda: _relative(run("fast"), run("pyg")),
        1e-4,
    )


def hand_layer(batch: int = 1024) -> Case:
    """Our hand model and smplx's linear blend skinning."""
    from smplx.lbs import lbs

    from zoo.hands import openhand
    from zoo.hands.rotations import random_rotations
    from zoo.hands.skeleton import MANO_PARENTS

    model = openhand.OpenHand()
    with np.load(Path(openhand.__file__).parent / "assets" / "openhand" / "openhand_right.npz") as file:
        names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
        arrays = {name: torch.from_numpy(file[name]).float() for name in names}
    posedirs = arrays["posedirs"].reshape(-1, 135).T.contiguous()
    generator = torch.Generator().manual_seed(0)
    rotations = random_rotations(batch * 16, generator).view(batch, 16, 3, 3)
    betas = torch.randn(batch, 10, generator=generator)
    parents = torch.tensor(MANO_PARENTS)

    @torch.no_grad()
    def ours() -> Tensor:
        return cast(Tensor, model(rotations, betas, torch.zeros(batch, 3)).vertices)

    @torch.no_grad()
    def peer() -> Tensor:
        tables = (arrays["v_template"], arrays["shapedirs"][..., :10], posedirs, arrays["J_regressor"], parents)
        vertices, _ = lbs(betas, rotations, *tables, arrays["weights"], pose2rot=False)
        return cast(Tensor, vertices)

    return Case(
        "hand layer", f"b={batch} forward", ours, peer, "smplx lbs",
        lambda: float((ours() - peer()).abs().max()), 1e-5, batch, "hands",
    )  # fmt: skip


def diffusers_ddim(schedule: NoiseSchedule) -> Any:
    """Diffusers' scheduler for our noise and our choice of times."""
    from diffusers import DDIMScheduler

    make: Any = DDIMScheduler
    return make(
        num_train_timesteps=schedule.steps,
        trained_betas=schedule.beta.double().cpu().numpy(),
        prediction_type="sample",
        clip_sample=False,
        timestep_spacing="trailing",
    )


def ddim(batch: int = 64, steps: int = 10) -> Case:
    """Our DDIM loop and diffusers' scheduler, around a network that costs nothing."""
    from zoo.diffusion import Estimate
    from zoo.samplers.ddim import DDIM

    schedule = NoiseSchedule()
    noise = torch.randn(batch, 778, 3, generator=torch.Generator().manual_seed(0))
    peer = diffusers_ddim(schedule)

    def theirs() -> Tensor:
        peer.set_timesteps(steps)
        x = noise
        for t in peer.timesteps:
            x = peer.step(0.5 * x, t, x).prev_sample
        return x

    def ours() -> Tensor:
        return DDIM(steps)(lambda x, _: Estimate(0.5 * x, x), noise, schedule)

    return Case(
        "DDIM", f"b={batch} {steps} steps", ours, theirs, "diffusers DDIMScheduler",
        lambda: float((ours() - theirs()).abs().max()), 1e-4,
    )  # fmt: skip


def training_step(batch: int = 64, model: str = "hhmr") -> Case:
    """Forward, backward and optimizer step of a model; the peer is the same network in PyTorch Geometric's layers."""
    from datamodules.openhand.data import OpenHandData
    from zoo.registry import create

    rows = OpenHandData(batch_size=batch).train_batches()[0]
    methods = {"ours": create(model), "peer": create(model, **{"denoiser.conv": "pyg", "denoiser.attention": "math"})}
    head = cast(torch.nn.Linear, methods["ours"].get_submodule("denoiser.head"))
    torch.nn.init.normal_(head.weight, std=0.02)  # it starts at zero, which would make any two networks agree
    methods["peer"].load_state_dict(methods["ours"].state_dict())
    generator = torch.Generator().manual_seed(0)
    t = torch.randint(0, 1000, (batch,), generator=generator)
    noise = torch.randn(batch, 778, 3, generator=generator)

    def loss(name: str) -> Tensor:
        torch.manual_seed(0)
        step_losses = cast(Callable[..., dict[str, Tensor]], methods[name].step_losses)
        return torch.stack(list(step_losses(rows, t, noise).values())).sum()

    def stepper(name: str) -> Callable[[], Any]:
        optimizer = torch.optim.AdamW(methods[name].parameters(), lr=1e-6)

        def step() -> None:
            optimizer.zero_grad()
            torch.autograd.backward(loss(name))
            optimizer.step()

        return step

    return Case(
        f"training step, {model}", f"b={batch}", stepper("ours"), stepper("peer"),
        "PyG ChebConv and plain attention in the same network",
        lambda: float((loss("ours") - loss("peer")).abs().detach()), 1e-3, batch, "samples",
    )  # fmt: skip


def rendering(batch: int = 16, size: int = 512) -> Case:
    """Flat hands drawn with OpenGL, where it works, against the renderer in plain torch; else torch alone."""
    from zoo.hands.openhand import OpenHand
    from zoo.hands.render import Rendered, gl_problem, render

    hand = OpenHand()
    upright = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    vertices = (hand.template @ upright.T + torch.tensor([0.0, 0.08, 0.5])).expand(batch, -1, -1)
    middle = (size - 1) / 2
    camera = torch.tensor([[1.75 * size, 0.0, middle], [0.0, 1.75 * size, middle], [0.0, 0.0, 1.0]])

    def draw(backend: Literal["gl", "torch"]) -> Rendered:
        return render(vertices, hand.faces, camera.expand(batch, 3, 3), (size, size), backend=backend)

    if gl_problem() is not None:
        return Case("render (torch)", f"b={batch} {size} px", lambda: draw("torch"), items=batch, unit="pictures")
    return Case(
        "render (gl)", f"b={batch} {size} px", lambda: draw("gl"), lambda: draw("torch"), "ours in torch",
        lambda: float((draw("gl").mask != draw("torch").mask).float().mean()), 1e-3, batch, "pictures",
    )  # fmt: skip


def cpu_suite(folder: Path) -> Iterator[tuple[str, Callable[[], Case]]]:
    """The cases of `--suite cpu`, by the word that `--only` takes."""
    yield "chebconv64", lambda: chebconv(64)
    yield "chebconv128", lambda: chebconv(128)
    yield "hand", hand_layer
    yield "ddim", ddim
    yield "step", training_step
    yield "attention1", lambda: _attentionhand().against_released(_attentionhand().small(), 1)
    yield "attention50", lambda: _attentionhand().against_released(_attentionhand().small(), 50)
    yield "pictures", lambda: _attentionhand().sampling(_attentionhand().small(), 4)
    yield "loader", lambda: _data().loader(_data().small(folder), "224 to 128 px")
    yield "loader640", lambda: _data().loader(_data().photos(folder), "640 to 224 px")
    if find_spec("albumentations"):
        yield "albumentations", lambda: _data().albumentations(_data().photos(folder, tint=0.0), "640 to 224 px")
    yield "crop_cache", lambda: _data().cached(folder)
    yield "poses", lambda: _poses().poses61(folder / "poses")
    yield "labels", lambda: _poses().labels(folder / "poses")
    yield "hand_rows", lambda: _poses().hand_rows(folder / "poses")
    yield "render", rendering
    if all(map(find_spec, ("trimesh", "rtree"))):  # installed with the tests
        yield "si_trimesh", lambda: _metrics().si_trimesh()
    if find_spec("fcl"):
        yield "si_fcl", lambda: _metrics().si_fcl()
    yield "apd", lambda: _metrics().apd()


def _attentionhand() -> Any:
    from zoo.commands import bench_attentionhand  # loads diffusers

    return bench_attentionhand


def _data() -> Any:
    from zoo.commands import bench_data

    return bench_data


def _poses() -> Any:
    from zoo.commands import bench_poses

    return bench_poses


def _metrics() -> Any:
    from zoo.commands import bench_metrics  # compiles

    return bench_metrics


def _relative(ours: list[Tensor], peer: list[Tensor]) -> float:
    pairs = zip(ours, peer, strict=True)
    return max(float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in pairs)
