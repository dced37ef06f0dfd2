"""Levels to hold a result against: optimum, blind guess, and the best policy without memory.

Exact, uniform over first states. The optimum must have seen the cue before it chooses; the tests
compute it anew by playing out all states. A policy without memory beats a guess only where cue and
choice are visible from one pose: in short hallways, with a wide view.
"""

from __future__ import annotations

from typing import NamedTuple


class ReferenceLevels(NamedTuple):
    """Levels of one task; ``memoryless`` is None where it was not computed."""

    optimal_steps: float
    optimal_return: float
    guess_return: float
    memoryless: float | None  # success rate
    optimal: float = 1.0  # success rate
    guess: float = 0.5  # success rate


# With the package's view of 7 × 7. Steps and returns of the optimum are means over all starts.
_VIEW_7 = {
    "MiniGrid-MemoryS7-v0": ReferenceLevels(6.00, 0.9780, 0.492, 0.987),
    "MiniGrid-MemoryS9-v0": ReferenceLevels(7.17, 0.9841, 0.494, 0.987),
    "MiniGrid-MemoryS11-v0": ReferenceLevels(9.50, 0.9859, 0.495, 0.50),
    "MiniGrid-MemoryS13-v0": ReferenceLevels(11.70, 0.9875, 0.496, 0.50),
    "MiniGrid-MemoryS13Random-v0": ReferenceLevels(8.58, 0.9909, 0.497, 0.660),
    "MiniGrid-MemoryS17Random-v0": ReferenceLevels(10.86, 0.9932, 0.498, 0.593),
}
_STRICT_AT_5 = {"MiniGrid-MemoryS9-v0", "MiniGrid-MemoryS11-v0", "MiniGrid-MemoryS13-v0"}


def levels(id: str) -> ReferenceLevels | None:
    """The levels of a task seen through the package's 7 × 7 view, where they are known."""
    return _VIEW_7.get(id)


def reference_levels(id: str, agent_view_size: int = 7) -> dict[str, float]:
    """Success rates to draw as lines: optimal, memoryless (where known), blind guess."""
    known = levels(id)
    if known is None:
        return {}
    lines = {"optimal": known.optimal, "blind guess": known.guess}
    memoryless = known.memoryless
    if agent_view_size == 3 or (agent_view_size == 5 and id in _STRICT_AT_5):
        memoryless = 0.5  # no pose shows the cue together with a choice
    elif agent_view_size != 7:
        memoryless = None
    if memoryless is not None:
        lines["memoryless"] = memoryless
    return lines
