"""What is known about a task: its observation, whether it needs a memory, and reference levels.

A family of tensor environments describes each of its tasks with an `EnvCard`. `memrl envs` lists
the cards, learning curves show their levels, and `memrl play` names the actions.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from gymnasium import spaces

from memrl.rollout.tokens import Tokens

# strict: the agent needs information that it saw earlier and cannot see again.
# search: an agent that remembers where it has been is faster, but can mostly do without.
# not needed: the best known policies without a memory are as good, or nearly.
Need: TypeAlias = Literal["strict", "search", "not needed"]


class Levels(NamedTuple):
    """Mean success or return of reference policies; None where it is not known.

    ``memoryless`` is the best known policy that sees the current observation only. ``guess`` is
    the best policy that ignores everything that reveals the answer. ``timed`` is the best policy
    that sees the current observation and how many steps have passed: a memory that only counts
    steps reaches it.
    """

    score: Literal["success", "return"]
    optimum: float | None = None
    memoryless: float | None = None
    guess: float | None = None
    timed: float | None = None

    def lines(self) -> dict[str, float]:
        """The known levels, by their names in plots."""
        named = {
            "optimal": self.optimum,
            "blind guess": self.guess,
            "memoryless": self.memoryless,
            "time alone": self.timed,
        }
        return {name: level for name, level in named.items() if level is not None}


class EnvCard(NamedTuple):
    """One task; unknown entries are empty or None."""

    observation: str = ""
    memory: Need | None = None
    levels: Levels | None = None
    actions: tuple[str, ...] = ()  # names of the actions of a Discrete space
    symbols: tuple[str, ...] = ()  # meanings of the values of a Discrete observation


def describe_space(space: spaces.Dict) -> str:
    """An observation space as text: ``direction 1 of 4, image 7×7×3 bytes``."""
    parts = [(key, _shape(part)) for key, part in space.items()]
    return ", ".join(text if key == "obs" else f"{key} {text}" for key, text in parts)


def describe_tokens(length: int, num_symbols: int) -> str:
    """The space of a sentence as text; token 0 is padding."""
    return f"{length} words of {num_symbols - 1} known ones"


def _shape(space: spaces.Space[Any]) -> str:
    sides = "×".join(str(side) for side in space.shape or ())
    match space:
        case Tokens():
            return describe_tokens(space.length, space.num_symbols)
        case spaces.Discrete():
            return f"1 of {space.n}"
        case spaces.MultiDiscrete():
            return f"{sides} of up to {space.nvec.max()}"
        case spaces.MultiBinary():
            return f"{sides} flags"
    unit = "byte" if str(space.dtype) == "uint8" else "number"
    return f"{sides} {unit}" + "s" * (sides != "1")
