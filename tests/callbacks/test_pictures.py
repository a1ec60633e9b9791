"""Pictures of a fixed batch, of samples and of the losses."""

import numpy as np
import pytest
from PIL import Image

from callbacks.curves import CurveLog
from callbacks.pictures import Pictures, rows_picture


class Gallery(CurveLog):
    """A logger that takes images, as Weights & Biases does."""

    shown = ()

    def log_image(self, key, images, step=None):
        self.shown = (*self.shown, (key, len(images), step))


def test_a_run_leaves_rows_samples_and_curves(make_trainer, make_guess, hands, tmp_path):
    logger = Gallery(tmp_path / "log.csv")
    guess = make_guess()
    guess.training_step = lambda batch, batch_idx: (
        guess.log("train/loss", guess.weight.sum() + 1.0) or guess.weight.sum()
    )
    options = {"logger": logger, "num_sanity_val_steps": 1, "max_epochs": 2}
    make_trainer(Pictures(tmp_path / "pictures", rows=2, size=48), **options).fit(guess, hands, hands)
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    steps = ("0000002", "0000004")
    assert names == ["curves.png", *(f"hands-{s}.png" for s in steps), *(f"samples-{s}.png" for s in steps)]
    for name in names:
        with Image.open(tmp_path / "pictures" / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert [key for key, *_ in logger.shown] == ["pictures/hands", "pictures/samples"] * 2
    assert [step for *_, step in logger.shown] == [2, 2, 4, 4]


@pytest.mark.parametrize("labelled", [True, False])
def test_rows_show_input_predictions_and_a_truth_where_there_is_one(make_guess, hands, labelled):
    guess, batch = make_guess(), next(iter(hands))
    batch["has_mesh"][:] = labelled
    batch["has_mesh"][0] = False
    batch["has_image"][2] = True
    batch["image"] = batch["image"].new_full((1, 3, 16, 16), 0.5)
    outputs = guess.validation_step(batch, 0)
    outputs.pop("none")
    picture = np.asarray(rows_picture(batch, outputs, guess.hand, rows=3, size=48))
    columns, rows = (4, 2) if labelled else (3, 3)
    assert picture.shape[1] // 48 == columns
    assert picture.shape[0] // 48 == rows
    grey = (picture == 128).all(-1)
    assert grey.sum() > 1000  # the third hand's image
