"""Lines for the person who watches a run."""

import sys

from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm


@rank_zero_only
def say(text: str) -> None:
    """Prints to standard output, from the first process only and without tearing a progress bar apart."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
