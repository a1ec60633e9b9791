"""`fit`, `validate`, `test`, `predict`: LightningCLI with names, run folders and sentences for errors."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException

import checkpoints
from callbacks.checkpoint import SafeCheckpoint
from callbacks.ema import EMA
from callbacks.learn import Learn
from callbacks.pictures import Pictures
from callbacks.progress import RunProgress
from callbacks.scores import Scores
from callbacks.throughput import Throughput
from callbacks.tracker import make_loggers
from checkpoints.kinds import kind_of
from datamodules.base import HandData
from zoo import registry
from zoo.attention import Attention
from zoo.commands import folder
from zoo.commands.memory import keep_pages
from zoo.commands.mistakes import flags_of, sentence
from zoo.commands.official import FOLDER, official_output
from zoo.commands.possible import check_possible
from zoo.commands.predictions import Predictions
from zoo.commands.settle import (
    keep_codec,
    read_by,
    same_model,
    same_optimizer,
    settle_image_branch,
    unfuse_optimizer,
)
from zoo.commands.speech import speaking
from zoo.commands.start import Begun, OptimizerAsTold, start_from, step_of
from zoo.commands.told import as_told, begun_from, with_data, with_model
from zoo.models.base import Method
from zoo.parts import import_parts
from zoo.registry import UsageError, class_path, name_of, names, option, resolve

COMMANDS = ("fit", "validate", "test", "predict")
# Option group, callback, and its arguments that lie in the run folder. In this order they are called.
CALLBACKS: tuple[tuple[str, type[Callback], dict[str, str]], ...] = (
    ("learn", Learn, {}),
    ("ema", EMA, {}),
    ("scores", Scores, {"path": "metrics.json"}),
    ("pictures", Pictures, {"folder": "pictures"}),
    ("throughput", Throughput, {}),
    ("progress", RunProgress, {}),
    ("checkpoint", SafeCheckpoint, {"folder": "checkpoints"}),
)


class ZooCLI(LightningCLI):
    """The trainer commands."""

    out: Path
    ckpt: Path | None = None
    begun: int = -1  # the step that a run goes on from

    @property
    def command(self) -> str:
        """fit, validate, test or predict."""
        return str(self.subcommand)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Resolves names, then parses; a mistake becomes a `UsageError`."""
        self.words = [str(word) for word in args] if isinstance(args, list) else []
        for place in ("out", "ckpt"):
            if word := option(self.words, place):
                folder.recover(Path(word))
        with_own_data = with_data(self.words)
        words = with_model(with_own_data)
        self.taken = "weights" if words == with_own_data else "model and weights"  # from --ckpt
        words = as_told(resolve(words), option(self.words, "config") is not None)
        try:
            self.config = parser.parse_args(words)
        except ArgumentError as error:
            raise UsageError(sentence(error, flags_of(self._subcommand_parsers[words[0]]))) from error

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The options that every run takes."""
        parser.add_argument("--out", type=str | None, default=None, help="Folder of the run. Default: runs/MODEL/TIME.")
        parser.add_argument(
            "--ckpt",
            type=str | None,
            default=None,
            help="A .ckpt file, the folder of a run, a released folder or the name of shipped weights. "
            "fit goes on from a run, and starts from released weights.",
        )
        parser.add_argument(
            "--tracker", type=Literal["wandb", "csv", "none"], default="wandb", help="Where metrics are sent."
        )
        parser.add_argument("--overwrite", action="store_true", help="Replace what --out holds, once the run works.")
        parser.add_argument("--seed_everything", "--seed", type=int, default=0, help="Seed of everything random.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """One seed decides the data, too; and the callbacks of every run."""
        for key, callback, places in CALLBACKS:
            parser.add_lightning_class_args(callback, key)
            parser.set_defaults({f"{key}.{name}": place for name, place in places.items()})
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def before_instantiate_classes(self) -> None:
        """Claims the run folder before anything slow happens."""
        options = self.config[self.command]
        check_possible(options)
        trained = checkpoints.read(options.ckpt).config if options.ckpt else None
        same_model(options, trained)
        settle_image_branch(options, self.words, trained)
        unfuse_optimizer(options)
        self.model_name = name_of("model", options.model.class_path, option(self.words, "model"))
        self.data_name = data_name(options.data, option(self.words, "data"))
        self.ckpt = checkpoints.find(options.ckpt) if options.ckpt else None
        if self.command == "fit" and self.ckpt is not None and trained is not None:
            if self.ckpt.is_file():
                same_optimizer(options, trained)
            elif self.taken == "model and weights":
                keep_codec(options, self.words)
        self.out = folder.choose(options.out, self.model_name)
        goes_on = folder.goes_on(self.out, self.ckpt, self.command, options.overwrite)
        if folder.is_first_process():
            saved = options.clone()
            saved.out, saved.overwrite = None, False  # so that `--config` of this run makes a new run
            if goes_on:
                saved.ckpt = begun_from(self.out, options.data.as_dict())
            text = self._subcommand_parsers[self.command].dump(saved, skip_none=False)
            folder.claim_run(self.out, text, options.overwrite, goes_on, [self.ckpt, *read_by(options)])
        for key, _, places in CALLBACKS:
            for name in places:
                options[key][name] = str(self.out / options[key][name])

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the run folder and the logger."""
        options = self.config_init[self.command]
        kwargs["default_root_dir"] = str(self.out)
        if options.trainer.enable_model_summary is None:
            kwargs["enable_model_summary"] = False  # the headline counts the parameters
        if options.trainer.logger in (None, True):
            kwargs["logger"] = False  # until the first line of the run is printed
        if options.trainer.enable_progress_bar is False:
            kwargs["enable_progress_bar"] = None  # Lightning refuses to be given a bar and none
        trainer = super().instantiate_trainer(**kwargs)
        if options.trainer.enable_progress_bar is False and trainer.progress_bar_callback is not None:
            trainer.progress_bar_callback.disable()
        if options.trainer.strategy == "auto" and isinstance(trainer.strategy, DDPStrategy):
            # Batches without images leave the image branch out, and DDP stops at parameters without a gradient.
            trainer.strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
        return trainer

    def after_instantiate_classes(self) -> None:
        """Says what runs, and hands the checkpoint over."""
        options = self.config_init[self.command]
        if self.datamodule.rows != self.model.rows:
            raise UsageError(
                f"{self.model_name} reads {self.model.rows}, but {self.data_name} gives {self.datamodule.rows}. Give "
                f"--data.rows {self.model.rows} where the dataset has them, or another --data."
            )
        self.datamodule.meshes = getattr(self.model, "meshes", False)
        if self.ckpt is not None and self.ckpt.is_dir():
            start_from(self.model, self.ckpt, learns=self.command == "fit")
        elif self.ckpt is not None:
            options.ckpt_path, options.weights_only = str(self.ckpt), True
            self.begun = step_of(self.ckpt)
            self.trainer.callbacks.append(OptimizerAsTold())  # type: ignore[attr-defined]
        if self.command == "predict":
            self.trainer.callbacks.append(Predictions(self.out / "predictions"))  # type: ignore[attr-defined]
            options.return_predictions = False
        if self.command in ("test", "predict") and (official := official_output(self.datamodule, self.out)):
            self.trainer.callbacks.append(official)  # type: ignore[attr-defined]
        if self.command in ("validate", "test"):
            options.verbose = False  # the callback prints a better table
        self.trainer.callbacks.insert(0, Begun())  # type: ignore[attr-defined]  # before what writes into the folder
        if folder.is_first_process():
            print(self.headline(), flush=True)
            if options.trainer.logger in (None, True):
                self.trainer.loggers = make_loggers(options.tracker, self.out, f"{self.model_name}-{self.out.name}")

    def after_fit(self) -> None:
        """Scores the last weights: training may end between two validations."""
        if self.trainer.global_step <= self.begun:
            limits = self.config_init[self.command].trainer
            raise UsageError(
                f"--ckpt {self.ckpt} had reached its run's limits (max_steps {limits.max_steps}, max_epochs "
                f"{limits.max_epochs}, max_time {limits.max_time}), so nothing was trained. They count from the run's "
                "start: give a larger one, as --trainer.max_time 00:01:00:00."
            )
        self.trainer.validate(self.model, datamodule=self.datamodule, verbose=False)

    def headline(self) -> str:
        """What runs, on which data and device, how precise, and where its files go."""
        facts = [
            f"{self.command} {self.model_name} on {self.data_name}",
            f"{self.trainer.num_devices} x {self.trainer.strategy.root_device.type}",
            f"precision {self.trainer.precision}",
            *sorted({f"attention {part.backend}" for part in self.model.modules() if isinstance(part, Attention)}),
            f"{sum(weight.numel() for weight in self.model.parameters()):,} parameters",
            *([] if self.ckpt or self.command == "fit" else ["untrained: --ckpt gives it weights"]),
            *([f"{self.taken} of {self.config_init[self.command].ckpt}"] if self.ckpt else []),
            f"files in {self.out}",
        ]
        return ", ".join(facts)


