"""Runs our own commands: typed functions, their arguments read by jsonargparse."""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from jsonargparse import ActionYesNo, ArgumentError, ArgumentParser

from zoo.commands.mistakes import flags_of, sentence, unknown_flag
from zoo.registry import UsageError

Command = Callable[..., int | None]


@dataclass(frozen=True)
class ByWords:
    """A command whose options depend on what else is said.

    Args:
        choose: From the words to the function that does it, and the words as its options understand them.
    """

    choose: Callable[[Sequence[str]], tuple[Command, list[str]]]


def run_command(name: str, commands: Command | ByWords | dict[str, Command], argv: Sequence[str]) -> int:
    """Parses `argv` for a function, or for a dictionary of functions by subcommand, and calls it.

    Returns:
        What the function returns: its exit code; none means 0.
    """
    prog = f"python -m zoo {name}"
    if isinstance(commands, ByWords):
        commands, argv = commands.choose(argv)
    if isinstance(commands, dict):
        word = argv[0] if argv else ""
        if word in ("-h", "--help"):
            raise SystemExit(_print_help(prog, commands))
        if word not in commands:
            close = difflib.get_close_matches(word, commands, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            said = f"{name} {word} is not a command." if word else f"{name} needs one more word."
            raise UsageError(f"{said}{hint} Known: {', '.join(f'{name} {key}' for key in commands)}.")
        return run_command(f"{name} {word}", commands[word], argv[1:])
    parser = ArgumentParser(prog=prog, exit_on_error=False, description=(commands.__doc__ or "").split("\n")[0])
    parameters = inspect.signature(commands).parameters
    positional: set[str | int] = {name for name in parameters if name == "name"}
    switches: set[str | int] = {name for name, parameter in parameters.items() if parameter.annotation is bool}
    for name in map(str, positional):
        parser.add_argument(name, type=str, help=_described(commands, name))
    parser.add_function_arguments(commands, as_positional=False, fail_untyped=True, skip=positional | switches)
    for name in sorted(map(str, switches)):
        action = ActionYesNo(yes_prefix="", no_prefix="no-")
        parser.add_argument(
            f"--{name}", action=action, default=parameters[name].default, help=_described(commands, name)
        )
    arguments = parse(parser, argv)
    try:
        return commands(**arguments) or 0
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            error.strerror = flags_here(error.strerror, parameters)
        error.args = tuple(flags_here(part, parameters) if isinstance(part, str) else part for part in error.args)
        raise


def flags_here(text: str, own: Container[str]) -> str:
    """A sentence of the trainer's commands, whose flags `--data.NAME` are `--NAME` in a command that has them.

    Args:
        text: What was said.
        own: The arguments of the command.
    """
    return re.sub(r"--data\.(\w+)", lambda found: f"--{found[1]}" if found[1] in own else found[0], text)


def parse(parser: ArgumentParser, argv: Sequence[str]) -> dict[str, Any]:
    """Parses, and says in one sentence what is wrong with the words."""
    words = ["--n" if word == "-n" else word for word in argv]
    flags = flags_of(parser)
    for word in words:
        flag = word.partition("=")[0]
        if flag.startswith("--") and flag not in flags and "." not in flag and not flag.endswith("+"):
            raise UsageError(unknown_flag(flag, flags))
    try:
        parsed = parser.parse_args(words)
    except ArgumentError as error:
        raise UsageError(sentence(error, flags)) from error
    arguments: dict[str, Any] = parser.instantiate_classes(parsed).as_dict()
    return arguments


def _described(function: Callable[..., Any], name: str) -> str:
    """What a docstring says about an argument."""
    said = re.search(rf"^\s+{name}: (.*(?:\n {{12,}}.*)*)", function.__doc__ or "", re.MULTILINE)
    return " ".join(said[1].split()) if said else ""


def _print_help(prog: str, commands: dict[str, Command]) -> int:
    lines = [f"  {key:<8} {(function.__doc__ or '').splitlines()[0]}" for key, function in commands.items()]
    sys.stdout.write("\n".join([f"usage: {prog} COMMAND [options]", "", *lines, ""]))
    return 0
