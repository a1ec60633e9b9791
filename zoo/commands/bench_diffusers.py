"""The same work as AttentionHand's, done with diffusers: its recipe that trains ControlNets, and its pipeline."""

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.commands.bench_attentionhand_setting import RATE, SCALE, STEPS, Setting
from zoo.commands.bench_rates import wait
from zoo.models.attentionhand import AttentionHand
from zoo.samplers.noise import normal_like, seeded


def recipe(setting: Setting, model: AttentionHand) -> Callable[[], Tensor]:
    """A step of train_controlnet: both branches as one batch; pictures and texts are coded in every step."""
    rows, texts, t, noise = setting.rows(model.size)
    unet, guide, codec = model.dual.base.net, copy.deepcopy(model.dual.guide).train(), model.codec
    pictures, meshes = (torch.cat([part["global"], part["local"]]) for part in (rows.pictures, rows.meshes))
    optimizer = torch.optim.AdamW(guide.parameters(), lr=RATE)

    def step() -> Tensor:
        optimizer.zero_grad()
        with setting.precision():
            with torch.no_grad():
                latents = codec.encode(pictures)
                states = model.text([*texts, *texts]).tokens
            drawn, times = noise.flatten(0, 1), t.repeat(2)
            x_t = model.schedule.add_noise(latents, drawn, times)
            down, mid = guide(x_t, times, states, controlnet_cond=meshes, return_dict=False)
            found = unet(
                x_t, times, states, down_block_additional_residuals=down, mid_block_additional_residual=mid,
                return_dict=False,
            )[0]  # fmt: skip
        loss = F.mse_loss(found.float(), drawn)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(guide.parameters(), 1.0)
        optimizer.step()
        wait(setting.device)
        return loss.detach()

    return step


def pipeline(setting: Setting, model: AttentionHand, texts: list[str], mesh: Tensor) -> Callable[[], Tensor]:
    """StableDiffusionControlNetPipeline with the model's weights; it gets the states of texts, not the texts."""
    from diffusers import DDIMScheduler, StableDiffusionControlNetPipeline

    make: Any = StableDiffusionControlNetPipeline
    parts: Any = model.codec
    vae = copy.deepcopy(parts.net)
    vae.register_to_config(scaling_factor=model.codec.scale)
    scheduler: Any = DDIMScheduler
    steps = scheduler(
        num_train_timesteps=model.schedule.steps, trained_betas=model.schedule.beta.double().cpu().numpy(),
        clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    made = make(
        vae=vae, text_encoder=None, tokenizer=None, unet=copy.deepcopy(model.dual.base.net),
        controlnet=copy.deepcopy(model.dual.guide), scheduler=steps, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).to(setting.device)  # fmt: skip
    made.set_progress_bar_config(disable=True)
    kind = torch.bfloat16 if setting.half else torch.float32
    made.to(kind)
    with torch.no_grad():
        states, nothing = (cast(Tensor, model.text(said).tokens).to(kind) for said in (texts, [""] * len(texts)))
    side = model.size // model.codec.factor
    noise = normal_like(torch.empty(len(texts), model.codec.channels, side, side), seeded(range(len(texts))))

    def sample() -> Tensor:
        found = made(
            prompt_embeds=states, negative_prompt_embeds=nothing, image=mesh.to(kind), height=model.size,
            width=model.size, num_inference_steps=STEPS, guidance_scale=SCALE,
            latents=noise.to(setting.device, kind), output_type="pt",
        ).images  # fmt: skip
        wait(setting.device)
        return cast(Tensor, found.float())

    return sample
