"""Latents of pictures on disk, so that a frozen codec encodes each picture once."""

import hashlib
import os
import secrets
import time
import zlib
from contextlib import suppress
from pathlib import Path
from threading import get_ident
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.encoders.codec import LatentCodec
from zoo.shapes import Images, Latents, RawImages

_CHECK = 4  # bytes in front of an entry: CRC-32 of the rest
_STALE = 3600.0  # seconds after which an unfinished file belongs to nobody


class LatentCache:
    """A codec that remembers: pictures to scaled latents, the most likely ones.

    An entry is a file named by a hash of the picture's 8-bit pixels, in a folder named by the codec's fingerprint, so
    that a codec that changes never meets old latents. Entries appear whole (a finished file is renamed), so any number
    of processes may share a folder and any of them may be killed. An entry that a crash of the machine or the disk
    damaged fails its checksum and is made anew. Nothing is kept in memory.

    Made for pictures that come again: with random augmentation every picture is new, and fills the disk.

    Args:
        folder: Of all caches; may be shared by codecs and sizes.
        codec: Its parameters may be trained or moved later.
        precision: Of the numbers on disk. Latents are rounded to it when they are made too, so that the first time
            gives the same as any other.
    """

    def __init__(
        self, folder: Path | str, codec: LatentCodec, precision: Literal["float16", "float32"] = "float16"
    ) -> None:
        self.root, self.codec, self.precision = Path(folder), codec, precision
        self.hits = self.misses = self.damaged = 0  # pictures; a damaged entry is a miss too
        self._seen: tuple[object, ...] = ()
        self._folder = self.root
        self._token = secrets.token_hex(4)  # processes of other machines may have our number

    def __call__(self, images: Images | RawImages) -> Latents:
        """Latents in float32, on the pictures' device.

        Args:
            images: RGB in [0, 1], taken to the nearest of 256 levels, or in 0..255 as integers.
        """
        raw = images if images.dtype == torch.uint8 else _to_levels(images)
        pixels = raw.cpu().contiguous().numpy()
        shape = (self.codec.channels, *(n // self.codec.factor for n in raw.shape[-2:]))
        folder = self.folder
        paths = [folder / key[:2] / key for key in map(_key, pixels)]
        out = torch.empty(len(raw), *shape)
        missing: dict[Path, int] = {}  # of equal pictures the first
        for i, path in enumerate(paths):
            if path not in missing and not self._read(path, out[i]):
                missing[path] = i
        if missing:
            made = self._encode(raw[list(missing.values())])
            for (path, i), latent in zip(missing.items(), made, strict=True):
                out[i] = latent
                self._write(path, latent)
            for i, path in enumerate(paths):
                out[i] = out[missing.get(path, i)]
        self.misses += len(missing)
        self.hits += len(raw) - len(missing)
        return out.to(images.device)

    @property
    def folder(self) -> Path:
        """Where the entries of the codec as it now is are."""
        tensors = list(self.codec.state_dict().values())
        seen = (self.codec.scale, *((0 if x.is_inference() else x._version, x.dtype) for x in tensors))
        if seen != self._seen:
            self._folder = self.root / f"{self.codec.fingerprint()[:32]}-{self.precision}"
            self._seen = seen
            self._drafts.mkdir(parents=True, exist_ok=True)
            self._sweep()
        return self._folder

    def __len__(self) -> int:
        return self._count()[0]

    def size(self) -> int:
        """Bytes of all entries of this codec."""
        return self._count()[1]

    @property
    def _drafts(self) -> Path:
        return self._folder / "drafts"

    def _count(self) -> tuple[int, int]:
        entries = bytes_ = 0
        for part in self.folder.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(part) as found:
                for entry in found:
                    entries, bytes_ = entries + 1, bytes_ + entry.stat().st_size
        return entries, bytes_

    @torch.no_grad()
    def _encode(self, raw: RawImages) -> Tensor:
        device = next(self.codec.parameters()).device
        with torch.autocast(device.type, enabled=False):  # what lasts is worth full precision
            latents = self.codec.encode(raw.to(device).float() / 255).cpu()
        rounded = latents.to(getattr(torch, self.precision))
        if not rounded.isfinite().all():
            reason = "the codec gives no finite latents" if self.precision == "float32" else "float16 ends at 65504"
            raise ValueError(f"Latents up to {latents.abs().max():.3g} cannot be kept: {reason}. Keep them in float32.")
        return rounded

    def _read(self, path: Path, out: Tensor) -> bool:
        """Copies an entry; False where there is none that is whole."""
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            return False
        whole = len(data) == _CHECK + out.numel() * np.dtype(self.precision).itemsize
        if not whole or zlib.crc32(memoryview(data)[_CHECK:]).to_bytes(_CHECK, "little") != data[:_CHECK]:
            self.damaged += 1
            return False
        out.numpy()[...] = np.frombuffer(data, self.precision, offset=_CHECK).reshape(out.shape)
        return True

    def _write(self, path: Path, latent: Tensor) -> None:
        data = latent.contiguous().numpy().tobytes()
        draft = self._drafts / f"{os.getpid()}-{get_ident()}-{self._token}"
        try:
            with open(draft, "wb", buffering=0) as file:
                for part in (zlib.crc32(data).to_bytes(_CHECK, "little"), data):
                    written = 0
                    while written < len(part):  # a nearly full disk takes a part, and refuses the next
                        written += file.write(part[written:])
            path.parent.mkdir(exist_ok=True)
            os.replace(draft, path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise OSError(
                error.errno,
                f"A latent cannot be written to {self._folder} ({error.strerror}). Nothing in it is lost: make room "
                "and start again, or choose another folder with --model.cache",
            ) from error

    def _sweep(self) -> None:
        """Removes what killed processes left unfinished."""
        for draft in self._drafts.iterdir():
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > _STALE:
                    draft.unlink()


def _to_levels(images: Images) -> RawImages:
    raw = torch.empty(images.shape, dtype=torch.uint8, device=images.device)
    for out, image in zip(raw, images, strict=True):  # one by one they stay in the processor's cache
        out.copy_((image * 255).add_(0.5).clamp_(0, 255))
    return raw


def _key(pixels: NDArray[np.uint8]) -> str:
    """Hash of a picture (3, h, w): its size and its pixels."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest()[:40]
