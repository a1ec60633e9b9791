import pytest
import torch
from diffusers import AutoencoderKL

from zoo.encoders import KLCodec, VQCodec

TINY = {"widths": (8, 8, 8, 16), "layers": 1, "groups": 4}


def tiny_codec(kind=KLCodec, **options):
    torch.manual_seed(0)
    return kind(**TINY | ({"codes": 32} if kind is VQCodec else {}) | options).requires_grad_(False)


def pictures(rows=3, height=32, width=48):
    torch.manual_seed(1)
    return torch.rand(rows, 3, height, width)


def seeded(*seeds):
    made = [torch.Generator().manual_seed(seed) for seed in seeds]
    return made if len(made) > 1 else made[0]


BOTH = pytest.mark.parametrize("kind", [KLCodec, VQCodec])


def test_the_defaults_are_the_codec_of_stable_diffusion():
    with torch.device("meta"):
        codec = KLCodec()
    assert sum(p.numel() for p in codec.parameters()) == 83_653_863
    assert (codec.channels, codec.factor, codec.scale) == (4, 8, 0.18215)
    assert codec.net.config.scaling_factor == 0.18215


@BOTH
def test_latents_have_the_promised_shape_and_pictures_come_back(kind):
    codec = tiny_codec(kind)
    latents = codec.encode(pictures())
    assert latents.shape == (3, codec.channels, 4, 6)
    images = codec.decode(latents)
    assert images.shape == (3, 3, 32, 48)
    assert 0 <= images.min() <= images.max() <= 1
    assert codec.decode(100 * latents).max() <= 1


def test_a_kl_codec_is_diffusers_autoencoder_between_minus_one_and_one():
    codec, images = tiny_codec(scale=0.5), pictures()
    theirs = AutoencoderKL.from_config(codec.net.config)
    theirs.load_state_dict(codec.net.state_dict())
    spread = theirs.encode(2 * images - 1).latent_dist
    mean, log_variance = codec.posterior(images)
    assert torch.equal(mean, spread.mean)
    assert torch.equal(log_variance, spread.logvar)
    assert torch.equal(codec.encode(images), 0.5 * spread.mean)
    drawn = codec.encode(images, seeded(5))
    torch.testing.assert_close(drawn, 0.5 * spread.sample(seeded(5)))
    decoded = (theirs.decode(drawn / 0.5).sample + 1) / 2
    torch.testing.assert_close(codec.decode(drawn), decoded.clamp(0, 1))


def test_a_vq_codec_quantises_while_decoding():
    codec, images = tiny_codec(VQCodec, scale=2.0), pictures()
    assert torch.equal(codec.encode(images), 2 * codec.net.encode(2 * images - 1).latents)
    book = codec.net.quantize.embedding.weight
    near = book[torch.randint(0, len(book), (2, 4, 6))].movedim(-1, 1)
    closest = torch.nn.functional.pdist(book).min()
    nudged = near + 0.2 * closest * torch.randn_like(near).sign()  # 0.4 closest away, in four dimensions
    torch.testing.assert_close(codec.decode(2 * near), codec.decode(2 * nudged))
    assert torch.equal(codec.encode(images), codec.encode(images, seeded(1)))


@BOTH
def test_slices_give_the_same(kind):
    whole, sliced, images = tiny_codec(kind), tiny_codec(kind, slicing=True), pictures()
    latents = whole.encode(images, seeded(2))
    torch.testing.assert_close(sliced.encode(images, seeded(2)), latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sliced.decode(latents), whole.decode(latents), rtol=1e-4, atol=1e-5)
    ours, theirs = sliced.reconstruct(images, seeded(3)), whole.reconstruct(images, seeded(3))
    torch.testing.assert_close(ours.images, theirs.images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.penalty, theirs.penalty, rtol=1e-4, atol=1e-5)


