"""The files of CLIP's tokenizer as `transformers` reads them, out of those that open_clip carries."""

import json
from pathlib import Path

from zoo.encoders.clip_tokens import ClipTokens, read_pairs

START, END = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(tokens: ClipTokens, folder: Path) -> None:
    """Writes vocab.json, merges.txt and settings.

    Args:
        tokens: Whose vocabulary, length and padding count.
        folder: To be made.
    """
    words, merges = read_pairs(tokens.vocab)
    vocabulary = {word: number for number, word in enumerate([*words[:-2], START, END])}
    padding = END if tokens.padding == "end" else words[0]
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": tokens.context,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": padding,
    }
    special = {key: settings[key] for key in ("bos_token", "eos_token", "unk_token", "pad_token")}
    folder.mkdir(parents=True)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, content in (("vocab", vocabulary), ("tokenizer_config", settings), ("special_tokens_map", special)):
        (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
