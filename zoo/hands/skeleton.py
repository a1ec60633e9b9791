"""Joint names, orders and the tables between them. `dst = src[table]`."""

# MANO-16: kinematic order of the hand model. The little finger comes before the ring finger.
MANO_JOINTS = (
    "wrist",
    *("index1", "index2", "index3"),
    *("middle1", "middle2", "middle3"),
    *("pinky1", "pinky2", "pinky3"),
    *("ring1", "ring2", "ring3"),
    *("thumb1", "thumb2", "thumb3"),
)
MANO_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
# SNAP-21, also "OpenPose order": wrist, then four joints a finger from base to tip. The project's own order.
SNAP_JOINTS = ("wrist", *(f"{finger}{i}" for finger in FINGERS for i in (1, 2, 3, 4)))
SNAP_PARENTS = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
SNAP_EDGES = tuple((parent, child) for child, parent in enumerate(SNAP_PARENTS) if parent >= 0)

# MANO-16 followed by the tips of thumb, index, middle, ring, pinky (HO3D's order).
MANO_TIPS_TO_SNAP = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
SNAP_TO_MANO_TIPS = (0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20)
INTERHAND_TO_SNAP = (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16)
SNAP_TO_INTERHAND = (4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17, 0)

WRIST, MIDDLE_MCP = 0, 9  # in SNAP-21
LEFT, RIGHT = 0, 1
