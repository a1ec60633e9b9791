import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

from zoo.encoders import ClipText
from zoo.encoders.clip_keys import from_hugging_face, from_open_clip, from_single_file, sizes, to_hugging_face

PROMPTS = [
    "",
    "a hand",
    "A photo of a left hand, palm up, holding a cup of coffee in the sun.",
    "uncharacteristically floccinaucinihilipilification",
    "hand " * 74,
    "hand " * 75,
    "a very long text about two hands " * 20,
]
VISION = CLIPVisionCfg(layers=1, width=32, head_width=16, image_size=32, patch_size=16)


def ours(seed: int = 0, heads: int = 4) -> ClipText:
    """Random weights, also where a fresh model has ones and zeros."""
    torch.manual_seed(seed)
    text = ClipText(width=32, layers=3, heads=heads).eval()
    for parameter in text.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return text


def theirs() -> CLIPTextModel:
    torch.manual_seed(1)
    config = CLIPTextConfig(
        hidden_size=32, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, eos_token_id=49407
    )
    model = CLIPTextModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def on_disk(state):
    """The names that files have and transformers 5 has not in memory."""
    return {f"text_model.{name}": value for name, value in state.items()}


def open_clips(kind):
    torch.manual_seed(2)
    config = CLIPTextCfg(context_length=77, vocab_size=49408, width=32, heads=4, layers=3)
    return kind(24, VISION, config, quick_gelu=True).eval()


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@torch.no_grad()
def test_converted_weights_give_transformers_states():
    text, reference = ours(), theirs()
    text.load_state_dict(from_hugging_face(on_disk(reference.state_dict())))
    expected = reference(input_ids=text.tokenize(PROMPTS)).last_hidden_state
    assert (text(PROMPTS).tokens - expected).abs().max() < 1e-5
    assert (text(PROMPTS).tokens - expected).abs().mean() < 1e-6


def test_names_with_and_without_text_model_and_with_old_position_numbers_are_read():
    state = theirs().state_dict()
    plain = from_hugging_face(state)
    assert same(plain, from_hugging_face(on_disk(state)))
    old = {**on_disk(state), "text_model.embeddings.position_ids": torch.arange(77)[None]}
    assert same(plain, from_hugging_face(old))


def test_the_text_half_of_a_whole_hugging_face_clip_is_read():
    text = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    vision = {**text, "image_size": 32, "patch_size": 16}
    state = CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).state_dict()
    ours().load_state_dict(from_hugging_face(state))


def test_a_stable_diffusion_file_holds_the_same():
    reference = theirs().state_dict()
    state = {f"cond_stage_model.transformer.{name}": value for name, value in on_disk(reference).items()}
    rest = {"model.diffusion_model.out.2.bias": torch.zeros(4), "betas": torch.zeros(1000)}
    assert same(from_single_file(state | rest), from_hugging_face(reference))
    with pytest.raises(ValueError, match=r"None of 2 keys starts with 'cond_stage_model"):
        from_single_file(rest)


@torch.no_grad()
@pytest.mark.parametrize("kind", [CLIP, CustomTextCLIP])
def test_open_clips_own_weights_give_open_clips_states(kind):
    model, text = open_clips(kind), ours()
    state = model.state_dict()
    text.load_state_dict(from_open_clip(state))
    ids = text.tokenize(PROMPTS)
    pooled = model.encode_text(ids)
    last = ids.argmax(-1)  # where open_clip reads the summary of a text
    projection = state["text_projection" if kind is CLIP else "text.text_projection"]
    assert torch.allclose(text.states(ids)[range(len(ids)), last] @ projection, pooled, atol=1e-5)
    spread = {f"module.{name}": value for name, value in state.items()}
    assert same(from_open_clip(spread), from_open_clip(state))


def test_there_and_back_is_the_same():
    state = ours().state_dict()
    assert same(from_hugging_face(to_hugging_face(state)), state)
    for prefix in ("", "text_model."):
        assert same(from_hugging_face(to_hugging_face(state, prefix)), state)
    assert same(from_single_file(to_hugging_face(state, "cond_stage_model.transformer.text_model.")), state)


@torch.no_grad()
def test_transformers_loads_what_is_written(tmp_path):
    text = ours()
    save_file(to_hugging_face(text.state_dict()), tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs().config.save_pretrained(tmp_path)
    model, report = CLIPTextModel.from_pretrained(tmp_path, output_loading_info=True, local_files_only=True)
    assert not any(report.values()), report
    expected = model.eval()(input_ids=text.tokenize(PROMPTS)).last_hidden_state
    assert torch.allclose(text(PROMPTS).tokens, expected, atol=1e-5)


def test_the_sizes_can_be_read_from_the_weights():
    text = ClipText(width=16, layers=2, heads=2, context=20, vocab=600)
    assert sizes(text.state_dict()) == {"width": 16, "layers": 2, "context": 20, "vocab": 600}


@pytest.mark.parametrize("convert", [from_hugging_face, from_open_clip, to_hugging_face])
def test_what_is_missing_or_unknown_is_listed(convert):
    sources = {
        from_hugging_face: theirs().state_dict(),
        from_open_clip: open_clips(CLIP).state_dict(),
        to_hugging_face: ours().state_dict(),
    }
    state = dict(sources[convert])
    lost = next(key for key in state if ".1." in key and key.endswith("bias") and "visual" not in key)
    del state[lost]
    state["something.else"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"1 missing .* 1 unexpected") as said:
        convert(state)
    assert lost in str(said.value)
    assert "something.else" in str(said.value)


def test_a_layer_in_the_middle_that_is_missing_is_missed():
    state = {key: value for key, value in theirs().state_dict().items() if ".layers.1." not in key}
    with pytest.raises(ValueError, match="16 missing"):
        from_hugging_face(state)


def test_weights_of_another_depth_do_not_load():
    state = {key: value for key, value in theirs().state_dict().items() if ".layers.2." not in key}
    with pytest.raises(RuntimeError, match="Missing key"):
        ours().load_state_dict(from_hugging_face(state))
