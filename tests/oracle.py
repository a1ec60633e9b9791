"""A model that knows the labels, and runs that hand in what it says."""

import lightning as L

from zoo.commands.official import OfficialOutput
from zoo.hands.openhand import OpenHand
from zoo.models.base import HandMethod

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


class Oracle(HandMethod):
    """Knows the hands, but only as a model may: about their wrists, in the frame of the crop."""

    def __init__(self, names=("skeleton2d", "skeleton3d"), size=1.0, shift=0.0):
        super().__init__()
        self.hand, self.names, self.size, self.shift = OpenHand(), names, size, shift
        self.labels = None

    def sample(self, given, n=1, generator=None, batch_size=None, guidance=()): ...

    def hands(self, batch):
        vertices, joints = batch["vertices"], batch["joints"]
        if self.labels is not None:
            joints, vertices = (part[batch["index"]] for part in self.labels)
        wrist = joints[:, :1]
        return {"joints": (joints - wrist)[:, None] * self.size, "vertices": (vertices - wrist)[:, None] * self.size}

    def test_step(self, batch, batch_idx):
        wrong = {name: 2 * part for name, part in self.hands(batch).items()}
        return {name: self.hands(batch) if name == self.names[0] else wrong for name in ("none", *self.names[::-1])}

    def predict_step(self, batch, batch_idx):
        return self.hands(batch)


def hand_in(data, out, model, verb="test", bone=False, **options):
    """Runs `test` or `predict`."""
    trainer = L.Trainer(callbacks=[OfficialOutput(data, out, bone)], **QUIET, **options)
    if verb == "test":
        trainer.test(model, datamodule=data, verbose=False)
    else:
        trainer.predict(model, datamodule=data, return_predictions=False)
