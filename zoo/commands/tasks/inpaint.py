"""`--task inpaint`: completions of hands of which a part is known."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.batch import Given
from zoo.commands.tasks.align import align, mesh_pose, skeleton_pose
from zoo.commands.tasks.case import Case, Unreadable
from zoo.commands.tasks.task import Outcome, Task
from zoo.guidance import AlignedGradient, Guidance, JointsAt, KnownPart, VerticesAt
from zoo.hands.model import HandModel
from zoo.hands.settle import settle
from zoo.hands.skeleton import LEFT, WRIST
from zoo.shapes import Bool, Float, JointMask, Joints, Translation, Vertices

# Columns are where the rest axes go: the view that models of hands know best, fingers up, back to the camera.
BACK = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
STEP = 0.3  # the share of what is known otherwise that a move of guidance takes away
BLEND = 4  # rings around the known part over which an estimate's offset from it fades out
WHOLE = 0.999  # of a joint's weights on known vertices: the joint is known


class View(NamedTuple):
    """Hands as the model sees them: right, seen from the back, wrist at the origin."""

    frame: Float[Tensor, "b 3 3"]  # from the files' frames
    wrist: Translation  # in the files' frames
    joints: Joints
    joints_known: JointMask
    vertices: Vertices | None  # anything where not known
    known: Bool[Tensor, "b 778"] | None
    sure: Bool[Tensor, " b"]  # whether the wrist itself is known


class Inpaint(Task):
    """Completes meshes and skeletons. What is known stays, to rounding.

    Hands are turned into the back view, sampled given the joints that are known, with known vertices in their place at
    every step, turned back, and bent onto the known part by the smoothest displacement. Skeletons guide besides, and
    known vertices do where the method takes no skeleton.
    """

    def solve(self, cases: Sequence[Case]) -> list[Outcome | Unreadable]:
        results: dict[int, Outcome | Unreadable] = {}
        for meshes in (True, False):
            rows = [row for row, case in enumerate(cases) if (case.vertices is not None) == meshes]
            if rows:
                chosen = [cases[row] for row in rows]
                results.update(zip(rows, self._group(chosen), strict=True))
        return [results[row] for row in range(len(cases))]

    def _group(self, cases: Sequence[Case]) -> list[Outcome | Unreadable]:
        hand = self.method.hand
        view = seen_from_the_back(hand, cases)
        if not bool(view.sure.all()) and view.vertices is not None and view.known is not None:
            # Where the wrist is missing, a first answer shows where it is.
            first, _ = self._sampled(view, cases, exact=False)
            view = found_wrist(view, first)
        vertices, lost = self._sampled(view, cases, exact=True)
        results: list[Outcome | Unreadable] = []
        for row, case in enumerate(cases):
            if row in lost:
                results.append(Unreadable(case.name, lost[row]))
            else:
                results.append(self._outcome(case, view, row, vertices[row]))
        return results

    def _sampled(self, view: View, cases: Sequence[Case], exact: bool) -> tuple[Vertices, dict[int, str]]:
        device = self.method.device
        given = Given(joints=view.joints.to(device), joints_valid=view.joints_known.to(device))
        if "skeleton3d" not in self.understands:
            given = Given()
        hands, lost = self.sample(given, cases, self._guidance(view, exact))
        return hands["vertices"], lost

    def _guidance(self, view: View, exact: bool) -> list[Guidance]:
        if self.guide <= 0:
            return []
        hand, scale = self.method.hand, float(getattr(self.method, "scale", 0.1))
        if view.vertices is None or view.known is None:
            joints = JointsAt(view.joints, view.joints_known.float(), hand, scale)
            return [AlignedGradient(joints, STEP * self.guide)]
        # Gradients reach unknown fingers through the network and bend them out of shape for the sake of tenths of a
        # millimetre; where the joints are a condition, those are all that is left to gain.
        conditioned = "skeleton3d" in self.understands
        operator = VerticesAt(view.vertices, view.known.float(), scale)
        guides: list[Guidance] = [] if conditioned else [AlignedGradient(operator, STEP * self.guide)]
        if exact:
            guides.append(KnownPart(view.vertices, view.known, scale, BLEND, hand.faces))
        return guides

    def _outcome(self, case: Case, view: View, row: int, vertices: Vertices) -> Outcome:
        """Hypotheses in the frame of the file, the known part in its place; those that had to move least come first."""
        hand = self.method.hand
        regressor = hand.joint_regressor.cpu()
        if view.vertices is None or view.known is None:
            rows = torch.nonzero(view.joints_known[row])[:, 0]
            observed, target = regressor[rows], view.joints[row, rows]
        else:
            rows = torch.nonzero(view.known[row])[:, 0]
            observed, target = torch.eye(778)[rows], view.vertices[row, rows]
        target = target.expand(len(vertices), -1, -1)
        vertices = moved_onto(vertices, observed @ vertices, target)
        moved = 1000 * (observed @ vertices - target).norm(dim=-1).mean(-1)
        vertices = settle(vertices, hand.faces, observed, target)
        back = vertices @ view.frame[row] + view.wrist[row]
        if case.vertices is not None and case.known is not None:
            known = torch.from_numpy(case.known)
            back[:, known] = torch.from_numpy(case.vertices[case.known])  # to the last bit
        joints = regressor @ back
        scores = {"moved_mm": moved, "known_mm": 1000 * self._off(case, back, joints)}
        middle = back - joints[:, :1]
        if len(back) > 1:
            scores["spread_mm"] = 1000 * (middle - middle.mean(0)).norm(dim=-1).mean(-1)
        order = moved.argsort()
        extras: dict[str, NDArray[Any]] = {
            "known": case.labelled if case.known is None else case.known,
            "translation": joints[order, 0].numpy(),
        }
        return Outcome(
            case, back[order], joints[order], {name: score[order] for name, score in scores.items()}, extras=extras
        )

    def _off(self, case: Case, vertices: Tensor, joints: Tensor) -> Float[Tensor, " n"]:
        """How far the known part is from where it was, at worst."""
        if case.vertices is not None and case.known is not None:
            known = torch.from_numpy(case.known)
            return (vertices - torch.from_numpy(case.vertices))[:, known].norm(dim=-1).amax(-1)
        labelled = torch.from_numpy(case.labelled)
        target = joints.new_zeros(21, 3) if case.joints is None else torch.from_numpy(case.joints)
        return (joints - target)[:, labelled].norm(dim=-1).amax(-1)


def seen_from_the_back(hand: HandModel, cases: Sequence[Case]) -> View:
    """Turns the known parts of hands into the model's view."""
    frames, wrists, joints, joints_known, vertices, masks, sure = [], [], [], [], [], [], []
    regressor = hand.joint_regressor.cpu()
    flat_wrist = hand.regress(hand.template)[WRIST].cpu().numpy()
    for case in cases:
        mirror = torch.diag(torch.tensor([-1.0 if case.side == LEFT else 1.0, 1.0, 1.0]))
        if case.vertices is not None and case.known is not None:
            pose = mesh_pose(hand, case.vertices, case.known, case.side)
            known = torch.from_numpy(case.known)
            points = torch.from_numpy(case.vertices)
            found = regressor @ torch.where(known[:, None], points, 0.0)
            there = (regressor * known).sum(-1) > WHOLE
            masks.append(known)
        elif case.joints is not None:
            pose = skeleton_pose(hand, case.joints, case.labelled, case.side)
            found, there = torch.from_numpy(case.joints), torch.from_numpy(case.labelled)
            points = None
        else:
            raise ValueError(f"{case.name} has neither a mesh nor a skeleton to complete.")
        rotation = torch.from_numpy(pose.rotation).float()
        flat = flat_wrist if case.side != LEFT else flat_wrist * np.array([-1, 1, 1], np.float32)
        rough = torch.from_numpy(pose.scale * pose.rotation @ flat + pose.shift).float()
        wrist = found[WRIST] if bool(there[WRIST]) else rough
        sure.append(bool(there[WRIST]))
        found = torch.where(there[:, None], found, wrist)
        there = there | (torch.arange(21) == WRIST)
        frame = BACK @ mirror @ rotation.T
        frames.append(frame)
        wrists.append(wrist)
        joints.append((found - wrist) @ frame.T)
        joints_known.append(there)
        if points is not None:
            vertices.append((points - wrist) @ frame.T)
    return View(
        torch.stack(frames),
        torch.stack(wrists),
        torch.stack(joints),
        torch.stack(joints_known),
        torch.stack(vertices) if vertices else None,
        torch.stack(masks) if masks else None,
        torch.tensor(sure),
    )


