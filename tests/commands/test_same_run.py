import json

import pytest

from zoo.commands.resume import same_run
from zoo.registry import UsageError

HEADER = {"checkpoint": {"path": "a", "sha256": "1"}, "options": {"size": (3, 4), "limit": 5}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(HEADER))
    return tmp_path


def test_the_same_run_goes_on_wherever_its_weights_lie(folder):
    same_run(folder, HEADER, "hands", ())
    same_run(folder, {**HEADER, "checkpoint": {"path": "b", "sha256": "1"}}, "hands", ())


def test_an_option_may_change_where_it_changes_nothing(folder):
    other = {**HEADER, "options": {"size": (3, 4), "limit": 6}}
    same_run(folder, other, "hands", ("limit",))
    with pytest.raises(UsageError, match=r"the hands in .* were made with limit 5, not 6"):
        same_run(folder, other, "hands", ())


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({**HEADER, "checkpoint": {"path": "a", "sha256": "2"}}, "with checkpoint 1, not 2"),
        ({**HEADER, "options": {"limit": 5}}, r"with size \[3, 4\], not None"),
        ({**HEADER, "options": {**HEADER["options"], "new": 1}}, "with new None, not 1"),
    ],
)
def test_another_way_of_making_is_refused(folder, header, said):
    with pytest.raises(UsageError, match=said):
        same_run(folder, header, "pictures", ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"options": {}}', '{"options": {}, "checkpoint": "x"}'])
def test_a_damaged_manifest_is_said(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="is damaged, so --resume cannot go on"):
        same_run(folder, HEADER, "hands", ())
