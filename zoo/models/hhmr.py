"""HHMR: one graph diffusion model that generates hand meshes and recovers them from whatever is known.

Li et al., "HHMR: Holistic Hand Mesh Recovery by Enhancing the Multimodal Controllability of Graph Diffusion Models",
CVPR 2024.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from zoo.batch import Given, HandBatch, Hands
from zoo.condition import Condition
from zoo.denoisers.base import Denoiser
from zoo.denoisers.mesh_unet import MeshUNet
from zoo.diffusion import Denoise, Estimate, NoiseSchedule
from zoo.encoders.multimodal import HandConditioner
from zoo.encoders.readout import Readout
from zoo.guidance.base import Diverged, Guidance, guided
from zoo.hands.model import HandModel
from zoo.hands.openhand import OpenHand
from zoo.losses import MeshLosses, face_edges
from zoo.models.base import HandMethod
from zoo.models.schedule import warm_cosine
from zoo.samplers.base import Sampler
from zoo.samplers.ddim import DDIM
from zoo.samplers.noise import Source, normal_like
from zoo.shapes import Float, Scalar, Vertices

LARGEST = 5.0  # of the normalised signal; hands reach about 2


def _adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)


class HHMR(HandMethod):
    """Diffuses the 778 vertices of a hand, relative to its wrist, in the frame of the camera.

    Args:
        conditioner: Image and skeletons to tokens.
        denoiser: Makes the network for a hand model.
        hand: Faces and joint regressor; the embedded OpenHand when None, or `Mano` with the path of your file.
        schedule: Of the noise.
        sampler: Noise to hand.
        guidance: Wrapped around the denoiser in order while sampling.
        losses: Weights of the five losses.
        mapper_loss: Weight of a sixth, `Readout`: each mapper's own guess of the skeleton. 0 leaves it out, as the
            paper does.
        denoised: Rows of a training batch that reach the denoiser, evenly spread; the others train the mappers alone,
            which are far cheaper and need more hands. None is all of them, 0 is none.
        scale: Metres that count as one in the diffused signal, about the spread of a hand around its wrist.
        time_power: Times are drawn as T (1 - u^power), u uniform: 1 is uniform, more prefers noisy times, where the
            condition alone decides.
        optimizer: Builds the optimizer from the parameters.
        warmup: Steps in which the learning rate rises.
        final_lr: The last learning rate, as a share of the first; a cosine leads there.
    """

    def __init__(
        self,
        conditioner: HandConditioner,
        denoiser: Callable[[HandModel], Denoiser] = MeshUNet,
        hand: HandModel | None = None,
        schedule: NoiseSchedule | None = None,
        sampler: Sampler = DDIM(),  # noqa: B008 - frozen
        guidance: list[Guidance] | None = None,
        losses: MeshLosses = MeshLosses(),  # noqa: B008 - frozen
        mapper_loss: float = 0.0,
        denoised: int | None = None,
        scale: float = 0.1,
        time_power: float = 1.0,
        optimizer: OptimizerCallable = _adamw,
        warmup: int = 100,
        final_lr: float = 0.01,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.hand = OpenHand() if hand is None else hand
        self.conditioner = conditioner
        self.denoiser = denoiser(self.hand)
        self.schedule = NoiseSchedule() if schedule is None else schedule
        self.sampler, self.guidance = sampler, guidance or []
        self.losses, self.scale, self.time_power = losses, scale, time_power
        if denoised is not None and not mapper_loss:
            raise ValueError(
                f"denoised={denoised} leaves the other rows of a batch without any loss. "
                "Set --model.mapper_loss above 0, or --model.denoised null."
            )
        self.mapper_loss, self.denoised = mapper_loss, denoised
        self.readout = Readout(conditioner.conditioners[0].dim) if mapper_loss else None
        self.optimizer, self.warmup, self.final_lr = optimizer, warmup, final_lr

    def normalized(self, vertices: Vertices) -> Vertices:
        """Metres in the camera frame to the diffused signal."""
        return (vertices - self.hand.regress(vertices)[:, :1]) / self.scale

    def check_mesh(self, vertices: Vertices) -> None:
        """Refuses meshes of another topology, on which every loss would be wrong without any error."""
        edges = face_edges(vertices[:1], self.hand.faces).norm(dim=-1).mean()
        usual = face_edges(self.hand.template, self.hand.faces).norm(dim=-1).mean()
        if edges > 3 * usual:
            raise ValueError(
                f"The data's meshes do not have the faces of {type(self.hand).__name__}: with those, edges are "
                f"{1000 * edges:.0f} mm long instead of {1000 * usual:.0f}. Meshes of MANO (FreiHAND's, HO3D's) need "
                "--model.hand Mano --model.hand.path FOLDER."
            )

    def on_validation_batch_start(self, batch: HandBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        if batch_idx == 0 and batch["has_mesh"].any():
            self.check_mesh(batch["vertices"][batch["has_mesh"]])

    on_test_batch_start = on_validation_batch_start

    def on_train_batch_start(self, batch: HandBatch, batch_idx: int) -> None:
        if batch_idx == 0 and batch["has_mesh"].any():
            self.check_mesh(batch["vertices"][batch["has_mesh"]])
        super().on_train_batch_start(batch, batch_idx)

    def training_step(self, batch: HandBatch, batch_idx: int) -> Scalar:
        rows = len(batch["vertices"]) if self.denoised is None else min(len(batch["vertices"]), self.denoised)
        t = (self.schedule.steps * (1 - self.rand(rows) ** self.time_power)).long().clamp(max=self.schedule.steps - 1)
        losses = self.step_losses(batch, t, torch.randn(rows, *batch["vertices"].shape[1:], device=self.device))
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()})
        self.log("train/loss", total.detach(), prog_bar=True)
        return total

    def step_losses(self, batch: HandBatch, t: Tensor, noise: Tensor) -> dict[str, Scalar]:
        """The losses of one denoising step.

        Args:
            batch: All of its rows train the mappers, if there is a loss for them.
            t: Times, for each row that is denoised: as many of the batch, evenly spread.
            noise: Of those rows.
        """
        clean, known = self.normalized(batch["vertices"]), batch["has_mesh"]
        given, losses = conditions_of(batch), {}
        if self.readout is None:
            condition = self.conditioner(given, len(clean))
        else:
            each, joints = self.conditioner.each(given, len(clean)), self.hand.regress(clean)
            read = self.readout(each, joints, batch["joints2d"], batch["joints2d_valid"], known)
            losses["mapper"] = self.mapper_loss * read
            condition = self.conditioner.join(each)
        if not len(t):
            return losses
        if len(t) < len(clean):
            rows = torch.arange(len(t), device=t.device) * len(clean) // len(t)
            clean, known, condition = clean[rows], known[rows], condition.rows(rows)
        x_t = self.schedule.add_noise(clean, noise, t)
        predicted = self.schedule.to_x0(self.denoiser(x_t, t, condition), x_t, t, self.denoiser.prediction)
        return losses | self.losses(
            predicted, clean, self.hand.joint_regressor, self.hand.faces, known, self.global_step
        )

    def rand(self, n: int) -> Tensor:
        """N uniform numbers on the model's device."""
        return torch.rand(n, device=self.device)

    def sample(
        self,
        given: Given,
        n: int = 1,
        generator: Source = None,
        batch_size: int | None = None,
        guidance: Sequence[Guidance] = (),
    ) -> Hands:
        """As `Method.sample`. The condition is computed once, however many steps and hypotheses.

        Works under inference mode and no_grad: guidance that needs gradients takes them, and nothing else does.

        Args:
            given: The conditions; empty for none.
            n: Hypotheses for each row.
            generator: Source of randomness, on the model's device; the global one when None; or one a hypothesis of
                every row, on any device.
            batch_size: Rows, needed when nothing is given.
            guidance: After the model's own, first to last; a KnownPart goes last. Observations have as many rows as
                the conditions, and lie in the same crop.

        Raises:
            Diverged: When guidance was too strong for some rows; it carries the hands of the others.
        """
        rows = batch_size or rows_of(given)
        guides = [*self.guidance, *guidance]
        gradients = any(guide.needs_gradient for guide in guides)
        with torch.inference_mode(torch.is_inference_mode_enabled() and not gradients), torch.no_grad():
            if gradients:
                given = outside_inference(given)
            condition = self.conditioner(given, rows).repeat(n)
            nothing = self.conditioner.null(rows * n)
            noise = normal_like(torch.empty(rows * n, len(self.hand.template), 3, device=self.device), generator)
            denoise = guided(self.denoise(condition), self.denoise(nothing), guides, self.schedule)
            clean = self.sampler(denoise, noise, self.schedule, generator).float()
            vertices = torch.unflatten(clean * self.scale, 0, (rows, n))
            if not any(guide.anchored for guide in guides):
                vertices = vertices - self.hand.regress(vertices)[..., :1, :]
            hands = Hands(vertices=vertices, joints=self.hand.regress(vertices))
            if guides:
                refuse_diverged(torch.unflatten(clean, 0, (rows, n)), hands)
        return hands

    def denoise(self, condition: Condition) -> Denoise:
        """The network under a condition, as samplers and guidance see it."""

        def estimate(x_t: Tensor, t: Tensor) -> Estimate:
            predicted = self.denoiser(x_t, t, condition)
            return Estimate(self.schedule.to_x0(predicted, x_t, t, self.denoiser.prediction), x_t)

        return estimate

    def validation_step(self, batch: HandBatch, batch_idx: int) -> dict[str, Hands]:
        """Hands by condition: from each one alone, and, for the first batch, from none."""
        generator = torch.Generator(self.device).manual_seed(batch_idx)
        given, rows = conditions_of(batch), len(batch["vertices"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch_idx)
            t = (self.schedule.steps * self.rand(rows)).long()
            losses = self.step_losses(batch, t, torch.randn_like(batch["vertices"]))
        self.log(f"{self.split}/loss", torch.stack(list(losses.values())).sum(), batch_size=rows, sync_dist=True)
        names = [n for n in self.conditioner.names if n != "image" or bool(batch["has_image"].all())]
        hands = {name: self.sample(only(given, name), 1, generator, rows) for name in names}
        if batch_idx == 0:
            hands["none"] = self.sample(Given(), 1, generator, rows)
        return hands

    test_step = validation_step

    def predict_step(self, batch: HandBatch, batch_idx: int) -> Hands:
        """Hands from everything that the batch gives."""
        generator = torch.Generator(self.device).manual_seed(batch_idx)
        return self.sample(conditions_of(batch), 1, generator, len(batch["vertices"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(self.parameters())
        scheduler = warm_cosine(optimizer, self.trainer, self.warmup, self.final_lr)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def conditions_of(batch: HandBatch) -> Given:
    """All that a batch knows about its hands."""
    given = Given(
        joints=batch["joints"],
        joints_valid=batch["joints_valid"],
        joints2d=batch["joints2d"],
        joints2d_valid=batch["joints2d_valid"],
    )
    if len(batch["image"]):
        given["image"], given["has_image"] = batch["image"], batch["has_image"]
    return given


FIELDS = {
    "skeleton3d": ("joints", "joints_valid"),
    "skeleton2d": ("joints2d", "joints2d_valid"),
    "image": ("image", "has_image"),
}


def only(given: Given, name: str) -> Given:
    """One condition of several: skeleton3d, skeleton2d or image."""
    kept: Given = {key: given[key] for key in FIELDS[name] if key in given}  # type: ignore[literal-required,assignment]
    return kept


def outside_inference(given: Given) -> Given:
    """The same conditions as tensors that autograd may keep."""
    copied = {name: value.clone() for name, value in cast(dict[str, Tensor], given).items()}
    return cast(Given, copied)


def refuse_diverged(clean: Float[Tensor, "b n 778 3"], hands: Hands) -> None:
    """Raises when a signal is not finite, or several times larger than any hand."""
    which = ~(clean.abs().flatten(2).amax(-1) <= LARGEST)  # NaN too
    if not bool(which.any()):
        return
    hide = which[..., None, None]
    for name in ("vertices", "joints"):
        hands[name] = hands[name].masked_fill(hide, torch.nan)
    raise Diverged(which.any(1).nonzero().flatten().tolist(), which, hands)


def rows_of(given: Given) -> int:
    """Rows of a batch of conditions."""
    sizes: Sequence[int] = [len(given[key]) for key in ("joints", "joints2d", "has_image", "image") if key in given]
    if not sizes:
        raise ValueError(
            "Nothing is given, so the number of hands is not known. Pass batch_size (-n on the command line)."
        )
    return sizes[0]
