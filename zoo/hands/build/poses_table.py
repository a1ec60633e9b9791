"""What was decided by hand about the poses: recordings mended or left out, and grasps of ours. Degrees.

A finger is (knuckle flex, spread, middle joint, end joint), a thumb (base flex, spread, twist, middle joint, end
joint), as in `zoo.hands.poses_joints`. Decided by looking at the contact sheet of `zoo.hands.build.poses_draw`.
"""

from typing import Final

Fingers = dict[str, tuple[float, ...]]

# Recording -> what replaces its fingers, and why.
MENDED: Final[dict[str, tuple[Fingers, str]]] = {
    "asl 5": ({"pinky": (-4, -23, 5, 3)}, "a straight little finger cannot bend its end joint by 44 degrees"),
    "asl p": (
        {"ring": (78, 0, 85, 58), "pinky": (80, 2, 80, 52)},
        "ring and little finger hidden behind the hand were tracked straight, and are curled in this letter",
    ),
    "asl r": (
        {"index": (22, -12, 6, 4), "middle": (6, 14, 8, 4)},
        "crossed fingers were tracked side by side, the same as asl u",
    ),
}
# Recordings whose thumb lies over bent fingers. The tracked hand is slimmer than ours, so that the thumb would be
# pushed into the fist; it comes in from outside instead.
THUMB_OVER: Final = ("bird", "devil", "asl i", "asl j", "asl s", "asl 1", "asl 6", "asl d", "asl r", "asl u", "asl v")
LEFT_OUT: Final[dict[str, str]] = {}

GRASPS: Final[dict[str, Fingers]] = {
    "large cylinder grasp": {
        **{"thumb": (4, 30, -12, 12, 25), "index": (32, 3, 42, 24), "middle": (36, 0, 46, 26)},
        **{"ring": (40, -2, 46, 26), "pinky": (42, -6, 42, 24)},
    },
    "small cylinder grasp": {
        **{"thumb": (14, 16, -10, 42, 35), "index": (58, 1, 74, 38), "middle": (64, 0, 78, 42)},
        **{"ring": (68, 0, 78, 42), "pinky": (72, 0, 72, 38)},
    },
    "large sphere grasp": {
        **{"thumb": (-4, 30, -8, 14, 22), "index": (14, 16, 38, 24), "middle": (18, 3, 40, 26)},
        **{"ring": (18, -9, 40, 26), "pinky": (16, -22, 38, 24)},
    },
    "small sphere grasp": {
        **{"thumb": (8, 28, -12, 28, 30), "index": (40, 8, 46, 28), "middle": (44, 1, 50, 30)},
        **{"ring": (46, -4, 52, 30), "pinky": (48, -10, 50, 28)},
    },
    "hook grasp": {
        **{"thumb": (-8, -8, 6, 18, 4), "index": (10, 2, 88, 50), "middle": (12, 0, 92, 52)},
        **{"ring": (14, 0, 92, 52), "pinky": (16, -2, 86, 48)},
    },
    "pen grasp": {
        **{"thumb": (12, 20, -8, 28, 22), "index": (48, 0, 48, 14), "middle": (56, 0, 62, 28)},
        **{"ring": (62, 0, 72, 38), "pinky": (66, 0, 70, 38)},
    },
    "key pinch": {
        **{"thumb": (6, 4, -4, 30, 22), "index": (48, 0, 72, 36), "middle": (58, 0, 78, 42)},
        **{"ring": (64, 0, 80, 44), "pinky": (70, 0, 76, 40)},
    },
    "tip pinch": {
        **{"thumb": (8, 24, -10, 30, 32), "index": (50, 4, 52, 30), "middle": (30, 0, 30, 18)},
        **{"ring": (26, -3, 28, 18), "pinky": (22, -8, 26, 16)},
    },
    "three-finger pinch": {
        **{"thumb": (8, 26, -12, 28, 26), "index": (54, 3, 42, 20), "middle": (58, 2, 44, 22)},
        **{"ring": (36, -2, 40, 24), "pinky": (30, -8, 38, 22)},
    },
    "platform": {
        **{"thumb": (-16, -10, 8, 12, 2), "index": (4, 1, 8, 5), "middle": (5, 0, 8, 5)},
        **{"ring": (5, 2, 8, 5), "pinky": (4, 4, 8, 5)},
    },
    "cupped hand": {
        **{"thumb": (4, 4, -8, 24, 14), "index": (34, -3, 24, 14), "middle": (36, 0, 26, 16)},
        **{"ring": (38, 4, 26, 16), "pinky": (38, 5, 26, 16)},
    },
    "trigger grasp": {
        **{"thumb": (10, 14, -8, 34, 28), "index": (16, 2, 48, 22), "middle": (62, 0, 78, 42)},
        **{"ring": (66, 0, 80, 44), "pinky": (70, 0, 74, 40)},
    },
    "mouse grip": {
        **{"thumb": (2, 6, 0, 22, 14), "index": (14, 3, 24, 12), "middle": (16, 0, 26, 13)},
        **{"ring": (26, -4, 38, 20), "pinky": (28, -14, 36, 18)},
    },
    "phone grip": {
        **{"thumb": (-6, 18, -2, 16, 10), "index": (22, 4, 40, 20), "middle": (28, 1, 46, 24)},
        **{"ring": (32, -2, 48, 26), "pinky": (34, -6, 44, 22)},
    },
    "scissors grip": {
        **{"thumb": (2, 24, -8, 22, 24), "index": (22, 4, 30, 14), "middle": (40, 0, 52, 30)},
        **{"ring": (46, -2, 56, 32), "pinky": (50, -6, 54, 30)},
    },
    "cigarette hold": {
        **{"thumb": (0, -2, 2, 22, 16), "index": (14, 0, 18, 8), "middle": (16, 2, 20, 10)},
        **{"ring": (34, 0, 40, 24), "pinky": (40, -4, 42, 24)},
    },
    "claw": {
        **{"thumb": (-12, 14, 0, 16, 52), "index": (-6, 12, 72, 44), "middle": (-4, 2, 74, 46)},
        **{"ring": (-4, -8, 74, 46), "pinky": (-6, -20, 70, 42)},
    },
    "bent hand": {
        **{"thumb": (0, -4, 0, 26, 10), "index": (72, 0, 8, 5), "middle": (76, 0, 8, 5)},
        **{"ring": (78, 0, 8, 5), "pinky": (78, 0, 8, 5)},
    },
    "relaxed hand": {
        **{"thumb": (-4, 6, 0, 20, 14), "index": (18, 3, 24, 12), "middle": (24, 0, 30, 16)},
        **{"ring": (28, -2, 34, 18), "pinky": (30, -6, 34, 18)},
    },
    "half closed hand": {
        **{"thumb": (4, 12, -6, 32, 26), "index": (42, 1, 62, 34), "middle": (48, 0, 68, 38)},
        **{"ring": (52, 0, 68, 38), "pinky": (54, -3, 62, 34)},
    },
    "finger gun": {
        **{"thumb": (-18, -10, 10, 12, -6), "index": (6, 1, 6, 3), "middle": (8, 0, 8, 4)},
        **{"ring": (70, 0, 84, 50), "pinky": (74, 0, 78, 44)},
    },
}
