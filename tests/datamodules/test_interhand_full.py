"""InterHand2.6M's training annotations at full size: written fast, read in little memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny_interhand as tiny

IMAGES, FRAMES, CAMERAS, PATTERNS = 1_361_062, 18_718, 80, 50_000

MEASURE = """
import sys, time
from pathlib import Path
from datamodules import InterHand
began, started = time.perf_counter(), time.process_time()
data = InterHand(Path(sys.argv[1]), cache=Path(sys.argv[2]))
index = data.index("train")
count = len(index)
opened, busy = time.perf_counter(), time.process_time() - started
scenes = data.scenes("train")
hands = int(scenes.sides().sum())
scene = scenes.read(count - 1, image=False)
used = time.perf_counter()
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = 1024 * int(status["VmHWM"].split()[0])  # getrusage's starts at the parent's
print(count, hands, opened - began, busy, used - opened, peak)
"""


@pytest.mark.slow
def test_a_full_index_takes_under_two_gigabytes_of_memory(tmp_path):
    write_full(tmp_path)
    size = tiny.file(tmp_path, "train", "data").stat().st_size
    for run in ("first", "later"):
        command = [sys.executable, "-c", MEASURE, str(tmp_path), str(tmp_path / "cache")]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        count, hands, opening, busy, use, peak = (float(number) for number in found)
        print(
            f"{run} start: {count:.0f} annotations of {size / 1e9:.2f} GB in {opening:.1f} s ({count / opening:.0f} a "
            f"second), {busy:.1f} s of one core ({count / busy:.0f} a second); sides and a scene in {use:.1f} s; "
            f"{hands:.0f} hands; peak {peak / 1e9:.2f} GB"
        )
        assert count == IMAGES
        assert hands > IMAGES
        assert peak < 2e9
    kept = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    print(f"the index takes {kept / 1e6:.0f} MB")


def write_full(root):
    """As many images, frames and bytes as published; every frame has the same hands."""
    rng = np.random.default_rng(0)
    frames = list(range(100, 100 + 3 * FRAMES, 3))
    cameras = [f"4{i:05d}" for i in range(CAMERAS)]
    values = {"campos": [100.25, 200.5, -300.125], "camrot": tiny.TURN.tolist(), "focal": [1200.5] * 2}
    values["princpt"] = [167.25, 256.5]
    entry = {"world_coord": tiny.world().tolist(), "joint_valid": [[True]] * 42, "hand_type": "interacting"}
    fit = {"pose": rng.normal(size=48).tolist(), "shape": rng.normal(size=10).tolist(), "trans": [0.1, 0.2, 1.1]}
    tiny.write(root)
    tiny.save(root, "train", "camera", {"3": {key: dict.fromkeys(cameras, value) for key, value in values.items()}})
    tiny.save(root, "train", "joint_3d", {"3": dict.fromkeys(map(str, frames), entry | {"hand_type_valid": True})})
    tiny.save(root, "train", "MANO_NeuralAnnot", {"3": {str(frame): {"right": fit, "left": fit} for frame in frames}})
    flags = [json.dumps(row[:, None].tolist()) for row in (rng.random((PATTERNS, 42)) < 0.9).astype(int)]
    boxes = [json.dumps(row.tolist()) for row in rng.uniform(10, 200, (1000, 4))]
    with tiny.file(root, "train", "data").open("w") as out:
        out.write('{"images": [')
        for i in range(IMAGES):
            shown = tiny.image(i, frames[i // CAMERAS % FRAMES], camera=cameras[i % CAMERAS])
            shown["file_name"] = f"Capture3/0007_wave/cam{shown['camera']}/image{shown['frame_idx']}.jpg"
            out.write((", " if i else "") + json.dumps(shown))
        out.write('], "annotations": [')
        for i in range(IMAGES):
            out.write(
                f'{", " if i else ""}{{"id": {i}, "image_id": {i}, "bbox": {boxes[i % 1000]}, "joint_valid": '
                f'{flags[i % PATTERNS]}, "hand_type": "interacting", "hand_type_valid": 1}}'
            )
        out.write("]}")