def found_wrist(view: View, sampled: Vertices) -> View:
    """The view with unknown wrists moved to where sampled hands, laid onto the known part, have theirs.

    Args:
        view: With a rough wrist as the origin.
        sampled: (b, n, 778, 3) their wrists at the origin.
    """
    if view.vertices is None or view.known is None:
        return view
    shift = torch.zeros_like(view.wrist)
    for row in torch.nonzero(~view.sure)[:, 0].tolist():
        known = view.known[row]
        target = view.vertices[row, known].numpy()
        places = [align(hypothesis[known].numpy(), target) for hypothesis in sampled[row]]
        shift[row] = torch.from_numpy(np.mean([place.shift for place in places], 0)).float()
    moved = view.joints - shift[:, None] * (torch.arange(21) != WRIST)[:, None]
    back = (shift[:, None] @ view.frame)[:, 0]
    return view._replace(wrist=view.wrist + back, joints=moved, vertices=view.vertices - shift[:, None])


def moved_onto(vertices: Vertices, points: Float[Tensor, "n k 3"], target: Float[Tensor, "n k 3"]) -> Vertices:
    """Hands turned and shifted, not scaled, so that some points of theirs come to lie on others."""
    done = []
    for mesh, source, goal in zip(vertices, points, target, strict=True):
        pose = align(source.numpy(), goal.numpy())
        rotation = torch.from_numpy(pose.rotation).float()
        done.append((mesh - source.mean(0)) @ rotation.T + goal.mean(0))
    return torch.stack(done)
