"""Checkpoints of AttentionHand hold the guidance copy alone, and say which base it belongs to."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zoo.models.attentionhand import AttentionHand

GUIDE, HASH = "dual.guide", "base_hash"


def keep_guide_only(model: "AttentionHand") -> None:
    """Leaves everything frozen out of the model's state, and the base's hash in it.

    A state of another base is refused: a copy is of no use on another one.
    """
    digest = torch.frombuffer(bytearray.fromhex(model.base_hash), dtype=torch.uint8)
    model.register_state_dict_post_hook(  # type: ignore[no-untyped-call]
        lambda _, state, prefix, __: _forget_base(state, prefix, digest)
    )
    model.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
        lambda module, state, prefix, *_: _remember_base(module, state, prefix, model.base_name, model.base_hash)
    )


def _forget_base(state: dict[str, Any], prefix: str, digest: Tensor) -> None:
    for name in [name for name in state if not name.startswith(prefix + GUIDE)]:
        del state[name]
    state[prefix + HASH] = digest.clone()


def _remember_base(module: Any, state: dict[str, Any], prefix: str, name: str, expected: str) -> None:
    kept = state.pop(prefix + HASH, None)
    found = None if kept is None else bytes(kept.to(torch.uint8).tolist()).hex()
    if found is not None and found != expected:
        raise ValueError(
            f"These weights steer a base with hash {found[:12]}, but {name} has {expected[:12]}. "
            "Give the base that they were trained on with --model.base."
        )
    parts = module.named_modules()
    transient = {f"{path}.{buffer}" for path, part in parts for buffer in part._non_persistent_buffers_set}
    for key, value in [*module.named_parameters(), *module.named_buffers()]:
        if not key.startswith(GUIDE) and key not in transient:
            state[prefix + key] = value
