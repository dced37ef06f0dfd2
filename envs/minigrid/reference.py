"""Reference levels of the Memory tasks: optimal, guessing and memoryless agents.

All but four numbers are computed from the tables of the task, for any view size.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from memrl.envs.catalogue import EnvCard, Levels, Need
from memrl.envs.minigrid.catalogue import ACTIONS, grid_card, grid_observation
from memrl.envs.minigrid.memory_levels import memory_choices
from memrl.envs.minigrid.memory_task import MemoryTask, memory_task

# Best known success of policies without memory where the cue is visible from the crossing, found by
# a search over stochastic policies at view size 7; a better one may exist.
_LEAKY: Final = {
    "MiniGrid-MemoryS7-v0": 0.987,
    "MiniGrid-MemoryS9-v0": 0.987,
    "MiniGrid-MemoryS13Random-v0": 0.660,
    "MiniGrid-MemoryS17Random-v0": 0.593,
}


class ReferenceLevels(NamedTuple):
    """Means over the start states of the task."""

    optimal_steps: float  # env steps of the shortest paths that see the cue
    optimal_return: float  # their return
    guess_return: float  # best return of agents that ignore the cue; half of their episodes succeed
    memoryless_success: float | None  # best success without memory; None: not known


def reference(id: str, agent_view_size: int = 7) -> ReferenceLevels:
    """The reference levels of an id.

    Raises:
        ValueError: the id is not in ``MEMORY_IDS``.
    """
    task = memory_task(id, agent_view_size)
    over = task.success | task.failure
    informed = _mean_steps(task, task.success, must_see=True)
    blind = _mean_steps(task, over, must_see=False)
    leaks = bool((task.cue_visible & _at_crossing(task)).any())
    known = _LEAKY.get(id) if agent_view_size == 7 else None
    return ReferenceLevels(
        optimal_steps=informed,
        optimal_return=1 - 0.9 * informed / task.max_steps,
        guess_return=0.5 * (1 - 0.9 * blind / task.max_steps),
        memoryless_success=known if leaks else 0.5,
    )


def memory_card(
    id: str, *, agent_view_size: int = 7, observation: str = "symbolic", **_: Any
) -> EnvCard:
    """The card of a Memory task; at the package's view size it needs no computation."""
    memoryless: float | None
    need: Need | None
    if observation == "rgb_full":  # the cue is always visible
        memoryless, need = None, "not needed"
    elif agent_view_size == 7:
        memoryless = _LEAKY.get(id, 0.5)
        need = grid_card(id).memory
    else:
        memoryless = reference(id, agent_view_size).memoryless_success
        need = "strict" if memoryless == 0.5 else None
    return EnvCard(
        observation=grid_observation(agent_view_size, observation),
        memory=need,
        levels=Levels("success", optimum=1.0, memoryless=memoryless, guess=0.5),
        actions=ACTIONS,
    )


def start_probabilities(task: MemoryTask) -> Float[Tensor, " S"]:
    """The probability of every state to start an episode (float64)."""
    levels, poses = len(task.starts.first), task.starts.poses
    chance = torch.zeros(len(task.success), dtype=torch.float64)
    chance[: int(poses.sum())] = (1 / (levels * poses.double())).repeat_interleave(poses)
    return chance


def _mean_steps(task: MemoryTask, target: Bool[Tensor, " S"], must_see: bool) -> float:
    """Mean length of the shortest paths to ``target``; ``must_see``: that also see the cue."""
    seen = torch.stack([torch.full_like(target, not must_see), torch.ones_like(target)])
    over = task.success | task.failure
    steps = torch.full(seen.shape, torch.inf, dtype=torch.float64)  # [cue seen so far, state]
    steps[seen & target] = 0
    into = task.automaton.next_state
    then_seen = torch.stack([task.cue_visible[into].long(), torch.ones_like(into)])
    while True:
        shorter = torch.where(
            over, steps, torch.minimum(steps, 1 + steps[then_seen, into].amin(-1))
        )
        if torch.equal(shorter, steps):
            break
        steps = shorter
    from_start = steps[task.cue_visible.long(), torch.arange(len(target))]
    chance = start_probabilities(task)
    return float((chance * from_start)[chance > 0].sum())


def _at_crossing(task: MemoryTask) -> Bool[Tensor, " S"]:
    """States at the end of the hallway, where a policy has to choose."""
    states, size = task.automaton.states, task.engine.height
    choices, _ = memory_choices(states.cells, size)
    return states.cell // size == choices // size
