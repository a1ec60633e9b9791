import multiprocessing
import os
import resource
import signal
import time

import pytest
import torch

from zoo.encoders import LatentCache, LatentCodec


class Shrink(LatentCodec):
    """Means of 8x8 pixels, times a weight; counts what it encodes."""

    def __init__(self, weight=1.0):
        super().__init__(channels=3, factor=8, scale=1.0, slicing=False)
        self.weight = torch.nn.Parameter(torch.tensor(weight))
        self.encoded = 0

    def encode(self, images, generator=None):
        self.encoded += len(images)
        return self.weight * torch.nn.functional.avg_pool2d(images, 8)

    def decode(self, latents):
        return torch.nn.functional.interpolate(latents, scale_factor=8)

    def reconstruct(self, images, generator=None):
        raise AssertionError


def pictures(rows=4, side=32, seed=0):
    return torch.randint(
        0, 256, (rows, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def entries(cache):
    return sorted(cache.folder.glob("[0-9a-f][0-9a-f]/*"))


@pytest.mark.parametrize(("precision", "error"), [("float16", 5e-4), ("float32", 0)])
def test_latents_are_the_codec_s_and_the_second_time_gives_the_same_bits(tmp_path, precision, error):
    cache, raw = LatentCache(tmp_path, Shrink(), precision), pictures()
    first = cache(raw)
    torch.testing.assert_close(first, Shrink().encode(raw / 255).detach(), rtol=error, atol=0)
    again = LatentCache(tmp_path, Shrink(), precision)
    assert torch.equal(again(raw), first)
    assert (again.codec.encoded, again.hits, again.misses) == (0, 4, 0)
    assert first.dtype == torch.float32
    assert not first.requires_grad


def test_only_what_is_missing_is_encoded_and_equal_pictures_once(tmp_path):
    cache, raw = LatentCache(tmp_path, Shrink()), pictures(6)
    cache(raw[:3])
    mixed = torch.cat([raw[2:], raw[4:5], raw[1:2]])
    out = cache(mixed)
    assert cache.codec.encoded == 6
    torch.testing.assert_close(out, Shrink().encode(mixed / 255).detach(), rtol=5e-4, atol=0)
    assert (cache.hits, cache.misses, len(cache)) == (3, 6, 6)
    assert cache(raw[:0]).shape == (0, 3, 4, 4)


def test_pictures_count_as_equal_when_their_eight_bits_are(tmp_path):
    cache, raw = LatentCache(tmp_path, Shrink()), pictures()
    first = cache(raw)
    assert torch.equal(cache(raw / 255 + 0.4 / 255), first)
    assert cache.codec.encoded == 4
    cache((raw / 255 + 0.6 / 255).clamp(max=1))
    assert cache.codec.encoded == 8


def test_the_order_and_shape_of_pixels_count(tmp_path):
    cache = LatentCache(tmp_path, Shrink())
    wide = pictures(1, 32).reshape(1, 3, 16, 64)
    assert cache(wide).shape == (1, 3, 2, 8)
    assert cache(wide.reshape(1, 3, 64, 16)).shape == (1, 3, 8, 2)
    cache(wide.flip(1))
    assert cache.codec.encoded == 3


def test_a_codec_that_changes_meets_no_old_latents(tmp_path):
    codec, raw = Shrink(), pictures()
    cache = LatentCache(tmp_path, codec)
    first = cache(raw)
    with torch.no_grad():
        codec.weight *= 2
    torch.testing.assert_close(cache(raw), 2 * first, rtol=1e-3, atol=0)
    assert torch.equal(LatentCache(tmp_path, Shrink())(raw), first)
    assert len(list(tmp_path.iterdir())) == 2
    LatentCache(tmp_path, Shrink(), "float32")(raw)
    assert len(list(tmp_path.iterdir())) == 3
    codec.scale = 0.5
    cache(raw)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", [lambda x: x[:-1], lambda x: b"", lambda x: x[:20] + bytes([x[20] ^ 1]) + x[21:]])
def test_a_damaged_entry_is_made_anew(tmp_path, damage):
    cache, raw = LatentCache(tmp_path, Shrink()), pictures()
    first = cache(raw)
    path = entries(cache)[1]
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(cache(raw), first)
    assert (cache.damaged, cache.codec.encoded) == (1, 5)
    assert torch.equal(cache(raw), first)
    assert (cache.damaged, cache.codec.encoded) == (1, 5)


def test_it_tells_how_much_it_holds(tmp_path):
    cache = LatentCache(tmp_path, Shrink())
    assert (len(cache), cache.size()) == (0, 0)
    cache(pictures(5))
    assert (len(cache), cache.size()) == (5, 5 * (3 * 4 * 4 * 2 + 4))


def test_numbers_that_do_not_fit_are_refused(tmp_path):
    raw = pictures()
    with pytest.raises(ValueError, match=r"float16 ends at 65504\. Keep them in float32"):
        LatentCache(tmp_path, Shrink(1e6))(raw)
    assert LatentCache(tmp_path, Shrink(1e6), "float32")(raw).isfinite().all()
    with pytest.raises(ValueError, match="no finite latents"):
        LatentCache(tmp_path, Shrink(float("nan")), "float32")(raw)


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    cache, raw = LatentCache(tmp_path, Shrink()), pictures(2, 128)
    first = cache(raw[:1])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # a file cannot grow past it
    try:
        with pytest.raises(OSError, match=r"cannot be written to .* Nothing in it is lost: make room"):
            cache(raw)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(cache) == 1
    assert list((cache.folder / "drafts").iterdir()) == []
    assert torch.equal(cache(raw)[:1], first)
    assert len(cache) == 2


def test_what_a_killed_process_left_is_removed_in_time(tmp_path):
    cache = LatentCache(tmp_path, Shrink())
    drafts = cache.folder / "drafts"
    for name, age in (("old", 7200), ("new", 10)):
        (drafts / name).write_bytes(b"half")
        os.utime(drafts / name, (time.time() - age,) * 2)
    cache = LatentCache(tmp_path, Shrink())
    assert len(cache) == 0
    assert [path.name for path in drafts.iterdir()] == ["new"]


def fill(folder, raw):
    torch.set_num_threads(1)
    cache = LatentCache(folder, Shrink())
    while True:
        for part in raw.split(8):
            cache(part)
        for path in entries(cache)[::3]:
            path.unlink(missing_ok=True)


def test_processes_share_a_folder_and_any_may_be_killed(tmp_path):
    raw = pictures(64, 128)
    expected = LatentCache(tmp_path / "alone", Shrink())(raw)
    workers = [multiprocessing.get_context("fork").Process(target=fill, args=(tmp_path / "both", raw)) for _ in "abc"]
    for worker in workers:
        worker.start()
    cache, end = LatentCache(tmp_path / "both", Shrink()), time.monotonic() + 1
    while time.monotonic() < end:
        assert torch.equal(cache(raw), expected)
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
    assert torch.equal(cache(raw), expected)
    assert cache.damaged == 0
    assert cache.hits > 0
    assert len(cache) == 64
