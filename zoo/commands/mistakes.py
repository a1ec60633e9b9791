"""Rewrites jsonargparse's error messages as one sentence: what was given, the rule, the fix."""

import difflib
import inspect
import re
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from zoo.commands.errors import one_line
from zoo.registry import KINDS, names, nearest


def flags_of(parser: ArgumentParser) -> list[str]:
    """The options that a parser knows."""
    return [flag for action in parser._actions for flag in action.option_strings]


def unknown_flag(flag: str, known: Sequence[str]) -> str:
    """One sentence for a flag that does not exist, with the nearest one that does."""
    close = difflib.get_close_matches(flag, known, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]}?" if close else " --help lists the options."
    return f"{flag} is not an option.{hint}"


def sentence(error: ArgumentError, flags: Sequence[str]) -> str:
    """What to tell the user.

    Args:
        error: From parsing a command line.
        flags: The options that exist.
    """
    text = one_line(str(error.message), limit=100_000)
    if match := re.search(r"unrecognized arguments: (.*)", text):
        word = next((w for w in match[1].split() if w.startswith("-")), match[1])
        if not word.startswith("-"):
            return f"{word!r} is left over: every value needs its option in front, such as --model {word}."
        return unknown_flag(word.partition("=")[0], flags)
    if match := re.search(r"expected (?:one|at least one) argument", text):
        named = re.search(r"argument (--\S+?)[:/]", f"{error} {error.__cause__}")
        return f"{named[1] if named else 'An option'} needs a value."
    if match := re.search(r"following arguments are required: (.*)|Key \"(.*?)\" is required", text):
        words = (match[1] or match[2]).partition(" - Expected")[0].split(", ")
        inside = ".".join(re.findall(r'Parser key "([^"]+)"', text))  # of a part, whose options are not in `flags`
        missing = [
            f"--{name}" if f"--{name}" in flags else f"--{inside}.{name}" if inside else name.upper() for name in words
        ]
        return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed. --help says more."
    key = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', text))
    classes = re.findall(r"Problem with given class_path '([^']+)'", text)
    if classes and (match := re.search(r"Option '([^']+)' is not accepted", text)):
        return unknown_flag(f"{key}.{match[1]}", [f"{key}.{name}" for name in _arguments(classes[-1])])
    if match := re.search(r"Expected an? (.+?)\. Got value: (.*?)(?: - Expected|$)", text):
        return f"{key} got {match[2]}, which is not {_type(match[1])}."
    if match := re.search(r"(?:Expected a dot import path string|not a subclass of [^:]*): (\S+)", text):
        known = _choices(key, classes)
        return f"{key}={match[1]} is not known.{nearest(match[1], known)} Known: {', '.join(known)}."
    if match := re.search(r"Errors:((?: - Expected an? (?:(?! - ).)+)+) Given value type: .* Given value: (.*)$", text):
        kinds = [_type(kind) for kind in re.split(" - Expected an? ", match[1])[1:] if "NoneType" not in kind]
        value = re.sub(r"NestedArg\(key='.*?', val='(.*)'\)", r"\1", match[2])
        if len(kinds) == 1 and "collections." not in kinds[0]:
            return f"{key} got {value}, which is not {kinds[0]}."
    if match := re.search(r"Subtypes: \[(.*)\] Errors: .*Given value: (.*)", text):
        return f"{key} got {match[2]}, which is none of these: {_union(match[1])}."
    return one_line(text.partition(" Given value type:")[0], limit=400)


def imported(path: str) -> Any:
    """What a dotted path names: a class, or a function that makes something."""
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def _type(text: str) -> str:
    if match := re.fullmatch(r"typing\.Literal\[(.*)\]", text):
        return "one of " + match[1].replace("'", "")
    text = re.sub(r"<class '([^']+)'>", r"\1", text)
    article = "an" if text[:1] in "aeiou" else "a"
    return f"{article} {text}"


def _union(text: str) -> str:
    """The types of a union in words, out of their names."""
    text = re.sub(r"typing\.Literal\[(.*?)\]", lambda found: found[1].replace("'", ""), text)
    text = re.sub(r"<class '([^']+)'>", r"\1", text)
    text = re.sub(r"(?:collections\.abc\.Sequence|list)\[(\w+)\]", r"a list of \1 as [first, second]", text)
    return text.replace("NoneType", "null")


def _arguments(path: str) -> list[str]:
    return [name for name in inspect.signature(imported(path)).parameters if name != "self"]


def _choices(key: str, classes: Sequence[str]) -> list[str]:
    """Names that would have been accepted for a key."""
    if not classes:
        return names(key[2:]) if key[2:] in KINDS else []
    hint = typing.get_type_hints(vars(imported(classes[-1]))["__init__"]).get(key.rpartition(".")[2])
    return sorted({cls.__name__ for base in _bases(hint) for cls in _concrete(base)})


def _bases(hint: object) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for argument in typing.get_args(hint):
        yield from _bases(argument)


def _concrete(base: type) -> Iterable[type]:
    subclasses: list[type] = [] if base is object else base.__subclasses__()
    for cls in subclasses:
        yield from _concrete(cls)
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_"):
            yield cls
