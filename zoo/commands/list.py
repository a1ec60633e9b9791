"""`list`: what the zoo holds. Reads files only; imports none of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

from zoo.__main__ import OWN, TRAINER
from zoo.registry import find, names

PARTS = ("encoders", "denoisers", "samplers", "guidance")
SCORE, GIVEN = "pa_mpvpe_mm/", ("skeleton3d", "skeleton2d", "image")
PICTURES = {"psnr_db": "PSNR in dB", "mask_iou": "mask IoU", "loss": "loss"}  # of the first that there is


def list_zoo() -> None:
    """Models, data, parts, weights and commands: one line each."""
    root = Path(__file__).parent.parent
    table = {
        "models (--model NAME)": [(name, headline(find("model", name))) for name in names("model")],
        "data (--data NAME)": [(name, headline(find("data", name))) for name in names("data")],
        **{part: list(classes(root / part)) for part in PARTS},
        "weights (--ckpt NAME)": list(weights(root.parent / "checkpoints" / "weights")),
        "commands": list({**TRAINER, **OWN}.items()),
    }
    for title, rows in table.items():
        if rows:
            print(title)
        for name, text in rows:
            print(f"  {name:<18} {text}")


def headline(path: Path) -> str:
    """The comment that opens a YAML file."""
    first = path.read_text().partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def classes(part: Path) -> Iterator[tuple[str, str]]:
    """The interchangeable classes of a part, those with an abstract base in it, and their first lines."""
    nodes = [node for path in sorted(part.glob("*.py")) for node in ast.parse(path.read_text()).body]
    found = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
    bases = {name: {ast.unparse(base) for base in node.bases} for name, node in found.items()}
    abstract = {name for name in found if "ABC" in bases[name]}
    abstract |= {name for name in found if bases[name] & abstract and any(name in others for others in bases.values())}
    for name, node in found.items():
        if bases[name] & abstract and name not in abstract and not name.startswith("_"):
            yield name, (ast.get_docstring(node) or "").partition("\n")[0]


def weights(shipped: Path) -> Iterator[tuple[str, str]]:
    """Weights that ship: size, and the error from each condition."""
    manifest = shipped / "manifest.yaml"
    for name, facts in ((yaml.safe_load(manifest.read_text()) or {}) if manifest.is_file() else {}).items():
        errors = {key.partition("/")[2]: value for key, value in facts["scores"].items() if key.startswith(SCORE)}
        said = ", ".join(f"{value:.2f} from {given}" for given, value in errors.items() if given in GIVEN)
        shown = [f"; {title}: {facts['scores'][key]:.2f}" for key, title in PICTURES.items() if key in facts["scores"]]
        more = f"; PA-MPVPE in mm: {said}" if said else "".join(shown[:1])
        yield name, f"{facts['bytes'] / 1e6:.1f} MB{more}"


COMMANDS = list_zoo
