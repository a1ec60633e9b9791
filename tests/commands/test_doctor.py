import subprocess
import sys

import pytest

from zoo.__main__ import main


def test_doctor_says_what_works_and_how_to_mend_what_does_not(tmp_path, capsys):
    (tmp_path / "train.txt").write_text("")
    words = ["--mano", "--roots.freihand", "--roots.ho3d"]
    code = main(["doctor", *(word for flag in words for word in (flag, str(tmp_path)))])
    said = capsys.readouterr().out
    assert code == 1
    for words in (
        "cpu",
        "sdpa",
        "torch draws a triangle",
        "OpenHand right",
        "holds no MANO_RIGHT",
        "holds no *_K.json",
        "ho3d at",
    ):
        assert words in said
    broken = [line for line in said.splitlines() if line.startswith("BAD")]
    assert len(broken) == 2
    assert all("fix:" in said.splitlines()[said.splitlines().index(line) + 1] for line in broken)


@pytest.mark.slow
def test_doctor_ends_well_in_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "doctor"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ready: python -m zoo fit --model hhmr" in done.stdout
