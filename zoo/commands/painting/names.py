"""Names of rows that give each of their files a name of its own."""

from collections.abc import Sequence
from itertools import chain, count

from zoo.commands.tasks.stream import unique


def mesh_name(row: str, branch: str) -> str:
    """Of the picture of a row's meshes."""
    return f"{row}-local" if branch == "local" else row


def picture_name(row: str, seed: int, branch: str, several: int) -> str:
    """Of a picture of a row that has several seeds, or one."""
    return mesh_name(f"{row}-{seed}" if several > 1 else row, branch)


class Names:
    """Gives out names of rows.

    Args:
        seeds: Of every row.
        branches: Of every row.
    """

    def __init__(self, seeds: Sequence[int], branches: Sequence[str]) -> None:
        self.seeds, self.branches = seeds, branches
        self.taken: set[tuple[str, str]] = set()

    def take(self, wanted: str) -> str:
        """A name that is safe for files, numbered where a file has a namesake: of `hand`, `hand-local` is one."""
        [safe] = unique([wanted])
        for name in chain([safe], (f"{safe}_{number}" for number in count(2))):
            files = self._files(name)
            if not files & self.taken:
                break
        self.taken |= files
        return name

    def _files(self, name: str) -> set[tuple[str, str]]:
        low = name.lower()  # some disks do not tell A from a
        several = len(self.seeds)
        pictures = {("pictures", picture_name(low, seed, b, several)) for seed in self.seeds for b in self.branches}
        return pictures | {("meshes", mesh_name(low, branch)) for branch in self.branches}
