"""MiniGrid's and BabyAI's tasks in the catalogue, by what their ids begin with."""

from __future__ import annotations

from typing import Any, Final

from memrl.envs.catalogue import EnvCard, Need, describe_tokens
from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY

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


# Words of the longest mission, where missions differ at all.
_WORDS: Final = {
    "MiniGrid-LockedRoom": 18,
    "MiniGrid-KeyCorridor": 5,
    "MiniGrid-UnlockPickup": 5,
    "MiniGrid-BlockedUnlockPickup": 5,
    "MiniGrid-GoTo": 5,
    "MiniGrid-Fetch": 6,
    "MiniGrid-PutNear": 8,
    "BabyAI-": LONGEST_BABYAI,
}


def grid_card(
    id: str,
    *,
    agent_view_size: int = 7,
    observation: str = "symbolic",
    read_text: bool = True,
    **_: Any,
) -> EnvCard:
    """The card of any id of the minigrid package, in tensors or not.

    What needs a search in the package's view needs one in a smaller view too. Whether a memory can
    be spared is known for the package's view alone.
    """
    need = next((need for beginning, need in _NEEDS.items() if id.startswith(beginning)), None)
    if observation == "rgb_full" or (agent_view_size < 7 and need == "not needed"):
        need = None
    length = next((n for beginning, n in _WORDS.items() if id.startswith(beginning)), 0)
    seen = grid_observation(agent_view_size, observation)
    if length and read_text:
        seen += f", mission {describe_tokens(length, len(VOCABULARY))}"
    return EnvCard(seen, need, actions=ACTIONS)


def grid_observation(agent_view_size: int, observation: str) -> str:
    """What every task shows, in a few words."""
    side = agent_view_size
    image = f"{side}×{side}×3 bytes" if observation == "symbolic" else f"of pixels ({observation})"
    return f"direction 1 of 4, image {image}"
