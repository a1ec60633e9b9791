import errno

import pytest
from torch.utils.data import DataLoader

from datamodules.photos import UnreadableFileError
from zoo.commands.errors import explain


class Failing:
    """A dataset whose every row fails."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, row):
        try:
            raise LookupError("unheard")
        except LookupError as cause:
            raise self.error from cause


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("photo.jpg is 9 x 9 pixels. Unpack it again."), "photo.jpg is 9 x 9 pixels. Unpack it again."),
        (ValueError("one line\nand another"), "one line and another"),
        (UnreadableFileError("photo.jpg is not there."), "photo.jpg is not there."),
        (
            KeyError("verts"),
            "KeyError: 'verts' (Unexpected; run again with --traceback to see where.)",
        ),
    ],
)
def test_what_a_loaders_worker_says_is_all_that_is_printed(error, said):
    with pytest.raises(type(error)) as caught:
        next(iter(DataLoader(Failing(error), num_workers=1)))
    assert explain(caught.value) == (said, 1)


def test_a_sentence_of_ours_about_a_full_disk_is_kept():
    said = "The index of a.json could not be written to /c. Make room there or set --data.cache to another folder."
    assert explain(OSError(errno.ENOSPC, said)) == (said, 1)
    assert explain(OSError(errno.EACCES, said)) == (said, 1)


def test_unexpected_errors_ask_for_the_traceback_and_long_ones_are_cut():
    message, code = explain(KeyError("vertices"))
    assert code == 1
    assert "KeyError: 'vertices'" in message
    assert "--traceback" in message
    assert len(explain(ValueError("x" * 5000))[0]) <= 600
    assert "--data.batch_size" in explain(MemoryError())[0]
