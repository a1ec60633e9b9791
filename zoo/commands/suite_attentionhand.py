"""The tables of the AttentionHand paper in miniature, on OpenHand's held-out plain scenes."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from zoo.commands.folder import write_text
from zoo.commands.suite_downstream import LAB, START, downstream, options_of
from zoo.commands.suite_downstream import words as hand_words
from zoo.commands.suite_folder import fingerprint, fits, machine, path_of, write_all
from zoo.commands.suite_made import BASE, BORROWED, SHIPPED, attends, pictures_table, words
from zoo.commands.suite_progress import Progress
from zoo.commands.suite_scenes import CROPS, Judges, Maker, Scenes, held_out_scenes, made_pictures, stored
from zoo.commands.suite_table import Table, paper
from zoo.commands.suite_training import Budget, Trained, fitted

ORDER: tuple[int | str, ...] = (1, 4, "tas", 2)
ESTIMATOR = "hhmr-image"  # the shipped weights that see joints in pictures
JUDGES = ("segmenter", "estimator", "detector", "extractor")
FACTS = ("base", "base_hash", "samples", "seed", "size", "budget", *JUDGES, "data")
MORE: dict[int | str, tuple[str, ...]] = {
    1: ("weights", "weights_hash"),
    2: ("generated", "generated_hash", "hhmr", "hhmr_size"),
}


@dataclass(frozen=True)
class Asking:
    """What the suite is to do.

    Args:
        out: Folder of tables, measured rows and short trainings.
        base: Of all AttentionHands; as `--model.base`.
        samples: Held-out scenes.
        minutes: Of each training, in place of the steps that `suite_attentionhand.yaml` gives.
        steps: Of each training of AttentionHand, in place of those.
        quick: The smallest size, to see that all of it runs.
        seed: Of the noise.
        device: auto, cpu or cuda.
        generated: Folder of generated pictures, for table 2.
        weights: Trained AttentionHand for a row of table 1, as `--ckpt`.
        segmenter: File of a hand segmenter; the one that comes with the project when None.
        detector: MediaPipe's hand_landmarker.task, for the hand confidence.
        extractor: File of Inception weights, for FID; zoo-small when None.
        command: That makes all this, for the record.
        data: Options of the scenes' data, besides those of `openhand-scenes`.
    """

    out: Path
    base: str = "tiny-sd"
    samples: int = 200
    minutes: float | None = None
    steps: int | None = None
    quick: bool = False
    seed: int = 0
    device: str = "auto"
    generated: Path | None = None
    weights: str | None = None
    segmenter: Path | None = None
    detector: Path | None = None
    extractor: Path | None = None
    command: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> dict[str, Any]:
        """Of the trainings."""
        found: dict[str, Any] = paper("attentionhand")["quick" if self.quick else "size"]
        return found

    @property
    def place(self) -> torch.device:
        """Where networks run."""
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)

    def budget(self, which: str = "steps") -> Budget:
        """Of a training; `which` is the entry of the size that says how long without `minutes`."""
        if self.minutes is not None:
            return Budget(self.minutes, None)
        own = self.steps if which == "steps" else None
        return Budget(0.0, int(self.size[which]) if own is None else own)

    @cached_property
    def base_hash(self) -> str:
        """Of the base's weights."""
        from zoo.bases import load_base

        return load_base(self.base).hash[:16]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What must be equal for a table to be the same: names, and what the files behind them hold."""
        import checkpoints
        from zoo.metrics.segmenter import SHIPPED as SEGMENTER

        weights = None if self.weights is None else checkpoints.find(self.weights)
        return {
            "base": self.base, "base_hash": self.base_hash, "samples": self.samples, "seed": self.seed,
            "size": {name: self.size[name] for name in ("rows", "lr")}, "budget": str(self.budget()),
            "hhmr_size": {name: self.size[name] for name in ("hhmr_steps", "hhmr_rows", "lab")},
            "weights": self.weights, "weights_hash": fingerprint(weights), "generated": str(self.generated),
            "generated_hash": fingerprint(self.generated), "segmenter": fingerprint(self.segmenter or SEGMENTER),
            "estimator": fingerprint(checkpoints.find(ESTIMATOR)), "detector": fingerprint(self.detector),
            "extractor": fingerprint(self.extractor), "hhmr": fingerprint(checkpoints.find(START)), "data": self.data,
        }  # fmt: skip


def run_attentionhand_suite(asked: Asking, only: list[int | str], progress: Progress | None = None) -> list[Table]:
    """Measures the tables that are not in the folder yet, and writes all that are.

    Args:
        asked: What to do.
        only: Of `ORDER`.
        progress: Told of every step.
    """
    progress = progress or Progress()
    missing = [n for n in ORDER if n in only and not fits(asked.out, n, asked.facts, (*FACTS, *MORE.get(n, ())))]
    bench = Bench(asked, progress)
    for place, number in enumerate(missing, 1):
        progress.say(f"table {number} ({place} of {len(missing)}) ...")
        started = time.monotonic()
        table = bench.table(number)
        seconds = time.monotonic() - started
        record = {
            "facts": asked.facts, "machine": machine(asked.place), "seconds": round(seconds, 1),
            "table": table.record(),
        }  # fmt: skip
        write_text(path_of(asked.out, number), json.dumps(record) + "\n")
        write_all(asked.out, ORDER, lambda facts: _heading(facts, asked.command))  # an interruption leaves what is done
        progress.say(table.markdown() + f"({seconds:.0f} s)\n")
    return write_all(asked.out, ORDER, lambda facts: _heading(facts, asked.command))


class Bench:
    """Trains and measures rows; each is kept in the folder as soon as it is done.

    Args:
        asked: What to do.
        progress: Told of every step.
    """

    def __init__(self, asked: Asking, progress: Progress) -> None:
        self.asked, self.progress = asked, progress
        self._scenes: Scenes | None = None
        self._judges: Judges | None = None

    def table(self, number: int | str) -> Table:
        """A table of `ORDER`."""
        if number == 2:
            asked = self.asked
            note = f"The image branch of HHMR was trained for {asked.budget('hhmr_steps')}, the rest is shipped."
            return downstream(self.hand_training, asked.samples, asked.place, asked.seed, asked.generated, note)
        return pictures_table(number, self.measured, self.real(), self.notes())

    def training(self, variant: str) -> Trained:
        """An AttentionHand with one thing changed."""
        asked, budget = self.asked, self.asked.budget()
        folder = asked.out / "trainings" / asked.base_hash  # a trained copy fits no other base
        said = words(variant, asked.base, asked.size, budget.words(), options_of(asked.data), asked.out / "latents")
        return fitted(variant, said, folder, budget, self.progress)

    def hand_training(self, variant: str) -> Trained:
        """An HHMR's image branch."""
        budget = self.asked.budget("hhmr_steps")
        said = hand_words(variant, self.asked.size, budget.words(), self.asked.generated)
        facts = self.asked.facts  # they go on from these weights, and the pictures may become others or more
        learned = facts["hhmr"] if variant == LAB else f"{facts['hhmr']}-{facts['generated_hash']}"
        return fitted(variant, said, self.asked.out / "trainings" / str(learned), budget, self.progress)

    def measured(self, row: str) -> dict[str, Tensor] | None:
        """What a row's pictures are worth; None for weights that were not given."""
        if row == SHIPPED and self.asked.weights is None:
            return None

        def make() -> dict[str, Tensor]:
            model = self._model(row)
            bar = self.progress.bar(f"pictures, {row}", len(self.scenes))
            strength = 0.0 if row == BASE else None
            found = made_pictures(model, self.scenes, self.asked.seed, strength, attends(row), bar)
            bar.close()
            self._grid(row, found)
            return self.judges.look(found, self.scenes)

        return stored(self.asked.out / "rows" / f"{row}.safetensors", make, [row, *self._how(row)])

    def real(self) -> dict[str, Tensor]:
        """What the data's own pictures are worth."""

        def make() -> dict[str, Tensor]:
            return self.judges.look(self.scenes.batch["image"].float(), self.scenes)

        return stored(self.asked.out / "rows" / "real.safetensors", make, self._how())

    def notes(self) -> list[str]:
        """How the numbers came about."""
        judges = self.judges
        return [
            f"{len(self.scenes)} held-out plain scenes of OpenHand; each row was trained for {self.asked.budget()} "
            f"from the same base ({self.asked.base}) with one seed, the row that says so with another: intervals are "
            "over pictures, and do not hold what another training would change. Rows with TAS use it in training, and "
            f"while sampling where they say so. FID and KID: {judges.extractor.about} "
            f"FID-H and KID-H: {CROPS.rule}. "
            "Their intervals: 1.96 standard deviations of halves. "
            f"Confidence: {judges.sure}. MSE-2D in percent² of the hand's box, MSE-3D in cm², joints seen by "
            f"{judges.estimator.name}. Mask IoU: of the segmenter's hand with the mesh's silhouette.",
        ]

    @property
    def scenes(self) -> Scenes:
        """Held-out scenes, read once."""
        if self._scenes is None:
            self._scenes = held_out_scenes(self.asked.samples, 128, **self.asked.data)
        return self._scenes

    @property
    def judges(self) -> Judges:
        """What looks at pictures, built once."""
        if self._judges is None:
            self._judges = judges_of(self.asked)
        return self._judges

    def _how(self, row: str = "") -> list[str]:
        names = (*FACTS, *(MORE[1] if row == SHIPPED else ()))
        return [f"{name}={self.asked.facts[name]}" for name in names]

    def _model(self, row: str) -> Maker:
        if row == SHIPPED:
            import checkpoints

            return cast(Maker, checkpoints.load(str(self.asked.weights)).to(self.asked.place))
        return cast(Maker, self.training(BORROWED.get(row, row)).method.to(self.asked.place))

    def _grid(self, row: str, images: Tensor) -> None:
        """The first pictures beside their meshes."""
        from PIL import Image

        few = torch.cat([self.scenes.batch["mesh"][:8].float(), images[:8]], 2)  # meshes above
        sheet = (255 * few.permute(2, 0, 3, 1).flatten(1, 2)).round().byte().numpy()
        path = self.asked.out / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(path)


def judges_of(asked: Asking) -> Judges:
    """The networks behind the numbers."""
    import checkpoints
    from zoo.commands.tasks.estimate import MethodEstimator
    from zoo.metrics.extractors import Extractor, ZooSmall
    from zoo.metrics.segmenter import SHIPPED, HandSegmenter

    extractor: Extractor = ZooSmall()
    if asked.extractor is not None:
        from zoo.metrics.inception import FidInception

        extractor = FidInception(asked.extractor)
    detector: Any = None
    if asked.detector is not None:
        from zoo.metrics.mediapipe_hands import MediaPipeHands

        detector = MediaPipeHands.from_file(asked.detector)
    estimator = MethodEstimator(checkpoints.load_hands(ESTIMATOR))
    return Judges(extractor, estimator, HandSegmenter.load(asked.segmenter or SHIPPED), detector)


def _heading(facts: dict[str, Any], command: str) -> list[str]:
    return [
        f"`{command}`: base `{Path(str(facts.get('base', ''))).name}`, {facts.get('samples')} held-out scenes.",
        "In brackets: 95 % of bootstrap resamples of pictures; differences are paired, on the same scenes and seeds.",
    ]
