"""What is known of a task before anybody plays it: what is seen, whether it needs a memory, levels.

A family of tensor environments describes its tasks with an `EnvCard`; `memrl envs` lists the
cards, curves draw their levels, and `memrl play` names the actions.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

from gymnasium import spaces

from memrl.rollout.tokens import Tokens

# strict: what decides is out of sight when it is needed, and cannot be looked at again.
# search: whoever remembers where it has been is faster; most of it can be done by reacting.
# not needed: the best policies known without a memory are as good, or nearly.
Need: TypeAlias = Literal["strict", "search", "not needed"]


class Levels(NamedTuple):
    """Mean success or return that can be reached; None where it is not known.

    ``memoryless`` is the best known of policies that see nothing but the present observation.
    ``guess`` is the best of those that ignore whatever tells the answer.
    """

    score: Literal["success", "return"]
    optimum: float | None = None
    memoryless: float | None = None
    guess: float | None = None

    def lines(self) -> dict[str, float]:
        """Those that are known, by the names they have in pictures."""
        named = {
            "optimal": self.optimum,
            "blind guess": self.guess,
            "memoryless": self.memoryless,
        }
        return {name: level for name, level in named.items() if level is not None}


class EnvCard(NamedTuple):
    """One task; what is not known is empty or None."""

    observation: str = ""
    memory: Need | None = None
    levels: Levels | None = None
    actions: tuple[str, ...] = ()  # what the numbers of a Discrete action space do
    symbols: tuple[str, ...] = ()  # what the numbers of a Discrete observation stand for


def describe_space(space: spaces.Dict) -> str:
    """An observation space in a few words: ``direction 1 of 4, image 7×7×3 bytes``."""
    parts = [(key, _shape(part)) for key, part in space.items()]
    return ", ".join(what if key == "obs" else f"{key} {what}" for key, what in parts)


def describe_tokens(length: int, num_symbols: int) -> str:
    """A sentence in a few words; the symbol 0 is no word."""
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
