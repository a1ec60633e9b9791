"""`doctor`: tries what a run needs on this machine. Nothing is installed or changed."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from zoo.commands.errors import one_line

State = Literal["ok", "off", "BAD"]  # works; optional and absent; needed and broken
GIGABYTE = 1e9


SIGNS = {  # a file that tells a dataset's folder, and where to get the dataset
    "freihand": ("*_K.json", "FreiHAND_pub_v2 from its authors' page"),
    "ho3d": ("*.txt", "HO3D_v2 or HO3D_v3 from its authors' page"),
    "interhand": ("annotations/*/InterHand2.6M_*_data*.json", "InterHand2.6M v1.0 from its authors' page"),
    "coco": ("annotations/*wholebody*.json", "MSCOCO's images and COCO-WholeBody's annotations"),
    "twohand500k": ("**/*", "Two-hand 500K from its authors' page"),
    "attentionhand": ("**/modalities.json", "AttentionHand's data, or folders that were generated"),
}


class Line(NamedTuple):
    """One finding."""

    state: State
    text: str
    fix: str = ""


def doctor(mano: Path | None = None, roots: dict[str, Path] | None = None) -> int:
    """Says what works here, and how to fix what does not.

    Args:
        mano: A MANO_RIGHT or MANO_LEFT file (.pkl or .npz), or the folder that holds them.
        roots: Folders of datasets by name: --roots.freihand DIR --roots.interhand DIR.
    """
    checks: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("device", _device),
        ("precision", _precision),
        ("attention", _attention),
        ("renderer", _renderer),
        ("hand model", lambda: _hands(mano)),
        ("data", lambda: _data(roots or {})),
        ("tracker", _tracker),
        ("disk", _disk),
    ]
    broken = False
    for name, check in checks:
        for line in _run(check):
            broken |= line.state == "BAD"
            print(f"{line.state:<4} {name:<11} {line.text}" + (f"\n{'':>16} fix: {line.fix}" if line.fix else ""))
    print("Something needed is broken; see the fixes above." if broken else "Ready: python -m zoo fit --model hhmr")
    return int(broken)


def _run(check: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    try:
        yield from check()
    except Exception as error:
        yield Line("BAD", f"{type(error).__name__}: {one_line(str(error), 200)}", "pip install -e . in the project")


def _device() -> Iterator[Line]:
    import torch

    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        memory = facts.total_memory / GIGABYTE
        yield Line("ok", f"cuda:{index} {facts.name}, {memory:.0f} GB, torch {torch.__version__}")
    if torch.backends.mps.is_available():
        yield Line("ok", f"mps, torch {torch.__version__}")
    yield Line("ok", f"cpu, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if not torch.cuda.is_available():
        yield Line(
            "off",
            "no CUDA device: training runs on the CPU",
            "on a machine with an NVIDIA GPU, install its driver and a torch built for its CUDA version",
        )


def _precision() -> Iterator[Line]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(64, 64, device=device)
    with torch.autocast(device, torch.bfloat16):
        works = bool((x @ x).isfinite().all())
    yield Line("ok" if works else "off", f"32-true and bf16-mixed on {device} (--trainer.precision)")
    if device == "cuda":
        yield Line("ok", "16-mixed on cuda")
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            yield Line("off", "bf16 is emulated on this GPU", "use --trainer.precision 16-mixed")


def _attention() -> Iterator[Line]:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    from zoo.attention import xformers_problem

    device = "cuda" if torch.cuda.is_available() else "cpu"
    q = torch.randn(2, 4, 16, 32, device=device)
    scaled_dot_product_attention(q, q, q)
    yield Line("ok", f"sdpa and math on {device}")
    problem = xformers_problem()
    if problem is None:
        yield Line("ok", f"xformers on {device}")
    else:
        fix = "sdpa, the default, does the same; for xformers, pip install -e '.[xformers]' on a machine with CUDA"
        yield Line("off", one_line(problem, 120), fix)


def _renderer() -> Iterator[Line]:
    import torch

    from zoo.hands.render import render

    triangle = torch.tensor([[[-0.1, -0.1, 1.0], [0.1, -0.1, 1.0], [0.0, 0.1, 1.0]]])
    camera = torch.tensor([[[200.0, 0, 31.5], [0, 200, 31.5], [0, 0, 1]]])
    areas = {}
    for backend in ("torch", "gl"):
        try:
            drawn = render(triangle, torch.tensor([[0, 1, 2]]), camera, (64, 64), backend=backend)
            areas[backend] = int(drawn.mask.sum())
        except Exception as error:
            fix = "pip install -e '.[render]', and on Debian apt install libegl1 libgl1 libgl1-mesa-dri"
            state: State = "off" if backend == "gl" else "BAD"
            yield Line(state, f"{backend}: {one_line(str(error), 120)}", fix)
    for backend, area in areas.items():
        right = abs(area - 800) < 50  # half of 40 by 40 pixels
        text = f"{backend} draws a triangle of {area} pixels"
        yield Line("ok", text) if right else Line("BAD", f"{text}, not 800", "update the graphics driver")


def _hands(mano: Path | None) -> Iterator[Line]:
    import torch

    from zoo import Mano, OpenHand

    identity = torch.eye(3).expand(1, 16, 3, 3)
    for side in ("right", "left"):
        mesh = OpenHand(side)(identity, torch.zeros(1, 10), torch.zeros(1, 3))
        yield Line("ok", f"OpenHand {side}, embedded: {mesh.vertices.shape[1]} vertices")
    if mano is None:
        yield Line(
            "off",
            "MANO not given; OpenHand is used",
            "download mano_v1_2 from its authors' page (free, with a licence), and try doctor --mano mano_v1_2/models",
        )
        return
    files = [mano] if mano.is_file() else sorted(path for path in mano.glob("*") if path.stem.startswith("MANO_"))
    if not files:
        yield Line("BAD", f"{mano} holds no MANO_RIGHT or MANO_LEFT", "give the folder models of mano_v1_2")
    for path in files:
        side = "left" if "left" in path.stem.lower() else "right"
        try:
            Mano(path, side)(identity, torch.zeros(1, 10), torch.zeros(1, 3))
            yield Line("ok", f"MANO {side}: {path}")
        except Exception as error:
            yield Line("BAD", f"{path}: {one_line(str(error), 200)}", "download the file again from its authors")


def _data(roots: dict[str, Path]) -> Iterator[Line]:
    yield Line("ok", "openhand: made on this machine at first use")
    for name in sorted(roots.keys() - SIGNS.keys()):
        yield Line("BAD", f"--roots.{name}: there is no such dataset", f"known are {', '.join(SIGNS)}")
    for name, (sign, source) in SIGNS.items():
        root = roots.get(name)
        if root is not None and next(root.expanduser().glob(sign), None) is not None:
            yield Line("ok", f"{name} at {root}; data check {name} --root {root} looks closer")
        elif root is not None:
            yield Line("BAD", f"{name}: {root} holds no {sign}", f"unpack {source} and give the folder that holds it")
    if absent := [name for name in SIGNS if name not in roots]:
        say = "get the datasets that you may use from their authors, and try doctor --roots.NAME DIR"
        yield Line("off", f"not given: {', '.join(absent)}", say)


def _tracker() -> Iterator[Line]:
    from callbacks.tracker import is_online

    if is_online():
        yield Line("ok", "a Weights & Biases key is there: runs are sent")
    else:
        yield Line(
            "off",
            "no Weights & Biases key: runs are kept offline in their folder",
            "set WANDB_API_KEY, or choose --tracker csv; wandb sync sends offline runs later",
        )


def _disk() -> Iterator[Line]:
    import platformdirs

    for name, path in (("runs", Path.cwd()), ("cache", Path(platformdirs.user_cache_dir()))):
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free / GIGABYTE
        if free < 5:
            yield Line("off" if free > 1 else "BAD", f"{free:.1f} GB free for {name} in {path}", "free some space")
        elif not os.access(path, os.W_OK):
            yield Line("BAD", f"{path} cannot be written ({name})", "change its owner, or work in another folder")
        else:
            yield Line("ok", f"{free:.0f} GB free for {name} in {path}")


COMMANDS = doctor