def data_name(data: Namespace, given: str | None) -> str:
    """What to call a dataset; the embedded one has a name for hands and one for scenes."""
    path, rows = str(data.class_path), (data.get("init_args") or {}).get("rows")
    scenes = registry.DEFAULT_SCENES
    if given is None and rows == "scenes" and scenes in names("data"):
        same = class_path("data", scenes).rpartition(".")[2] == path.rpartition(".")[2]
        given = scenes if same else None
    return name_of("data", path, given)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what a user can do nothing about: warnings of Lightning to itself, tips, lists of absent devices."""
    from jsonargparse._deprecated import JsonargparseDeprecationWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=JsonargparseDeprecationWarning)
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is smaller than the logging interval")
        warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`, callbacks")
        warnings.filterwarnings("ignore", message="Attribute '.*' is an instance of `nn.Module`")
        warnings.filterwarnings("ignore", message="Found .* module.* in eval mode")  # frozen parts shall be
        with speaking():
            yield


def train(argv: Sequence[str]) -> int:
    """Runs one trainer command; the words after `python -m zoo`."""
    import_parts()
    keep_pages()
    try:
        with _quiet():
            cli = ZooCLI(
                Method,
                HandData,
                save_config_callback=None,
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_kwargs={
                    "exit_on_error": False,
                    "prog": "python -m zoo",
                    **{command: {"exit_on_error": False} for command in COMMANDS},
                },
                args=list(argv),
            )
        folder.begin()  # also without a single batch
    except SIGTERMException:
        print("Stopped by SIGTERM.")
        return 1
    finally:
        folder.leave()
    return _report(cli)


def _report(cli: ZooCLI) -> int:
    if folder.is_first_process():
        said = {
            "settings": [cli.out / "config.yaml"],
            "scores": [cli.out / "metrics.json"],
            "curves": [cli.out / "log.csv"],
            "checkpoints": sorted((cli.out / "checkpoints").glob("*.ckpt")),
            "pictures": sorted((cli.out / "pictures").glob("*.png"), key=lambda path: path.stat().st_mtime)[-3:],
            "official": sorted((cli.out / FOLDER).glob("[!.]*")),
            "predictions": sorted((cli.out / "predictions").glob("[!.]*"))[:1],
        }
        print(f"{cli.command} done. Everything is in {cli.out}:")
        for name, paths in said.items():
            if there := [str(path.relative_to(cli.out)) for path in paths if path.exists()]:
                print(f"  {name:<12} {', '.join(there)}")
        if said["checkpoints"]:
            what = "Hands" if cli.model.rows == "hands" else "Pictures"
            words = f"--model {cli.model_name} --ckpt {cli.out}{kind_of({'class_path': type(cli.model).__name__}).asks}"
            print(f"{what} from it: python -m zoo sample {words}")
    return 0
