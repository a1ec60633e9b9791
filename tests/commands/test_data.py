"""`data synth`, `check`, `draw`: flags by the names that they have here, and lines that can be pasted."""

from pathlib import Path

from zoo.__main__ import main
from zoo.commands.data import _again
from zoo.commands.own import flags_here


def test_flags_of_the_trainer_have_the_names_of_the_command_where_it_has_them():
    assert flags_here("Set --data.root or --data.mapping.", {"root"}) == "Set --root or --data.mapping."


def test_errors_and_reports_name_the_flags_of_these_commands(tmp_path, capsys):
    for words in (["check"], ["draw", "--out", str(tmp_path / "a.png")]):
        assert main(["data", words[0], "freihand", "--root", str(tmp_path / "a.zip"), *words[1:]]) == 1
        said = "".join(capsys.readouterr())
        assert "not there. Pass the dataset's folder with --root." in said
    assert not list(tmp_path.iterdir())


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called():
    assert _again("draw", "coco", Path("my data/é")) == "python -m zoo data draw coco --root 'my data/é'"
