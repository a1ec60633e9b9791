"""AttentionHand: from a text and a picture of a hand mesh to a picture of that hand.

Park et al., "AttentionHand: Text-driven Controllable Hand Image Generation for 3D Hand Reconstruction", ECCV 2024.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from zoo.bases import Base, load_base, start_guide
from zoo.batch import Asked, Painted, SceneBatch
from zoo.condition import Condition
from zoo.denoisers.attention_maps import AttentionOf
from zoo.denoisers.dual_unet import Branch, DualUNet, Scale
from zoo.encoders.hand_words import ExactTokens, HandTokens
from zoo.encoders.latent_cache import LatentCache
from zoo.guidance.base import Guidance
from zoo.guidance.classifier_free import ClassifierFree
from zoo.guidance.text_attention import TextAttention
from zoo.guidance.text_attention_guidance import TextAttentionGuidance
from zoo.models.attentionhand_batch import Rows, both_pictures, first_rows
from zoo.models.attentionhand_branches import Noisy, attend, predict
from zoo.models.attentionhand_maps import attended
from zoo.models.attentionhand_memory import Memory, spare
from zoo.models.attentionhand_weights import keep_guide_only
from zoo.models.base import PictureMethod
from zoo.models.latents import check_size, dropped, estimator, latent_shape, sample_latents
from zoo.models.schedule import warm_cosine
from zoo.samplers.base import Sampler
from zoo.samplers.ddim import DDIM
from zoo.samplers.noise import seeded
from zoo.shapes import Images, Latents, Scalar, Time, Tokens

Places = Sequence[Literal["down", "mid", "up"]]


def _adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-5)


class AttentionHand(PictureMethod):
    """Learns a guidance copy of a text-to-image model's encoder; the model itself is frozen.

    Each picture is learned twice, whole (global) and cut out around the hands (local), by the same copy. Before the
    network sees noisy latents, text attention (TAS) moves them so that words for hands are attended to.

    Args:
        base: The text-to-image model: a name of weights that ship, a folder of diffusers, a file in the original Stable
            Diffusion layout, or an id of the hub; in Python, its parts.
        guide: A guidance copy to start from, a ControlNet's folder or file; from the base when None.
        size: Side of the pictures, pixels; the one that the base was made for when None.
        branches: Which of the two are learned.
        weights: Of the two losses.
        separate: Whether the local branch has a copy of its own.
        strength: Factor on what the copy adds, while sampling.
        tas: Text attention.
        words: Which tokens of a text are words for hands.
        resolution: Of the attention maps that text attention looks at.
        places: Where in the U-Net these maps are.
        local_prompt: What the local branch is told: the `full` text, or `hand`. `released` gives it the full text and
            looks in it for the words of the text "hand", as the released code does.
        local_noise: `own`: noisy local latents are made from local pictures. `global`: from the whole pictures, as the
            released code does by mistake.
        drop_text: Part of the rows that are learned without their text.
        sampler: Noise to latents.
        scale: Of classifier-free guidance.
        memory: `low` saves memory at the cost of time, `high` saves none, `mid` lies between.
        cache: Folder that keeps the latents of training pictures; None codes them every time.
        optimizer: Builds the optimizer from the parameters of the copy.
        warmup: Steps in which the learning rate rises.
        final_lr: The last learning rate, as a share of the first; a cosine leads there.
    """

    meshes = True

    def __init__(
        self,
        base: str | Base = "tiny-sd",
        guide: str | None = None,
        size: int | None = None,
        branches: list[Branch] = ["global", "local"],  # noqa: B006 - never changed
        weights: tuple[float, float] = (0.5, 0.5),
        separate: bool = False,
        strength: Scale = 1.0,
        tas: TextAttention = TextAttention(),  # noqa: B008 - frozen
        words: HandTokens = ExactTokens(),  # noqa: B008 - frozen
        resolution: int = 16,
        places: Places = ("down", "up"),
        local_prompt: Literal["full", "hand", "released"] = "full",
        local_noise: Literal["own", "global"] = "own",
        drop_text: float = 0.5,
        sampler: Sampler = DDIM(steps=20),  # noqa: B008 - frozen
        scale: float = 9.0,
        memory: Memory = "high",
        cache: Path | None = None,
        optimizer: OptimizerCallable = _adamw,
        warmup: int = 0,
        final_lr: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        if not branches or len(set(branches)) < len(branches):
            raise ValueError(f"branches={branches}: give global, local or both. Set --model.branches [global,local].")
        if separate and len(branches) < 2:
            raise ValueError("A separate copy is for two branches. Set --model.branches [global,local].")
        found = load_base(base) if isinstance(base, str) else base
        self.base_name, self.base_hash = base if isinstance(base, str) else "the given base", found.hash
        self.codec, self.text = found.codec.requires_grad_(False), found.text.requires_grad_(False)
        self.schedule = found.schedule
        self.dual = DualUNet(found.unet, separate=separate, scale=strength)
        if guide is not None:
            start_guide(self.dual, guide, self.codec.factor)
        self.size = size or self.dual.base.net.config.sample_size * self.codec.factor
        latent_shape(self.codec, self.size)
        self.branches, self.weights, self.separate = branches, weights, separate
        self.tas, self.words, self.local_prompt, self.local_noise = tas, words, local_prompt, local_noise
        self.attention = AttentionOf(self.dual.base.net, resolution, places)
        self.drop_text, self.sampler, self.scale = drop_text, sampler, scale
        self.together = spare(memory, self.dual, self.codec)
        self.cache = None if cache is None else LatentCache(cache, self.codec)
        self.optimizer, self.warmup, self.final_lr = optimizer, warmup, final_lr
        keep_guide_only(self)

    def train(self, mode: bool = True) -> "AttentionHand":
        """Switches the copy; what is frozen stays as it is used."""
        super().train(mode)
        self.codec.eval()
        self.text.eval()
        return self

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Scalar:
        rows = both_pictures(batch)
        check_size(rows.pictures["global"], self.size)
        texts = dropped(rows.texts, self.drop_text)
        t = torch.randint(self.schedule.steps, (len(texts),), device=self.device)
        losses = self.step_losses(rows, texts, t, torch.randn(2, *self._noise_shape(len(texts)), device=self.device))
        self.log_dict({f"train/{name}": loss.detach() for name, loss in losses.items()})
        total = torch.stack([loss for name, loss in losses.items() if name in self.branches]).sum()
        self.log("train/loss", total.detach(), prog_bar=True)
        return total

    def step_losses(self, rows: Rows, texts: Sequence[str], t: Time, noise: Tensor) -> dict[str, Scalar]:
        """Losses of one step (equations 4 and 7 to 9) by branch, and what is left to text attention.

        Args:
            rows: Pictures and meshes.
            texts: Of the rows, some perhaps dropped.
            t: Times, of both branches.
            noise: (2, b, c, h, w) of global and local latents.
        """
        said: dict[str, Scalar] = {}
        parts = {name: self._noisy(rows, texts, t, noise, name) for name in self.branches}
        given = {name: (part.x_t, Condition(part.states, control=rows.meshes[name])) for name, part in parts.items()}
        target = {name: part.noise for name, part in parts.items()}
        if self.tas.at in ("train", "both"):
            for name, found in attend(parts, t, self.tas, self.attention, self.schedule, self.together).items():
                target[name] = self.tas.noise(target[name], found.x_t, parts[name].clean, t, self.schedule)
                given[name] = found.x_t, given[name][1]
                acted = found.loss_before > 0
                said[f"tas_{name}"] = found.loss_before.sum() / acted.sum().clamp_min(1)
        predicted = predict(given, t, self.dual, self.together and not self.separate)
        order: tuple[Branch, Branch] = ("global", "local")
        for name, weight in zip(order, self.weights, strict=True):
            if name in predicted:
                said[name] = weight * nn.functional.mse_loss(predicted[name].float(), target[name].float())
        return said

    @torch.no_grad()
    def _noisy(self, rows: Rows, texts: Sequence[str], t: Time, noise: Tensor, branch: Branch) -> Noisy:
        drawn, told = noise[0 if branch == "global" else 1], self.told(texts, branch)
        clean = self.encode(rows.pictures["global" if self.local_noise == "global" else branch])
        x_t = self.schedule.add_noise(clean, drawn, t)
        return Noisy(x_t, clean, drawn, self.states(told), self.positions(told, branch), self.lengths(told))

    def encode(self, images: Images) -> Latents:
        """Latents of pictures, kept on disk where there is a cache."""
        return self.codec.encode(images) if self.cache is None else self.cache(images)

    def states(self, texts: Sequence[str]) -> Tokens:
        """(b, n, d) states of the texts' tokens."""
        return self.text.states(self.text.tokenize(texts))

    def told(self, texts: Sequence[str], branch: Branch) -> list[str]:
        """What a branch is told; a dropped text stays empty."""
        short = branch == "local" and self.local_prompt == "hand"
        return ["hand" if short and text else text for text in texts]

    def positions(self, texts: Sequence[str], branch: Branch = "global") -> list[list[int]]:
        """Positions of each text's words for hands among its tokens."""
        looked = ["hand"] * len(texts) if branch == "local" and self.local_prompt == "released" else texts
        return [list(self.words(text, self.text.tokens).positions) for text in looked]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Position of each text's end token."""
        return [min(len(self.text.tokens.pieces(text)), self.text.tokens.room) + 1 for text in texts]

    def sample(
        self,
        asked: Asked,
        seeds: Sequence[int],
        sampler: Sampler | None = None,
        scale: float | None = None,
        guidance: Sequence[Guidance] = (),
        strength: Scale | None = None,
        branch: Branch = "global",
        attend: bool | None = None,
    ) -> Images:
        """As `PictureMethod.sample`.

        Args:
            asked: Texts, and meshes of the pictures' size: of the whole scene, or of its local part.
            seeds: One a row.
            sampler: The model's own when None.
            scale: Of classifier-free guidance; the model's own when None.
            guidance: Comes last.
            strength: Factor on what the copy adds; the model's own when None.
            branch: Which copy steers, where there are two.
            attend: Whether text attention acts; as `tas.at` says when None.
        """
        rows = len(asked["text"])
        if len(seeds) != rows or "mesh" not in asked or len(asked["mesh"]) != rows:
            raise ValueError(
                f"{rows} texts, {len(seeds)} seeds and {len(asked.get('mesh', ()))} meshes were given; "
                "AttentionHand needs one of each a row."
            )
        check_size(asked["mesh"], self.size)
        # Text attention differentiates, which inference tensors cannot; leaving that mode switches gradients on.
        with torch.inference_mode(False), torch.no_grad():
            states, nothing = self.states(asked["text"]), self.text.null(rows)
            hint = self.dual.hint(asked["mesh"].clone(), branch)  # once for all steps

            def under(condition: Condition) -> Any:
                return estimator(
                    lambda x, t: self.dual(x, t, condition, branch, hint, strength), self.schedule, self.dual
                )

            guides: list[Guidance] = []
            if self.tas.at in ("sample", "both") if attend is None else attend:
                guides.append(
                    TextAttentionGuidance(
                        self.tas, self.attention, states, self.positions(asked["text"], branch),
                        self.lengths(asked["text"]), seeded(seeds),
                    )
                )  # fmt: skip
            guides.append(ClassifierFree(self.scale if scale is None else scale))
            latents = sample_latents(
                under(Condition(states)), under(nothing), latent_shape(self.codec, self.size), seeds,
                sampler or self.sampler, [*guides, *guidance], self.schedule, self.device,
            )  # fmt: skip
            return self.codec.decode(latents)

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> Painted | None:
        """Losses with the same noise every time; pictures and attention of the first batch."""
        return self._judged(batch, batch_idx, 0 if batch_idx else 8)

    def test_step(self, batch: SceneBatch, batch_idx: int) -> Painted | None:
        """The same, with pictures of every scene."""
        return self._judged(batch, batch_idx, len(batch["text"]))

    def _judged(self, batch: SceneBatch, batch_idx: int, shown: int) -> Painted | None:
        rows = both_pictures(batch)
        check_size(rows.pictures["global"], self.size)
        count = len(rows.texts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(batch_idx)
            noise = torch.randn(2, *self._noise_shape(count)).to(self.device)
        t = torch.arange(count, device=self.device) * self.schedule.steps // max(count, 1)
        losses = self.step_losses(rows, rows.texts, t, noise)
        losses["loss"] = torch.stack([loss for name, loss in losses.items() if name in self.branches]).sum()
        self.log_dict({f"{self.split}/{n}": loss for n, loss in losses.items()}, batch_size=count, sync_dist=True)
        if not shown:
            return None
        few = first_rows(rows, shown)
        branch: Branch = "global" if "global" in self.branches else "local"
        asked = Asked(text=few.texts, mesh=few.meshes[branch])
        seeds = batch["index"][batch["has_image"] & batch["has_mesh_image"]][:shown].tolist()
        painted = Painted(images=self.sample(asked, seeds, branch=branch), asked=asked, real=few.pictures[branch])
        if not batch_idx:
            painted["attention"] = attended(self, few.pictures[branch], few.texts, noise[0, : len(few.texts)])
        return painted

    def predict_step(self, batch: SceneBatch, batch_idx: int) -> Painted:
        """A picture for each mesh; its seed is its number in the dataset."""
        meshed = batch["has_mesh_image"]
        texts = [text for text, yes in zip(batch["text"], meshed.tolist(), strict=True) if yes]
        asked, index = Asked(text=texts, mesh=batch["mesh"]), batch["index"][meshed]
        return Painted(images=self.sample(asked, index.tolist()), asked=asked, index=index)

    def _noise_shape(self, rows: int) -> tuple[int, ...]:
        return (rows, *latent_shape(self.codec, self.size))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer([weight for weight in self.parameters() if weight.requires_grad])
        scheduler = warm_cosine(optimizer, self.trainer, self.warmup, self.final_lr)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
