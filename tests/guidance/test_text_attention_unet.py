"""Text attention through the cross-attention of a real, small U-Net."""

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel

from zoo.denoisers.attention_maps import AttentionOf
from zoo.diffusion import Estimate, NoiseSchedule
from zoo.guidance import PAPER, RELEASED, ClassifierFree, TextAttentionGuidance, guided
from zoo.samplers import DDIM

SCHEDULE = NoiseSchedule()
TOKENS = [[2], [3, 4]]
T = torch.tensor([200, 800])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=12,
        norm_num_groups=16,
    )
    for weights in net.parameters():  # attention that differs from place to place
        weights.data.mul_(1.5)
    return net.eval()


def given():
    source = torch.Generator().manual_seed(1)
    return torch.randn(2, 4, 16, 16, generator=source), T, 3 * torch.randn(2, 9, 12, generator=source)


@pytest.mark.parametrize("how", [PAPER, replace(PAPER, over="hand"), replace(RELEASED, iterations=4)])
def test_the_loss_falls_row_by_row_whatever_the_batch(net, how):
    x_t, t, states = given()
    how = replace(how, scale=0.3, temperature=10.0)
    both = how.move(AttentionOf(net), x_t, t, states, TOKENS, SCHEDULE, measure=True)
    assert (both.loss_after < both.loss_before).all()
    for row in range(2):
        part = slice(row, row + 1)
        alone = how.move(AttentionOf(net), x_t[part], t[part], states[part], TOKENS[part], SCHEDULE)
        torch.testing.assert_close(both.x_t[part], alone.x_t, atol=1e-4, rtol=1e-4)
    assert all(weights.grad is None and weights.requires_grad for weights in net.parameters())


def test_bfloat16_goes_the_same_way(net):
    def off():
        return (PAPER.move(AttentionOf(net), *given(), TOKENS, SCHEDULE).x_t - given()[0]).flatten(1)

    exact = off()
    with torch.autocast("cpu", torch.bfloat16):
        rough = off()
    assert (torch.cosine_similarity(exact, rough) > 0.9).all()


def test_a_sample_with_text_attention_and_classifier_free_guidance_is_the_same_in_any_batch(net):
    noise, _, states = given()
    nothing = torch.zeros_like(states)

    def denoise(told):
        def run(x, t):
            return Estimate(SCHEDULE.to_x0(net(x, t, told).sample, x, t, "eps").clamp(-3, 3), x)

        return run

    def sample(rows, scale=1.0):
        how = replace(PAPER, window=(0.5, 1.0), scale=scale)
        guidance = TextAttentionGuidance(how, AttentionOf(net), states[rows], TOKENS[rows])
        parts = [guidance, ClassifierFree(2.0)]
        with torch.inference_mode():
            steps = guided(denoise(states[rows]), denoise(nothing[rows]), parts, SCHEDULE)
            return DDIM(4)(steps, noise[rows], SCHEDULE)

    both = sample(slice(2))
    torch.testing.assert_close(sample(slice(1, 2)), both[1:], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(both, sample(slice(2), scale=0.0))
