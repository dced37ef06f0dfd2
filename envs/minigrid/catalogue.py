"""Cards of MiniGrid's and BabyAI's tasks, by the prefix of their ids."""

from __future__ import annotations

from typing import Any, Final

from memrl.envs.catalogue import EnvCard, Need, describe_tokens
from memrl.envs.missions import LONGEST_BABYAI, VOCABULARY

ACTIONS: Final = ("left", "right", "forward", "pickup", "drop", "toggle", "done")

# The first matching prefix counts. A task is strict if the cue is out of sight when it is needed,
# or if the observation does not show which parts of the mission are done. It is a search if objects
# and rooms are out of sight. Tasks that nobody has measured are absent.
_NEEDS: Final[dict[str, Need]] = {
    "MiniGrid-MemoryS7-": "not needed",  # one pose sees the cue and both choices
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


# Words of the longest mission, for tasks whose missions differ.
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
    """The card of an id of the minigrid package, as a tensor environment or not.

    A task that needs a search with the package's view also needs one with a smaller view. "Not
    needed" is known for the package's view only.
    """
    need = next((need for prefix, need in _NEEDS.items() if id.startswith(prefix)), None)
    if observation == "rgb_full" or (agent_view_size < 7 and need == "not needed"):
        need = None
    length = next((n for prefix, n in _WORDS.items() if id.startswith(prefix)), 0)
    text = grid_observation(agent_view_size, observation)
    if length and read_text:
        text += f", mission {describe_tokens(length, len(VOCABULARY))}"
    return EnvCard(text, need, actions=ACTIONS)


def grid_observation(agent_view_size: int, observation: str) -> str:
    """The observation that all tasks share, as text."""
    side = agent_view_size
    image = f"{side}×{side}×3 bytes" if observation == "symbolic" else f"of pixels ({observation})"
    return f"direction 1 of 4, image {image}"
