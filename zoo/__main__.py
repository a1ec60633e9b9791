"""`python -m zoo`: the composition root. Nothing heavy is imported before a command needs it."""

import sys
from collections.abc import Sequence
from importlib import import_module

from zoo.registry import UsageError, nearest

TRAINER = {
    "fit": "train a model",
    "validate": "score a model on the validation split",
    "test": "score a model on the test split",
    "predict": "write a model's predictions",
}
OWN = {
    "list": "models, data, parts, commands and weights: one line each",
    "doctor": "what works on this machine, and how to fix what does not",
    "data": "synth, check or draw a dataset",
    "evaluate": "score a file of predictions by a dataset's official protocol",
    "score": "score a folder of made pictures against one of real ones: FID, KID, FID-H, KID-H, CLIP score",
    "sample": "generate, complete, reconstruct or fit hands; make pictures of hands",
    "generate": "labelled pictures of hands, for training",
    "bench": "measured speed against other implementations, and the tables of the paper",
    "convert": "weights of latent diffusion to and from the layouts of other software",
    "release": "turn a run into weights that ship",
}


def usage() -> str:
    """The text of `python -m zoo --help`."""
    lines = [f"  {name:<9} {text}" for name, text in {**TRAINER, **OWN}.items()]
    return "\n".join(
        [
            "usage: python -m zoo COMMAND [options]      (python -m zoo COMMAND --help lists them)",
            "",
            *lines,
            "",
            "Start with: python -m zoo fit --model hhmr",
            "Every command takes --traceback, which shows where an error came from.",
        ]
    )


def run(argv: Sequence[str]) -> int:
    """Runs one command line; the words after `python -m zoo`."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage() + "\n")
        return 0
    command, *rest = argv
    if command in TRAINER:
        from zoo.commands.train import train

        return train([command, *rest])
    if command in OWN:
        from zoo.commands.own import run_command

        return run_command(command, import_module(f"zoo.commands.{command}").COMMANDS, rest)
    known = [*TRAINER, *OWN]
    raise UsageError(f"{command} is not a command.{nearest(command, known)} Known: {', '.join(known)}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and turns mistakes into one sentence: 0 done, 1 a problem, 2 wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "--traceback" in words:
        return run([word for word in words if word != "--traceback"])
    try:
        return run(words)
    except SystemExit as stop:  # --help, --print_config, and Lightning's way to end after Ctrl-C
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except KeyboardInterrupt:
        sys.stderr.write("\nzoo: stopped by Ctrl-C.\n")
        return 1
    except BrokenPipeError:
        return 1
    except Exception as error:
        from zoo.commands.errors import explain

        message, code = explain(error)
        sys.stderr.write(f"zoo: {message}\n")
        return code


if __name__ == "__main__":
    sys.exit(main())
