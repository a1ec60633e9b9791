"""Options that pass the parser and cannot work, refused before anything is built."""

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

from jsonargparse import Namespace

from zoo.commands.mistakes import imported
from zoo.registry import UsageError

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_SAME = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "None": "32-true"}


def check_possible(options: Namespace) -> None:
    """Refuses what cannot work.

    Args:
        options: Of the run.

    Raises:
        UsageError: The first option that cannot work.
    """
    batches, precision = options.trainer.accumulate_grad_batches, str(options.trainer.precision)
    if batches < 1:
        raise UsageError(f"--trainer.accumulate_grad_batches {batches}: a step needs a batch. Give 1 or more.")
    if _SAME.get(precision, precision) not in PRECISIONS:
        raise UsageError(
            f"--trainer.precision {precision}: data and losses are in 32 bits, and so are the weights. Known: "
            f"{', '.join(PRECISIONS)}."
        )
    for kind in ("model", "data"):
        for name, of in _missing(options[kind], f"--{kind}"):
            raise UsageError(f"{name} null: {of} needs one. Leave the option out, or give it a value.")


def _missing(spec: Any, name: str) -> Iterator[tuple[str, str]]:
    """Arguments that are null and must not be: the option, and the class that needs it."""
    if isinstance(spec, list):
        for part in spec:
            yield from _missing(part, name)
    arguments = spec.get("init_args") if isinstance(spec, Namespace) and "class_path" in spec else None
    if not isinstance(arguments, Namespace):
        return
    made = imported(spec.class_path)
    known = inspect.signature(made).parameters
    for key, value in vars(arguments).items():
        if value is None and key in known and not _may_be_none(made, known[key]):
            yield f"{name}.{key}", made.__name__
        yield from _missing(value, f"{name}.{key}")


def _may_be_none(made: Any, parameter: inspect.Parameter) -> bool:
    if parameter.default is None or parameter.annotation is parameter.empty:
        return True
    try:
        hint = typing.get_type_hints(made.__init__).get(parameter.name, Any)
    except (NameError, AttributeError, TypeError):  # an annotation of somebody else's that only a type checker can read
        return True
    return hint in (Any, object) or any(part in (None, types.NoneType) for part in typing.get_args(hint))
