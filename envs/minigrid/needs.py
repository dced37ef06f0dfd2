"""Which tasks of MiniGrid and BabyAI need a memory, by what their ids begin with."""

from __future__ import annotations

from typing import Final

from memrl.envs.catalogue import EnvCard, Need

ACTIONS: Final = ("left", "right", "forward", "pickup", "drop", "toggle", "done")

# The first beginning that fits decides. A cue that is gone when it counts, or a part of the
# mission of which the observation does not tell whether it is done, makes a task strict; objects
# and rooms out of the cone of sight make it a search. Tasks of which nobody measured it are absent.
_NEEDS: Final[dict[str, Need]] = {
    "MiniGrid-MemoryS7-": "not needed",  # from one pose the cue and both choices are in view
    "MiniGrid-MemoryS9-": "not needed",
    "MiniGrid-Memory": "strict",
    "MiniGrid-KeyCorridor": "search",
    "MiniGrid-LockedRoom": "search",
    "MiniGrid-ObstructedMaze": "search",
    "MiniGrid-FourRooms": "search",
    "MiniGrid-MultiRoom": "search",
    "MiniGrid-Fetch": "search",
    "MiniGrid-GoTo": "search",
    "MiniGrid-PutNear": "search",
    "MiniGrid-DoorKey": "not needed",  # the carried key and the door's state are in view
    "MiniGrid-RedBlueDoors": "not needed",
    "MiniGrid-Empty": "not needed",
    "MiniGrid-Lava": "not needed",
    "MiniGrid-SimpleCrossing": "not needed",
    "MiniGrid-DistShift": "not needed",
    "MiniGrid-Dynamic-Obstacles": "not needed",
    "BabyAI-GoToSeq": "strict",
    "BabyAI-SynthSeq": "strict",
    "BabyAI-BossLevel": "strict",
    "BabyAI-MiniBossLevel": "strict",
    "BabyAI-OpenTwoDoors": "strict",
    "BabyAI-OpenRedBlueDoors": "strict",
    "BabyAI-OpenDoorsOrder": "strict",
    "BabyAI-MoveTwoAcross": "strict",
    "BabyAI-KeyCorridor": "search",
    "BabyAI-FindObj": "search",
    "BabyAI-GoTo-": "search",
    "BabyAI-GoToImpUnlock": "search",
    "BabyAI-Unlock-": "search",
    "BabyAI-UnlockToUnlock": "search",
    "BabyAI-KeyInBox": "search",
}


def grid_card(id: str) -> EnvCard:
    """The card of any id of the minigrid package, at the package's own view size."""
    found = (need for beginning, need in _NEEDS.items() if id.startswith(beginning))
    seen = "direction 1 of 4, image 7×7×3 bytes"
    return EnvCard(seen, next(found, None), actions=ACTIONS)
