"""Scores a predictor of hands as FreiHAND does; here the predictor always answers the flat hand.

python examples/score_a_predictor.py
"""

import torch

from datamodules.openhand.pose_stream import PoseStream
from zoo.hands.openhand import OpenHand
from zoo.hands.poses import PosePrior
from zoo.metrics.hand_scores import HandScores


def main(batches: int = 4) -> None:
    hand = OpenHand()
    stream = PoseStream(hand, PosePrior(), seed=1)
    scores = HandScores()
    for k in range(batches):
        batch = stream.batch(k, 32)
        vertices = hand.template.expand_as(batch["vertices"])
        joints = hand.regress(vertices)
        scores.update(vertices, joints, batch["vertices"], batch["joints"], batch["has_mesh"], batch["joints_valid"])
    for name, value in scores.compute().items():
        print(f"{name:<20} {float(value):8.3f}")


if __name__ == "__main__":
    with torch.no_grad():
        main()