@BOTH
def test_slices_go_through_the_network_one_by_one(kind):
    codec, seen = tiny_codec(kind, slicing=True), []
    for part in (codec.net.encoder, codec.net.decoder):
        part.register_forward_hook(lambda module, given, result: seen.append(len(given[0])))
    codec.decode(codec.encode(pictures()))
    assert seen == [1] * 6


def test_a_generator_decides_what_is_drawn():
    codec, images = tiny_codec(), pictures(2)
    drawn = codec.encode(images, seeded(7))
    assert torch.equal(drawn, codec.encode(images, seeded(7)))
    assert not torch.equal(drawn, codec.encode(images, seeded(8)))
    assert not torch.equal(drawn, codec.encode(images))


def test_a_row_with_its_own_generator_does_not_depend_on_the_batch():
    codec, images = tiny_codec(), pictures(3)
    together = codec.encode(images, seeded(4, 5, 6))
    for i, seed in enumerate((4, 5, 6)):
        torch.testing.assert_close(codec.encode(images[i : i + 1], [seeded(seed)]), together[i : i + 1])
    with pytest.raises(ValueError, match="2 generators were given for 3 rows"):
        codec.encode(images, seeded(1, 2))


def test_the_drawn_latents_have_the_posterior_s_spread():
    codec, images = tiny_codec(), pictures(1).expand(400, -1, -1, -1)
    mean, log_variance = (x[0] for x in codec.posterior(images[:1]))
    drawn = codec.encode(images, seeded(0)) / codec.scale
    torch.testing.assert_close(
        ((drawn - mean).square().mean(0) / log_variance.exp()).mean(), torch.tensor(1.0), rtol=0.02, atol=0
    )


def test_the_penalty_of_a_kl_codec_is_the_divergence_from_a_standard_normal():
    codec, images = tiny_codec(), pictures()
    mean, log_variance = codec.posterior(images)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    closed = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1).mean()
    torch.testing.assert_close(codec.reconstruct(images).penalty, closed)


def test_the_penalty_of_a_vq_codec_is_the_distance_to_the_codes():
    codec, images = tiny_codec(VQCodec), pictures()
    latents = codec.encode(images).movedim(1, -1).flatten(0, 2)
    nearest = torch.cdist(latents, codec.net.quantize.embedding.weight).min(1).values.square().mean() / codec.channels
    torch.testing.assert_close(codec.reconstruct(images).penalty, 1.25 * nearest)


@pytest.mark.parametrize(("kind", "weight"), [(KLCodec, 1e-6), (VQCodec, 1.0)])
def test_both_codecs_learn(kind, weight):
    codec, images = tiny_codec(kind).requires_grad_(True), pictures(4, 1, 1).expand(-1, -1, 16, 16)
    optimizer = torch.optim.Adam(codec.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        found, penalty = codec.reconstruct(images, seeded(0))
        losses.append((found - images).square().mean() + weight * penalty)
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert all(p.grad is not None for p in codec.parameters())
    assert losses[-1] < 0.5 * losses[0]


@BOTH
def test_weights_of_half_precision_take_and_give_full_precision(kind):
    codec, images = tiny_codec(kind).bfloat16(), pictures()
    latents = codec.encode(images)
    assert latents.dtype == codec.decode(latents).dtype == torch.float32


def test_the_fingerprint_follows_the_weights_and_the_scale():
    codec = tiny_codec()
    first = codec.fingerprint()
    assert len(first) == 64
    assert tiny_codec().fingerprint() == tiny_codec(slicing=True).fingerprint() == first
    assert tiny_codec(scale=0.2).fingerprint() != first
    assert tiny_codec().bfloat16().fingerprint() != first
    with torch.no_grad():
        codec.net.decoder.conv_out.bias[0] += 1e-6
    assert codec.fingerprint() != first


@BOTH
def test_sides_that_do_not_divide_are_refused(kind):
    with pytest.raises(ValueError, match=r"50 x 32 pixels cannot be coded: both sides must be multiples of 8"):
        tiny_codec(kind).encode(pictures(1, 32, 50))
