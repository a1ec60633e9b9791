"""What is asked of weights that ship, by the kind of the method."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """Rules for the weights of one method.

    Args:
        largest: Bytes of its file, which every clone and every wheel carries.
        reason: Why so many.
        smaller: Options that make the network smaller.
        measures: Scores that are told, by the first part of their names.
        shows: Whether it makes `hands` or `pictures`.
        asks: What `sample` must be told besides the weights.
    """

    largest: int
    reason: str
    smaller: str
    measures: tuple[str, ...]
    shows: str
    asks: str = ""


HANDS = Kind(
    20_000_000,
    "a mesh network alone",
    "--model.denoiser.widths, --model.conditioner.skeleton3d.hidden",
    ("pa_mpvpe_mm", "pa_mpjpe_mm", "mpvpe_mm", "apd_mm", "si_percent"),
    "hands",
)
PICTURES = ("loss", "global", "local", "psnr_db", "hand_iou", "fid", "kid", "fid_h", "kid_h", "clip_score")
KINDS = {
    "LatentDiffusion": Kind(
        45_000_000, "codec, text encoder with 49408 words, and U-Net", "--model.unet.widths, --model.text.width",
        PICTURES, "pictures", ' --prompt "A hand."',
    ),
    "AttentionHand": Kind(
        25_000_000, "a copy of the base's encoder; with the base it stays below 80 MB", "a smaller --model.base",
        PICTURES, "pictures", ' --prompt "A hand." --mesh hand.obj',
    ),
}  # fmt: skip


def kind_of(config: Mapping[str, Any]) -> Kind:
    """The rules for a model's configuration.

    Args:
        config: `class_path` and `init_args`.
    """
    return KINDS.get(str(config.get("class_path", "")).rpartition(".")[2], HANDS)
