"""The MiniGrid ids that run on the grid engine, grouped by their task rules."""

from __future__ import annotations

from typing import Final

from memrl.envs.minigrid.obstacles import OBSTACLES
from memrl.envs.minigrid.task_rules import (
    BASE,
    DONE_NEAR,
    FETCH,
    PICKED_UP,
    PUT_NEAR,
    RED_BLUE,
    UNLOCK,
    TaskRules,
)
from memrl.errors import nearest

_NAMES: Final[dict[str, tuple[TaskRules, str]]] = {
    "base": (
        BASE,
        """Empty-5x5-v0 Empty-6x6-v0 Empty-8x8-v0 Empty-16x16-v0 Empty-Random-5x5-v0
        Empty-Random-6x6-v0 DoorKey-5x5-v0 DoorKey-6x6-v0 DoorKey-8x8-v0 DoorKey-16x16-v0
        LavaCrossingS9N1-v0 LavaCrossingS9N2-v0 LavaCrossingS9N3-v0 LavaCrossingS11N5-v0
        SimpleCrossingS9N1-v0 SimpleCrossingS9N2-v0 SimpleCrossingS9N3-v0 SimpleCrossingS11N5-v0
        LavaGapS5-v0 LavaGapS6-v0 LavaGapS7-v0 DistShift1-v0 DistShift2-v0 FourRooms-v0
        LockedRoom-v0 MultiRoom-N2-S4-v0 MultiRoom-N4-S5-v0 MultiRoom-N4-S5-v1 MultiRoom-N6-v0
        Playground-v0""",
    ),
    "picked up": (
        PICKED_UP,
        """KeyCorridorS3R1-v0 KeyCorridorS3R2-v0 KeyCorridorS3R3-v0 KeyCorridorS4R3-v0
        KeyCorridorS5R3-v0 KeyCorridorS6R3-v0 UnlockPickup-v0 BlockedUnlockPickup-v0
        ObstructedMaze-1Dl-v0 ObstructedMaze-1Dlh-v0 ObstructedMaze-1Dlhb-v0 ObstructedMaze-2Dl-v0
        ObstructedMaze-2Dlh-v0 ObstructedMaze-2Dlhb-v0 ObstructedMaze-2Dlhb-v1
        ObstructedMaze-1Q-v0 ObstructedMaze-1Q-v1 ObstructedMaze-2Q-v0 ObstructedMaze-2Q-v1
        ObstructedMaze-Full-v0 ObstructedMaze-Full-v1""",
    ),
    "done near": (
        DONE_NEAR,
        """GoToDoor-5x5-v0 GoToDoor-6x6-v0 GoToDoor-8x8-v0 GoToObject-6x6-N2-v0
        GoToObject-8x8-N2-v0""",
    ),
    "obstacles": (
        OBSTACLES,
        """Dynamic-Obstacles-5x5-v0 Dynamic-Obstacles-6x6-v0 Dynamic-Obstacles-8x8-v0
        Dynamic-Obstacles-16x16-v0 Dynamic-Obstacles-Random-5x5-v0
        Dynamic-Obstacles-Random-6x6-v0""",
    ),
    "fetch": (FETCH, "Fetch-5x5-N2-v0 Fetch-6x6-N2-v0 Fetch-8x8-N3-v0"),
    "put near": (PUT_NEAR, "PutNear-6x6-N2-v0 PutNear-8x8-N3-v0"),
    "red then blue": (RED_BLUE, "RedBlueDoors-6x6-v0 RedBlueDoors-8x8-v0"),
    "unlock": (UNLOCK, "Unlock-v0"),
}

FAMILIES: Final = {  # ids by the name of their task rules
    family: tuple(f"MiniGrid-{name}" for name in names.split())
    for family, (_, names) in _NAMES.items()
}
GRID_IDS: Final = tuple(id for ids in FAMILIES.values() for id in ids)


def rules_of(id: str) -> TaskRules:
    """The task rules of an id.

    Raises:
        ValueError: the id is none of ``GRID_IDS``.
    """
    for family, ids in FAMILIES.items():
        if id in ids:
            return _NAMES[family][0]
    raise ValueError(
        f"id is {id!r}, allowed: one of the {len(GRID_IDS)} in GRID_IDS{nearest(id, GRID_IDS)}"
    )
