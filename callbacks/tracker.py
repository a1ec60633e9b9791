"""Where a run is tracked: Weights & Biases when there is a key for it, and always a file."""

import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lightning.pytorch.loggers import Logger

from callbacks.console import say
from callbacks.curves import CurveLog

TRACKERS = ("wandb", "csv", "none")
PROJECT = "hand-model-zoo"


def make_loggers(tracker: str, out: str | os.PathLike[str], name: str, **settings: Any) -> list[Logger]:
    """The loggers of a run.

    `csv` is `log.csv` in the run's folder; `wandb` is that and Weights & Biases, offline, said in one line, where
    neither the environment nor a netrc file holds a key; there is never a login prompt. WANDB_MODE is obeyed. Weights
    are not uploaded.

    Args:
        tracker: `wandb`, `csv` or `none`.
        out: The run's folder.
        name: The run's name.
        settings: Changes to `wandb.Settings`.
    """
    if tracker not in TRACKERS:
        raise ValueError(f"--tracker={tracker} is not known. Known: {', '.join(TRACKERS)}.")
    if tracker == "none":
        return []
    curves = CurveLog(Path(out) / "log.csv")
    if tracker == "csv":
        return [curves]

    import wandb
    from lightning.pytorch.loggers import WandbLogger

    offline = not is_online()
    if offline:
        say(
            f"Weights & Biases is offline: no key found. The run is kept in {Path(out) / 'wandb'}; "
            "set WANDB_API_KEY to go online, --tracker csv to do without."
            if "WANDB_MODE" not in os.environ
            else f"Weights & Biases is {os.environ['WANDB_MODE']}, as WANDB_MODE says."
        )
    Path(out).mkdir(parents=True, exist_ok=True)
    # Quiet, and without what says more about the machine than about the run: console, source code, git remotes, and
    # the installed packages, whose listing alone delays the start by seconds.
    quiet: dict[str, Any] = {"console": "off", "disable_code": True, "disable_git": True, "silent": True}
    quiet |= {"x_save_requirements": False, "x_service_wait": 300.0}  # seconds; 30 are too few on a busy machine
    tracked = WandbLogger(
        name=name,
        project=PROJECT,
        save_dir=Path(out),
        offline=offline,
        log_model=False,
        settings=wandb.Settings(**(quiet | settings)),
    )
    tracked._wandb_init.pop("anonymous", None)  # Lightning passes None, which makes wandb warn
    return [curves, tracked]


def is_online() -> bool:
    """Whether Weights & Biases can be reached without asking anybody for a key."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None and mode != "online":
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    named = os.environ.get("NETRC")
    places = [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]
    return any(_holds_key(place, host) for place in places)


def _holds_key(place: Path, host: str) -> bool:
    try:
        return host in netrc.netrc(place).hosts
    except (OSError, netrc.NetrcParseError):
        return False
